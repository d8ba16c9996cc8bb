"""The benchmark beside PyTorch: what it measures, and one small run of each side."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from apps.action_recognition import checkpoints, models
from apps.action_recognition.reference_benchmark import __main__ as benchmark
from apps.action_recognition.reference_benchmark.networks import REFERENCES, builders
from tests.conformance.parity import weight
from tools.errors import InputError
from tools.lite import check

SIDE = "apps.action_recognition.reference_benchmark.side"
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
@pytest.mark.slow
@pytest.mark.parametrize("name", REFERENCES)
def test_both_sides_are_the_same_network(name):
    import torch

    reference, native = REFERENCES[name], models.info(name)
    module = getattr(builders(reference.package), reference.builder)().eval()
    state = {key: tensor for key, tensor in module.state_dict().items() if not key.endswith("num_batches_tracked")}
    # By the rule of the cards: as they are made, whole branches of PyTorchVideo's networks are multiplied by 0.
    arrays = {key: weight(key, tensor.shape) for key, tensor in state.items()}
    module.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()}, strict=False)
    if reference.package == "pytorchvideo":
        module.blocks[-1].activation = None
    pathways = {} if reference.alpha is None else {"inputs": "pathways"}
    model = models.create(name, classifier_activation=None, **pathways)
    checkpoints.assign(model, arrays, source=reference.package)

    clip = np.random.default_rng(0).standard_normal((1, *native.input_shape), np.float32)
    make_inputs = reference.inputs(torch.from_numpy(np.ascontiguousarray(np.moveaxis(clip, -1, 1))))
    with torch.inference_mode():
        expected = module(make_inputs()).numpy()
    ours = clip if reference.alpha is None else [clip[:, :: reference.alpha], clip]
    received = np.asarray(model(ours, training=False))
    assert np.abs(received - expected).max() <= 1e-4 * np.abs(expected).max()
    assert sum(parameter.numel() for parameter in module.parameters()) == native.parameters


@pytest.mark.slow
def test_the_side_lite_runs_the_integer_file(tmp_path):
    path = benchmark.integer_file("r2plus1d_tiny", tmp_path)
    check(path, "int8")
    command = [sys.executable, "-m", SIDE, "lite", "r2plus1d_tiny", "--work", "forward", "--repeats", "2"]
    command += ["--threads", "1", "--batch", "1", "--shape", "8", "56", "56", "3", "--file", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    answer = json.loads(result.stdout.splitlines()[-1])
    assert len(answer["seconds"]) == 2
    assert 0 < answer["library_bytes"] < answer["peak_bytes"]


@pytest.mark.parametrize("side", [pytest.param("torch", marks=PYTORCH), "keras"])
@pytest.mark.parametrize("work", ["forward", "train"])
def test_a_side_works_in_a_process_of_its_own(side, work):
    command = [sys.executable, "-m", SIDE, side, "r2plus1d_18", "--work", work, "--repeats", "1", "--threads", "1"]
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
