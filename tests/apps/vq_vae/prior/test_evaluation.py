"""Measuring and training a prior, on codes whose probabilities are known and on real digits."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from apps.vq_vae import models
from apps.vq_vae.prior.evaluation import check_codes, compile_prior, evaluate_prior, histogram_bits
from tools.errors import InputError
from tools.sampling import Sampler


class Constant(keras.layers.Layer):
    """Logits that are the same everywhere."""

    def __init__(self, logits):
        super().__init__()
        self.logits = np.asarray(logits, np.float32)

    def call(self, codes):
        return keras.ops.zeros((*keras.ops.shape(codes), 1)) + self.logits


def constant_prior(probabilities) -> keras.Model:
    codes = keras.Input((2, 2), name="codes", dtype="int32")
    return keras.Model({"codes": codes}, Constant(np.log(probabilities))(codes))


def test_bits_are_those_of_the_probabilities():
    codes = np.array([[[0, 1], [1, 1]], [[2, 0], [1, 1]], [[3, 1], [0, 0]]])
    report = evaluate_prior(constant_prior([0.25, 0.5, 0.125, 0.125]), codes, train_codes=codes, batch_size=2)
    assert report.bits_per_code == pytest.approx((4 * 2 + 6 * 1 + 2 * 3) / 12)
    assert (report.uniform_bits, report.codes, report.accuracy) == (2.0, 12, 0.5)


def test_the_histogram_knows_positions():
    train = np.tile([[0, 1]], (6, 1))
    # Seven of eight counts, of two codes with one each besides.
    assert histogram_bits(train, np.array([[0, 1]]), 2) == pytest.approx(-np.log2(7 / 8))
    assert histogram_bits(train, np.array([[1, 0]]), 2) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.array([[0, 4]]), "`codes` of a code book of 4, 0 to 3. Received 4"),
        (np.array([[0, -1]]), "0 to 3. Received -1"),
        (np.array([[0.5]]), "`codes` to be integers. Received float64"),
        (np.zeros((0, 2), int), r"`codes` to be integers. Received int64 of shape \(0, 2\)"),
    ],
)
def test_refuses_what_are_no_codes(codes, message):
    with pytest.raises(InputError, match=message):
        check_codes(codes, 4)


@pytest.mark.slow
def test_a_prior_of_real_digits_beats_the_histogram_and_draws_its_class():
    digits = load_digits()
    codes, labels = np.minimum(digits.images, 15).astype(np.int32), digits.target.astype(np.int32)
    train, test = slice(0, 1400), slice(1400, None)
    keras.utils.set_random_seed(0)
    model = compile_prior(models.create("pixelcnn_tiny"), learning_rate=2e-3)
    inputs = {"codes": codes[train], "label": labels[train]}
    model.fit(inputs, codes[train], batch_size=32, epochs=6, verbose=0)
    conditions = {"label": labels[test]}
    report = evaluate_prior(model, codes[test], train_codes=codes[train], conditions=conditions)
    assert report.uniform_bits == 4.0
    assert report.bits_per_code < report.histogram_bits - 0.3 < report.uniform_bits - 0.3

    wanted = np.repeat(np.arange(10), 10)
    samples = Sampler(model)(np.arange(100), label=wanted).numpy()
    # To the mean image of each class, what was drawn for it is closer than chance.
    means = np.stack([codes[train][labels[train] == digit].mean(axis=0) for digit in range(10)])
    nearest = np.argmin(((samples[:, None] - means[None]) ** 2).sum(axis=(2, 3)), axis=1)
    assert (nearest == wanted).mean() > 0.4
