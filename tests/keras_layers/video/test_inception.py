"""The Inception modules against NumPy, against each other, and against their contract."""

import keras
import numpy as np
import pytest

from keras_layers import CenteredIdentity, InflatedInception, SeparableInception
from tests.conformance.layers import CHECKS, LayerCase, name_of
from tests.keras_layers.video.test_conv2plus1d import convolve

FILTERS = (3, 2, 4, 2, 3, 2)
SHAPE = (2, 4, 5, 6, 3)
SHARED = {
    "filters": FILTERS,
    "temporal_size": 5,
    "activation": "gelu",
    "momentum": 0.5,
    "epsilon": 1e-2,
    "kernel_initializer": "glorot_normal",
    "kernel_regularizer": "l2",
}
SEPARABLE = {"scale": False, "gating": True, "temporal_normalization": False, "temporal_initializer": "lecun_normal"}
FREE = (0, 1, 2, 3)
CASES = [
    LayerCase("inflated", InflatedInception, {"filters": FILTERS}, SHAPE, FREE),
    LayerCase("inflated_every_argument", InflatedInception, {**SHARED, "scale": True}, SHAPE, FREE, complete=True),
    LayerCase("separable", SeparableInception, {"filters": FILTERS}, SHAPE, FREE),
    LayerCase("separable_every_argument", SeparableInception, {**SHARED, **SEPARABLE}, SHAPE, FREE, complete=True),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def random_weights(layer):
    rng = np.random.default_rng(3)
    # All positive, for the variances.
    layer.set_weights([rng.uniform(0.1, 1.0, weight.shape) - 0.4 * (weight.ndim > 1) for weight in layer.get_weights()])


def clip(shape=SHAPE):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def maxima(x):
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (1, 1), (0, 0)], constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3, 3), axis=(1, 2, 3))
    return windows.max((-3, -2, -1))


def reference(layer, inputs):
    """The module from its weights by name, in float64."""
    weights = {weight.path.split("/", 1)[1]: np.asarray(weight, np.float64) for weight in layer.weights}

    def unit(x, name):
        x = convolve(x, weights[f"{name}/kernel"], (1, 1, 1), "same") + weights.get(f"{name}/bias", 0)
        if f"{name}_normalization/beta" in weights:
            fields = ("gamma", "beta", "moving_mean", "moving_variance")
            gamma, beta, mean, variance = (weights.get(f"{name}_normalization/{field}", 1.0) for field in fields)
            x = (x - mean) / np.sqrt(variance + layer.epsilon) * gamma + beta
        return np.maximum(x, 0)

    def gated(x, name):
        if f"{name}_gating/transform/kernel" not in weights:
            return x
        gates = x.mean((1, 2, 3), keepdims=True) @ weights[f"{name}_gating/transform/kernel"]
        return x / (1 + np.exp(-gates))

    def space_and_time(x, name):
        if isinstance(layer, InflatedInception):
            return unit(x, name)
        return unit(unit(x, f"{name}_spatial"), f"{name}_temporal")

    branches = [unit(inputs, "branch0")]
    branches += [space_and_time(unit(inputs, f"{name}_reduce"), name) for name in ("branch1", "branch2")]
    branches.append(unit(maxima(inputs), "branch3"))
    return np.concatenate([gated(x, f"branch{number}") for number, x in enumerate(branches)], axis=-1)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (InflatedInception, {}),
        (InflatedInception, {"scale": True, "temporal_size": 1, "epsilon": 0.2}),
        (SeparableInception, {}),
        (SeparableInception, {"gating": True, "temporal_normalization": False, "scale": False, "temporal_size": 5}),
    ],
)
def test_equals_numpy(kind, arguments):
    layer = kind(FILTERS, name="module", **arguments)
    layer.build(SHAPE)
    random_weights(layer)
    expected = reference(layer, clip().astype(np.float64))
    assert expected.shape == layer.compute_output_shape(SHAPE)
    np.testing.assert_allclose(layer(clip()), expected, rtol=2e-4, atol=2e-5 * np.abs(expected).max())


def test_published_parameters():
    # Mixed_3b of I3D without scales, of torchvision's S3D and of slim's S3D-G, on 192 channels.
    filters = (64, 96, 128, 16, 32, 32)
    expected = {
        InflatedInception(filters): 192 * (64 + 96 + 16 + 32) + 27 * (96 * 128 + 16 * 32) + 368,
        SeparableInception(filters): 39_936 + 9 * (96 * 128 + 16 * 32) + 3 * (128**2 + 32**2) + 2 * (368 + 160),
        SeparableInception(filters, gating=True, temporal_normalization=False, scale=False): (
            39_936 + 9 * (96 * 128 + 16 * 32) + 3 * (128**2 + 32**2) + 368 + 160 + 64**2 + 128**2 + 2 * 32**2
        ),
    }
    for layer, parameters in expected.items():
        layer.build((None, None, None, None, 192))
        assert sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights) == parameters


def test_a_separable_module_that_begins_as_the_identity_sees_frames_alone():
    layer = SeparableInception(FILTERS, temporal_normalization=False, temporal_initializer=CenteredIdentity())
    frames = clip()
    outputs = np.asarray(layer(frames))
    pool, unit = layer.branches[3][0], layer.branches[3][1:]
    assert isinstance(pool, keras.layers.MaxPooling3D) and len(unit) == 3
    # The pooling looks at the frames beside; the other branches do not.
    changed = frames.copy()
    changed[:, 0] += 1.0
    difference = np.abs(np.asarray(layer(changed)) - outputs).max((0, 2, 3))
    assert difference[0].max() > 0
    assert not difference[1:, :-2].any()


def test_the_kernels_are_drawn_apart():
    layer = SeparableInception((8,) * 6, temporal_size=1, temporal_initializer="random_normal")
    layer.build((None, 4, 4, 4, 8))
    first, second = (np.asarray(weight).ravel() for weight in layer.weights if weight.path.endswith("_temporal/kernel"))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.4


@pytest.mark.parametrize("kind", [InflatedInception, SeparableInception])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 64}, "`filters` to be 6 positive integers. Received 64"),
        ({"filters": (1, 2, 3)}, r"`filters` to be a positive integer or 6 of them. Received \(1, 2, 3\)"),
        ({"temporal_size": 0}, "`temporal_size` to be a positive integer. Received 0"),
        ({"momentum": 1.0}, "`momentum` to be a number of at least 0 and less than 1. Received 1.0"),
        ({"epsilon": 0}, "`epsilon` to be a number greater than 0. Received 0"),
        ({"activation": "rellu"}, "Received 'rellu'"),
    ],
)
def test_refuses_bad_arguments(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(**{"filters": FILTERS, **arguments})


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((None, 4, 4, 3), r"shape \(batch, frames, height, width, channels\)"),
        ((None, 4, 4, 4, None), "fixed number of channels"),
    ],
)
def test_refuses_bad_inputs(shape, message):
    with pytest.raises(ValueError, match=message):
        InflatedInception(FILTERS).build(shape)
