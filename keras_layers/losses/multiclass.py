"""Margin losses for more than two classes: one against the rest, and Crammer and Singer's."""

from __future__ import annotations

import abc
from typing import Any

import keras
import numpy as np

from keras_layers.losses.labels import aligned, as_arrays, at_hand, fitted_mask, mask_of
from keras_layers.losses.margin import MarginLoss
from keras_layers.losses.registry import get


class MulticlassMarginLoss(keras.losses.Loss, abc.ABC):
    """What the two forms share: the margin loss they are made of, and labels as classes or one-hot rows.

    Labels whose shape is that of the predictions are one-hot (1 for the class, 0 or -1 for the others); labels without
    the last axis, or with one of size 1, are numbers of classes from 0. A number without a class is refused in an
    array, and makes the loss not-a-number in a tensor. A Keras mask of the predictions has the output's shape, or one
    more last axis of 1; labels that it leaves out may be anything.
    """

    def __init__(
        self,
        loss: Any = "l1_hinge",
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ):
        loss = get(loss)
        if not isinstance(loss, MarginLoss):
            raise ValueError(f"Expected `loss` to be a margin loss. Received {loss!r}.")
        super().__init__(name=name or f"{self._prefix}_{loss.name}", reduction=reduction, dtype=dtype)
        self.loss = loss

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        y_true, y_pred = as_arrays(y_true, y_pred)
        scores = keras.ops.convert_to_tensor(y_pred, dtype=self.dtype)
        mask = mask_of(y_pred)
        if mask is None:
            _refuse_numbers_without_a_class(y_true, scores)
        # Before Keras casts the labels: half precision does not hold every number of a class.
        rows = _one_hot(keras.ops.convert_to_tensor(y_true), scores, _classes(scores))
        if mask is not None:
            mask = fitted_mask(mask, scores.shape[:-1])
            # A mark such as -100 where the mask leaves labels out would be not-a-number, and 0 times it too.
            first = keras.ops.cast(keras.ops.arange(rows.shape[-1]) == 0, rows.dtype)
            rows = keras.ops.where(keras.ops.expand_dims(mask, -1), rows, first)
            known = at_hand(mask)
            if known is not None:
                _refuse_numbers_without_a_class(y_true, scores, known)
        return super().__call__(rows, y_pred, sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of every example, without weights and reduction."""
        return self._loss(_one_hot(y_true, y_pred, _classes(y_pred)), y_pred)

    @abc.abstractmethod
    def _loss(self, one_hot: Any, scores: Any) -> Any: ...

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "loss": keras.saving.serialize_keras_object(self.loss),
            "dtype": self.dtype,
        }


@keras.saving.register_keras_serializable(package="keras_layers")
class OneVersusRest(MulticlassMarginLoss):
    """The sum over the classes k of `psi(y_k f_k)`, with y_k = 1 for the right class and -1 for the others.

    Args:
        loss: a margin loss, or its name. Default "l1_hinge".
        reduction: as of every Keras loss. Default "sum_over_batch_size".
        name: default "one_versus_rest_" and the name of the loss.
        dtype: in which to compute. Default `keras.config.floatx()`.

    Input shape:
        Predictions (N, ..., classes) of at least two classes; labels (N, ...) or (N, ..., 1), numbers of classes, or
        (N, ..., classes), one-hot.

    Output shape:
        With `reduction=None` (N, ...).

    Raises:
        ValueError: if `loss` is no margin loss, or the shapes do not fit.

    Example:
        >>> float(OneVersusRest("l1_hinge")([2], [[-1.0, 0.0, 0.5]]))
        1.5

    Reference:
        Rifkin and Klautau, "In Defense of One-Vs-All Classification" (2004).
    """

    _prefix = "one_versus_rest"

    def _loss(self, one_hot: Any, scores: Any) -> Any:
        return keras.ops.sum(self.loss.value((2 * one_hot - 1) * scores), axis=-1)


@keras.saving.register_keras_serializable(package="keras_layers")
class CrammerSinger(MulticlassMarginLoss):
    """psi of the margin of the right class over its strongest rival: `psi(f_y - max over k != y of f_k)`.

    Defined for the losses that more agreement never makes larger: all but `L2MarginLoss`. With the hinge it is
    scikit-learn's multi-class `hinge_loss`; `keras.losses.CategoricalHinge` differs in that no rival counts less than
    0. At a tie of rivals the gradient is the backend's.

    Args:
        loss: a margin loss, or its name. Default "l1_hinge".
        reduction: as of every Keras loss. Default "sum_over_batch_size".
        name: default "crammer_singer_" and the name of the loss.
        dtype: in which to compute. Default `keras.config.floatx()`.

    Input shape:
        Predictions (N, ..., classes) of at least two classes; labels (N, ...) or (N, ..., 1), numbers of classes, or
        (N, ..., classes), one-hot.

    Output shape:
        With `reduction=None` (N, ...).

    Raises:
        ValueError: if `loss` is no margin loss or grows with the agreement, or the shapes do not fit.

    Example:
        >>> float(CrammerSinger("l1_hinge")([2], [[-1.0, 0.0, 0.5]]))
        0.5

    Reference:
        Crammer and Singer, "On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines" (2001).
    """

    _prefix = "crammer_singer"

    def __init__(
        self,
        loss: Any = "l1_hinge",
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(loss, reduction, name, dtype)
        if not self.loss.properties.non_increasing:
            raise ValueError(
                "Expected a loss that more agreement never makes larger. "
                f"Received {self.loss.name!r}, which punishes a large margin; OneVersusRest takes it."
            )

    def _loss(self, one_hot: Any, scores: Any) -> Any:
        right = keras.ops.sum(one_hot * scores, axis=-1)
        rivals = keras.ops.where(one_hot > 0, keras.ops.full_like(scores, -np.inf), scores)
        return self.loss.value(right - keras.ops.max(rivals, axis=-1))


def _classes(scores: Any) -> int:
    classes = scores.shape[-1] if len(scores.shape) > 1 else None
    if classes is None or classes < 2:
        raise ValueError(f"Expected predictions (..., classes) of at least two. Received {tuple(scores.shape)}.")
    return classes


def _refuse_numbers_without_a_class(labels: Any, scores: Any, mask: np.ndarray | None = None) -> None:
    """Raises a `ValueError` for numbers outside of 0 to classes - 1 that a mask keeps, if they are a NumPy array."""
    classes = _classes(scores)
    if not isinstance(labels, np.ndarray) or (labels.ndim == len(scores.shape) and labels.shape[-1] != 1):
        return
    if mask is not None:
        labels = labels.reshape(labels.shape[: mask.ndim])
        labels = labels[np.broadcast_to(mask, labels.shape)]
    wrong = labels[~np.isin(labels, np.arange(classes))]
    if wrong.size:
        raise ValueError(f"Expected labels to be numbers of classes, 0 to {classes - 1}. Received {wrong.flat[0]}.")


def _one_hot(labels: Any, scores: Any, classes: int) -> Any:
    """Rows of 0 and 1; not-a-number for a label that is none."""
    rank, last = len(labels.shape), labels.shape[-1] if len(labels.shape) else None
    nan = keras.ops.full_like(scores, float("nan"))
    if rank == len(scores.shape) and last == classes:
        chosen = aligned(keras.ops.cast(keras.ops.equal(labels, 1), scores.dtype), scores)
        known = keras.ops.equal(keras.ops.sum(chosen, axis=-1, keepdims=True), 1)
        return keras.ops.where(known, chosen, nan)
    if rank == len(scores.shape) and last == 1:
        labels = keras.ops.squeeze(labels, -1)
    elif rank != len(scores.shape) - 1:
        raise ValueError(
            "Expected labels as numbers of classes (N, ...) or (N, ..., 1), or one-hot in the shape of the "
            f"predictions. Received labels {tuple(labels.shape)} and predictions {tuple(scores.shape)}."
        )
    numbers = keras.ops.arange(classes, dtype=labels.dtype)
    chosen = keras.ops.cast(keras.ops.equal(keras.ops.expand_dims(labels, -1), numbers), scores.dtype)
    if any(None not in (one, other) and one != other for one, other in zip(chosen.shape, scores.shape, strict=True)):
        raise ValueError(
            f"Expected a label for each prediction. Received labels {tuple(labels.shape)} and predictions "
            f"{tuple(scores.shape)}."
        )
    chosen = aligned(chosen, scores)
    known = keras.ops.equal(keras.ops.sum(chosen, axis=-1, keepdims=True), 1)
    return keras.ops.where(known, chosen, nan)
