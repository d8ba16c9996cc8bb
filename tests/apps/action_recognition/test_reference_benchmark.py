"""The benchmark beside PyTorch: what it measures, and one small run of each side."""

import importlib.util
import json
import subprocess
import sys

import pytest

from apps.action_recognition import models
from apps.action_recognition.reference_benchmark import __main__ as benchmark
from apps.action_recognition.reference_benchmark.networks import REFERENCES, builders
from tools.errors import InputError

PYTORCH = pytest.mark.skipif(
    any(importlib.util.find_spec(package) is None for package in benchmark.PACKAGES), reason="needs the extra [bench]"
)


def test_every_aim_has_a_model_and_a_reference():
    for (work, side), aims in benchmark.AIMS.items():
        assert side in benchmark.WORK[work][0]
        assert set(aims) <= set(REFERENCES) and set(aims) <= set(models.names())
    assert len(benchmark.jobs(list(REFERENCES))) == 9
    assert benchmark.jobs(["x3d_s"]) == [("train", "x3d_s")]


@PYTORCH
@pytest.mark.parametrize("name", REFERENCES)
def test_both_sides_are_the_same_network(name):
    reference = REFERENCES[name]
    module = getattr(builders(reference.package), reference.builder)()
    assert sum(parameter.numel() for parameter in module.parameters()) == models.info(name).parameters


@pytest.mark.parametrize("side", [pytest.param("torch", marks=PYTORCH), "keras"])
@pytest.mark.parametrize("work", ["forward", "train"])
def test_a_side_works_in_a_process_of_its_own(side, work):
    module = "apps.action_recognition.reference_benchmark.side"
    command = [sys.executable, "-m", module, side, "r2plus1d_18", "--work", work, "--repeats", "1", "--threads", "1"]
    command += ["--batch", "2", "--shape", "4", "32", "32", "3"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    answer = json.loads(result.stdout.splitlines()[-1])
    assert len(answer["seconds"]) == 1
    assert 0 < answer["library_bytes"] < answer["peak_bytes"]


def test_the_table_compares_with_the_reference():
    row = {"work": "forward", "model": "x3d_m", "median_seconds": 0.25, "seconds": [0.2, 0.25, 0.3]}
    row |= {"side": "keras", "speed_up": 2.5, "aim": 2.0, "peak_bytes": 9e8, "library_bytes": 6e8}
    last = benchmark.text([row]).splitlines()[-1].split()
    assert last == ["forward", "x3d_m", "Keras", "250.0", "200.0", "2.50", "2", "900", "600"]


def test_says_which_extra_is_missing(monkeypatch):
    monkeypatch.setattr(benchmark, "PACKAGES", ("no_such_package",))
    with pytest.raises(InputError, match=r"extra \[bench\].* without no_such_package"):
        benchmark.run(benchmark.build_parser().parse_args([]))


@pytest.mark.parametrize("flag", ["--rounds", "--repeats", "--threads"])
def test_nothing_to_measure_is_refused_before_anything_is_made(flag):
    with pytest.raises(InputError, match=f"Expected {flag} to be at least 1. Received 0"):
        benchmark.run(benchmark.build_parser().parse_args([flag, "0"]))
