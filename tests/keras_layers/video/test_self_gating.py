"""SelfGating against NumPy and its contract."""

import numpy as np
import pytest

from keras_layers import SelfGating
from tests.conformance.layers import CHECKS, LayerCase, name_of

SHAPE = (2, 4, 3, 5, 3)
ARGUMENTS = {
    "use_bias": True,
    "activation": "hard_sigmoid",
    "kernel_initializer": "he_normal",
    "kernel_regularizer": "l2",
}
CASES = [
    LayerCase("defaults", SelfGating, {}, SHAPE, free_axes=(0, 1, 2, 3)),
    LayerCase("every_argument", SelfGating, ARGUMENTS, SHAPE, free_axes=(0, 1, 2, 3), complete=True),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def test_equals_numpy():
    layer = SelfGating(use_bias=True)
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal(SHAPE).astype(np.float32)
    layer.build(SHAPE)
    kernel, bias = rng.standard_normal((3, 3)), rng.standard_normal(3)
    layer.set_weights([kernel, bias])
    gates = 1 / (1 + np.exp(-(inputs.mean((1, 2, 3), keepdims=True) @ kernel + bias)))
    np.testing.assert_allclose(layer(inputs), inputs * gates, rtol=1e-4, atol=1e-6)


def test_it_begins_near_a_half_and_weighs_all_positions_alike():
    inputs = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    ratios = np.asarray(SelfGating()(inputs)) / inputs
    np.testing.assert_allclose(ratios, 0.5, atol=0.02)
    np.testing.assert_allclose(ratios, np.broadcast_to(ratios[:, :1, :1, :1], SHAPE), rtol=1e-4)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((None, 4, 4, 3), r"shape \(batch, frames, height, width, channels\)"),
        ((None, 4, 4, 4, None), "fixed number of channels"),
    ],
)
def test_refuses_bad_inputs(shape, message):
    with pytest.raises(ValueError, match=message):
        SelfGating().build(shape)


def test_refuses_an_unknown_activation():
    with pytest.raises(ValueError, match=r"`activation` to be .* Received 'sigmoidd'"):
        SelfGating(activation="sigmoidd")
