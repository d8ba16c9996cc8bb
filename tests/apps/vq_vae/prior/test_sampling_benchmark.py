"""The benchmark of sampling: that both ways are timed on the same codes, and what it prints."""

import json

import numpy as np
import pytest

from apps.vq_vae.prior import sampling_benchmark as benchmark
from tools.commands import run_command


@pytest.fixture
def measured(monkeypatch):
    monkeypatch.setattr(benchmark, "MODELS", {"wavenet_prior_tiny": 3})


def test_both_ways_sample_the_same_codes(measured, capsys):
    arguments = ["--models", "wavenet_prior_tiny", "--batch", "2", "--repeats", "2", "--json"]
    assert run_command(benchmark.build_parser(), arguments) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["same_codes"] == 1.0
    assert (result["codes"], result["naive_positions"]) == (32, 3)
    naive, cached = result["ways"]
    assert (naive["items"], cached["items"]) == (2 * 3, 2 * 32)
    assert len(naive["seconds"]) == len(cached["seconds"]) == 2
    expected = np.median(naive["seconds"]) / 6 / (np.median(cached["seconds"]) / 64)
    assert result["times_faster"] == pytest.approx(expected)


def test_prints_a_table(measured, capsys):
    arguments = ["--models", "wavenet_prior_tiny", "--batch", "1", "--naive-positions", "1", "--repeats", "1"]
    assert run_command(benchmark.build_parser(), arguments) == 0
    heading, columns, *rows = capsys.readouterr().out.splitlines()
    assert heading == (
        "wavenet_prior_tiny, 32 codes, batch 1, naive on the first 1 positions; 100.0% of their codes the same"
    )
    assert "codes / s" in columns and [row.split()[0] for row in rows[1:]] == ["naive", "cached"]


@pytest.mark.parametrize("flag", ["--batch", "--naive-positions", "--repeats"])
def test_refuses_numbers_below_one(flag, capsys):
    assert run_command(benchmark.build_parser(), [flag, "0"]) == 1
    assert f"Expected {flag} to be at least 1. Received 0." in capsys.readouterr().err


def test_refuses_more_positions_than_there_are(measured, capsys):
    assert run_command(benchmark.build_parser(), ["--models", "wavenet_prior_tiny", "--naive-positions", "33"]) == 1
    assert "Expected --naive-positions of at most 32, the codes of wavenet_prior_tiny. Received 33." in (
        capsys.readouterr().err
    )
