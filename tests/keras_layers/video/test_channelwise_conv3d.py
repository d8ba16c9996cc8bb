"""ChannelwiseConv3D against NumPy, against a grouped convolution, and against its contract."""

import itertools
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_layers import ChannelwiseConv3D
from tests.conformance.layers import CHECKS, LayerCase, name_of

ROOT = pathlib.Path(__file__).resolve().parents[3]
FREE = (0, 1, 2, 3)

CASES = [
    LayerCase("defaults", ChannelwiseConv3D, {}, (2, 4, 6, 5, 3), free_axes=FREE),
    LayerCase(
        "every_argument",
        ChannelwiseConv3D,
        {
            "kernel_size": (3, 5, 2),
            "strides": (2, 3, 3),
            "padding": "symmetric",
            "temporal_dilation": 2,
            "use_bias": True,
            "kernel_initializer": "he_normal",
            "bias_initializer": "ones",
            "kernel_regularizer": "l2",
            "bias_regularizer": "l1",
        },
        (2, 7, 6, 6, 2),
        free_axes=FREE,
        complete=True,
    ),
    LayerCase("strided_same", ChannelwiseConv3D, {"strides": 2, "temporal_dilation": 2}, (2, 6, 6, 7, 2), FREE),
    LayerCase("over_time", ChannelwiseConv3D, {"kernel_size": (5, 1, 1)}, (2, 4, 3, 5, 2), free_axes=FREE),
    LayerCase("even_over_time", ChannelwiseConv3D, {"kernel_size": (4, 1, 1), "padding": "symmetric"}, (2, 4, 3, 5, 2)),
    LayerCase("valid", ChannelwiseConv3D, {"kernel_size": (2, 3, 3), "padding": "valid"}, (2, 4, 6, 6, 2), FREE),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def convolve(inputs, kernel, strides, padding, dilation):
    """Channelwise cross-correlation of (B, T, H, W, C) with (t, h, w, 1, C), tap by tap, in float64."""
    inputs, rates = inputs.astype(np.float64), (dilation, 1, 1)
    reach = [(size - 1) * rate + 1 for size, rate in zip(kernel.shape[:3], rates, strict=True)]
    pads = [(0, 0)]
    for length, size, stride in zip(inputs.shape[1:4], reach, strides, strict=True):
        total = {
            "valid": 0,
            "symmetric": 2 * (size // 2),
            "same": max((-(-length // stride) - 1) * stride + size - length, 0),
        }[padding]
        pads.append((total // 2, total - total // 2))
    padded = np.pad(inputs, [*pads, (0, 0)])
    sizes = zip(padded.shape[1:4], reach, strides, strict=True)
    counts = [(length - size) // stride + 1 for length, size, stride in sizes]
    outputs = np.zeros((inputs.shape[0], *counts, inputs.shape[-1]))
    for tap in itertools.product(*map(range, kernel.shape[:3])):
        window = tuple(
            slice(place * rate, place * rate + (count - 1) * stride + 1, stride)
            for place, rate, count, stride in zip(tap, rates, counts, strides, strict=True)
        )
        outputs += padded[(slice(None), *window)] * kernel[tap][0]
    return outputs


@pytest.mark.parametrize("padding", ["same", "valid", "symmetric"])
@pytest.mark.parametrize(
    ("kernel_size", "strides", "dilation"),
    [
        ((3, 3, 3), (1, 1, 1), 1),
        ((3, 3, 3), (1, 2, 2), 1),
        ((3, 3, 3), (2, 2, 2), 1),
        ((5, 1, 1), (1, 1, 1), 1),
        ((4, 1, 1), (1, 1, 1), 1),
        ((3, 1, 1), (2, 1, 1), 1),
        ((1, 3, 3), (1, 2, 2), 1),
        ((2, 3, 4), (3, 1, 1), 1),
        ((3, 3, 3), (2, 1, 1), 2),
        ((3, 1, 1), (1, 1, 1), 2),
    ],
)
@pytest.mark.parametrize("frames", [5, 6])
def test_equals_numpy_with_fixed_and_with_free_lengths(padding, kernel_size, strides, dilation, frames):
    layer = ChannelwiseConv3D(kernel_size, strides, padding, dilation, use_bias=True, bias_initializer="normal")
    inputs = np.random.default_rng(0).standard_normal((2, frames, 8, 9, 3)).astype(np.float32)
    outputs = layer(inputs)
    expected = convolve(inputs, np.asarray(layer.kernel), strides, padding, dilation) + np.asarray(layer.bias)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
    free = keras.Input((None, None, None, 3))
    model = keras.Model(free, layer(free))
    np.testing.assert_allclose(model.predict(inputs, verbose=0), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frames", [3, 4])
def test_a_clip_of_free_length_that_is_shorter_than_the_kernel_has_no_window(frames):
    layer = ChannelwiseConv3D((5, 3, 3), padding="valid")
    free = keras.Input((None, 8, 9, 3))
    model = keras.Model(free, layer(free))
    call = tf.function(lambda clip: model(clip), input_signature=[tf.TensorSpec((None, None, 8, 9, 3))])
    assert call(tf.ones((2, frames, 8, 9, 3))).shape == (2, 0, 6, 7, 3)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_equals_a_grouped_convolution(padding):
    # Keras makes TensorFlow compile this one.
    grouped = keras.layers.Conv3D(4, 3, 2, padding, groups=4, use_bias=False)
    layer = ChannelwiseConv3D(3, 2, padding)
    inputs = np.random.default_rng(0).standard_normal((1, 6, 8, 8, 4)).astype(np.float32)
    layer(inputs), grouped.build(inputs.shape)
    grouped.set_weights(layer.get_weights())
    np.testing.assert_allclose(layer(inputs), grouped(inputs), rtol=1e-4, atol=1e-5)


def test_channels_stay_apart():
    layer = ChannelwiseConv3D(3)
    inputs = np.random.default_rng(0).standard_normal((1, 4, 6, 6, 3)).astype(np.float32)
    before = np.asarray(layer(inputs))
    inputs[..., 1] += 1
    changed = np.abs(np.asarray(layer(inputs)) - before).max(axis=(0, 1, 2, 3))
    assert changed[1] > 0 and changed[0] == changed[2] == 0


def test_its_graph_needs_no_compiler(tmp_path):
    inputs = keras.Input((None, 8, 8, 3), name="clip")
    model = keras.Model(inputs, ChannelwiseConv3D(3, (1, 2, 2), "symmetric")(inputs))
    model.export(tmp_path / "export", format="tf_saved_model", verbose=False)
    graph = tf.saved_model.load(tmp_path / "export").signatures["serving_default"].graph.as_graph_def()
    nodes = [node for function in graph.library.function for node in function.node_def]
    assert {"DepthwiseConv2dNative"} <= {node.op for node in nodes}
    assert not [node.op for node in nodes if "Conv3D" in node.op]
    assert not any("_XlaMustCompile" in function.attr for function in graph.library.function)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": (3, 3)}, r"`kernel_size` to be a positive integer or 3 of them. Received \(3, 3\)"),
        ({"strides": (1, 2, 1)}, r"`strides` of height and width to be equal. Received \(1, 2, 1\)"),
        ({"strides": 0}, "`strides` to be a positive integer. Received 0"),
        ({"padding": "SAME"}, "`padding` to be one of 'same', 'valid', 'symmetric'. Received 'SAME'"),
        ({"temporal_dilation": 0}, "`temporal_dilation` to be a positive integer. Received 0"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ChannelwiseConv3D(**arguments)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((None, 4, 4, 3), r"shape \(batch, frames, height, width, channels\)"),
        ((None, 6, 4, 4, None), "fixed number of channels"),
        ((None, 4, 4, 4, 3), r"at least as long as the kernel. Received length 4"),
    ],
)
def test_refuses_bad_inputs(shape, message):
    with pytest.raises(ValueError, match=message):
        ChannelwiseConv3D(3, padding="valid", temporal_dilation=2).build(shape)


def test_equals_torchs_grouped_convolution_on_the_torch_backend():
    pytest.importorskip("torch", reason="the extra kapps[torch] is not installed")
    code = (
        "import sys, numpy as np, torch\n"
        "from keras_layers import ChannelwiseConv3D\n"
        "inputs = np.random.default_rng(0).standard_normal((2, 6, 7, 8, 3)).astype('float32')\n"
        "layer = ChannelwiseConv3D(3, 2, 'symmetric', temporal_dilation=2)\n"
        "outputs = layer(inputs).detach().cpu().numpy()\n"
        "kernel = torch.from_numpy(layer.get_weights()[0].transpose(4, 3, 0, 1, 2).copy())\n"
        "clip = torch.from_numpy(inputs.transpose(0, 4, 1, 2, 3).copy())\n"
        "expected = torch.nn.functional.conv3d(clip, kernel, None, 2, (2, 1, 1), (2, 1, 1), 3)\n"
        "expected = expected.numpy().transpose(0, 2, 3, 4, 1)\n"
        "np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, check=True, timeout=120)
