"""The examples of BPR: a user, an item met, and items not met, drawn anew in every pass over the interactions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from apps.pcrec.data.negatives import Pairs
from apps.pcrec.data.prepared import Part
from tools.errors import InputError

# Examples made at once.
CHUNK = 500_000
# Steps that TensorFlow takes before it comes back to Python.
STEPS_TOGETHER = 64


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How an epoch is cut.

    Attributes:
        batch_size: examples in a step.
        together: steps in one call of the training function.
        steps: in an epoch, a multiple of `together`.
    """

    batch_size: int
    together: int
    steps: int


def schedule(rows: int, batch_size: int, passes: int) -> Schedule:
    """Steps for `passes` passes over the rows; the last calls are filled up with rows of the beginning."""
    batch_size = min(batch_size, rows * passes)
    steps = -(-rows * passes // batch_size)
    calls = -(-steps // STEPS_TOGETHER)
    together = -(-steps // calls)
    return Schedule(batch_size, together, calls * together)


class Triples:
    """The stream of examples of all epochs; an epoch is a function of the seed and its number.

    Args:
        train: interactions.
        items: how many items there are.
        negatives: drawn for each interaction, uniformly from the items that the user did not meet in training.
        plan: how an epoch is cut.
        seed: of order and negatives.

    Raises:
        InputError: if a user met every item.
    """

    def __init__(self, train: Part, items: int, negatives: int, plan: Schedule, seed: int):
        self.train, self.items, self.negatives, self.plan, self.seed = train, items, negatives, plan, seed
        self.known = Pairs(train.user, train.item, items)
        if np.bincount(train.user).max() >= items:
            raise InputError(f"Expected users who did not meet all {items} items in training. Received one who did.")

    def chunks(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Users int32 (steps, batch) and items int32 (steps, batch, 1 + negatives), the item met first."""
        generator = np.random.default_rng((self.seed, epoch))
        batch, rows = self.plan.batch_size, len(self.train)
        wanted = self.plan.steps * batch
        orders = [generator.permutation(rows) for _ in range(-(-wanted // rows))]
        order = np.concatenate(orders)[:wanted] if len(orders) > 1 else orders[0][:wanted]
        size = max(CHUNK // batch, 1) * batch
        for start in range(0, wanted, size):
            chosen = order[start : start + size]
            user = self.train.user[chosen]
            items = np.empty((len(chosen), 1 + self.negatives), "int32")
            items[:, 0], items[:, 1:] = self.train.item[chosen], self._negatives(user, generator)
            yield user.reshape(-1, batch), items.reshape(-1, batch, 1 + self.negatives)

    def _negatives(self, user: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        drawn = generator.integers(0, self.items, (len(user), self.negatives), dtype="int32")
        open_rows = np.arange(len(user))
        while len(open_rows):
            met = self.known.contain(user[open_rows, None], drawn[open_rows])
            rows, columns = np.nonzero(met)
            drawn[open_rows[rows], columns] = generator.integers(0, self.items, len(rows), dtype="int32")
            open_rows = open_rows[np.unique(rows)]
        return drawn

    def dataset(self, done: int, epochs: int) -> tf.data.Dataset:
        """Batches (users, items) of the epochs from `done` on, in one stream."""
        batch = self.plan.batch_size

        def generate() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for epoch in range(done, epochs):
                yield from self.chunks(epoch)

        kinds = (
            tf.TensorSpec((None, batch), tf.int32),
            tf.TensorSpec((None, batch, 1 + self.negatives), tf.int32),
        )
        stream = tf.data.Dataset.from_generator(generate, output_signature=kinds)
        return stream.prefetch(1).flat_map(lambda *arrays: tf.data.Dataset.from_tensor_slices(arrays))
