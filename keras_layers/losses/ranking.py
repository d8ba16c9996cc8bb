"""The loss of a wrong order."""

from __future__ import annotations

import math
import numbers
from typing import Any

import keras
from keras import ops

from keras_layers.losses.labels import as_arrays

_FORMS = (
    "Expected scores (batch, 1 + negatives), vectors (batch, 2 + negatives, channels) of user, positive and negatives, "
    "or (batch, 2, 2 + negatives, channels), the vectors to score by and those to keep small"
)


@keras.saving.register_keras_serializable(package="keras_layers")
class BPR(keras.losses.Loss):
    """Bayesian personalised ranking: an item that a user chose scores above one that the user did not choose.

    `loss = mean over the negatives of softplus(negative - positive) + l2 / 2 * sum of the squares of the vectors`

    The squares are those of the batch's own vectors, the user's, the positive's and the negatives': what is not in the
    batch is not pulled to 0. The mean over a batch is LightGCN's `l2 * 0.5 * sum of squares / batch`.

    Args:
        l2: weight of the squares; above 0 it needs vectors. Default 0.0.
        reduction: as of every Keras loss. Default "sum_over_batch_size".
        name: default "bpr".
        dtype: in which to compute. Default `keras.config.floatx()`.

    Input shape:
        Labels are not looked at. Predictions are, by their rank:

        - scores (batch, 1 + negatives), the positive first;
        - vectors (batch, 2 + negatives, channels) of the user, the positive and the negatives; a score is the inner
          product of user and item;
        - (batch, 2, 2 + negatives, channels): first the vectors to score by, as propagated over a graph, then the
          embeddings they come from, whose squares count.

    Output shape:
        With `reduction=None` (batch,).

    Raises:
        ValueError: for an `l2` below 0, predictions of other shapes, or scores with an `l2` above 0.

    Example:
        >>> round(float(BPR()([0.0], [[2.0, 1.0]])), 4)
        0.3133

    Reference:
        Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback" (2009), section 4.
    """

    def __init__(
        self,
        l2: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "bpr",
        dtype: Any = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if isinstance(l2, bool) or not isinstance(l2, numbers.Real) or not 0 <= l2 < math.inf:
            raise ValueError(f"Expected `l2` to be a number of at least 0. Received {l2!r}.")
        self.l2 = float(l2)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return super().__call__(*as_arrays(y_true, y_pred), sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of every example, without weights and reduction."""
        shape = tuple(y_pred.shape)
        # Which axis counts scores or vectors, and how many there are at least.
        axis, least = {2: (1, 2), 3: (1, 3), 4: (2, 3)}.get(len(shape), (None, None))
        too_few = axis is None or (shape[axis] is not None and shape[axis] < least)
        if too_few or (len(shape) == 4 and shape[1] != 2):
            raise ValueError(f"{_FORMS}. Received predictions of shape {shape}.")
        if len(shape) == 2:
            if self.l2:
                raise ValueError(f"Expected vectors with an l2 of {self.l2}. Received scores of shape {shape}.")
            return _disorder(y_pred)
        scoring, kept_small = (y_pred[:, 0], y_pred[:, 1]) if len(shape) == 4 else (y_pred, y_pred)
        loss = _disorder(ops.sum(scoring[:, :1] * scoring[:, 1:], axis=-1))
        return loss + 0.5 * self.l2 * ops.sum(ops.square(kept_small), axis=(1, 2)) if self.l2 else loss

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "l2": self.l2, "dtype": self.dtype}


def _disorder(scores: Any) -> Any:
    return ops.mean(ops.softplus(scores[:, 1:] - scores[:, :1]), axis=-1)
