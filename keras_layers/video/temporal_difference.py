"""The change from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_layers import validation


@keras.saving.register_keras_serializable(package="keras_layers")
class TemporalDifference(keras.layers.Layer):
    """Every frame less the one before it: what moves stays, what stands still vanishes.

    `outputs[:, t] = inputs[:, t + 1] - inputs[:, t]`

    Put in front of a network of clips it makes the "RGB difference" modality, which helps where the videos are few and
    their backgrounds tell the class by accident. It has no weights and no arguments.

    Args:
        **kwargs: `name` and `dtype`, as of every Keras layer.

    Input shape:
        (batch, frames, height, width, channels), at least 2 frames; every axis may be None.

    Output shape:
        (batch, frames - 1, height, width, channels), in the compute dtype.

    Raises:
        ValueError: for an input that is not of rank 5 or has fewer than 2 frames.

    Example:
        >>> tuple(TemporalDifference()(keras.ops.zeros((1, 16, 112, 112, 3))).shape)
        (1, 15, 112, 112, 3)

    Reference:
        Wang et al., "Temporal Segment Networks" (2016), section 3.2, "RGB difference".
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.input_spec = keras.layers.InputSpec(ndim=5)

    def call(self, inputs: Any) -> Any:
        return inputs[:, 1:] - inputs[:, :-1]

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        batch, frames, *rest = validation.clip_shape(input_shape)
        if frames is not None and frames < 2:
            raise ValueError(f"Expected clips of at least 2 frames. Received {frames}.")
        return (batch, None if frames is None else frames - 1, *rest)

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)
