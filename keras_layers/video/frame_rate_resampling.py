"""A clip at a lower frame rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_layers import validation


@keras.saving.register_keras_serializable(package="keras_layers")
class FrameRateResampling(keras.layers.Layer):
    """Keeps one frame in `rate`, spread evenly from the first frame to the last.

    `y[i] = x[floor(i * (T - 1) / (n - 1))]` for i = 0 .. n - 1, with T frames and `n = T / rate`.

    This is how the published SlowFast networks see their clips: the last frame is always among those kept, and the
    steps between are `rate` or one more. (Taking every `rate`-th frame from the first is `x[:, ::rate]`.)

    Args:
        rate: number of frames for one that is kept.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.

    Input shape:
        (batch, frames, ...), of rank 2 or more; every axis may be None. The frames must be a multiple of `rate`.

    Output shape:
        (batch, frames / rate, ...), in the compute dtype.

    Raises:
        ValueError: for a `rate` that is not a positive integer, or a number of frames that it does not divide.

    Example:
        >>> layer = FrameRateResampling(4)
        >>> keras.ops.convert_to_numpy(layer(keras.ops.arange(16.0)[None]))
        array([[ 0.,  5., 10., 15.]], dtype=float32)

    Reference:
        Feichtenhofer et al., "SlowFast Networks for Video Recognition" (2019), section 3.1.
    """

    def __init__(self, rate: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate = validation.positive_integer(rate, "rate")

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any) -> Any:
        frames = inputs.shape[1]
        if frames is not None:
            # Built for any number of frames, it sees here for the first time how many there are.
            self.compute_output_shape(inputs.shape)
            return keras.ops.take(inputs, resampled_frames(frames, self.rate), axis=1)
        frames = keras.ops.shape(inputs)[1]
        count = frames // self.rate
        steps = keras.ops.arange(count, dtype="int32")
        return keras.ops.take(inputs, steps * (frames - 1) // keras.ops.maximum(count - 1, 1), axis=1)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        if len(input_shape) < 2:
            raise ValueError(f"Expected an input of shape (batch, frames, ...). Received shape {tuple(input_shape)}.")
        batch, frames, *rest = input_shape
        if frames is not None and (frames % self.rate or frames < 1):
            raise ValueError(f"Expected a multiple of {self.rate} frames. Received {frames}.")
        return (batch, None if frames is None else frames // self.rate, *rest)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}


def resampled_frames(frames: int, rate: int) -> list[int]:
    """Positions of the frames that `FrameRateResampling` keeps."""
    count = frames // rate
    return [step * (frames - 1) // max(count - 1, 1) for step in range(count)]
