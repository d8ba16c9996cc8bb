"""Every video layer on PyTorch and JAX answers, and has gradients, as on TensorFlow. Each in a process of its own."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_layers import video
from tests.conformance.layers import randomise
from tests.keras_layers.video import (
    test_channelwise_conv3d,
    test_clip_check,
    test_conv2plus1d,
    test_frame_padding,
    test_frame_rate_resampling,
    test_inception,
    test_lateral_connection,
    test_self_gating,
    test_squeeze_excitation3d,
    test_temporal_difference,
    test_temporal_transition,
    test_windowed_average_pooling3d,
)

ROOT = pathlib.Path(__file__).parents[3]
MODULES = (
    test_channelwise_conv3d,
    test_clip_check,
    test_conv2plus1d,
    test_frame_padding,
    test_frame_rate_resampling,
    test_inception,
    test_lateral_connection,
    test_self_gating,
    test_squeeze_excitation3d,
    test_temporal_difference,
    test_temporal_transition,
    test_windowed_average_pooling3d,
)
CASES = {f"{case.layer.__name__}_{case.name}": case for module in MODULES for case in module.CASES}
# What is added up to be differentiated: every position counts differently.
WEIGHTS_SEED = 3

PROGRAM = """
import sys
import numpy as np
import keras
from tests.keras_layers.video.test_backends import CASES, shares

def answer(layer, inputs):
    if keras.backend.backend() == "torch":
        import torch
        values = torch.tensor(inputs, requires_grad=True)
        outputs = layer(values, training=False)
        (outputs * torch.tensor(shares(outputs.shape))).sum().backward()
        return outputs.detach().numpy(), values.grad.numpy()
    import jax
    outputs = layer(inputs, training=False)
    total = jax.jit(lambda x: (layer(x, training=False) * shares(outputs.shape)).sum())
    return np.asarray(outputs), np.asarray(jax.grad(total)(inputs))

given, answers = np.load(sys.argv[1]), {}
for name, case in CASES.items():
    layer = case.make()
    layer.build(case.input_shape)
    layer.set_weights([given[f"{name}/{index}"] for index in range(len(layer.weights))])
    outputs, gradient = answer(layer, case.inputs())
    free = [None if axis in case.free_axes else length for axis, length in enumerate(case.input_shape)]
    symbolic = case.make()(keras.Input(batch_shape=free)).shape
    assert all(length in (None, known) for length, known in zip(symbolic, outputs.shape, strict=True)), name
    answers |= {f"{name}/outputs": outputs, f"{name}/gradient": gradient}
np.savez(sys.argv[2], **answers)
"""


def shares(shape):
    return np.random.default_rng(WEIGHTS_SEED).standard_normal(tuple(shape)).astype(np.float32)


@pytest.fixture(scope="module")
def on_tensorflow(tmp_path_factory):
    """The file of all weights, and by case outputs and gradient of the input."""
    weights, answers = {}, {}
    for name, case in CASES.items():
        layer, inputs = case.make(), tf.constant(case.inputs())
        layer(inputs)
        randomise(layer)
        weights |= {f"{name}/{index}": weight for index, weight in enumerate(layer.get_weights())}
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=False)
            total = tf.reduce_sum(outputs * shares(outputs.shape))
        answers[name] = outputs.numpy(), tape.gradient(total, inputs).numpy()
    path = tmp_path_factory.mktemp("backends") / "weights.npz"
    np.savez(path, **weights)
    return path, answers


def test_every_layer_has_a_case():
    layers = {name for name in video.__all__ if isinstance(getattr(video, name), type)} - {"CenteredIdentity"}
    assert {case.layer.__name__ for case in CASES.values()} == layers


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
    answers = np.load(tmp_path / "answers.npz")
    for name, rows in expected.items():
        for what, right in zip(("outputs", "gradient"), rows, strict=True):
            received = answers[f"{name}/{what}"]
            np.testing.assert_allclose(received, right, rtol=1e-4, atol=1e-5 * np.abs(right).max(), err_msg=name)
