"""Which interactions train, which choose the model, and which judge it."""

from __future__ import annotations

import numpy as np

from tools.errors import InputError

TRAIN, VALIDATION, TEST = 0, 1, 2
PARTS = ("train", "validation", "test")
SPLITS = ("leave-one-out", "ratio", "temporal")


def order_within_users(user: np.ndarray, time: np.ndarray | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Place of each row among its user's rows, from 0, and how many the user has; by time, or drawn without times.

    Of equal times the first in the file is the earlier.
    """
    if time is None:
        key = np.random.default_rng(seed).permutation(len(user))
        order = np.lexsort((key, user))
    else:
        order = np.lexsort((np.arange(len(user)), time, user))
    counts = np.bincount(user)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    place = np.empty(len(user), "int64")
    place[order] = np.arange(len(user)) - starts[user[order]]
    return place, counts[user]


def leave_one_out(user: np.ndarray, time: np.ndarray | None, seed: int) -> np.ndarray:
    """The last row of each user tests, the one before it validates; of two rows the last tests, one alone trains."""
    place, counts = order_within_users(user, time, seed)
    part = np.full(len(user), TRAIN, "int8")
    part[(counts >= 2) & (place == counts - 1)] = TEST
    part[(counts >= 3) & (place == counts - 2)] = VALIDATION
    return part


def ratio(user: np.ndarray, time: np.ndarray | None, shares: tuple[float, float, float], seed: int) -> np.ndarray:
    """Shares of each user's rows; with three rows or more at least one tests and one validates, where asked for any."""
    place, counts = order_within_users(user, time, seed)
    test = np.floor(counts * shares[2] + 1e-9).astype("int64")
    validation = np.floor(counts * shares[1] + 1e-9).astype("int64")
    if shares[2]:
        test = np.where(counts >= 3, np.maximum(test, 1), test)
    validation = np.where(counts >= 3, np.maximum(validation, 1), validation)
    # Somebody who only tests has nothing to be known by.
    validation = np.minimum(validation, np.maximum(counts - test - 1, 0))
    test = np.minimum(test, np.maximum(counts - 1, 0))
    part = np.full(len(user), TRAIN, "int8")
    part[place >= counts - test - validation] = VALIDATION
    part[place >= counts - test] = TEST
    return part


def temporal(time: np.ndarray, shares: tuple[float, float, float]) -> np.ndarray:
    """Everything from one moment on tests, everything from an earlier one on validates; equal times stay together."""
    ordered = np.sort(time)
    begins = [ordered[min(round(len(time) * share), len(time) - 1)] for share in (shares[0], shares[0] + shares[1])]
    part = np.full(len(time), TRAIN, "int8")
    part[time >= begins[0]] = VALIDATION
    part[time >= begins[1]] = TEST
    return part


def split(
    rule: str,
    user: np.ndarray,
    time: np.ndarray | None,
    shares: tuple[float, float, float],
    seed: int,
) -> np.ndarray:
    """Part of each row: TRAIN, VALIDATION or TEST, int8 (rows,).

    Args:
        rule: one of SPLITS.
        user: index of each row's user.
        time: of each row; None draws the order of each user's rows by `seed`.
        shares: for training, validation and test, with sum 1; of "ratio" and "temporal".
        seed: of the order without times.

    Raises:
        InputError: if the rule is unknown, needs times that there are not, or leaves a part empty.
    """
    if rule not in SPLITS:
        raise InputError(f"Expected split to be one of {', '.join(SPLITS)}. Received {rule!r}.")
    if any(not 0 < share < 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise InputError(f"Expected three shares above 0 that sum to 1. Received {', '.join(map(str, shares))}.")
    if rule == "temporal":
        if time is None:
            raise InputError("Expected a column of times (--time) for a temporal split. Received none.")
        part = temporal(time, shares)
    else:
        part = leave_one_out(user, time, seed) if rule == "leave-one-out" else ratio(user, time, shares, seed)
    sizes = np.bincount(part, minlength=len(PARTS))
    if not sizes.all():
        reason = "no user has three interactions" if rule != "temporal" else "too few times differ"
        raise InputError(
            f"Expected rows to train, to validate and to test. Received {sizes[0]}, {sizes[1]} and {sizes[2]} by the "
            f"{rule} split: {reason}."
        )
    return part
