"""The mean of the means of all windows of a feature map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_layers import validation


@keras.saving.register_keras_serializable(package="keras_layers")
class WindowedAveragePooling3D(keras.layers.Layer):
    """Mean over all positions of a window, of the means in the window.

    `y = mean_(t, i, j) mean_(c < temporal_window; a, b < window) x[t + c, i + a, j + b]`, windows one step apart. An
    axis shorter than the window is taken whole; where all are at most as long this is the mean of all positions.

    It is what a network with a head of `window` x `window` answers on larger images when it is applied fully
    convolutionally and its outputs are averaged: positions near the border lie in fewer windows and count for less.

    Args:
        window: height and width of the window. Default 7, the last feature map of an image of 224.
        temporal_window: its length in time. Default 1, with which every frame counts the same.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.

    Input shape:
        (batch, frames, height, width, channels); every axis may be None.

    Output shape:
        (batch, channels), in the compute dtype.

    Raises:
        ValueError: for a window that is not a positive integer, or an input that is not of rank 5.

    Example:
        >>> layer = WindowedAveragePooling3D(2)
        >>> row = keras.ops.reshape(keras.ops.array([0.0, 3.0, 0.0]), (1, 1, 1, 3, 1))
        >>> keras.ops.convert_to_numpy(layer(row))
        array([[1.5]], dtype=float32)

    Reference:
        Feichtenhofer et al., "SlowFast Networks for Video Recognition" (2019), section 4: trained on crops of 224,
        tested on crops of 256.
    """

    def __init__(self, window: int = 7, temporal_window: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self.window = validation.positive_integer(window, "window")
        self.temporal_window = validation.positive_integer(temporal_window, "temporal_window")

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any) -> Any:
        features = self._mean_over_time(inputs)
        sizes = inputs.shape[2:4]
        if all(size is not None and size <= self.window for size in sizes):
            return keras.ops.mean(features, axis=(1, 2))
        rows, columns = (self._shares(features, axis, self.window) for axis in (1, 2))
        return keras.ops.sum(features * rows[:, None, None] * columns[:, None], axis=(1, 2))

    def _mean_over_time(self, inputs: Any) -> Any:
        window, size = self.temporal_window, inputs.shape[1]
        if window == 1 or (size is not None and size <= window):
            return keras.ops.mean(inputs, axis=1)
        return keras.ops.sum(inputs * self._shares(inputs, 1, window)[:, None, None, None], axis=1)

    def _shares(self, features: Any, axis: int, window: int) -> Any:
        """For each position along an axis, the share of the elements of all windows that it is."""
        size = keras.ops.shape(features)[axis]
        window = keras.ops.minimum(window, size)
        count = size - window + 1
        position = keras.ops.arange(size, dtype="int32")
        windows = keras.ops.minimum(keras.ops.minimum(position + 1, size - position), keras.ops.minimum(window, count))
        total = keras.ops.cast(window * count, features.dtype)
        return keras.ops.cast(windows, features.dtype) / total

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        validation.clip_shape(input_shape)
        return (input_shape[0], input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "window": self.window, "temporal_window": self.temporal_window}
