"""MomentumContrast: who follows whom, what normalises by what, and its contract."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_layers import MomentumContrast
from keras_layers.losses import InfoNCE
from tests.conformance import layers as conformance
from tests.conformance.layers import SeveralInputsCase, name_of

# The encoder brings a dtype policy of its own, which the layer's does not reach.
CHECKS = [check for check in conformance.CHECKS if check is not conformance.check_precision]


def encoder(dropout=0.0):
    view = keras.Input((6,), name="view")
    x = keras.layers.Dense(8, use_bias=False, name="hidden")(view)
    x = keras.layers.BatchNormalization(momentum=0.5, name="normalization")(x)
    x = keras.layers.ReLU(name="activation")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x) if dropout else x
    x = keras.layers.Dense(4, name="vector")(x)
    return keras.Model(view, keras.layers.UnitNormalization(name="unit")(x), name="encoder")


def views(seed=0, batch=5):
    return list(np.random.default_rng(seed).standard_normal((2, batch, 6)).astype("float32") + 2.0)


CASES = [
    SeveralInputsCase(
        "every_argument",
        MomentumContrast,
        {"encoder": encoder(), "queue_size": 7, "momentum": 0.9, "seed": 1},
        ((5, 6), (5, 6)),
        free_axes=((0,), (0,)),
        values=views,
        complete=True,
    )
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def pretraining(momentum=0.9, **options):
    inputs = [keras.Input((6,)), keras.Input((6,))]
    layer = MomentumContrast(encoder(**options), queue_size=16, momentum=momentum, seed=0)
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(0.1), InfoNCE(), metrics=["accuracy"])
    return model, layer


def parameters(model):
    return {w.path.removeprefix("key_encoder/"): w.numpy().copy() for w in model.weights if "moving" not in w.path}


def test_the_copy_begins_equal_and_follows_by_the_formula():
    model, layer = pretraining()
    own, key = parameters(layer.encoder), parameters(layer.key_encoder)
    assert all((own[name] == key[name]).all() for name in own)
    for step in range(3):
        model.train_on_batch(views(step), np.zeros(5))
        # The key encoder follows what the encoder was before this step's gradient.
        key = {name: 0.9 * key[name] + 0.1 * own[name] for name in own}
        own = parameters(layer.encoder)
        for name, value in parameters(layer.key_encoder).items():
            np.testing.assert_allclose(value, key[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert any((own[name] != key[name]).any() for name in own)


def test_the_optimizer_has_the_encoder_alone():
    model, layer = pretraining()
    assert {id(w) for w in model.trainable_weights} == {id(w) for w in layer.encoder.trainable_weights}
    assert len(model.trainable_weights) == 5
    model.trainable = False
    assert not model.trainable_weights
    model.trainable = True
    assert {id(w) for w in model.trainable_weights} == {id(w) for w in layer.encoder.trainable_weights}


def test_keys_are_normalised_by_their_batch_in_training_and_by_moving_statistics_else():
    model, layer = pretraining()
    first, second = views()
    twin = encoder()
    twin.set_weights(layer.key_encoder.get_weights())
    right = twin(second, training=True)
    keys = layer.key_encoder(second, training=True)
    np.testing.assert_allclose(keys, right, rtol=1e-5, atol=1e-6)
    assert np.abs(np.asarray(keys) - layer.key_encoder(second, training=False)).max() > 1e-3
    answers = np.asarray(model([first, second], training=False))
    own = np.sum(layer.encoder(first).numpy() * layer.key_encoder(second).numpy(), axis=1)
    np.testing.assert_allclose(answers[:, 0], own, rtol=1e-5, atol=1e-6)


def test_statistics_are_the_copys_own():
    model, layer = pretraining()
    before = layer.key_encoder.get_layer("normalization").moving_mean.numpy().copy()
    first, second = views()
    model.train_on_batch([first, second + 3.0], np.zeros(5))
    own, key = (part.get_layer("normalization").moving_mean.numpy() for part in (layer.encoder, layer.key_encoder))
    hidden = layer.key_encoder.get_layer("hidden")(second + 3.0).numpy()
    np.testing.assert_allclose(key, 0.5 * before + 0.5 * hidden.mean(0), rtol=1e-4, atol=1e-5)
    assert np.abs(own - key).max() > 0.1


def test_every_weight_has_a_path_of_its_own():
    model, _ = pretraining()
    assert len({weight.path for weight in model.weights}) == len(model.weights)


def test_dropout_is_off_in_the_copy_alone():
    _, layer = pretraining(dropout=0.5)
    view = views()[0]
    keys = [layer.key_encoder(view, training=True).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*keys)
    queries = [layer.encoder(view, training=True).numpy() for _ in range(2)]
    assert np.abs(queries[0] - queries[1]).max() > 1e-3


def test_learns_to_find_the_other_view():
    """Of 17 candidates, views that differ by a little noise, in `fit`."""
    rng = np.random.default_rng(0)
    things = rng.standard_normal((64, 6))
    pair = [(things + 0.05 * rng.standard_normal(things.shape)).astype("float32") for _ in range(2)]
    model, _ = pretraining(momentum=0.9)
    data = tf.data.Dataset.from_tensor_slices((tuple(pair), np.zeros(64))).shuffle(64, seed=0).batch(8).repeat(30)
    keras.utils.set_random_seed(0)
    history = model.fit(data, verbose=0, steps_per_epoch=80, epochs=3).history
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert history["accuracy"][-1] > history["accuracy"][0]


def test_goes_on_after_saving_as_without(tmp_path):
    model, _ = pretraining()
    model.train_on_batch(views(), np.zeros(5))
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    for one, other in zip(model.weights, restored.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert len(restored.trainable_weights) == len(model.trainable_weights)
    model.train_on_batch(views(1), np.zeros(5)), restored.train_on_batch(views(1), np.zeros(5))
    for one, other in zip(model.weights, restored.weights, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-6, atol=1e-7, err_msg=one.path)


def test_weights_changed_by_hand_are_handed_on():
    _, layer = pretraining()
    layer.encoder.set_weights([weight + 1.0 for weight in layer.encoder.get_weights()])
    layer.synchronize()
    for one, other in zip(layer.encoder.get_weights(), layer.key_encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "wrong",
    ["encoder", keras.layers.Dense(4), keras.Sequential([keras.layers.Dense(4)])],
    ids=["text", "layer", "not_built"],
)
def test_refuses_what_is_no_encoder(wrong):
    with pytest.raises(ValueError, match="`encoder` to be a built model"):
        MomentumContrast(wrong)


def test_refuses_bad_arguments_and_inputs():
    with pytest.raises(ValueError, match="`momentum` to be a number"):
        MomentumContrast(encoder(), momentum=1.0)
    with pytest.raises(ValueError, match="Expected two views"):
        MomentumContrast(encoder(), queue_size=8).compute_output_shape([(None, 6)])
