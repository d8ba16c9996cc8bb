"""FiniteScalarQuantizer: its grid, its indices, its gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_layers import FiniteScalarQuantizer
from tests.conformance.layers import CHECKS, LayerCase, name_of

CASES = [
    LayerCase("two_channels", FiniteScalarQuantizer, {"levels": [3, 5]}, (2, 3, 2), free_axes=(0, 1)),
    LayerCase("even_and_odd", FiniteScalarQuantizer, {"levels": [8, 5, 4]}, (4, 3), complete=True),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def test_every_code_is_reached_and_its_index_leads_back():
    layer = FiniteScalarQuantizer((4, 3, 2))
    codes = np.arange(24)
    vectors = keras.ops.convert_to_numpy(layer.lookup(codes))
    grids = [np.arange(4) / 2 - 1, np.arange(3) - 1.0, np.arange(2) - 1.0]
    # The first channel is the lowest digit.
    expected = np.stack(np.meshgrid(*grids[::-1], indexing="ij")[::-1], axis=-1).reshape(24, 3)
    np.testing.assert_allclose(vectors, expected, rtol=1e-6)
    far = np.random.default_rng(0).normal(0, 3, (20_000, 3)).astype("float32")
    found = layer.encode(far)
    assert set(np.unique(found)) == set(codes)
    np.testing.assert_array_equal(layer.lookup(found), layer(far))


def test_the_published_bound_and_rounding():
    levels = np.array([8, 5])
    inputs = np.random.default_rng(0).normal(0, 2, (500, 2))
    half = (levels - 1) * 1.001 / 2
    offset = np.array([0.5, 0.0])
    bounded = np.tanh(inputs + np.arctanh(offset / half)) * half - offset
    expected = np.round(bounded) / (levels // 2)
    np.testing.assert_allclose(FiniteScalarQuantizer(levels.tolist(), dtype="float64")(inputs), expected, atol=1e-9)


def test_the_gradient_is_that_of_the_bound():
    layer, inputs = FiniteScalarQuantizer((5, 5), dtype="float64"), tf.constant([[0.3, -1.2]], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(layer(inputs))
    half = 4 * 1.001 / 2
    np.testing.assert_allclose(tape.gradient(total, inputs), half / 2 * (1 - np.tanh(inputs) ** 2), rtol=1e-9)


def test_it_counts_its_codes_in_training():
    layer = FiniteScalarQuantizer((2, 2), name="fsq")
    inputs = np.array([[-9, -9], [-9, 9], [9, 9], [9, 9]], "float32")
    layer(inputs, mask=np.array([True, True, True, False]), training=True)
    layer(inputs)
    assert float(layer.epoch_usage.result()) == 0.75
    assert float(layer.batch_perplexity.result()) == pytest.approx(3, rel=1e-5)
    many = FiniteScalarQuantizer((2,) * 21)
    many(np.zeros((1, 21), "float32"), training=True)
    assert not many.metrics


@pytest.mark.parametrize("levels", [(), 8, "8", (1, 4), (4, 0), (2.5, 3), (2,) * 31])
def test_refuses_bad_levels(levels):
    with pytest.raises(ValueError, match="Expected `levels`"):
        FiniteScalarQuantizer(levels)
