"""SqueezeExcitation3D against NumPy and its contract."""

import numpy as np
import pytest

from keras_layers import SqueezeExcitation3D
from tests.conformance.layers import CHECKS, LayerCase, name_of

CASES = [
    LayerCase("defaults", SqueezeExcitation3D, {"filters": 4}, (2, 3, 4, 5, 6), free_axes=(0, 1, 2, 3)),
    LayerCase(
        "every_argument",
        SqueezeExcitation3D,
        {
            "filters": 4,
            "activation": "silu",
            "gate_activation": "tanh",
            "kernel_initializer": "he_normal",
            "kernel_regularizer": "l2",
        },
        (2, 3, 4, 5, 6),
        free_axes=(0, 1, 2, 3),
        complete=True,
    ),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def test_equals_numpy():
    layer = SqueezeExcitation3D(4)
    inputs = np.random.default_rng(0).standard_normal((2, 3, 4, 5, 6)).astype(np.float32)
    layer.build(inputs.shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.standard_normal(weight.shape) for weight in layer.get_weights()])
    squeeze, first, excite, second = (weight.astype(np.float64) for weight in layer.get_weights())
    gates = np.maximum(inputs.mean((1, 2, 3)) @ squeeze + first, 0) @ excite + second
    expected = inputs / (1 + np.exp(-gates))[:, None, None, None]
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-6)


def test_an_open_gate_is_the_identity_and_a_shut_one_nothing():
    inputs = np.random.default_rng(0).standard_normal((1, 2, 3, 3, 5)).astype(np.float32)
    layer = SqueezeExcitation3D(2, kernel_initializer="zeros")
    layer.build(inputs.shape)
    for bias, expected in ((50.0, inputs), (-200.0, 0 * inputs), (0.0, inputs / 2)):
        layer.excite.bias.assign(np.full(5, bias))
        np.testing.assert_allclose(layer(inputs), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "`filters` to be a positive integer. Received 0"),
        ({"filters": 2, "activation": "rellu"}, "`activation` to be None, a function, .* Received 'rellu'"),
        ({"filters": 2, "gate_activation": "gate"}, "`gate_activation` to be None, a function, .* Received 'gate'"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SqueezeExcitation3D(**arguments)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((None, 4, 4, 3), r"shape \(batch, frames, height, width, channels\)"),
        ((None, 4, 4, 4, None), "fixed number of channels"),
    ],
)
def test_refuses_bad_inputs(shape, message):
    with pytest.raises(ValueError, match=message):
        SqueezeExcitation3D(2).build(shape)
