"""The autoencoders of images: what the table says of them, their shapes, gradients, files, and what they refuse."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.vq_vae import models
from apps.vq_vae.likelihoods import LIKELIHOODS, find
from apps.vq_vae.models.image_autoencoder import MODELS
from tests.conformance.models import RESTORE, ROOT, check_facts, randomise
from tools.errors import InputError

SMALL = {"hidden_units": 8, "residual_units": 4, "codes": 16, "code_dimension": 4, "input_shape": (8, 12, 3)}
VARIANTS = {
    "ema": {},
    "sonnet_start": {"quantizer_options": {"start": "sonnet", "initializer": "variance_scaling"}},
    "gradient": {"quantizer": "gradient", "quantizer_options": {"heads": 2, "loss_reduction": "sum"}},
    "residual": {"quantizer": "residual", "quantizer_options": {"stages": 3}},
    "finite_scalar": {"quantizer": "finite_scalar", "quantizer_options": {"levels": (4, 4, 3)}},
    "paper": {"layout": "paper", "residual_blocks": 1},
    "one_stride": {"strides": (4,), "residual_blocks": 0},
    "three_strides": {"strides": (2, 1, 2)},
    **{name: {"likelihood": name} for name in LIKELIHOODS},
}


def make(variant: str, **overrides) -> keras.Model:
    keras.utils.set_random_seed(0)
    return models.ImageVQVAE(**{**SMALL, **VARIANTS[variant], **overrides})


def images(count: int = 2, shape=SMALL["input_shape"]) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (count, *shape)).astype(np.float32)


@pytest.mark.parametrize("name", [info.name for info in MODELS])
def test_the_table_is_what_is_counted(name):
    check_facts(models.REGISTRY, name)


def test_the_parameters_of_sonnet():
    assert models.info("vq_vae_cifar10").parameters == 662_723


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_halves_make_the_whole(variant):
    model = make(variant)
    encoder, decoder, quantizer = models.encoder_of(model), models.decoder_of(model), model.get_layer("quantizer")
    likelihood = find(VARIANTS[variant].get("likelihood", "mse"))
    outputs = model(images())
    assert outputs.shape == (2, 8, 12, likelihood.output_channels(3)) and outputs.dtype == tf.float32
    codes = encoder(images())
    several = () if quantizer.columns is None else (quantizer.columns,)
    assert codes.shape == (2, 2, 3, *several) and codes.dtype == tf.int32
    assert likelihood.mean(outputs).shape == (2, 8, 12, 3)
    np.testing.assert_allclose(decoder(codes), outputs, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_gradient_reaches_every_weight(variant):
    model = make(variant)
    if variant == "finite_scalar":
        # Latents over all the levels, as training brings them there; at the start all codes are 0.
        kernel = model.get_layer("encoder").get_layer("to_codes").kernel
        kernel.assign(30 * kernel)
    weighting = np.random.default_rng(1).standard_normal(model(images()).shape)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(images(), training=True) * weighting) + sum(model.losses)
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        assert gradient is not None and np.isfinite(gradient).all() and np.any(gradient), weight.path


def test_odd_levels_of_scalar_codes_do_not_start_dead():
    model = make("finite_scalar", quantizer_options={"levels": (3, 3, 3)})
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model(images(), training=True) - images()))
    assert not np.any(models.encoder_of(model)(images()) != 13)
    kernels = (
        model.get_layer(part).get_layer(name).kernel
        for part, name in (("encoder", "strided_1"), ("decoder", "block_1_3x3"))
    )
    assert all(np.any(gradient) for gradient in tape.gradient(loss, [kernel.value for kernel in kernels]))


@pytest.mark.parametrize(
    "variant",
    ["ema", pytest.param("gradient", marks=pytest.mark.slow), pytest.param("categorical", marks=pytest.mark.slow)],
)
def test_training_lowers_the_loss_and_moves_the_code_book(variant):
    from apps.vq_vae.images.training import compile_model

    model, inputs = make(variant), images(64) ** 3
    compile_model(model, find(VARIANTS[variant].get("likelihood", "mse")), float(inputs.var()), 3e-3)
    before = np.array(model.get_layer("quantizer").codebook)
    history = model.fit(inputs, inputs, batch_size=16, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert np.any(np.array(model.get_layer("quantizer").codebook) != before)


def test_half_precision_ends_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = make("ema")
    finally:
        keras.config.set_dtype_policy("float32")
    whole = make("ema")
    half.set_weights(whole.get_weights())
    outputs = half(images())
    assert outputs.dtype == tf.float32 and {weight.dtype for weight in half.weights} == {"float32"}
    assert half.get_layer("encoder").get_layer("strided_1").compute_dtype == "bfloat16"
    np.testing.assert_allclose(outputs, whole(images()), atol=0.1 * np.abs(whole(images())).max())


def test_lengths_may_be_free():
    model = make("ema", input_shape=(None, None, 3))
    assert model(images(1, (16, 4, 3))).shape == (1, 16, 4, 3)
    assert models.encoder_of(model)(images(1, (16, 4, 3))).shape == (1, 4, 1)


@pytest.mark.slow
def test_a_file_loads_with_the_layers_alone(tmp_path):
    model = make("gradient")
    randomise(model)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "inputs.npy", images())
    files = [str(tmp_path / name) for name in ("model.keras", "inputs.npy", "outputs.npy")]
    subprocess.run([sys.executable, "-c", RESTORE, *files], cwd=ROOT, check=True, timeout=300)
    np.testing.assert_allclose(np.load(tmp_path / "outputs.npy"), model(images()), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variant", ["ema", "gradient", "residual", "finite_scalar"])
def test_a_file_brings_the_same_codes(variant, tmp_path):
    model = make(variant)
    randomise(model)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored(images()), model(images()))
    np.testing.assert_array_equal(models.encoder_of(restored)(images()), models.encoder_of(model)(images()))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"codes": 0}, "`codes` to be a positive integer"),
        ({"code_dimension": -1}, "`dimension` to be a positive integer"),
        ({"hidden_units": 0}, "`hidden_units`"),
        ({"residual_blocks": -1}, "`residual_blocks`"),
        ({"strides": ()}, "`strides`"),
        ({"strides": (2, 0)}, "`strides`"),
        ({"strides": (8,)}, "`kernel_size` of at least the largest stride, 8"),
        ({"input_shape": (30, 32, 3)}, "multiples of 4"),
        ({"input_shape": (32, 32)}, "(height, width, channels)"),
        ({"input_shape": (32, 32, None)}, "a number of channels"),
        ({"classes": 3}, "`classes` to be 0"),
        ({"layout": "mine"}, "`layout` to be one of"),
        ({"quantizer": "none"}, "`quantizer` to be one of"),
        ({"quantizer_options": {"decoy": 1}}, "`quantizer_options` of VectorQuantizerEMA"),
        ({"quantizer_options": {"decay": 2}}, "`decay`"),
        ({"quantizer_options": "decay"}, "`quantizer_options` to be a dictionary"),
        ({"quantizer": "finite_scalar", "quantizer_options": {"levels": 5}}, "`levels`"),
        ({"quantizer": "residual", "quantizer_options": {"stages": 0}}, "`stages`"),
        ({"strides": 2}, "`strides`"),
        ({"likelihood": "bernoulli"}, "`likelihood` to be one of"),
    ],
)
def test_bad_arguments_are_one_line(arguments, words):
    with pytest.raises(InputError) as caught:
        models.create("vq_vae_tiny", **arguments)
    assert words in str(caught.value) and "Received" in str(caught.value) and "\n" not in str(caught.value)
