"""The loss that tells a pair from others."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_layers import validation
from keras_layers.losses.labels import as_arrays


@keras.saving.register_keras_serializable(package="keras_layers")
class InfoNCE(keras.losses.Loss):
    """Cross-entropy of finding the right candidate by its similarity.

    `loss = -log(exp(s_right / temperature) / sum over the candidates j of exp(s_j / temperature))`

    Two ways to call it, told apart by the shapes:

    - similarities to the candidates as predictions, and the column of the right one as label: what
      `MomentumContrast` makes, with the label 0;
    - queries as predictions and their keys as labels: the similarities are the inner products, and the candidates of a
      query are the keys of the whole batch. Gradients reach both.

    Args:
        temperature: divides the similarities. Default 0.07.
        symmetric: of queries and keys, the mean of the loss and of the one with queries and keys exchanged. Default
            False.
        reduction: as of every Keras loss. Default "sum_over_batch_size".
        name: default "info_nce".
        dtype: in which to compute. Default `keras.config.floatx()`.

    Input shape:
        Predictions (batch, candidates) and labels (batch,) or (batch, 1), integers; or predictions (batch, channels)
        and labels of that shape, of more than one channel.

    Output shape:
        With `reduction=None` (batch,).

    Raises:
        ValueError: for a temperature that is not above 0, inputs of other shapes, or `symmetric` with columns as
            labels.

    Example:
        >>> round(float(InfoNCE(temperature=1.0)([0], [[2.0, 0.0, 0.0]])), 4)
        0.2395

    Reference:
        van den Oord et al., "Representation Learning with Contrastive Predictive Coding" (2018), equation 4.
    """

    def __init__(
        self,
        temperature: float = 0.07,
        symmetric: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "info_nce",
        dtype: Any = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.temperature = validation.positive_number(temperature, "temperature")
        self.symmetric = bool(symmetric)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return super().__call__(*as_arrays(y_true, y_pred), sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of every example, without weights and reduction."""
        true, predicted = tuple(y_true.shape), tuple(y_pred.shape)
        if len(predicted) == 2 and len(true) == 2 and true[-1] == predicted[-1] and true[-1] != 1:
            return self._among_the_batch(y_true, y_pred)
        if len(predicted) != 2 or (len(true) != 1 and (len(true) != 2 or true[-1] != 1)):
            raise ValueError(
                "Expected predictions (batch, candidates) and the column of the right one (batch,), or queries (batch, "
                f"channels) and keys of the same shape. Received predictions {predicted} and labels {true}."
            )
        if self.symmetric:
            raise ValueError("Expected queries and keys with symmetric=True. Received columns as labels.")
        return self._cross_entropy(ops.cast(ops.reshape(y_true, (-1,)), "int32"), y_pred)

    def _among_the_batch(self, keys: Any, queries: Any) -> Any:
        similarities = ops.matmul(queries, ops.transpose(keys))
        columns = ops.arange(ops.shape(queries)[0], dtype="int32")
        loss = self._cross_entropy(columns, similarities)
        if self.symmetric:
            loss = (loss + self._cross_entropy(columns, ops.transpose(similarities))) / 2
        return loss

    def _cross_entropy(self, columns: Any, similarities: Any) -> Any:
        return ops.sparse_categorical_crossentropy(columns, similarities / self.temperature, from_logits=True)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "symmetric": self.symmetric,
            "dtype": self.dtype,
        }
