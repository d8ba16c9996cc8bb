"""Measures of a user's ranking from the ranks of what was held out, in NumPy.

For a user with held-out items H and their ranks (1 is the best):

    recall@K    |{rank <= K}| / |H|
    hr@K        1 if any rank <= K
    ndcg@K      sum of 1 / log2(1 + rank) over ranks <= K, over that sum for ranks 1 .. min(K, |H|)
    mrr@K       1 / least rank if it is <= K
    map@K       sum over ranks <= K of (held-out items up to that rank) / rank, over min(K, |H|)

With one held-out item recall@K is hr@K, and map@K is mrr@K.
"""

from __future__ import annotations

import numpy as np

NAMES = ("recall", "ndcg", "hr", "mrr", "map")


def measure(user: np.ndarray, rank: np.ndarray, cutoffs: tuple[int, ...]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The measures of every user.

    Args:
        user: of each held-out item, int (rows,).
        rank: of each held-out item among the user's candidates, from 1, int (rows,).
        cutoffs: values of K.

    Returns:
        The users, sorted, and by name ("ndcg@10") a float64 array (users,).
    """
    order = np.lexsort((rank, user))
    user, rank = user[order], rank[order].astype("float64")
    users, starts, counts = np.unique(user, return_index=True, return_counts=True)
    row = np.repeat(np.arange(len(users)), counts)
    # Which of the user's held-out items it is, from 1 in the order of their ranks.
    place = np.arange(len(rank)) - np.repeat(starts, counts) + 1

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(row, weights=values, minlength=len(users))

    result = {}
    for cutoff in cutoffs:
        inside = rank <= cutoff
        ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, cutoff + 2)))])
        most = np.minimum(counts, cutoff)
        result[f"recall@{cutoff}"] = total(inside) / counts
        result[f"ndcg@{cutoff}"] = total(inside / np.log2(1 + rank)) / ideal[most]
        result[f"hr@{cutoff}"] = inside[starts].astype("float64")
        result[f"mrr@{cutoff}"] = inside[starts] / rank[starts]
        result[f"map@{cutoff}"] = total(inside * place / rank) / most
    return users, result
