"""The likelihoods of pixels against formulas in NumPy, and what a bound says."""

import math
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, log_softmax, logsumexp, softmax
from scipy.stats import norm

from apps.vq_vae.likelihoods import (
    LIKELIHOODS,
    Categorical,
    Gaussian,
    LogisticMixture,
    Mse,
    bits_per_dim_upper_bound,
    dimensions,
    find,
    normalised_error,
    rate_bits_per_dim,
    to_pixels,
)
from tools.errors import InputError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (3, 4, 5, 2))
# Both ends, where the mass of all that lies beyond is.
PIXELS[0, 0, 0], PIXELS[1, 0, 0] = 0, 255
IMAGES = (PIXELS / 255 - 0.5).astype(np.float32)


def outputs_of(likelihood, near: bool = True) -> np.ndarray:
    outputs = RNG.standard_normal((*PIXELS.shape[:-1], likelihood.output_channels(2))).astype(np.float32)
    return outputs * 0.3 if near else outputs * 30


def rounded(distribution, values):
    """P(v) = F(v + 1/2) - F(v - 1/2), all that lies beyond at the ends."""
    upper = np.where(values == 255, 1.0, distribution(values + 0.5))
    return upper - np.where(values == 0, 0.0, distribution(values - 0.5))


def location_of(outputs):
    return (outputs.astype(np.float64) + 0.5) * 255


def scale_of(outputs):
    return 32 * np.exp(outputs.astype(np.float64))


def test_whole_pixels_come_back():
    np.testing.assert_array_equal(to_pixels(IMAGES), PIXELS)


def test_mse():
    outputs = (IMAGES + 0.02 * RNG.standard_normal(IMAGES.shape)).astype(np.float32)
    expected = np.log(rounded(lambda v: norm.cdf(v, location_of(outputs), 8.0), PIXELS)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(Mse(8.0).log_probability(IMAGES, outputs), expected, rtol=1e-4)
    error = np.square(IMAGES - outputs).mean(axis=(1, 2, 3)) / 0.06
    np.testing.assert_allclose(Mse().loss(IMAGES, outputs, 0.06), error, rtol=1e-5)
    np.testing.assert_allclose(normalised_error(IMAGES, outputs, 0.06), error, rtol=1e-5)
    with pytest.raises(InputError, match="deviation"):
        Mse().log_probability(IMAGES, outputs)


def test_gaussian():
    # Near the truth: far from it this reference has nothing left but the error of rounding.
    outputs = outputs_of(Gaussian())
    outputs[..., :2] = IMAGES + 0.2 * outputs[..., :2]
    location, scale = location_of(outputs[..., :2]), scale_of(outputs[..., 2:])
    expected = np.log(rounded(lambda v: norm.cdf(v, location, scale), PIXELS)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(Gaussian().log_probability(IMAGES, outputs), expected, rtol=1e-4)
    np.testing.assert_array_equal(Gaussian().mean(outputs), np.clip(outputs[..., :2], -0.5, 0.5))
    assert np.abs(outputs[..., :2]).max() > 0.5


def test_logistic_mixture():
    likelihood = LogisticMixture(3)
    outputs = outputs_of(likelihood)
    logits = outputs[..., :3].astype(np.float64)
    location = location_of(outputs[..., 3:9].reshape(3, 4, 5, 3, 2))
    scale = scale_of(outputs[..., 9:].reshape(3, 4, 5, 3, 2))
    channels = rounded(lambda v: expit((v - location) / scale), PIXELS[..., None, :])
    each = log_softmax(logits, axis=-1) + np.log(channels).sum(axis=-1)
    expected = logsumexp(each, axis=-1).sum(axis=(1, 2))
    np.testing.assert_allclose(likelihood.log_probability(IMAGES, outputs), expected, rtol=1e-4)
    mean = (softmax(logits, axis=-1)[..., None] * np.clip(location / 255 - 0.5, -0.5, 0.5)).sum(axis=-2)
    np.testing.assert_allclose(likelihood.mean(outputs), mean, atol=1e-5)


def test_categorical():
    outputs = outputs_of(Categorical(), near=False)
    logits = log_softmax(outputs.reshape(3, 4, 5, 2, 256).astype(np.float64), axis=-1)
    expected = np.take_along_axis(logits, PIXELS[..., None], axis=-1).sum(axis=(1, 2, 3, 4))
    np.testing.assert_allclose(Categorical().log_probability(IMAGES, outputs), expected, rtol=1e-5)
    mean = (np.exp(logits) * (np.arange(256) / 255 - 0.5)).sum(axis=-1)
    np.testing.assert_allclose(Categorical().mean(outputs), mean, atol=1e-5)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_probabilities_of_all_values_sum_to_one(name):
    likelihood = Mse(20.0) if name == "mse" else find(name)
    outputs = np.repeat(RNG.standard_normal((1, 1, 1, likelihood.output_channels(1))).astype(np.float32), 256, axis=0)
    values = (np.arange(256).reshape(256, 1, 1, 1) / 255 - 0.5).astype(np.float32)
    total = np.exp(np.asarray(likelihood.log_probability(values, outputs), np.float64)).sum()
    assert total == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", ["gaussian", "logistic_mixture", "categorical"])
@pytest.mark.parametrize("near", [True, False])
def test_the_loss_is_nats_a_number_and_its_gradient_finite(name, near):
    likelihood = find(name)
    outputs = tf.constant(outputs_of(likelihood, near))
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        loss = likelihood.loss(tf.constant(IMAGES), outputs, 0.06)
    expected = -np.asarray(likelihood.log_probability(IMAGES, outputs)) / 40
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert np.isfinite(loss).all() and np.isfinite(tape.gradient(loss, outputs)).all()


def test_rate_and_bound():
    # The CIFAR-10 latents of the paper, and those of Sonnet's example.
    assert rate_bits_per_dim(64, 10, 512, 32 * 32 * 3) == pytest.approx(1.875)
    assert rate_bits_per_dim(64, 1, 512, 32 * 32 * 3) == pytest.approx(64 * 9 / 3072)
    assert bits_per_dim_upper_bound(0.25, 3.5) == 3.75
    assert dimensions(IMAGES) == 40


def test_the_bound_holds_where_the_sum_over_codes_is_known():
    """Two codes of probability 1/2: -log2 of the mixture is at most the rate and the bits given the better code."""
    likelihood = Gaussian()
    outputs = np.stack([outputs_of(likelihood) for _ in range(2)])
    given = np.stack([np.asarray(likelihood.log_probability(IMAGES, one), np.float64) for one in outputs])
    exact = -(logsumexp(given, axis=0) - math.log(2)) / math.log(2) / dimensions(IMAGES)
    rate = rate_bits_per_dim(1, 1, 2, dimensions(IMAGES))
    for code in range(2):
        bound = bits_per_dim_upper_bound(rate, -given[code] / math.log(2) / dimensions(IMAGES))
        assert (bound >= exact - 1e-9).all()


def test_another_name_is_refused():
    with pytest.raises(InputError, match="one of mse, gaussian, logistic_mixture, categorical"):
        find("bernoulli")


@pytest.mark.slow
def test_the_module_does_not_import_tensorflow_probability():
    code = (
        "import apps.vq_vae.likelihoods, sys; print('tensorflow_probability' in sys.modules, 'tf_keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False False\n"
