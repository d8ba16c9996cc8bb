"""Stored negatives: for each held-out interaction the items it is ranked among, drawn once."""

from __future__ import annotations

import numpy as np

from tools.errors import InputError

RULES = ("uniform", "rechorus")
# Draws expected for the last new item of a row, above which its items are chosen among those that are left.
MOST_DRAWS = 8


class Pairs:
    """Which pairs of user and item occur, asked for many at a time.

    Args:
        user: indices of users.
        item: indices of items, as many.
        items: how many items there are.
    """

    def __init__(self, user: np.ndarray, item: np.ndarray, items: int):
        self.items = items
        self.keys = np.unique(user.astype("int64") * items + item)

    def contain(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Whether each pair occurs; the arguments are broadcast."""
        wanted = user.astype("int64") * self.items + item
        if not len(self.keys):
            return np.zeros(wanted.shape, bool)
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return self.keys[place] == wanted


def uniform(user: np.ndarray, known: Pairs, count: int, seed: tuple[int, ...]) -> np.ndarray:
    """Distinct items that the user never met, all equally likely, int32 (rows, count).

    Args:
        user: of each held-out row.
        known: the pairs of all parts.
        count: negatives of a row.
        seed: of the draw.

    Raises:
        InputError: if a user has not that many items left.
    """
    met = np.bincount((known.keys // known.items).astype("int64"), minlength=int(user.max(initial=0)) + 1)
    left = known.items - int(met[user].max(initial=0))
    if count > left:
        raise InputError(
            f"Expected at most {left} negatives (--negatives): a user has met all other items. Received {count}."
        )
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, known.items, (len(user), count))
    # Where few items are left, drawing until all are new takes ever longer.
    for row in np.flatnonzero(known.items > MOST_DRAWS * (known.items - met[user] - count)):
        own = known.keys[slice(*np.searchsorted(known.keys, (user[row] + np.array([0, 1])) * known.items))]
        unmet = np.setdiff1d(np.arange(known.items), own % known.items, assume_unique=True)
        drawn[row] = generator.permutation(unmet)[:count]
    while True:
        order = np.argsort(drawn, axis=1, kind="stable")
        ordered = np.take_along_axis(drawn, order, axis=1)
        repeated = np.zeros(drawn.shape, bool)
        np.put_along_axis(repeated, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
        wrong = repeated | known.contain(user[:, None], drawn)
        if not wrong.any():
            return drawn.astype("int32")
        drawn[wrong] = generator.integers(0, known.items, int(wrong.sum()))


def rechorus(parts: list[np.ndarray], known: Pairs, count: int, seed: int) -> list[np.ndarray]:
    """The negatives of the published ReChorus protocol: items never met, repeated ones kept, int32 (rows, count) each.

    NumPy's legacy generator draws the items, numbered from 1, of all rows of a part at once, and then each that the
    user has met anew, row by row.

    Args:
        parts: users of the held-out rows in the order of the files: those that test, then those that validate.
        known: the pairs of all parts.
        count: negatives of a row.
        seed: of the generator; 0 in the protocol.
    """
    generator = np.random.RandomState(seed)
    result = []
    for user in parts:
        drawn = generator.randint(1, known.items + 1, (len(user), count))
        for row, column in np.argwhere(known.contain(user[:, None], drawn - 1)):
            item = drawn[row, column]
            while known.contain(user[row], item - 1):
                item = generator.randint(1, known.items + 1)
            drawn[row, column] = item
        result.append((drawn - 1).astype("int32"))
    return result


def draw(
    rule: str, test: np.ndarray, validation: np.ndarray, known: Pairs, count: int, seed: int
) -> dict[str, np.ndarray]:
    """Negatives of the parts "validation" and "test".

    Raises:
        InputError: if the rule is unknown, or a user has not enough items left.
    """
    if rule not in RULES:
        raise InputError(f"Expected negatives-rule to be one of {', '.join(RULES)}. Received {rule!r}.")
    if rule == "rechorus":
        of_test, of_validation = rechorus([test, validation], known, count, seed)
        return {"validation": of_validation, "test": of_test}
    return {
        "validation": uniform(validation, known, count, (seed, 1)),
        "test": uniform(test, known, count, (seed, 2)),
    }
