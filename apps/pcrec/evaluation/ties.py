"""What rank a held-out item gets among candidates of the same score.

pessimistic   after all others of its score: a model that tells nothing apart gets the worst ranks (default)
optimistic    before them
index         the one with the lower index first, as the served model answers; of stored negatives the held-out item
              is the first candidate
quicksort     where NumPy's quicksort of before 1.25 leaves it: published ReChorus figures have that order, though
              nobody chose it; for stored negatives only
"""

from __future__ import annotations

import numpy as np

RULES = ("pessimistic", "optimistic", "index", "quicksort")
# Shorter pieces NumPy leaves to insertion sort.
_SMALL = 16


def quicksort_order(keys: list[float]) -> list[int]:
    """Indices that sort the keys, equal ones in the order that NumPy's introspective quicksort leaves them in.

    The pivot is the median of the first, middle and last key, the larger part waits, and pieces of at most 17 keys
    are sorted by insertion. (The fall-back to heap sort, for inputs made to defeat the pivot, is left out.)
    """
    order = list(range(len(keys)))
    waiting = [(0, len(keys) - 1)]
    while waiting:
        low, high = waiting.pop()
        while high - low > _SMALL:
            border = _partition(keys, order, low, high)
            if border - low < high - border:
                waiting.append((border + 1, high))
                high = border - 1
            else:
                waiting.append((low, border - 1))
                low = border + 1
        for place in range(low + 1, high + 1):
            moved = order[place]
            key = keys[moved]
            while place > low and key < keys[order[place - 1]]:
                order[place] = order[place - 1]
                place -= 1
            order[place] = moved
    return order


def _partition(keys: list[float], order: list[int], low: int, high: int) -> int:
    """Moves smaller keys before the pivot and larger behind it; returns the pivot's place."""
    middle = low + ((high - low) >> 1)
    for left, right in ((low, middle), (middle, high), (low, middle)):
        if keys[order[right]] < keys[order[left]]:
            order[left], order[right] = order[right], order[left]
    pivot = keys[order[middle]]
    order[middle], order[high - 1] = order[high - 1], order[middle]
    left, right = low, high - 1
    while True:
        left += 1
        while keys[order[left]] < pivot:
            left += 1
        right -= 1
        while pivot < keys[order[right]]:
            right -= 1
        if left >= right:
            break
        order[left], order[right] = order[right], order[left]
    order[left], order[high - 1] = order[high - 1], order[left]
    return left


def quicksort_ranks(scores: np.ndarray) -> np.ndarray:
    """Rank of the first of each row's candidates, int64 (rows,), when the negated scores (rows, n) are sorted so."""
    first = scores[:, :1]
    ranks = 1 + (scores[:, 1:] > first).sum(axis=1)
    # The others are where every sort would put them.
    tied = np.flatnonzero((scores[:, 1:] == first).any(axis=1))
    for row in tied:
        ranks[row] = quicksort_order((-scores[row]).tolist()).index(0) + 1
    return ranks
