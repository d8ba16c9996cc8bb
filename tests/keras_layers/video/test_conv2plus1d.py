"""Conv2Plus1D against NumPy, against the 3-D convolution it factorises, and against its contract."""

import itertools
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_layers import Conv2Plus1D
from keras_layers.video import parameter_matched_filters
from tests.conformance.layers import CHECKS, LayerCase, name_of

ROOT = pathlib.Path(__file__).resolve().parents[3]

CASES = [
    LayerCase(
        "defaults",
        Conv2Plus1D,
        {"filters": 3},
        (2, 4, 6, 5, 2),
        free_axes=(0, 1, 2, 3),
    ),
    LayerCase(
        "every_argument",
        Conv2Plus1D,
        {
            "filters": 3,
            "kernel_size": (3, 5, 2),
            "strides": (2, 1, 2),
            "padding": "symmetric",
            "intermediate_filters": 5,
            "activation": "gelu",
            "normalization": False,
            "momentum": 0.5,
            "epsilon": 1e-2,
            "use_bias": True,
            "kernel_initializer": "he_normal",
            "bias_initializer": "ones",
            "kernel_regularizer": "l2",
            "bias_regularizer": "l1",
        },
        (2, 4, 6, 6, 2),
        free_axes=(0, 1, 2, 3),
        complete=True,
    ),
    LayerCase(
        "symmetric_strided_normalized",
        Conv2Plus1D,
        {"filters": 4, "strides": 2, "padding": "symmetric", "epsilon": 0.5, "activation": None},
        (2, 4, 6, 6, 2),
        free_axes=(0, 1, 2, 3),
    ),
    LayerCase("valid", Conv2Plus1D, {"filters": 3, "padding": "valid", "kernel_size": (2, 3, 3)}, (2, 4, 6, 6, 2)),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def convolve(inputs: np.ndarray, kernel: np.ndarray, strides: tuple, padding: str) -> np.ndarray:
    """Cross-correlation of (B, T, H, W, in) with (t, h, w, in, out), tap by tap, in float64."""
    inputs, lengths = inputs.astype(np.float64), kernel.shape[:3]
    pads = [(0, 0)]
    for length, size, stride in zip(inputs.shape[1:4], lengths, strides, strict=True):
        total = {
            "valid": 0,
            "symmetric": 2 * (size // 2),
            "same": max((-(-length // stride) - 1) * stride + size - length, 0),
        }[padding]
        pads.append((total // 2, total - total // 2))
    padded = np.pad(inputs, [*pads, (0, 0)])
    counts = [
        (length - size) // stride + 1 for length, size, stride in zip(padded.shape[1:4], lengths, strides, strict=True)
    ]
    outputs = np.zeros((inputs.shape[0], *counts, kernel.shape[-1]))
    for tap in itertools.product(*map(range, lengths)):
        window = tuple(
            slice(start, start + (count - 1) * stride + 1, stride)
            for start, count, stride in zip(tap, counts, strides, strict=True)
        )
        outputs += padded[(slice(None), *window)] @ kernel[tap].astype(np.float64)
    return outputs


def reference(layer: Conv2Plus1D, inputs: np.ndarray) -> np.ndarray:
    """The layer at inference with a ReLU, from its weights."""
    (_, *spatial_strides), padding = layer.strides, layer.padding
    x = convolve(inputs, np.asarray(layer.spatial.kernel), (1, *spatial_strides), padding)
    if layer.use_bias:
        x = x + np.asarray(layer.spatial.bias)
    if layer.normalization is not None:
        gamma, beta, mean, variance = map(np.asarray, layer.normalization.get_weights())
        x = (x - mean) / np.sqrt(variance + layer.epsilon) * gamma + beta
    x = convolve(np.maximum(x, 0), np.asarray(layer.temporal.kernel), (layer.strides[0], 1, 1), padding)
    return x + np.asarray(layer.temporal.bias) if layer.use_bias else x


def random_weights(layer: keras.layers.Layer) -> None:
    rng = np.random.default_rng(3)
    # All positive, for the variances.
    layer.set_weights([rng.uniform(0.1, 1.0, weight.shape) - 0.3 * (weight.ndim > 1) for weight in layer.get_weights()])


@pytest.mark.parametrize("padding", ["same", "valid", "symmetric"])
@pytest.mark.parametrize(
    ("kernel_size", "strides"),
    [(3, 1), (3, 2), ((3, 7, 7), (1, 2, 2)), ((2, 3, 4), (1, 2, 1)), ((1, 3, 3), 2), ((3, 1, 1), (2, 2, 2))],
)
@pytest.mark.parametrize("plain", [True, False])
def test_equals_numpy(padding, kernel_size, strides, plain):
    layer = Conv2Plus1D(
        4, kernel_size, strides, padding, normalization=not plain, use_bias=plain, epsilon=0.3, intermediate_filters=5
    )
    inputs = np.random.default_rng(0).standard_normal((2, 5, 8, 9, 3)).astype(np.float32)
    layer.build(inputs.shape)
    random_weights(layer)
    expected = reference(layer, inputs)
    np.testing.assert_allclose(layer(inputs), expected, rtol=2e-4, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("padding", ["valid", "same", "symmetric"])
def test_without_nonlinearity_is_one_3d_convolution(padding):
    layer = Conv2Plus1D(4, 3, 2, padding, activation=None, normalization=False)
    inputs = np.random.default_rng(0).standard_normal((1, 6, 8, 8, 3)).astype(np.float32)
    outputs = layer(inputs)
    spatial, temporal = np.asarray(layer.spatial.kernel)[0], np.asarray(layer.temporal.kernel)[:, 0, 0]
    full = np.einsum("hwim,tmo->thwio", spatial, temporal)
    np.testing.assert_allclose(outputs, convolve(inputs, full, (2, 2, 2), padding), rtol=1e-4, atol=1e-5)


def test_symmetric_is_same_at_stride_1_and_not_at_stride_2():
    inputs = np.random.default_rng(0).standard_normal((1, 6, 8, 8, 3)).astype(np.float32)
    for strides, equal in ((1, True), (2, False)):
        same, symmetric = (Conv2Plus1D(4, 3, strides, padding) for padding in ("same", "symmetric"))
        a = same(inputs)
        symmetric.build(inputs.shape)
        symmetric.set_weights(same.get_weights())
        b = symmetric(inputs)
        assert a.shape == b.shape
        assert np.allclose(a, b, atol=1e-6) == equal


@pytest.mark.parametrize(
    ("channels", "filters", "between"),
    # The channels of the published networks.
    [
        (64, 64, 144),
        (64, 128, 230),
        (128, 128, 288),
        (128, 256, 460),
        (256, 256, 576),
        (256, 512, 921),
        (512, 512, 1152),
    ],
)
def test_intermediate_filters_match_the_parameters_of_a_full_convolution(channels, filters, between):
    assert parameter_matched_filters(3, channels, filters) == between
    layer = Conv2Plus1D(filters, normalization=False)
    layer.build((None, None, None, None, channels))
    assert layer.spatial.filters == between
    full, of_one = 27 * channels * filters, 9 * channels + 3 * filters
    assert full - of_one < layer.count_params() <= full


def test_the_two_kernels_are_drawn_apart():
    layer = Conv2Plus1D(8, (3, 3, 3), intermediate_filters=8, kernel_initializer="random_normal")
    layer.build((None, 4, 4, 4, 8))
    spatial, temporal = (np.asarray(kernel).ravel()[:192] for kernel in (layer.spatial.kernel, layer.temporal.kernel))
    assert abs(np.corrcoef(spatial, temporal)[0, 1]) < 0.4


def test_training_uses_the_batch_and_inference_the_moving_statistics():
    layer = Conv2Plus1D(2, momentum=0.75)
    inputs = 5 + np.random.default_rng(0).standard_normal((2, 4, 4, 4, 2)).astype(np.float32)
    layer.build(inputs.shape)
    between = convolve(inputs, np.asarray(layer.spatial.kernel), (1, 1, 1), "same")
    layer(inputs, training=False)
    np.testing.assert_array_equal(layer.normalization.moving_mean, 0)
    layer(inputs, training=True)
    np.testing.assert_allclose(layer.normalization.moving_mean, 0.25 * between.mean((0, 1, 2, 3)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "`filters` to be a positive integer. Received 0"),
        ({"filters": 2.5}, "`filters` to be a positive integer. Received 2.5"),
        ({"filters": True}, "`filters` to be a positive integer. Received True"),
        ({"kernel_size": (3, 3)}, r"`kernel_size` to be a positive integer or 3 of them. Received \(3, 3\)"),
        ({"strides": (1, 0, 1)}, "`strides` to be a positive integer. Received 0"),
        ({"padding": "SAME"}, "`padding` to be one of 'same', 'valid', 'symmetric'. Received 'SAME'"),
        ({"intermediate_filters": -1}, "`intermediate_filters` to be a positive integer. Received -1"),
        ({"momentum": 1.0}, "`momentum` to be a number of at least 0 and less than 1. Received 1.0"),
        ({"activation": "rellu"}, "`activation` to be None, a function, or the name of .* Received 'rellu'"),
        ({"epsilon": 0}, "`epsilon` to be a number greater than 0. Received 0"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Conv2Plus1D(**{"filters": 2, **arguments})


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((None, 4, 4, 3), r"shape \(batch, frames, height, width, channels\)"),
        ((None, 4, 4, 4, None), "fixed number of channels"),
        ((None, 2, 4, 4, 3), r"at least as long as the kernel. Received length 2"),
    ],
)
def test_refuses_bad_inputs(shape, message):
    with pytest.raises(ValueError, match=message):
        Conv2Plus1D(2, padding="valid").build(shape)


def test_refuses_other_channels_than_it_was_built_for():
    layer = Conv2Plus1D(2)
    layer.build((None, 4, 4, 4, 3))
    with pytest.raises(ValueError, match="axis -1"):
        layer(np.zeros((1, 4, 4, 4, 2), np.float32))


def test_computes_the_same_on_the_torch_backend(tmp_path):
    pytest.importorskip("torch", reason="the extra kapps[torch] is not installed")
    layer = Conv2Plus1D(3, 3, 2, "symmetric")
    inputs = np.random.default_rng(0).standard_normal((2, 4, 6, 6, 2)).astype(np.float32)
    expected = layer(inputs)
    np.savez(tmp_path / "case.npz", inputs, *layer.get_weights())
    code = (
        "import sys, numpy as np\n"
        "from keras_layers import Conv2Plus1D\n"
        "inputs, *weights = np.load(sys.argv[1]).values()\n"
        "layer = Conv2Plus1D(3, 3, 2, 'symmetric')\n"
        "layer.build(inputs.shape)\n"
        "layer.set_weights(weights)\n"
        "assert 'tensorflow' not in sys.modules\n"
        "np.save(sys.argv[2], layer(inputs).detach().cpu().numpy())\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    arguments = [sys.executable, "-c", code, str(tmp_path / "case.npz"), str(tmp_path / "outputs.npy")]
    subprocess.run(arguments, env=environment, cwd=ROOT, check=True, timeout=120)
    np.testing.assert_allclose(np.load(tmp_path / "outputs.npy"), expected, rtol=1e-4, atol=1e-5)
