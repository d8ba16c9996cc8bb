"""Clips that a network can take, and one line about those that it cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_layers import validation

AXES = ("frames", "height", "width")


# Files of earlier versions call the layer, which only knew the minimum then, by its first name.
@keras.saving.register_keras_serializable(package="keras_layers")
@keras.saving.register_keras_serializable(package="keras_layers", name="MinimumLengths")
class ClipCheck(keras.layers.Layer):
    """Passes clips on, and refuses those that a network cannot take: `y = x`.

    A network of fixed lengths is refused when it is made, if nothing would be left at its end. Its clips come later,
    and one of other lengths or channels would fail somewhere inside, in the words of a kernel and of many lines. Where
    lengths are not known even then (in a graph of free lengths) nothing is checked.

    Args:
        minimum: least frames, height and width, or one number for all. Default 1.
        shape: (frames, height, width, channels) of the clips; None for a length, or for all, where any will do.
        multiple: number that divides the frames. Default 1.
        hints: what to do about clips of other channels, by their number.
        network: its name, for the messages.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.

    Input shape:
        (batch, frames, height, width, channels); every axis may be None.

    Output shape:
        As the input, in the compute dtype.

    Raises:
        ValueError: for an argument out of range, or a clip that does not fit. The message is one line.

    Example:
        >>> layer = ClipCheck((2, 4, 4), multiple=2)
        >>> layer(keras.ops.ones((1, 2, 4, 5, 3))).shape == (1, 2, 4, 5, 3)
        True

    Reference:
        None: it computes nothing.
    """

    def __init__(
        self,
        minimum: int | Sequence[int] = 1,
        shape: Sequence[int | None] | None = None,
        multiple: int = 1,
        hints: Mapping[int, str] | None = None,
        network: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.minimum = validation.positive_integers(minimum, len(AXES), "minimum")
        self.shape = None if shape is None else _shape(shape)
        self.multiple = validation.positive_integer(multiple, "multiple")
        # JSON makes texts of the numbers.
        self.hints = {int(channels): text for channels, text in (hints or {}).items()}
        self.network = network

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any) -> Any:
        self.compute_output_shape(inputs.shape)
        return keras.ops.cast(inputs, self.compute_dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        problem = self._problem(tuple(input_shape))
        if problem:
            of = "" if self.network is None else f" of {self.network!r}"
            error = ValueError(f"Expected clips{of} {problem}")
            # Keras would add the arguments of every layer around it, in many lines, if this did not say that it has.
            error._keras_call_info_injected = True
            raise error
        return tuple(input_shape)

    def _problem(self, received: tuple[int | None, ...]) -> str | None:
        if len(received) != 5:
            return f"to have the shape (batch, frames, height, width, channels). Received shape {received}."
        clip = received[1:]
        if self.shape is not None and None not in (clip[3], self.shape[3]) and clip[3] != self.shape[3]:
            hint = f": {self.hints[clip[3]]}" if clip[3] in self.hints else ""
            return f"to have {self.shape[3]} channels. Received {clip[3]}, in shape {received}{hint}."
        for axis, length, least in zip(AXES, clip[:3], self.minimum, strict=True):
            if length is not None and length < least:
                unit = "frames" if axis == "frames" else f"pixels of {axis}"
                return f"to have at least {least} {unit}. Received {length}."
        if clip[0] is not None and clip[0] % self.multiple:
            return f"to have a multiple of {self.multiple} frames. Received {clip[0]}."
        if self.shape is not None and any(
            None not in pair and pair[0] != pair[1] for pair in zip(clip, self.shape, strict=True)
        ):
            return f"to have the shape {self.shape}. Received {clip}: a network of input_shape={clip} takes it."
        return None

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "minimum": list(self.minimum),
            "shape": None if self.shape is None else list(self.shape),
            "multiple": self.multiple,
            "hints": {str(channels): text for channels, text in self.hints.items()},
            "network": self.network,
        }


def _shape(value: Any) -> tuple[int | None, ...]:
    if not isinstance(value, Sequence) or len(value) != len(AXES) + 1:
        raise ValueError(f"Expected `shape` to be (frames, height, width, channels) or None. Received {value!r}.")
    return tuple(None if length is None else validation.positive_integer(length, "shape") for length in value)
