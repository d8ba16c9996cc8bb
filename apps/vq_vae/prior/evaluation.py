"""Training of a prior, and how many bits a code costs under it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tools.commands import progress
from tools.errors import InputError

LEARNING_RATE = 3e-4


@dataclasses.dataclass(frozen=True)
class PriorReport:
    """What a prior says of codes it has not seen, beside two that know less.

    Attributes:
        bits_per_code: mean of -log2 of the probability that the prior gives a code.
        histogram_bits: the same with the frequency of the code at its position in training (plus one for each code).
        uniform_bits: log2 of the number of codes.
        accuracy: share of the codes that the prior finds most likely.
        codes: how many were measured.
    """

    bits_per_code: float
    histogram_bits: float
    uniform_bits: float
    accuracy: float
    codes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return dataclasses.asdict(self)


def compile_prior(model: keras.Model, learning_rate: Any = LEARNING_RATE) -> keras.Model:
    """Compiles a prior for `fit` on inputs that are codes (and conditions) with the same codes as targets.

    Args:
        model: a prior of `apps.vq_vae.models`.
        learning_rate: of Adam, a number or a schedule. Default 3e-4.
    """
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        # On two cores twice as fast as compiled by XLA.
        jit_compile=False,
    )
    return model


def evaluate_prior(
    model: keras.Model,
    codes: np.ndarray,
    *,
    train_codes: np.ndarray,
    conditions: Mapping[str, np.ndarray] | None = None,
    batch_size: int = 64,
) -> PriorReport:
    """Measures a prior on codes that it was not trained on.

    Args:
        model: a prior of `apps.vq_vae.models`.
        codes: integers (examples, *lengths).
        train_codes: integers (examples, *lengths) for the histogram.
        conditions: every other input of the model by its name, an entry for each example.
        batch_size: examples at a time.

    Raises:
        InputError: for codes of another code book, or none.
    """
    count = model.output_shape[-1]
    for name, value in {"codes": codes, "train_codes": train_codes}.items():
        check_codes(value, count, name)
    nats, right = 0.0, 0
    starts = range(0, len(codes), batch_size)
    for start in progress(starts, len(starts), "measuring, batches"):
        chunk = slice(start, start + batch_size)
        inputs = {"codes": codes[chunk], **{name: value[chunk] for name, value in (conditions or {}).items()}}
        logits = model.predict_on_batch(inputs).astype(np.float64)
        logits -= logits.max(axis=-1, keepdims=True)
        chosen = np.take_along_axis(logits, codes[chunk][..., None].astype(np.int64), axis=-1)[..., 0]
        nats += float((np.log(np.exp(logits).sum(axis=-1)) - chosen).sum())
        right += int((chosen == 0).sum())
    return PriorReport(
        bits_per_code=nats / math.log(2) / codes.size,
        histogram_bits=histogram_bits(train_codes, codes, count),
        uniform_bits=math.log2(count),
        accuracy=right / codes.size,
        codes=codes.size,
    )


def histogram_bits(train_codes: np.ndarray, codes: np.ndarray, count: int) -> float:
    """Bits a code under the frequencies of the codes at each position in training, each counted once more than seen.

    Args:
        train_codes: integers (examples, *lengths).
        codes: integers (examples, *lengths).
        count: size of the code book.
    """
    train, test = (value.reshape(len(value), -1) for value in (train_codes, codes))
    places = np.arange(train.shape[1])
    seen = np.ones((train.shape[1], count))
    np.add.at(seen, (np.broadcast_to(places, train.shape), train), 1)
    probabilities = seen / seen.sum(axis=1, keepdims=True)
    return float(-np.log2(probabilities[places, test]).mean())


def check_codes(codes: np.ndarray, count: int, name: str = "codes") -> None:
    """Refuses what are no codes of a code book.

    Args:
        codes: to be checked.
        count: size of the code book.
        name: of the argument.

    Raises:
        InputError: if there are none, or they are no integers of at least 0 and less than `count`.
    """
    codes = np.asarray(codes)
    if codes.dtype.kind not in "iu" or not codes.size:
        raise InputError(f"Expected `{name}` to be integers. Received {codes.dtype} of shape {codes.shape}.")
    if codes.min() < 0 or codes.max() >= count:
        wrong = codes.min() if codes.min() < 0 else codes.max()
        raise InputError(f"Expected `{name}` of a code book of {count}, 0 to {count - 1}. Received {wrong}.")
