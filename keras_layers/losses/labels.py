"""Labels of two classes: their codings, and their shape beside that of the predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

CODINGS = ("auto", "signed", "binary", "soft")

# Which labels each coding takes; checked on arrays that are at hand, which tensors in a compiled step are not.
_VALID: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "auto": ("-1, 0 or 1", lambda labels: np.isin(labels, (-1, 0, 1))),
    "signed": ("-1 or 1", lambda labels: np.isin(labels, (-1, 1))),
    "binary": ("0 or 1", lambda labels: np.isin(labels, (0, 1))),
    "soft": ("probabilities from 0 to 1", lambda labels: (labels >= 0) & (labels <= 1)),
}


def refuse_wrong_labels(labels: Any, coding: str) -> None:
    """Raises a `ValueError` for labels outside of a coding, if they are a NumPy array or plain numbers.

    Tensors are not looked into: the functions `signed` and `probable` make their labels outside of the coding
    not-a-number, and so the loss.
    """
    if not isinstance(labels, np.ndarray | list | tuple | int | float | np.generic):
        return
    try:
        values = np.asarray(labels, "float64")
    except (TypeError, ValueError):
        return
    words, valid = _VALID[coding]
    wrong = values[~valid(values)]
    if wrong.size:
        raise ValueError(
            f"Expected labels that are {words} with labels={coding!r}. Received {wrong.flat[0]:g}"
            + ("; labels='soft' takes probabilities." if coding != "soft" and 0 < wrong.flat[0] < 1 else ".")
        )


def as_arrays(*values: Any) -> tuple[Any, ...]:
    """Each value as it is, but nested lists of numbers as arrays: Keras would take a list for a structure."""
    return tuple(np.asarray(value) if isinstance(value, list | tuple) else value for value in values)


def at_hand(tensor: Any) -> np.ndarray | None:
    """A tensor's numbers; None for a tensor of a step that is being compiled, which has none yet."""
    try:
        return keras.ops.convert_to_numpy(tensor)
    except (NotImplementedError, TypeError):
        return None


def signed(labels: Any, coding: str) -> Any:
    """Labels as -1.0 and 1.0 by a rule of each label alone; not-a-number for a label outside of the coding.

    Args:
        labels: floating tensor of any shape.
        coding: "auto" (0 and -1 are the negative class), "signed" or "binary".
    """
    one = keras.ops.ones_like(labels)
    nan = one * float("nan")
    if coding == "signed":
        return keras.ops.where(keras.ops.equal(keras.ops.abs(labels), 1), labels, nan)
    negative = keras.ops.equal(labels, 0)
    if coding == "auto":
        negative = keras.ops.logical_or(negative, keras.ops.equal(labels, -1))
    return keras.ops.where(keras.ops.equal(labels, 1), one, keras.ops.where(negative, -one, nan))


def probable(labels: Any) -> Any:
    """Labels as they are; not-a-number for what is no probability.

    Args:
        labels: floating tensor of any shape.
    """
    within = keras.ops.logical_and(labels >= 0, labels <= 1)
    return keras.ops.where(within, labels, keras.ops.ones_like(labels) * float("nan"))


def mask_of(predictions: Any) -> Any:
    """The Keras mask of predictions, None where there is none."""
    # There is no public name, and what JAX traces has no attribute `_keras_mask`: Keras keeps its masks beside.
    return keras.src.backend.get_keras_mask(predictions)


def fitted_mask(mask: Any, shape: tuple[int | None, ...]) -> Any:
    """A Keras mask of predictions as booleans of as many axes as the values of the loss.

    Args:
        mask: of the shape of the values, or with one more last axis of 1; an axis of 1 stands for any length.
        shape: of the values.

    Raises:
        ValueError: if the mask does not fit; Keras would multiply (N, N) of a mask (N, N) and values (N,).
    """
    mask = keras.ops.cast(mask, "bool")
    given = tuple(mask.shape)
    if len(given) == len(shape) + 1 and given[-1] == 1:
        mask, given = keras.ops.squeeze(mask, -1), given[:-1]
    if len(given) != len(shape) or any(
        one != other and one not in (1, None) and other is not None for one, other in zip(given, shape, strict=True)
    ):
        raise ValueError(
            f"Expected a mask of the shape of the losses, {tuple(shape)}. Received {given}; losses are means over the "
            "last axis of predictions of two or more axes."
        )
    return mask


def aligned(labels: Any, predictions: Any) -> Any:
    """`labels` in the shape of `predictions`, from which they may differ by a last axis of 1 and by nothing else.

    Raises:
        ValueError: if the shapes do not fit; (N,) beside (N, 1) never becomes (N, N).
    """
    true, predicted = tuple(labels.shape), tuple(predictions.shape)
    if true == predicted and None not in true:
        return labels
    longer, shorter = (true, predicted) if len(true) > len(predicted) else (predicted, true)
    if len(longer) == len(shorter) + 1 and longer[-1] in (1, None):
        longer = longer[:-1]
    if len(longer) != len(shorter) or any(
        one != other and None not in (one, other) for one, other in zip(longer, shorter, strict=True)
    ):
        raise ValueError(
            "Expected labels of the shape of the predictions, but for a last axis of 1. "
            f"Received labels {true} and predictions {predicted}."
        )
    if len(true) > len(predicted):
        labels = keras.ops.reshape(labels, keras.ops.shape(labels)[:-1])
    elif len(true) < len(predicted):
        labels = keras.ops.expand_dims(labels, -1)
    # Sizes that are known only when the step runs are compared there, by a slice: it refuses a size of -2. (A reshape
    # between shapes with one free axis is taken out of graphs, whatever it would have refused.)
    free = [axis for axis, pair in enumerate(zip(labels.shape, predicted, strict=True)) if None in pair]
    if not free:
        return labels
    given, size = keras.ops.shape(labels), list(keras.ops.shape(predictions))
    for axis in free:
        size[axis] = keras.ops.where(keras.ops.equal(given[axis], size[axis]), size[axis], -2)
    return keras.ops.slice(labels, [0] * len(size), size)
