"""TemporalTransition against the layers that it is made of, and against its contract."""

import keras
import numpy as np
import pytest

from keras_layers import TemporalTransition
from tests.conformance.layers import CHECKS, LayerCase, name_of

CASES = [
    LayerCase("small", TemporalTransition, {"filters": 3}, (2, 4, 4, 6, 2), free_axes=(0, 1, 2, 3)),
    LayerCase(
        "every_argument",
        TemporalTransition,
        {
            "depths": (1, 4),
            "filters": 3,
            "output_filters": 5,
            "spatial_size": 1,
            "pool_size": (1, 2, 3),
            "momentum": 0.5,
            "epsilon": 1e-2,
            "kernel_initializer": "glorot_uniform",
            "kernel_regularizer": "l2",
        },
        (2, 4, 4, 6, 2),
        free_axes=(0, 1, 2, 3),
        complete=True,
    ),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def test_is_its_branches_and_a_dense_networks_transition():
    layer = TemporalTransition((1, 3, 6), 4)
    inputs = np.random.default_rng(0).standard_normal((2, 7, 6, 5, 3)).astype(np.float32)
    layer.build(inputs.shape)
    rng = np.random.default_rng(1)
    # All positive, for the variances.
    layer.set_weights([rng.uniform(0.1, 1.0, weight.shape) - 0.5 * (weight.ndim > 1) for weight in layer.get_weights()])

    def unit(x, parts, pads):
        normalization, _, convolution = parts
        gamma, beta, mean, variance = normalization.get_weights()
        x = np.maximum((x - mean) / np.sqrt(variance + 1e-5) * gamma + beta, 0)
        kernel = np.asarray(convolution.kernel)
        x = np.pad(x, [(0, 0), pads, *[(kernel.shape[1] // 2,) * 2] * 2, (0, 0)])
        return np.asarray(keras.ops.conv(x.astype(np.float32), kernel, 1, "valid", data_format="channels_last"))

    # An even depth has one frame more behind than before.
    branches = [unit(inputs, *pair) for pair in zip(layer.branches, [(0, 0), (1, 1), (2, 3)], strict=True)]
    joined = unit(np.concatenate(branches, -1), layer.unit, (0, 0))
    assert joined.shape == (2, 7, 6, 5, 6)
    expected = joined[:, :6, :, :4].reshape(2, 3, 2, 3, 2, 2, 2, 6).mean((2, 4, 6))
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-5)


def test_training_uses_the_batch():
    layer = TemporalTransition((1, 3), 2, momentum=0.75)
    inputs = 5 + np.random.default_rng(0).standard_normal((2, 4, 4, 4, 2)).astype(np.float32)
    layer(inputs, training=False)
    np.testing.assert_array_equal(layer.branches[0][0].moving_mean, 0)
    layer(inputs, training=True)
    for normalization, *_ in layer.branches:
        np.testing.assert_allclose(normalization.moving_mean, 0.25 * inputs.mean((0, 1, 2, 3)), rtol=1e-4)


def test_the_branches_are_drawn_apart():
    layer = TemporalTransition((3, 3), 8)
    layer.build((None, 4, 4, 4, 8))
    first, second = (np.asarray(branch[2].kernel).ravel() for branch in layer.branches)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depths": ()}, r"`depths` to be one or more positive integers. Received \(\)"),
        ({"depths": 3}, "`depths` to be one or more positive integers. Received 3"),
        ({"depths": (1, 0)}, "`depths` to be a positive integer. Received 0"),
        ({"filters": 0}, "`filters` to be a positive integer. Received 0"),
        ({"output_filters": 0}, "`output_filters` to be a positive integer. Received 0"),
        ({"spatial_size": 0}, "`spatial_size` to be a positive integer. Received 0"),
        ({"pool_size": (2, 2)}, r"`pool_size` to be a positive integer or 3 of them. Received \(2, 2\)"),
        ({"momentum": 1.0}, "`momentum` to be a number of at least 0 and less than 1. Received 1.0"),
        ({"epsilon": 0}, "`epsilon` to be a number greater than 0. Received 0"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TemporalTransition(**arguments)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((None, 4, 4, 3), r"shape \(batch, frames, height, width, channels\)"),
        ((None, 4, 4, 4, None), "fixed number of channels"),
        ((None, 1, 4, 4, 3), "at least as long as the kernel. Received length 1"),
    ],
)
def test_refuses_bad_inputs(shape, message):
    with pytest.raises(ValueError, match=message):
        TemporalTransition().build(shape)
