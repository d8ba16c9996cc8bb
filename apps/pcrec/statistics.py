"""Gini's coefficient, intervals by bootstrap over users, and paired tests over seeds and over users."""

from __future__ import annotations

from typing import Any

import numpy as np

from tools.errors import InputError

CONFIDENCE = 0.95


def gini(counts: np.ndarray) -> float:
    """Gini's coefficient of counts (items,): 0 if all are equal, near 1 if one has everything, 0 without any."""
    ordered = np.sort(np.asarray(counts, "float64"))
    total, n = ordered.sum(), len(ordered)
    if not total:
        return 0.0
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * total))


def bootstrap_means(values: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Means of resampled rows, float64 (draws, columns).

    Args:
        values: one row a user, float (users, columns).
        draws: resamplings.
        seed: of the resamplings.
    """
    generator = np.random.default_rng(seed)
    users = len(values)
    means = np.empty((draws, values.shape[1]))
    for draw in range(draws):
        weights = np.bincount(generator.integers(0, users, users), minlength=users)
        means[draw] = weights @ values / users
    return means


def intervals(values: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Low and high end of 95 % confidence of each column's mean over the users, float64 (columns, 2)."""
    tail = (1 - CONFIDENCE) / 2
    return np.quantile(bootstrap_means(values, draws, seed), [tail, 1 - tail], axis=0).T


def paired_over_users(first: np.ndarray, second: np.ndarray, draws: int, seed: int) -> dict[str, Any]:
    """Difference of two recommenders' means over the same users, with a bootstrap over the users.

    Args:
        first: one value a user, or (seeds, users), which are averaged over the seeds.
        second: the same of the other.
        draws: resamplings.
        seed: of the resamplings.

    Returns:
        "difference" (first - second), "interval" of 95 %, and "p": twice the share of resamplings on the other side
        of 0 (at least 2 / (draws + 1)).
    """
    first, second = (np.atleast_2d(values).mean(axis=0) for values in (first, second))
    if first.shape != second.shape:
        raise InputError(f"Expected values of the same users. Received {len(first)} and {len(second)}.")
    differences = first - second
    means = bootstrap_means(differences[:, None], draws, seed)[:, 0]
    tail = (1 - CONFIDENCE) / 2
    below = (1 + min((means <= 0).sum(), (means >= 0).sum())) / (draws + 1)
    return {
        "difference": float(differences.mean()),
        "interval": np.quantile(means, [tail, 1 - tail]).tolist(),
        "p": float(min(2 * below, 1.0)),
    }


def paired_over_seeds(first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """Difference of two recommenders' means, trained with the same seeds, by the paired t-test.

    Args:
        first: one value a seed, at least two.
        second: the same of the other.

    Returns:
        "difference" (first - second), "interval" of 95 %, "p", "seeds"; interval and p are None where all differences
        are equal, of which there is no test.
    """
    from scipy.stats import t

    differences = np.asarray(first, "float64") - np.asarray(second, "float64")
    seeds = len(differences)
    if seeds < 2:
        raise InputError(f"Expected at least two seeds for a test over seeds. Received {seeds}.")
    mean, error = float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(seeds))
    if not error:
        return {"difference": mean, "interval": None, "p": None, "seeds": seeds}
    reach = float(t.ppf((1 + CONFIDENCE) / 2, seeds - 1)) * error
    p = float(2 * t.sf(abs(mean) / error, seeds - 1))
    return {"difference": mean, "interval": [mean - reach, mean + reach], "p": p, "seeds": seeds}
