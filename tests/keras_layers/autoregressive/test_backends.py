"""Every causal layer on PyTorch and JAX, at once and in steps, answers as on TensorFlow. Each in its own process."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_layers import autoregressive
from tests.conformance.layers import randomise
from tests.keras_layers.autoregressive import (
    test_causal_conv1d,
    test_gated_masked_block,
    test_logistic_mixture,
    test_masked_conv2d,
    test_wavenet_block,
)
from tests.keras_layers.autoregressive.stepping import in_grid_steps, in_steps

ROOT = pathlib.Path(__file__).parents[3]
MODULES = (test_causal_conv1d, test_gated_masked_block, test_logistic_mixture, test_masked_conv2d, test_wavenet_block)
CASES = {f"{case.layer.__name__}_{case.name}": case for module in MODULES for case in module.CASES}
STEPS = {"CausalConv1D": in_steps, "WaveNetBlock": in_steps, "GatedMaskedBlock": in_grid_steps}

PROGRAM = """
import sys
import numpy as np
from tests.keras_layers.autoregressive.test_backends import CASES, answers

given = np.load(sys.argv[1])
received = {}
for name, case in CASES.items():
    layer = case.make()
    layer.build(*case.shapes())
    layer.set_weights([given[f"{name}/{index}"] for index in range(len(layer.weights))])
    received |= answers(name, layer)
np.savez(sys.argv[2], **received)
"""


def answers(name, layer):
    """Every output of a layer by the case and its number, at once and in steps."""
    case, rng = CASES[name], np.random.default_rng(3)
    inputs = case.inputs()
    conditions = {key: rng.standard_normal(shape).astype(np.float32) for key, shape in case.conditions.items()}
    ways = {"call": layer(inputs, **conditions)}
    if type(layer).__name__ in STEPS:
        ways["steps"] = STEPS[type(layer).__name__](layer, inputs, **conditions)
    return {
        f"{name}/{way}/{number}": keras.ops.convert_to_numpy(output)
        for way, outputs in ways.items()
        for number, output in enumerate(outputs if isinstance(outputs, list) else [outputs])
    }


@pytest.fixture(scope="module")
def on_tensorflow(tmp_path_factory):
    """The file of all weights, and every answer by its name."""
    weights, found = {}, {}
    for name, case in CASES.items():
        layer = case.make()
        layer.build(*case.shapes())
        randomise(layer)
        weights |= {f"{name}/{index}": weight for index, weight in enumerate(layer.get_weights())}
        found |= answers(name, layer)
    path = tmp_path_factory.mktemp("backends") / "weights.npz"
    np.savez(path, **weights)
    return path, found


def test_every_layer_has_a_case():
    assert {case.layer.__name__ for case in CASES.values()} == set(autoregressive.__all__)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_backend(backend, on_tensorflow, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    weights, expected = on_tensorflow
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", PROGRAM, weights, tmp_path / "answers.npz"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    received = np.load(tmp_path / "answers.npz")
    assert set(received) == set(expected)
    for name, right in expected.items():
        np.testing.assert_allclose(received[name], right, rtol=1e-4, atol=1e-5 * np.abs(right).max(), err_msg=name)
