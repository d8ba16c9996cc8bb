"""KeyQueue against NumPy, and its contract."""

import keras
import numpy as np
import pytest

from keras_layers import KeyQueue
from tests.conformance.layers import CHECKS, SeveralInputsCase, name_of


def vectors(seed=0, batch=4):
    rows = np.random.default_rng(seed).standard_normal((2, batch, 5))
    return list((rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype("float32"))


CASES = [
    SeveralInputsCase(
        "every_argument",
        KeyQueue,
        {"size": 8, "seed": 3},
        ((4, 5), (4, 5)),
        free_axes=((0,), (0,)),
        values=vectors,
        complete=True,
    )
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def test_equals_numpy_step_by_step():
    layer = KeyQueue(6)
    layer.build([(None, 5), (None, 5)])
    queue = layer.queue.numpy().copy()
    position = 0
    for step in range(5):
        queries, keys = vectors(step, batch=4 if step != 2 else 3)
        expected = np.concatenate([(queries * keys).sum(1, keepdims=True), queries @ queue.T], axis=1)
        answers = layer([queries, keys], training=True)
        np.testing.assert_allclose(answers, expected, rtol=1e-5, atol=1e-6)
        for key in keys:
            queue[position] = key
            position = (position + 1) % 6
        np.testing.assert_array_equal(layer.queue.numpy(), queue)
        assert int(layer.position) == position


def test_outside_of_training_nothing_enters():
    layer = KeyQueue(6)
    layer(vectors())
    before = layer.queue.numpy().copy()
    layer(vectors(1))
    np.testing.assert_array_equal(layer.queue.numpy(), before)
    assert int(layer.position) == 0


def test_begins_with_keys_of_norm_near_one():
    layer = KeyQueue(4000, seed=0)
    layer.build([(None, 64), (None, 64)])
    norms = np.linalg.norm(layer.queue.numpy(), axis=1)
    assert norms.mean() == pytest.approx(1, abs=0.01) and norms.std() < 0.1


def test_the_queries_have_a_gradient_and_the_keys_none():
    import tensorflow as tf

    layer = KeyQueue(6)
    queries, keys = (tf.constant(rows) for rows in vectors())
    layer([queries, keys])
    earlier = layer.queue.numpy().copy()
    with tf.GradientTape() as tape:
        tape.watch([queries, keys])
        answers = layer([queries, keys], training=True)
    of_queries, of_keys = tape.gradient(answers, [queries, keys])
    assert of_keys is None
    # Of the queue as it was when the similarities were made.
    np.testing.assert_allclose(of_queries, keys + earlier.sum(0), rtol=1e-5, atol=1e-6)


def test_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="`size` to be a positive integer"):
        KeyQueue(0)
    for shapes in ([(None, 4)], [(None, 4), (None, 5)], [(None, 4), (None, 4, 1)], (None, 4)):
        with pytest.raises(ValueError, match="Expected queries"):
            KeyQueue(8).build(shapes)
    with pytest.raises(ValueError, match="fixed number of channels"):
        KeyQueue(8).build([(None, None), (None, None)])
    with pytest.raises(ValueError, match=r"batches of at most 8, .* Received 9"):
        KeyQueue(8)([keras.ops.ones((9, 2)), keras.ops.ones((9, 2))])
