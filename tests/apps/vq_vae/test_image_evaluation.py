"""How often the codes of images are chosen."""

import numpy as np
import pytest

from apps.vq_vae.image_data import scaled
from apps.vq_vae.image_evaluation import code_counts, measure, perplexity
from apps.vq_vae.models import encoder_of
from apps.vq_vae.runs import load_run


def test_code_counts_are_those_of_the_encoder(trained_run, small_images):
    run = load_run(trained_run)
    codes = np.asarray(encoder_of(run.model)(scaled(small_images), training=False))
    counts = code_counts(run, small_images, batch=7)
    assert counts.shape == (1, 16) and counts.sum() == codes.size
    np.testing.assert_array_equal(counts[0], np.bincount(codes.ravel(), minlength=16))
    measures = measure(run, small_images)
    assert measures["perplexity"] == perplexity(counts[0])
    assert measures["codes_used"] == (counts > 0).mean()


@pytest.mark.parametrize("counts, expected", [([5, 0, 0], 1.0), ([2, 2, 2, 2], 4.0), ([0, 3, 0, 3], 2.0)])
def test_perplexity_is_the_number_of_codes_that_are_equally_frequent(counts, expected):
    assert perplexity(np.array(counts)) == pytest.approx(expected)
