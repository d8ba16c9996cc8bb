"""InfoNCE against NumPy, in both of its forms."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_layers.losses import InfoNCE

RNG = np.random.default_rng(0)
QUERIES, KEYS = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in RNG.standard_normal((2, 6, 4)))


def cross_entropy(similarities, columns, temperature):
    logits = similarities / temperature
    shifted = logits - logits.max(1, keepdims=True)
    return np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(columns)), columns]


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_columns_equal_numpy(temperature):
    similarities, columns = RNG.standard_normal((5, 9)), np.array([0, 8, 3, 0, 1])
    expected = cross_entropy(similarities, columns, temperature)
    loss = InfoNCE(temperature, reduction=None)
    np.testing.assert_allclose(loss(columns, similarities), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(loss(columns[:, None], similarities), expected, rtol=1e-4, atol=1e-6)
    weights = np.array([1.0, 0, 0, 2, 0])
    assert float(InfoNCE(temperature)(columns, similarities, weights)) == pytest.approx(
        (expected[0] + 2 * expected[3]) / 5, rel=1e-4
    )


def test_keys_of_the_batch_equal_numpy():
    similarities = QUERIES @ KEYS.T
    one = cross_entropy(similarities, np.arange(6), 0.07)
    other = cross_entropy(similarities.T, np.arange(6), 0.07)
    np.testing.assert_allclose(InfoNCE(reduction=None)(KEYS, QUERIES), one, rtol=1e-4)
    both = InfoNCE(symmetric=True, reduction=None)
    np.testing.assert_allclose(both(KEYS, QUERIES), (one + other) / 2, rtol=1e-4)
    np.testing.assert_allclose(both(QUERIES, KEYS), both(KEYS, QUERIES), rtol=1e-5)


def test_bounds():
    """Equal similarities cost the logarithm of the number of candidates; a pair beyond doubt costs nothing."""
    assert float(InfoNCE()([0, 3], np.zeros((2, 10)))) == pytest.approx(np.log(10), rel=1e-6)
    assert float(InfoNCE()(np.eye(8) * 10, np.eye(8) * 10)) == pytest.approx(0, abs=1e-6)


def test_trains_two_towers_in_fit():
    """The gradient reaches queries and keys: similarities as predictions, the diagonal as labels."""
    first, second = keras.Input((4,)), keras.Input((4,))
    towers = [
        keras.layers.UnitNormalization()(keras.layers.Dense(4, name=name)(x))
        for name, x in (("one", first), ("other", second))
    ]
    model = keras.Model([first, second], keras.layers.Dot(1)(towers))
    scores = keras.Model([first, second], towers)
    optimizer = keras.optimizers.Adam(0.05)
    optimizer.build(model.trainable_variables)
    import tensorflow as tf

    loss, losses = InfoNCE(), []
    for _ in range(60):
        with tf.GradientTape() as tape:
            queries, keys = scores([ops.convert_to_tensor(QUERIES, "float32"), ops.convert_to_tensor(KEYS, "float32")])
            losses.append(loss(keys, queries))
        gradients = tape.gradient(losses[-1], model.trainable_variables)
        assert all(gradient is not None for gradient in gradients)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    assert float(losses[-1]) < 0.3 * float(losses[0])


def test_saves_its_configuration():
    loss = InfoNCE(0.2, symmetric=True, reduction="sum", name="mine", dtype="float64")
    text = json.dumps(keras.saving.serialize_keras_object(loss))
    restored = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(restored) is InfoNCE and restored.get_config() == loss.get_config()


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        (np.zeros((3, 2)), np.zeros((3, 4)), "column of the right one"),
        (np.zeros(3), np.zeros(3), "column of the right one"),
        (np.zeros((3, 4, 1)), np.zeros((3, 4)), "column of the right one"),
    ],
)
def test_refuses_other_shapes(labels, predictions, message):
    with pytest.raises(ValueError, match=message):
        InfoNCE()(labels, predictions)


def test_refuses_bad_arguments():
    with pytest.raises(ValueError, match=r"`temperature` to be a number greater than 0. Received 0"):
        InfoNCE(0)
    with pytest.raises(ValueError, match="queries and keys with symmetric=True"):
        InfoNCE(symmetric=True)([0], [[1.0, 2.0]])
