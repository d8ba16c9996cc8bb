"""What is measured on images, and how often their codes are chosen."""

import numpy as np
import pytest

from apps.vq_vae.images import evaluation
from apps.vq_vae.images.data import scaled
from apps.vq_vae.images.evaluation import measure, measure_and_count, perplexity
from apps.vq_vae.images.runs import load_run
from apps.vq_vae.models import encoder_of


def test_code_counts_are_those_of_the_encoder(trained_run, small_images):
    run = load_run(trained_run)
    codes = np.asarray(encoder_of(run.model)(scaled(small_images), training=False))
    measures, counts = measure_and_count(run, small_images, batch=7)
    assert counts.shape == (1, 16) and counts.sum() == codes.size
    np.testing.assert_array_equal(counts[0], np.bincount(codes.ravel(), minlength=16))
    assert measures == pytest.approx(measure(run, small_images), rel=1e-5)
    assert measures["perplexity"] == perplexity(counts[0])
    assert measures["codes_used"] == (counts > 0).mean()


@pytest.mark.parametrize("counts, expected", [([5, 0, 0], 1.0), ([2, 2, 2, 2], 4.0), ([0, 3, 0, 3], 2.0)])
def test_perplexity_is_the_number_of_codes_that_are_equally_frequent(counts, expected):
    assert perplexity(np.array(counts)) == pytest.approx(expected)


def test_every_batch_is_encoded_once_and_told(trained_run, small_images, monkeypatch):
    run, told = load_run(trained_run), []

    def progress(items, total, label):
        for item in items:
            told.append((total, label))
            yield item

    monkeypatch.setattr(evaluation, "progress", progress)
    encoded, encoder = [], run.encoder
    assert run.encoder is encoder and run.decoder is run.decoder
    vars(run)["encoder"] = lambda images, training: encoded.append(len(images)) or encoder(images, training=training)
    measure_and_count(run, small_images, batch=40)
    assert encoded == [40, 40, 16] and told == [(3, "measuring, batches")] * 3
