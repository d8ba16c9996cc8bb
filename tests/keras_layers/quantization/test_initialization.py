"""Code books made of the first batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_layers import VectorQuantizer, VectorQuantizerEMA
from keras_layers.quantization import initialization

BOTH = [VectorQuantizer, VectorQuantizerEMA]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def rows_apart(some, among):
    """Distance of each row from the nearest row of `among`."""
    return np.linalg.norm(some[:, None] - among[None], axis=-1).min(-1)


@pytest.mark.parametrize("masked", [False, True])
def test_sample_takes_every_vector_once_at_most(masked):
    vectors = normal(200, 2, 3)
    mask = np.random.default_rng(1).random(200) > 0.4 if masked else None
    numbers = np.random.default_rng(2).random((2, 20)).astype("float32")
    chosen = array(initialization.sample(tf.constant(vectors), tf.constant(numbers), mask))
    allowed = vectors if mask is None else vectors[mask]
    for head in range(2):
        assert rows_apart(chosen[head], allowed[:, head]).max() == 0
        assert len(np.unique(chosen[head], axis=0)) == 20


def test_sample_of_too_few_vectors_gives_different_codes_near_them():
    vectors = normal(3, 1, 8)
    numbers = np.random.default_rng(2).random((1, 20)).astype("float32")
    chosen = array(initialization.sample(tf.constant(vectors), tf.constant(numbers)))[0]
    distances = rows_apart(chosen, vectors[:, 0])
    assert distances.min() > 0 and distances.max() < 0.1
    assert len(np.unique(chosen, axis=0)) == 20


def test_kmeans_finds_clusters():
    centres = 20 * np.eye(5, dtype="float32")
    vectors = (np.tile(centres, (40, 1)) + 0.1 * normal(200, 5))[:, None]
    start = vectors[:5, 0][None] + 3
    found = array(initialization.kmeans(tf.constant(vectors), tf.constant(start)))[0]
    assert rows_apart(centres, found).max() < 0.1


@pytest.mark.parametrize("initializer", ["data", "kmeans"])
@pytest.mark.parametrize("kind", BOTH)
def test_the_first_training_batch_makes_the_code_book_once(kind, initializer):
    layer = kind(6, 3, initializer=initializer, seed=1, commitment_cost=1.0)
    batch = 100 + normal(60, 3)
    layer(batch)
    assert float(layer.initialized) == 0 and np.abs(array(layer.codebook)).max() < 1
    step = tf.function(lambda some: layer(some, training=True))
    outputs = array(step(batch))
    # Already the first batch is quantised with it.
    assert np.linalg.norm(outputs - batch, axis=-1).mean() < 3
    assert float(layer.initialized) == 1
    first = array(layer.codebook).copy()
    if kind is VectorQuantizerEMA:
        np.testing.assert_allclose(array(layer.counts).sum(), 6 * 0.99 + 60 * 0.01, rtol=1e-5)
        np.testing.assert_allclose(array(layer.sums).mean() / array(layer.counts).mean(), 100, rtol=0.01)
    step(1000 + normal(60, 3))
    assert np.abs(array(layer.codebook) - first).min() < 3
    assert step.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("initializer", ["data", "kmeans"])
@pytest.mark.parametrize("kind", BOTH)
def test_a_batch_that_is_not_finite_makes_no_code_book(kind, initializer):
    layer = kind(6, 3, initializer=initializer, seed=1)
    layer.build((None, 3))
    before = array(layer.codebook).copy()
    bad = normal(60, 3)
    bad[7, 1] = np.nan
    layer(bad, training=True)
    np.testing.assert_array_equal(layer.codebook, before)
    assert (float(layer.initialized), float(layer.refused_steps), float(layer.steps)) == (0, 1, 0)
    layer(bad, mask=~np.isnan(bad[:, 1]), training=True)
    assert (float(layer.initialized), float(layer.refused_steps), float(layer.steps)) == (1, 1, 1)
    assert np.isfinite(array(layer.codebook)).all()


def test_uniform_bounds():
    for initializer, bound in (("uniform", 1 / 500), ("variance_scaling", (3 / 8) ** 0.5)):
        layer = VectorQuantizer(500, 8, initializer=initializer, seed=0)
        layer.build((None, 8))
        assert 0.98 * bound < np.abs(array(layer.codebook)).max() <= bound
    layer = VectorQuantizer(500, 8, initializer=keras.initializers.Constant(3.0))
    layer.build((None, 8))
    assert (array(layer.codebook) == 3).all()
