"""Clips long and large enough for a network of any lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_layers import validation

AXES = ("frames", "height", "width")


@keras.saving.register_keras_serializable(package="keras_layers")
class MinimumLengths(keras.layers.Layer):
    """Passes clips on, and refuses those that are too short or too small: `y = x`.

    A network of fixed lengths is refused when it is made, if nothing would be left at its end. One of free lengths
    meets its clips only when it is called, and would fail somewhere inside, in the words of a kernel. Where lengths are
    not known even then (in a graph of free lengths) nothing is checked.

    Args:
        minimum: least frames, height and width, or one number for all.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.

    Input shape:
        (batch, frames, height, width, channels); every axis may be None.

    Output shape:
        As the input, in the compute dtype.

    Raises:
        ValueError: for a `minimum` that is not three positive integers, or a clip below it.

    Example:
        >>> layer = MinimumLengths((2, 4, 4))
        >>> layer(keras.ops.ones((1, 2, 4, 5, 3))).shape == (1, 2, 4, 5, 3)
        True

    Reference:
        None: it computes nothing.
    """

    def __init__(self, minimum: int | Sequence[int], **kwargs: Any):
        super().__init__(**kwargs)
        self.minimum = validation.positive_integers(minimum, len(AXES), "minimum")

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any) -> Any:
        self.compute_output_shape(inputs.shape)
        return keras.ops.cast(inputs, self.compute_dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        if len(input_shape) != 5:
            raise ValueError(
                "Expected an input of shape (batch, frames, height, width, channels). "
                f"Received shape {tuple(input_shape)}."
            )
        for axis, length, least in zip(AXES, input_shape[1:4], self.minimum, strict=True):
            if length is not None and length < least:
                unit = "frames" if axis == "frames" else f"pixels of {axis}"
                raise ValueError(f"Expected clips of at least {least} {unit}. Received {length}.")
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "minimum": list(self.minimum)}
