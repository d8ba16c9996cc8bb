"""Codes of many examples with what they depend on: held out, batched, and told apart from others."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from apps.vq_vae.images.data import order
from tools.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class CodeSet:
    """What a prior is trained on.

    Attributes:
        codes: int32 (examples, *lengths).
        conditions: the other inputs of the prior by name, an entry for each example: "label", "speaker", "past", ...
        names: of the conditions that are classes, the names of the classes in the order of their numbers.
        groups: integers (examples,): examples of one group (frames of a video, pieces of a recording) are held out
            together. Default None: each example by itself.

    Raises:
        InputError: if the codes are no integers (examples, *lengths), a condition or the groups have not an entry for
            each example, or a class has no name.
    """

    codes: np.ndarray
    conditions: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    names: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.codes.dtype.kind not in "iu" or self.codes.ndim < 2 or not self.codes.size:
            raise InputError(
                f"Expected codes to be integers (examples, *lengths). Received {self.codes.dtype} {self.codes.shape}."
            )
        parts = {**self.conditions, **({} if self.groups is None else {"groups": self.groups})}
        for name, values in parts.items():
            if len(values) != len(self.codes):
                raise InputError(f"Expected {name} for {len(self.codes)} examples. Received {len(values)}.")
        for name, classes in self.names.items():
            values = self.conditions[name]
            if values.min() < 0 or values.max() >= len(classes):
                wrong = values.min() if values.min() < 0 else values.max()
                raise InputError(f"Expected {name} of at least 0 and less than {len(classes)}. Received {wrong}.")

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Of the codes of an example: (height, width) or (time,)."""
        return self.codes.shape[1:]

    def take(self, rows: np.ndarray) -> CodeSet:
        """Some of the examples."""
        return CodeSet(
            self.codes[rows],
            {name: values[rows] for name, values in self.conditions.items()},
            self.names,
            None if self.groups is None else self.groups[rows],
        )

    def hold_out(self, count: int, seed: int) -> tuple[CodeSet, CodeSet]:
        """The examples for training, and at least `count` others in whole groups, drawn by the seed.

        Raises:
            InputError: if none would be left.
        """
        groups = np.arange(len(self)) if self.groups is None else np.unique(self.groups, return_inverse=True)[1]
        sizes = np.bincount(groups)
        shuffled = np.random.default_rng(seed).permutation(len(sizes))
        needed = int(np.searchsorted(np.cumsum(sizes[shuffled]), count)) + 1
        if needed >= len(sizes):
            raise InputError(
                f"Expected more examples than the {count} held out (validation_examples). Received {len(self)} in "
                f"{len(sizes)} groups."
            )
        held_out = np.isin(groups, shuffled[:needed])
        return self.take(np.flatnonzero(~held_out)), self.take(np.flatnonzero(held_out))

    def digest(self) -> str:
        """A fingerprint of codes and conditions."""
        found = hashlib.sha256(repr((self.codes.shape, sorted(self.conditions))).encode())
        for values in (self.codes, *(self.conditions[name] for name in sorted(self.conditions))):
            found.update(np.ascontiguousarray(values))
        return found.hexdigest()


def batches(
    examples: CodeSet, batch: int, steps_per_epoch: int, epochs: int, seed: int
) -> Callable[[int], tf.data.Dataset]:
    """What `tools.training.fit` takes: given the epochs done, the batches (inputs, codes) of all that remain.

    The examples are gone through again and again, each time in another order, which is a function of seed and pass.
    """
    import tensorflow as tf

    rows = order(len(examples), batch * steps_per_epoch * epochs, seed).reshape(-1, batch)
    inputs = {name: tf.constant(values) for name, values in _inputs(examples).items()}

    def make_dataset(done: int) -> tf.data.Dataset:
        chosen = tf.data.Dataset.from_tensor_slices(rows[done * steps_per_epoch :])
        taken = chosen.map(lambda row: {name: tf.gather(values, row) for name, values in inputs.items()})
        return taken.map(_with_targets).prefetch(4)

    return make_dataset


def validation_batches(examples: CodeSet, batch: int) -> tf.data.Dataset:
    """All examples in order, as `batches` gives them."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(_inputs(examples)).batch(batch).map(_with_targets)


def _inputs(examples: CodeSet) -> dict[str, np.ndarray]:
    return {"codes": examples.codes, **examples.conditions}


def _with_targets(inputs: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    return inputs, inputs["codes"]
