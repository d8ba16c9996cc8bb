"""A table of vectors of which a step touches a few rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_layers import validation


@keras.saving.register_keras_serializable(package="keras_layers")
class RowEmbedding(keras.layers.Layer):
    """The rows of a table that are asked for, read without reading the table.

    `outputs[...] = table[inputs[...]]`

    `keras.layers.Embedding` reads the whole table first. That costs nothing until an optimizer updates single rows:
    then TensorFlow copies the table at every read, and the time of a step grows with the table, not with the batch.
    This layer reads rows alone; its gradient names the rows (`tf.IndexedSlices`). On other backends both do the same.

    Args:
        rows: how many vectors.
        channels: length of each.
        initializer: of the table. Default "uniform", as of `keras.layers.Embedding`.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.

    Input shape:
        Any; integers from 0 to rows - 1. Others are an error, or not-a-number, as the backend has it.

    Output shape:
        `(*input_shape, channels)`, in the compute dtype.

    Raises:
        ValueError: if `rows` or `channels` is no positive integer, or the inputs are no integers.

    Example:
        >>> layer = RowEmbedding(rows=5, channels=3)
        >>> tuple(layer(keras.ops.convert_to_tensor([[0, 4]])).shape)
        (1, 2, 3)
    """

    def __init__(self, rows: int, channels: int, initializer: Any = "uniform", **kwargs: Any):
        super().__init__(**kwargs)
        self.rows = validation.positive_integer(rows, "rows")
        self.channels = validation.positive_integer(channels, "channels")
        self.initializer = keras.initializers.get(initializer)
        # Indices are not to be rounded to half precision.
        self.autocast = False

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.table = self.add_weight(shape=(self.rows, self.channels), initializer=self.initializer, name="table")

    def call(self, inputs: Any) -> Any:
        if not keras.backend.is_int_dtype(inputs.dtype):
            raise ValueError(f"Expected integers. Received inputs of dtype {inputs.dtype}.")
        # Only a variable of TensorFlow reads rows by itself.
        read = getattr(self.table.value, "sparse_read", None)
        rows = keras.ops.take(self.table, inputs, axis=0) if read is None else read(inputs)
        return keras.ops.cast(rows, self.compute_dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (*input_shape, self.channels)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rows": self.rows,
            "channels": self.channels,
            "initializer": keras.initializers.serialize(self.initializer),
        }
