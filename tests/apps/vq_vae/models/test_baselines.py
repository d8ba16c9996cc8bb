"""VAE and VIMCO: what the table says of them, their losses, files, training, and honest bounds."""

import dataclasses
import math
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.vq_vae import models
from apps.vq_vae.baselines.evaluation import measure_baseline
from apps.vq_vae.images.data import scaled
from apps.vq_vae.images.runs import Run
from apps.vq_vae.likelihoods import find
from apps.vq_vae.models.baselines import MODELS, log_joint, with_bound
from tests.conformance.models import check_facts
from tools.errors import InputError

ROOT = pathlib.Path(__file__).parents[4]
SMALL = {"hidden_units": 8, "residual_units": 4, "input_shape": (8, 12, 3), "likelihood": "gaussian"}
KINDS = {
    "vae": (models.VAE, {"latent_channels": 3}),
    "vimco": (models.VIMCO, {"codes": 5, "code_dimension": 4, "samples": 6}),
}


def make(kind: str, **overrides) -> keras.Model:
    keras.utils.set_random_seed(0)
    constructor, own = KINDS[kind]
    return constructor(**{**SMALL, **own, **overrides})


def trained(model: keras.Model) -> keras.Model:
    """What is compiled and fitted."""
    return with_bound(model, "gaussian") if model.name == "vimco" else model


def pixels(count: int = 4, shape=(8, 12, 3)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape)).astype("uint8")


@pytest.mark.parametrize("name", [info.name for info in MODELS])
def test_the_table_is_what_is_counted(name):
    check_facts(models.REGISTRY, name)


@pytest.mark.parametrize("kind", KINDS)
def test_inference_is_without_chance(kind):
    model, images = make(kind), scaled(pixels())
    outputs = model(images)
    assert outputs.shape == (4, 8, 12, 6) == (4, *model.output_shape[1:])
    np.testing.assert_array_equal(model(images), outputs)
    np.testing.assert_allclose(model(images[1:2])[0], outputs[1], atol=1e-5)
    drawn = trained(model)(images, training=True)
    assert drawn.shape == outputs.shape and not np.allclose(drawn, outputs)


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_has_a_gradient_and_files_keep_the_model(kind, tmp_path):
    model, images = make(kind), scaled(pixels())
    likelihood = find("gaussian")
    with tf.GradientTape() as tape:
        fitted = trained(model)
        outputs = fitted(images, training=True)
        loss = tf.add_n(fitted.losses)
        if kind == "vae":
            loss += tf.reduce_mean(likelihood.loss(images, outputs, 1.0))
    for weight, gradient in zip(model.trainable_weights, tape.gradient(loss, model.trainable_weights), strict=True):
        gradient = tf.convert_to_tensor(gradient)
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, weight.path
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(again(images), model(images))


def test_a_file_of_vimco_needs_the_layers_alone(tmp_path):
    model = make("vimco")
    trained(model).compile("adam")
    model.save(tmp_path / "model.keras")
    program = (
        "import sys, keras, keras_layers; keras.models.load_model(sys.argv[1], compile=False);"
        "assert not any(name.partition('.')[0] == 'apps' for name in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "model.keras")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_the_loss_of_vimco_outside_of_training_is_that_of_the_most_probable_codes():
    model, images = trained(make("vimco")), scaled(pixels())
    outputs = model(images, training=False)
    log_p = find("gaussian").log_probability(images, outputs) - 6 * math.log(5)
    np.testing.assert_allclose(model.losses[0], -np.mean(log_p) / (8 * 12 * 3), rtol=1e-5)


def test_samples_of_vimco_meet_their_own_images():
    images = scaled(np.stack([np.zeros((4, 4, 1), "uint8"), np.full((4, 4, 1), 255, "uint8")]))
    outputs = np.concatenate([np.repeat(images, 3, axis=0), np.full((6, 4, 4, 1), -4.0)], axis=-1).astype("float32")
    likelihood = find("gaussian")
    log_p = log_joint(likelihood, images, outputs, 3, prior=2.0)
    expected = likelihood.log_probability(images, outputs[::3]) - 2.0
    np.testing.assert_allclose(log_p, np.repeat(expected[:, None], 3, axis=1), rtol=1e-5)
    wrong = log_joint(likelihood, images[::-1], outputs, 3, prior=2.0)
    assert np.all(wrong < log_p)


@dataclasses.dataclass
class Enumerated:
    """A VIMCO of so few codes that its likelihood can be summed over all of them."""

    run: Run
    images: np.ndarray

    def bits(self) -> float:
        model = self.run.model
        every = np.stack(np.meshgrid(*[np.arange(3)] * 2, indexing="ij"), axis=-1).reshape(-1, 1, 2).astype("int32")
        outputs = model.get_layer("decoder")(model.get_layer("code_vectors")(every))
        total = 0.0
        for image in scaled(self.images):
            log_p = self.run.likelihood.log_probability(np.repeat(image[None], len(every), axis=0), outputs)
            total -= np.logaddexp.reduce(np.asarray(log_p, np.float64) - math.log(len(every)))
        return total / math.log(2) / self.images.size


def test_bounds_of_vimco_are_bounds_and_close_as_samples_grow():
    images = pixels(3, (4, 8, 1))
    model = make("vimco", codes=3, input_shape=(4, 8, 1))
    run = Run(None, model, find("gaussian"), {}, {"variance": 0.1})
    exact = Enumerated(run, images).bits()
    few, many = (measure_baseline(run, images, samples=samples) for samples in (2, 3000))
    assert many["bits_per_dim_upper_bound"] == pytest.approx(exact, rel=1e-3)
    assert many["single_sample_bits_per_dim_upper_bound"] > exact
    for found in (few, many):
        assert found["single_sample_bits_per_dim_upper_bound"] == pytest.approx(
            found["rate_bits_per_dim"] + found["reconstruction_bits_per_dim"]
        )
    assert measure_baseline(run, images, samples=2) == few


def test_bounds_of_a_vae_whose_posterior_is_its_prior():
    images = pixels(3)
    model = make("vae")
    to_latents = model.get_layer("encoder").layers[-1]
    to_latents.set_weights([np.zeros_like(weight) for weight in to_latents.get_weights()])
    run = Run(None, model, find("gaussian"), {}, {"variance": 0.1})
    found = measure_baseline(run, images, samples=40)
    assert found["rate_bits_per_dim"] == pytest.approx(0.0, abs=1e-7)
    # The mean of logarithms is below the logarithm of the mean.
    assert found["bits_per_dim_upper_bound"] < found["single_sample_bits_per_dim_upper_bound"]


def test_the_gaussian_weights_average_to_one_without_a_likelihood(monkeypatch):
    # E_q p(z)/q(z) = 1: where every image is as likely whatever z, the bound is that likelihood.
    images, model = pixels(2, (4, 4, 1)), make("vae", latent_channels=1, input_shape=(4, 4, 1))
    bias = model.get_layer("encoder").layers[-1].bias
    bias.assign([0.3, -0.2])
    likelihood = find("gaussian")
    monkeypatch.setattr(likelihood, "log_probability", lambda images, outputs: tf.zeros(len(images)))
    found = measure_baseline(Run(None, model, likelihood, {}, {"variance": 0.1}), images, samples=20_000)
    assert found["rate_bits_per_dim"] > 1e-3
    assert found["bits_per_dim_upper_bound"] == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize(
    "kind, overrides, words",
    [
        ("vae", {"likelihood": "mse"}, "probability in training"),
        ("vae", {"input_shape": (None, 12, 3)}, "positive integer"),
        ("vae", {"input_shape": (9, 12, 3)}, "multiples of 4"),
        ("vae", {"latent_channels": 0}, "`latent_channels`"),
        ("vae", {"layout": "other"}, "`layout`"),
        ("vimco", {"samples": 1}, "at least 2"),
        ("vimco", {"codes": 0}, "`codes`"),
        ("vimco", {"classes": 2}, "`classes` to be 0"),
    ],
)
def test_what_is_refused(kind, overrides, words):
    with pytest.raises(InputError, match=words):
        make(kind, **overrides)


@pytest.mark.parametrize("kind", KINDS)
def test_they_make_no_codes_for_others(kind):
    with pytest.raises(InputError, match="with a quantizer"):
        models.encoder_of(make(kind))
