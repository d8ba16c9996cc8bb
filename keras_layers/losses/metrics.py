"""Margin losses as metrics."""

from __future__ import annotations

from typing import Any

import keras

from keras_layers.losses.labels import mask_of
from keras_layers.losses.margin import MarginLoss
from keras_layers.losses.multiclass import MulticlassMarginLoss
from keras_layers.losses.registry import get


@keras.saving.register_keras_serializable(package="keras_layers")
class MarginMetric(keras.metrics.Mean):
    """The mean of a margin loss over everything seen, each example with its weight.

    Args:
        loss: a margin loss or a multi-class form of one, or its name: "zero_one" is the share of mistakes.
        name: default the name of the loss.
        dtype: of the sums. Default `keras.config.floatx()`.

    Input shape:
        As of the loss.

    Output shape:
        A scalar.

    Raises:
        ValueError: if there is no such loss, or it is no margin loss.

    Example:
        >>> metric = MarginMetric("zero_one")
        >>> metric.update_state([1, 0, 1, 0], [0.5, -0.5, 2.0, 1.0])
        >>> float(metric.result())
        0.25
    """

    def __init__(self, loss: Any, name: str | None = None, dtype: Any = None):
        self.loss = get(loss)
        if not isinstance(self.loss, MarginLoss | MulticlassMarginLoss):
            raise ValueError(f"Expected `loss` to be a margin loss or a multi-class form of one. Received {loss!r}.")
        super().__init__(name=name or self.loss.name, dtype=dtype)
        self._unreduced = type(self.loss).from_config({**self.loss.get_config(), "reduction": None})
        self._direction = "down"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds examples."""
        values = self._unreduced(y_true, y_pred)
        mask = mask_of(y_pred)
        if mask is not None:
            mask = keras.ops.cast(mask, self.dtype)
            if sample_weight is not None:
                sample_weight = keras.ops.cast(sample_weight, self.dtype)
                if len(sample_weight.shape) == len(mask.shape) + 1 and sample_weight.shape[-1] == 1:
                    sample_weight = keras.ops.squeeze(sample_weight, -1)
                mask = mask * sample_weight
            sample_weight = mask
        super().update_state(values, sample_weight=sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, "loss": keras.saving.serialize_keras_object(self.loss)}
