"""The tests against scipy's and published numbers."""

import numpy as np
import pytest
import scipy.stats

from apps.margin_classifier.statistics import corrected_t, friedman, holm


def test_friedman_is_scipys():
    scores = np.random.default_rng(0).normal(size=(12, 5)).round(1)
    found = friedman(scores)
    expected = scipy.stats.friedmanchisquare(*scores.T)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.ranks.sum() == pytest.approx(15)
    assert friedman(np.ones((4, 3))).p == 1


def test_the_example_of_demsar_2006():
    """Table 6 of the paper: four methods over 14 data sets, mean ranks 3.143, 2.000, 2.893, 1.964."""
    base = [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.0, 0.94, 0.619, 0.972, 0.957]
    with_m = [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.0, 0.962, 0.666, 0.981, 0.978]
    with_cf = [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.0, 0.965, 0.614, 0.9751, 0.946]
    both = [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.0, 0.962, 0.669, 0.975, 0.970]
    found = friedman(np.array([base, with_m, with_cf, both]).T)
    np.testing.assert_allclose(found.ranks, [3.143, 2.000, 2.893, 1.964], atol=0.002)
    # The paper: q = 2.569 for four methods, critical difference 1.25.
    assert found.critical_difference == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), rel=1e-3)
    # Its q of 10 % is 2.291, a difference of 1.12: the ranks that differ by 1.18 and 1.14 do so at 10 and not at 5 %.
    assert 0.05 < found.pairs[0, 3] < found.pairs[0, 1] < 0.1
    assert found.pairs[1, 3] > 0.99 and (np.diag(found.pairs) == 1).all()
    np.testing.assert_array_equal(found.pairs, found.pairs.T)


def test_nemenyi_is_at_five_percent_where_ranks_differ_by_the_critical_difference():
    """Ranks 1, 2, 3 in all of n blocks; the table of the paper has q = 2.343 for three methods."""
    for blocks in range(2, 12):
        found = friedman(np.tile([3.0, 2.0, 1.0], (blocks, 1)))
        assert (found.pairs[0, 1] < 0.05) == (2.343 * np.sqrt(3 * 4 / (6 * blocks)) < 1)
        assert (found.pairs[0, 2] < 0.05) == (2.343 * np.sqrt(3 * 4 / (6 * blocks)) < 2)


def test_the_corrected_t():
    differences = np.random.default_rng(1).normal(0.1, 0.2, 10)
    plain = scipy.stats.ttest_1samp(differences, 0).pvalue
    assert corrected_t(differences, 0.0) == pytest.approx(plain)
    assert corrected_t(differences, 0.25) > plain
    assert corrected_t(np.zeros(5), 0.25) == 1


def test_holm():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])


def test_too_few():
    with pytest.raises(ValueError, match="at least 2 blocks and 3 methods"):
        friedman(np.ones((5, 2)))
