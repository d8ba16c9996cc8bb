"""The priors against their table and their contract: causal, sampled from kept activations, saved, trained."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.vq_vae import models
from apps.vq_vae.models import pixelcnn, video_prior, wavenet_prior
from tests.conformance.models import RESTORE, ROOT, check_facts, randomise
from tools.errors import InputError
from tools.sampling import NaiveSampler, Sampler

SMALL = {
    # As wide as sees the whole row: 3 to the left by the first kernel, 1 by each after it.
    "pixelcnn": {"filters": 8, "layers": 3, "hidden": 32, "codes": 5, "first_kernel": 7, "input_shape": (4, 6)},
    "wavenet_prior": {"filters": 8, "loops": 2, "layers": 3, "skip_filters": 32, "codes": 5, "input_shape": (14,)},
    "video_prior": {
        "filters": 8,
        "layers": 2,
        "past": 3,
        "past_layers": 1,
        "hidden": 32,
        "codes": 5,
        "input_shape": (3, 4),
    },
}
CONDITIONED = {
    "pixelcnn": {"classes": 3, "condition_shape": (4, 6, 2)},
    "wavenet_prior": {"classes": 3},
    "video_prior": {"classes": 3},
}
PRIORS = [info.name for module in (pixelcnn, wavenet_prior, video_prior) for info in module.MODELS]
CASES = [(name, conditioned) for name in SMALL for conditioned in (False, True)]


def make(name: str, conditioned: bool = True, **overrides) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = models.create(name, **{**SMALL[name], **(CONDITIONED[name] if conditioned else {}), **overrides})
    randomise(model)
    return model


def inputs_of(model: keras.Model, batch: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    values = {}
    for tensor in model.inputs:
        shape = (batch, *tensor.shape[1:])
        integers = rng.integers(0, {"codes": 5, "past": 6}.get(tensor.name, 3), shape).astype(np.int32)
        values[tensor.name] = integers if tensor.dtype == "int32" else rng.standard_normal(shape).astype(np.float32)
    return values


def conditions_of(model: keras.Model, batch: int = 2) -> dict[str, np.ndarray]:
    return {name: value for name, value in inputs_of(model, batch).items() if name != "codes"}


@pytest.mark.parametrize("name", PRIORS)
def test_parameters_and_multiply_adds_are_those_of_the_table(name):
    check_facts(models.REGISTRY, name)


@pytest.mark.parametrize(("name", "conditioned"), CASES)
def test_logits_depend_on_all_codes_before_and_no_other(name, conditioned):
    model = make(name, conditioned)
    # Several examples: in one a position may have no unit of a ReLU that is on.
    values = inputs_of(model, 4)
    positions = values["codes"][0].size
    embedded = model.get_layer("embedding").output
    rest = keras.Model([tensor for tensor in model.inputs if tensor.name != "codes"] + [embedded], model.output)
    with tf.GradientTape() as tape:
        x = tf.constant(model.get_layer("embedding")(values["codes"]))
        tape.watch(x)
        logits = rest([tf.constant(values[tensor.name]) for tensor in model.inputs if tensor.name != "codes"] + [x])
        logits = tf.reshape(logits, (4, positions, 5))
    jacobian = (
        np.abs(tape.batch_jacobian(logits, x).numpy()).reshape(4, positions, 5, positions, -1).sum(axis=(0, 2, 4))
    )
    np.testing.assert_array_equal(jacobian > 0, np.tril(np.ones((positions, positions)), -1) > 0)


@pytest.mark.parametrize(("name", "conditioned"), CASES)
def test_kept_activations_give_the_logits_of_the_whole_model(name, conditioned):
    model = make(name, conditioned)
    values = inputs_of(model)
    expected = model(values, training=False)
    np.testing.assert_allclose(Sampler(model).logits(**values), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_samples_are_those_of_the_naive_sampler(name):
    model = make(name)
    conditions = conditions_of(model, 3)
    found = Sampler(model)([1, 2, 3], **conditions)
    np.testing.assert_array_equal(found, NaiveSampler(model)([1, 2, 3], **conditions))


@pytest.mark.parametrize("name", SMALL)
def test_every_condition_matters(name):
    model = make(name)
    values = inputs_of(model)
    before = np.asarray(model(values))
    for tensor in model.inputs:
        changed = {**values, tensor.name: (values[tensor.name] + 1) % 3}
        assert np.abs(np.asarray(model(changed)) - before).max() > 1e-4, tensor.name


@pytest.mark.parametrize("name", SMALL)
def test_a_gradient_reaches_every_weight(name):
    model = make(name)
    values = {**inputs_of(model)}
    with tf.GradientTape() as tape:
        loss = keras.losses.sparse_categorical_crossentropy(values["codes"], model(values), from_logits=True)
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        gradient = tf.convert_to_tensor(gradient)
        assert np.isfinite(gradient).all() and np.any(gradient), weight.path


@pytest.mark.parametrize("name", SMALL)
def test_saved_it_loads_with_the_layers_alone(name, tmp_path):
    model = make(name)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    values = inputs_of(model)
    np.testing.assert_array_equal(restored(values), model(values))
    np.testing.assert_array_equal(
        Sampler(restored)([4, 5], **conditions_of(model)), Sampler(model)([4, 5], **conditions_of(model))
    )


@pytest.mark.slow
def test_saved_it_loads_in_another_process(tmp_path):
    model = make("wavenet_prior", conditioned=False)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "inputs.npy", inputs_of(model)["codes"])
    files = [str(tmp_path / name) for name in ("model.keras", "inputs.npy", "outputs.npy")]
    subprocess.run([sys.executable, "-c", RESTORE, *files], cwd=ROOT, check=True, timeout=300)
    np.testing.assert_allclose(np.load(tmp_path / "outputs.npy"), model(inputs_of(model)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SMALL)
def test_half_precision_keeps_the_logits_in_float32_and_can_be_sampled(name):
    expected = make(name)
    values = inputs_of(expected)
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        half = make(name)
        half.set_weights(expected.get_weights())
        logits = half(values, training=False)
        steps = Sampler(half).logits(**values)
    finally:
        keras.config.set_dtype_policy(before)
    assert logits.dtype == steps.dtype == tf.float32
    right = np.asarray(expected(values, training=False))
    for found in (logits, steps):
        assert np.abs(found - right).max() < 0.1 * np.abs(right).max()


def test_free_lengths_give_the_network_of_fixed_ones():
    fixed = make("pixelcnn", conditioned=False)
    free = make("pixelcnn", conditioned=False, input_shape=(None, None))
    free.set_weights(fixed.get_weights())
    np.testing.assert_allclose(free(inputs_of(fixed)), fixed(inputs_of(fixed)), rtol=1e-5, atol=1e-6)
    assert Sampler(free, lengths=(2, 3))([1]).shape == (1, 2, 3)


def test_the_receptive_field_of_wavenet_is_the_stated_one():
    model = make("wavenet_prior", conditioned=False, loops=2, layers=2, kernel_size=3, input_shape=(20,))
    # 2 + loops (kernel_size - 1) (2^layers - 1)
    field = 2 + 2 * 2 * 3
    codes = np.zeros((1, 20), np.int32)
    before = np.asarray(model({"codes": codes}))
    codes[0, 2] = 1
    changed = np.flatnonzero(np.abs(np.asarray(model({"codes": codes})) - before).max(axis=-1)[0] > 0)
    np.testing.assert_array_equal(changed, np.arange(3, 3 + field))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("pixelcnn", {"codes": 0}, "`codes` to be a positive integer. Received 0"),
        ("pixelcnn", {"layers": 0}, "`layers` to be a positive integer. Received 0"),
        ("pixelcnn", {"first_kernel": 4}, "`kernel_size` to be odd. Received 4"),
        ("pixelcnn", {"classes": -1}, "`classes` to be an integer of at least 0. Received -1"),
        ("pixelcnn", {"input_shape": (8,)}, r"`input_shape` to be \(height, width\). Received \(8,\)"),
        ("pixelcnn", {"condition_shape": (8, 8)}, r"`condition_shape` to be \(height, width, channels\)"),
        ("pixelcnn", {"dropout": 1.0}, "`dropout` to be a number of at least 0 and less than 1. Received 1.0"),
        ("wavenet_prior", {"loops": 0}, "`loops` to be a positive integer. Received 0"),
        ("wavenet_prior", {"skip_filters": 0}, "`skip_filters` to be a positive integer. Received 0"),
        ("wavenet_prior", {"input_shape": (4, 4)}, r"`input_shape` to be \(time\). Received \(4, 4\)"),
        ("video_prior", {"past": 0}, "`past` to be a positive integer. Received 0"),
        (
            "video_prior",
            {"input_shape": (None, 4)},
            r"`input_shape \(height\)` to be a positive integer. Received None",
        ),
        ("video_prior", {"speakers": 2}, "Received speakers"),
    ],
)
def test_refuses_bad_arguments(name, arguments, message):
    with pytest.raises(InputError, match=message):
        models.create(name, **arguments)
