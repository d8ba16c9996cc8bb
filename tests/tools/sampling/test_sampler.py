"""The sampler on small models of its own: equal to the whole model, seeded by row, and published as a SavedModel."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_layers import CausalConv1D, GatedMaskedBlock, WaveNetBlock
from tools.errors import InputError
from tools.sampling import NaiveSampler, Sampler, SteppedModel
from tools.saved_model import Signature, publish

CODES = 7


def randomised(model: keras.Model) -> keras.Model:
    rng = np.random.default_rng(1)
    model.set_weights([weight + 0.3 * rng.standard_normal(weight.shape) for weight in model.get_weights()])
    return model


def grid_model(shape=(3, 5), extra=False) -> keras.Model:
    keras.utils.set_random_seed(0)
    codes = keras.Input(shape, name="codes", dtype="int32")
    label = keras.Input((), name="label", dtype="int32")
    # Conditions are made by any layers, and one layer may be called twice.
    embed = keras.layers.Embedding(4, 6)
    condition = keras.layers.Subtract()([embed(label), keras.layers.LayerNormalization()(embed(label))])
    x = keras.layers.Embedding(CODES, 6)(codes)
    features = GatedMaskedBlock(6, 5, mask="A")([x, x], condition=condition)
    x = GatedMaskedBlock(6)(features, condition=condition)[1]
    if extra:
        x = keras.layers.Conv2D(6, 3, padding="same", name="sees_all")(x)
    return randomised(keras.Model({"codes": codes, "label": label}, keras.layers.Dense(CODES)(x), name="grid"))


def time_model(length=9) -> keras.Model:
    keras.utils.set_random_seed(0)
    codes = keras.Input((length,), name="codes", dtype="int32")
    signal = keras.Input((length, 2), name="signal")
    x = CausalConv1D(6, 2, mask="A")(keras.layers.Embedding(CODES, 4)(codes))
    x, first = WaveNetBlock(6, 1)(x, local_condition=signal)
    second = WaveNetBlock(6, 2, residual=False)(x, local_condition=signal)
    logits = keras.layers.Dense(CODES)(keras.layers.Add()([first, second]))
    return randomised(keras.Model({"codes": codes, "signal": signal}, logits, name="time"))


MODELS = {
    "grid": (grid_model, {"label": np.array([0, 3, 1], np.int32)}),
    "time": (time_model, {"signal": np.random.default_rng(5).standard_normal((3, 9, 2)).astype(np.float32)}),
}


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    make, conditions = MODELS[request.param]
    model = make()
    return model, Sampler(model), conditions


def test_logits_are_those_of_the_whole_model(case):
    model, sampler, conditions = case
    codes = np.random.default_rng(0).integers(0, CODES, (3, *sampler.lengths)).astype(np.int32)
    expected = model({"codes": codes, **conditions}, training=False)
    np.testing.assert_allclose(sampler.logits(codes, **conditions), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": [0.0, 0.5, 2.0]}, {"top_k": 3}, {"temperature": 3.0, "top_p": 0.7, "top_k": 4}],
)
def test_samples_are_those_of_the_naive_sampler(case, options):
    model, sampler, conditions = case
    found = sampler([1, 2, 3], **options, **conditions)
    np.testing.assert_array_equal(found, NaiveSampler(model)([1, 2, 3], **options, **conditions))
    assert found.dtype == tf.int32 and found.shape == (3, *sampler.lengths)
    assert len(np.unique(found)) > 1


def test_a_row_depends_on_its_seed_alone(case):
    _, sampler, conditions = case
    together = sampler([5, 6, 7], **conditions).numpy()
    alone = sampler([6], **{name: value[1:2] for name, value in conditions.items()}).numpy()
    np.testing.assert_array_equal(together[1], alone[0])
    assert np.any(sampler([5, 6, 7], stream=1, **conditions).numpy() != together)
    assert np.any(sampler([8, 9, 10], **conditions).numpy() != together)


def test_given_codes_stay_and_the_rest_follows_them(case):
    model, sampler, conditions = case
    given = np.full((3, *sampler.lengths), -1, np.int32)
    given.reshape(3, -1)[:, :4] = 2
    found = sampler([1, 2, 3], temperature=0.0, given=given, **conditions).numpy()
    assert (found.reshape(3, -1)[:, :4] == 2).all()
    likely = np.argmax(model({"codes": found, **conditions}, training=False), axis=-1)
    np.testing.assert_array_equal(found.reshape(3, -1)[:, 4:], likely.reshape(3, -1)[:, 4:])


def test_free_lengths_are_given():
    fixed, free = time_model(6), time_model(None)
    free.set_weights(fixed.get_weights())
    signal = np.zeros((2, 6, 2), np.float32)
    np.testing.assert_array_equal(
        Sampler(free, lengths=(6,))([1, 2], signal=signal), Sampler(fixed)([1, 2], signal=signal)
    )
    with pytest.raises(InputError, match=r"positive `lengths` that fit \(None,\)\. Received None"):
        Sampler(free)
    with pytest.raises(InputError, match=r"that fit \(6,\)\. Received \(7,\)"):
        Sampler(fixed, lengths=(7,))


def test_samples_follow_the_joint_probability_of_the_model():
    keras.utils.set_random_seed(0)
    codes = keras.Input((2, 2), name="codes", dtype="int32")
    x = keras.layers.Embedding(2, 6)(codes)
    features = GatedMaskedBlock(6)(GatedMaskedBlock(6, 5, mask="A")([x, x]))[1]
    model = randomised(keras.Model({"codes": codes}, keras.layers.Dense(2)(features)))
    every = np.array(list(itertools.product(range(2), repeat=4)))
    logits = np.asarray(model({"codes": every.reshape(-1, 2, 2)}), np.float64).reshape(-1, 4, 2)
    chosen = np.take_along_axis(logits - np.log(np.exp(logits).sum(-1, keepdims=True)), every[..., None], axis=-1)
    probabilities = np.exp(chosen.sum(axis=(1, 2)))
    assert probabilities.sum() == pytest.approx(1.0)

    draws = 10_000
    found = Sampler(model)(np.arange(draws)).numpy().reshape(draws, 4) @ [8, 4, 2, 1]
    counts, expected = np.bincount(found, minlength=16), draws * probabilities
    # 15 degrees of freedom: of right samples one in ten thousand sets comes so far.
    assert ((counts - expected) ** 2 / expected).sum() < 44


def test_the_sampler_is_published_whole(case, tmp_path):
    model, sampler, conditions = case
    inputs = {
        "seed": np.array([1, 2, 3], np.int32),
        "temperature": np.array([1.0, 0.5, 3.0], np.float32),
        "top_k": np.array([0, 3, 0], np.int32),
        "top_p": np.array([1.0, 1.0, 0.6], np.float32),
        **conditions,
    }
    signature = Signature(
        lambda **tensors: {"codes": sampler(**tensors)},
        {name: tf.TensorSpec((None, *value.shape[1:]), value.dtype) for name, value in inputs.items()},
        inputs,
    )
    published = publish(model, {"serving_default": signature}, base=tmp_path, name="sampler", tolerance=0.0)
    loaded = tf.saved_model.load(published.path)

    def serve(**changes):
        tensors = {name: tf.constant(value) for name, value in {**inputs, **changes}.items()}
        return loaded.signatures["serving_default"](**tensors)["codes"].numpy()

    # Every input is one of the graph: another value gives what the sampler gives for it, and other codes.
    before = serve()
    np.testing.assert_array_equal(before, sampler(**inputs))
    options = {"temperature": 9.0, "top_k": 1, "top_p": 0.01, "seed": 40, **dict.fromkeys(conditions, 2)}
    for name, value in options.items():
        changed = {name: np.full_like(inputs[name], value)}
        np.testing.assert_array_equal(serve(**changed), sampler(**{**inputs, **changed}))
        assert np.any(serve(**changed) != before), name
    alone = {name: value[:1] for name, value in inputs.items()}
    np.testing.assert_array_equal(serve(**alone), before[:1])
    with pytest.raises(tf.errors.InvalidArgumentError, match="`temperature` to be at least 0"):
        serve(temperature=np.array([1.0, -1.0, 1.0], np.float32))
    with pytest.raises(tf.errors.InvalidArgumentError, match="`top_p` to be more than 0"):
        serve(top_p=np.zeros(3, np.float32))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": -0.5}, "`temperature` to be at least 0. Received -0.5"),
        ({"temperature": float("nan")}, "`temperature` to be at least 0. Received nan"),
        ({"top_k": -1}, "`top_k` to be at least 0. Received -1"),
        ({"top_p": 0.0}, "`top_p` to be more than 0 and at most 1. Received 0.0"),
        ({"top_p": 1.5}, "`top_p` to be more than 0 and at most 1. Received 1.5"),
        ({"seed": 3}, "`seed` to be integers .batch,.. Received int32 "),
        ({"seed": [0.5]}, "`seed` to be integers .batch,.. Received float32 "),
        ({"label": [0, 1]}, r"condition 'label' of shape \(1,\)\. Received \(2,\)"),
        ({"labels": [1]}, r"conditions \['label'\] of model 'grid'. Received \['label', 'labels'\]"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    sampler = Sampler(grid_model())
    with pytest.raises(InputError, match=message):
        sampler(**{"seed": [1], "label": [0], **arguments})


def test_refuses_models_that_cannot_be_stepped():
    with pytest.raises(InputError, match="'sees_all', a Conv2D"):
        SteppedModel(grid_model(extra=True))
    with pytest.raises(InputError, match=r"an input 'tokens' and one output\. Received 'grid' with inputs"):
        SteppedModel(grid_model(), codes="tokens")
    codes, other = keras.Input((4,), name="codes", dtype="int32"), keras.Input((4, 3), name="other")
    x = CausalConv1D(3, mask="A")(keras.layers.Embedding(CODES, 4)(codes))
    mixed = keras.Model({"codes": codes, "other": other}, keras.layers.Add(name="mix")([x, other]))
    with pytest.raises(InputError, match="'mix', a Add of codes and conditions together"):
        SteppedModel(mixed)
    block = WaveNetBlock(3, name="twice", residual=False)
    twice = keras.Model({"codes": codes}, block(block(x)))
    with pytest.raises(InputError, match=r"that remembers to be called once\. Received 'twice'"):
        SteppedModel(twice)
