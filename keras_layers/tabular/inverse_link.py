"""The probability that a proper margin loss makes of a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_layers.losses import MarginLoss, get


@keras.saving.register_keras_serializable(package="keras_layers")
class InverseLink(keras.layers.Layer):
    """P(y = 1 | x) of which a score is the minimiser of a loss: `psi'(-f) / (psi'(f) + psi'(-f))`.

    Args:
        loss: a margin loss whose `properties.proper` is true, or its name.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.

    Input shape:
        Scores of any shape.

    Output shape:
        The same, from 0 to 1, in the compute dtype.

    Raises:
        ValueError: if there is no such loss, or its scores do not tell the probability.

    Example:
        >>> keras.ops.convert_to_numpy(InverseLink("modified_huber")(keras.ops.array([-2.0, 0.0, 0.5])))
        array([0.  , 0.5 , 0.75], dtype=float32)

    Reference:
        Reid and Williamson, "Composite Binary Losses" (2010).
    """

    def __init__(self, loss: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.loss = get(loss)
        if not isinstance(self.loss, MarginLoss) or not self.loss.properties.proper:
            raise ValueError(
                f"Expected `loss` to be a margin loss whose scores tell the probability. Received {self.loss.name!r}."
            )

    def call(self, inputs: Any) -> Any:
        return self.loss.inverse_link(inputs)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "loss": keras.saving.serialize_keras_object(self.loss)}
