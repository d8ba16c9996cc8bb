"""Which differences between methods are real: Friedman and Nemenyi over blocks, and the corrected resampled t-test."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Friedman:
    """Friedman's test and Nemenyi's after it (Demsar 2006).

    Attributes:
        statistic: chi-squared of Friedman's test.
        p: its probability if all methods were equal.
        ranks: mean rank of each method, 1 the best; ties share.
        critical_difference: of mean ranks, at 5 %.
        pairs: Nemenyi's p of each pair, float (methods, methods).
    """

    statistic: float
    p: float
    ranks: np.ndarray
    critical_difference: float
    pairs: np.ndarray


def friedman(scores: np.ndarray) -> Friedman:
    """Compares methods over blocks (data sets, or folds).

    Args:
        scores: (blocks, methods), more is better; at least 2 blocks and 3 methods.

    Raises:
        ValueError: for fewer.
    """
    from scipy.stats import chi2, rankdata, studentized_range

    blocks, methods = scores.shape
    if blocks < 2 or methods < 3:
        raise ValueError(f"Expected at least 2 blocks and 3 methods. Received {blocks} and {methods}.")
    ranked = np.apply_along_axis(rankdata, 1, -scores)
    ranks = ranked.mean(axis=0)
    # With ties the sum of squares of the ranks is less than 1 .. methods have.
    spread = ((ranked - (methods + 1) / 2) ** 2).sum()
    between = blocks * ((ranks - (methods + 1) / 2) ** 2).sum()
    statistic = float((methods - 1) * blocks * between / spread) if spread else 0.0
    unit = np.sqrt(methods * (methods + 1) / (6 * blocks))
    distance = np.abs(ranks[:, None] - ranks[None]) / unit * np.sqrt(2)
    critical = studentized_range.ppf(0.95, methods, np.inf) / np.sqrt(2) * unit
    pairs = studentized_range.sf(distance, methods, np.inf)
    return Friedman(statistic, float(chi2.sf(statistic, methods - 1)), ranks, float(critical), pairs)


def corrected_t(differences: np.ndarray, test_share: float) -> float:
    """Two-sided p of a mean difference over the folds of repeated cross-validation (Nadeau and Bengio 2003).

    Folds share training rows, so the variance of their mean is not 1 / n of theirs but `1 / n + test / training`.

    Args:
        differences: one a fold.
        test_share: rows tested over rows trained on: 1/4 with five folds.
    """
    from scipy.stats import t

    variance = differences.var(ddof=1) * (1 / len(differences) + test_share)
    if not variance:
        return 1.0 if not differences.mean() else 0.0
    return float(2 * t.sf(abs(differences.mean()) / np.sqrt(variance), len(differences) - 1))


def holm(probabilities: np.ndarray) -> np.ndarray:
    """Holm's adjustment of probabilities of several tests."""
    order = np.argsort(probabilities)
    factors = np.arange(len(order), 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(probabilities[order] * factors), 1.0)
    result = np.empty(len(order))
    result[order] = adjusted
    return result
