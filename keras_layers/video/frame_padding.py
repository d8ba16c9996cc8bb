"""Frames before the first and after the last, like them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation


@keras.saving.register_keras_serializable(package="keras_layers")
class FramePadding(keras.layers.Layer):
    """Repeats the first frame before a clip and the last one behind it.

    `outputs[t] = inputs[min(max(t - before, 0), frames - 1)]`. A clip in which nothing moves stays one.

    Args:
        before: frames before the first. Default 1.
        after: frames behind the last. Default 1.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.

    Input shape:
        (batch, frames, height, width, channels); every axis may be None.

    Output shape:
        (batch, before + frames + after, height, width, channels), in the compute dtype.

    Raises:
        ValueError: for a number of frames that is negative, or an input that is not of rank 5.

    Example:
        >>> clip = keras.ops.reshape(keras.ops.arange(3.0), (1, 3, 1, 1, 1))
        >>> keras.ops.convert_to_numpy(keras.ops.reshape(FramePadding(2, 1)(clip), (-1,)))
        array([0., 0., 0., 1., 2., 2.], dtype=float32)

    Reference:
        None: with it a network of images inflated over time answers a still clip as it did the image, where zeros
        before the first frame and behind the last would dim it (see `inflate`).
    """

    def __init__(self, before: int = 1, after: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self.before = _count(before, "before")
        self.after = _count(after, "after")

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any) -> Any:
        first, last = inputs[:, :1], inputs[:, -1:]
        return ops.concatenate([first] * self.before + [inputs] + [last] * self.after, axis=1)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        batch, frames, *rest = validation.clip_shape(input_shape)
        return (batch, None if frames is None else self.before + frames + self.after, *rest)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "before": self.before, "after": self.after}


def _count(value: Any, name: str) -> int:
    return 0 if value == 0 and not isinstance(value, bool) else validation.positive_integer(value, name)
