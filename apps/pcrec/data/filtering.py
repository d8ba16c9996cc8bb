"""What is left out of a log before it is split: by value, by time, repetitions, and who has too few."""

from __future__ import annotations

import numpy as np

from apps.pcrec.data.reading import Log


def within(numbers: np.ndarray, least: float | None, most: float | None) -> np.ndarray:
    """Mask of the numbers from `least` to `most`, both included; None leaves an end open."""
    keep = np.ones(len(numbers), bool)
    if least is not None:
        keep &= numbers >= least
    if most is not None:
        keep &= numbers <= most
    return keep


def first_of_each_pair(log: Log) -> np.ndarray:
    """Mask of the earliest row of each user and item; of equal times, or without times, the first in the file."""
    keys = log.user * np.int64(len(log.items)) + log.item
    order = np.arange(len(log)) if log.time is None else np.argsort(log.time, kind="stable")
    _, first = np.unique(keys[order], return_index=True)
    keep = np.zeros(len(log), bool)
    keep[order[first]] = True
    return keep


def k_core(user: np.ndarray, item: np.ndarray, user_minimum: int, item_minimum: int) -> np.ndarray:
    """Mask of the largest part in which every user has `user_minimum` rows and every item `item_minimum`.

    Args:
        user: index of each row's user, int64 (rows,).
        item: index of each row's item, int64 (rows,).
        user_minimum: rows that a user must have.
        item_minimum: rows that an item must have.
    """
    keep = np.ones(len(user), bool)
    while True:
        users = np.bincount(user[keep], minlength=user.max(initial=0) + 1)
        items = np.bincount(item[keep], minlength=item.max(initial=0) + 1)
        rest = keep & (users[user] >= user_minimum) & (items[item] >= item_minimum)
        if rest.sum() == keep.sum():
            return keep
        keep = rest
