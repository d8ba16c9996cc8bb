"""Gini, intervals and tests against scipy and known cases."""

import numpy as np
import pytest
import scipy.stats

from apps.pcrec.statistics import bootstrap_means, gini, intervals, paired_over_seeds, paired_over_users
from tools.errors import InputError


def test_gini():
    assert gini(np.array([3, 3, 3])) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75)
    assert gini(np.array([1, 3])) == pytest.approx(0.25)
    assert gini(np.zeros(4)) == 0
    counts = np.random.default_rng(0).integers(0, 50, 40)
    differences = np.abs(counts[:, None] - counts).sum() / (2 * 40 * counts.sum())
    assert gini(counts) == pytest.approx(differences)


def test_the_interval_is_that_of_the_mean():
    values = np.random.default_rng(1).normal(3, 2, (400, 2))
    means = bootstrap_means(values, 2000, 0)
    np.testing.assert_allclose(means.std(axis=0), values.std(axis=0) / 20, rtol=0.06)
    low, high = intervals(values, 2000, 0)[0]
    assert low < values[:, 0].mean() < high and high - low == pytest.approx(2 * 1.96 * 0.1, rel=0.1)


def test_over_users():
    generator = np.random.default_rng(2)
    base = generator.normal(size=300)
    better = paired_over_users(base + 0.1 + generator.normal(0, 0.1, 300), base, 500, 0)
    assert better["p"] < 0.01 and 0 < better["interval"][0] < better["difference"] < better["interval"][1]
    same = paired_over_users(np.stack([base, base]), base, 500, 0)
    assert same["difference"] == 0 and same["p"] == 1
    with pytest.raises(InputError, match="same users"):
        paired_over_users(base, base[1:], 5, 0)


def test_over_seeds_is_the_paired_t_test():
    first, second = np.array([0.30, 0.31, 0.29, 0.33]), np.array([0.29, 0.29, 0.30, 0.30])
    found, expected = paired_over_seeds(first, second), scipy.stats.ttest_rel(first, second)
    assert found["p"] == pytest.approx(expected.pvalue) and found["seeds"] == 4
    ends = expected.confidence_interval(0.95)
    assert found["interval"] == pytest.approx([ends.low, ends.high])
    assert paired_over_seeds(first, first)["p"] is None is paired_over_seeds(first, first + 0.5)["interval"]
    with pytest.raises(InputError, match="two seeds"):
        paired_over_seeds(first[:1], second[:1])
