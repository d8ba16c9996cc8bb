"""BPR against NumPy, by scores and by vectors."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_layers.losses import BPR

RNG = np.random.default_rng(0)
VECTORS = RNG.standard_normal((5, 4, 3))  # user, positive, two negatives
SCORES = np.einsum("bd,bnd->bn", VECTORS[:, 0], VECTORS[:, 1:])
LABELS = np.zeros(5)


def expected(scores):
    return np.log1p(np.exp(scores[:, 1:] - scores[:, :1])).mean(1)


def test_equals_numpy():
    np.testing.assert_allclose(BPR(reduction=None)(LABELS, SCORES), expected(SCORES), rtol=1e-5)
    np.testing.assert_allclose(BPR(reduction=None)(LABELS, VECTORS), expected(SCORES), rtol=1e-5)
    squares = (VECTORS**2).sum((1, 2))
    right = expected(SCORES) + 0.05 * squares
    np.testing.assert_allclose(BPR(0.1, reduction=None)(LABELS, VECTORS), right, rtol=1e-5)
    assert float(BPR(0.1)(LABELS, VECTORS)) == pytest.approx(expected(SCORES).mean() + 0.1 * 0.5 * squares.sum() / 5)


def test_scores_by_one_kind_of_vectors_and_keeps_another_small():
    """LightGCN: propagated vectors score, their embeddings are regularised."""
    embeddings = RNG.standard_normal(VECTORS.shape)
    both = np.stack([VECTORS, embeddings], axis=1)
    right = expected(SCORES) + 0.05 * (embeddings**2).sum((1, 2))
    np.testing.assert_allclose(BPR(0.1, reduction=None)(LABELS, both), right, rtol=1e-5)


def test_no_overflow():
    assert float(BPR()([0.0], [[-1e4, 1e4]])) == pytest.approx(2e4)
    assert float(BPR()([0.0], [[1e4, -1e4]])) == 0
    assert float(BPR()([0.0], [[3.0, 3.0]])) == pytest.approx(np.log(2))


def test_only_vectors_of_the_batch_are_pulled_to_zero():
    table = keras.layers.Embedding(6, 2, embeddings_initializer="ones")
    ids = keras.Input((3,), dtype="int32")
    model = keras.Model(ids, table(ids))
    model.compile(keras.optimizers.SGD(0.1), BPR(l2=1.0))
    model.fit(np.array([[0, 2, 3]]), np.zeros(1), verbose=0)
    rows = table.embeddings.numpy()
    assert (rows[[1, 4, 5]] == 1).all() and (rows[[0, 2, 3]] != 1).all()
    # Of the user (0): 1 - 0.1 * (l2 * 1 + sigmoid(0) * (negative - positive)).
    np.testing.assert_allclose(rows[0], 0.9, rtol=1e-6)


def test_the_gradient_of_a_lookup_stays_sparse():
    """The loss itself never makes the table dense."""
    table = keras.layers.Embedding(6, 2)
    with tf.GradientTape() as tape:
        loss = BPR(l2=0.1)(np.zeros(1), table(np.array([[0, 2, 3]])))
    assert isinstance(tape.gradient(loss, table.embeddings.value), tf.IndexedSlices)


def test_saves_its_configuration():
    loss = BPR(0.3, reduction="sum", name="mine", dtype="float64")
    restored = keras.saving.deserialize_keras_object(json.loads(json.dumps(keras.saving.serialize_keras_object(loss))))
    assert type(restored) is BPR and restored.get_config() == loss.get_config()


@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 2, 3), (5, 3, 3, 2), (5, 2, 2, 3), (1, 2, 3, 4, 5)])
def test_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match="Expected scores"):
        BPR()(np.zeros(5), np.zeros(shape))


def test_refuses_bad_arguments():
    for wrong in (-1, float("nan"), "1", True):
        with pytest.raises(ValueError, match="`l2` to be a number of at least 0"):
            BPR(wrong)
    with pytest.raises(ValueError, match=r"Expected vectors with an l2 of 0\.1"):
        BPR(0.1)(np.zeros(5), SCORES)
