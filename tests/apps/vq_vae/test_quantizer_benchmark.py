"""The benchmark of the quantisers: one small run of each side that is installed, and what it prints and refuses."""

import importlib.util
import json
import subprocess
import sys

import pytest

from apps.vq_vae import quantizer_benchmark as benchmark
from tools.commands import run_command

INSTALLED = {
    side: pytest.mark.skipif(
        side in benchmark.PACKAGES and importlib.util.find_spec(benchmark.PACKAGES[side]) is None,
        reason="needs the extra [bench]",
    )
    for side in benchmark.SIDES
}
ROW = {"positions": 2048, "seconds": [0.003, 0.002, 0.004], "median_seconds": 0.003, "work_bytes": 41e6}


@pytest.mark.slow
@pytest.mark.parametrize("work", benchmark.WORK)
@pytest.mark.parametrize("side", [pytest.param(side, marks=mark) for side, mark in INSTALLED.items()])
def test_a_side_works(side, work):
    command = [sys.executable, "-m", "apps.vq_vae.quantizer_benchmark", "--side", side, "--work", work]
    command += ["--positions", "64", "--threads", "1", "--repeats", "2"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    answer = json.loads(result.stdout.splitlines()[-1])
    assert len(answer["seconds"]) == 2
    assert 0 < answer["library_bytes"] < answer["peak_bytes"]


def test_prints_a_table():
    rows = [
        {**ROW, "work": "train", "side": "keras", "times_ours": 1.0, "memory_times_ours": 1.0},
        {**ROW, "work": "train", "side": "torch", "times_ours": 2.5, "memory_times_ours": 10.25},
    ]
    *_, ours, theirs = benchmark.text(rows).splitlines()
    assert ours.split() == ["train", "2048", "ours", "3.0", "2.0", "1.00", "41", "1.0"]
    assert theirs.split() == ["train", "2048", "vector-quantize-pytorch", "3.0", "2.0", "2.50", "41", "10.2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "0"], "Expected --rounds to be at least 1. Received 0."),
        (["--threads", "-1"], "Expected --threads to be at least 1. Received -1."),
        (["--positions", "0"], "Expected --positions to be at least 1. Received 0."),
        (["--side", "keras"], "Expected --positions and --work with --side. Received neither or one."),
    ],
)
def test_refuses_bad_arguments(arguments, message, capsys):
    assert run_command(benchmark.build_parser(), arguments) == 1
    assert message in capsys.readouterr().err


def test_says_which_package_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "PACKAGES", {"sonnet": "no_such_package"})
    assert run_command(benchmark.build_parser(), []) == 1
    assert "Received an environment without no_such_package." in capsys.readouterr().err
