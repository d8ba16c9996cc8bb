"""Keys of earlier batches, to be told apart from those of this one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation


@keras.saving.register_keras_serializable(package="keras_layers")
class KeyQueue(keras.layers.Layer):
    """Similarities of every query to its own key, in column 0, and to the keys in a queue, which are of other examples.

    `outputs = [sum(query * key), query . key_1, ..., query . key_size]`

    In training the keys of the batch then take the place of the oldest keys in the queue. Queries and keys of norm 1
    make the similarities cosines. Keys and queue have no gradient. The queue begins with random keys of norm near 1.
    It belongs to one replica: `tf.distribute` with several is another algorithm.

    Args:
        size: keys in the queue, at least as many as a batch has. Default 16384.
        seed: of the random keys at the start. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer. The queue is float32 under every policy.

    Input shape:
        A list of queries (batch, channels) and keys (batch, channels).

    Output shape:
        (batch, 1 + size), in the compute dtype.

    Raises:
        ValueError: if `size` is no positive integer, for inputs of other shapes or without a fixed number of channels,
            or for a batch larger than the queue.

    Example:
        >>> queue = KeyQueue(size=32)
        >>> vectors = keras.ops.ones((4, 8))
        >>> tuple(queue([vectors, vectors], training=True).shape)
        (4, 33)
        >>> int(queue.position)
        4

    Reference:
        He et al., "Momentum Contrast for Unsupervised Visual Representation Learning" (2020), algorithm 1.
    """

    def __init__(self, size: int = 16384, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.size = validation.positive_integer(size, "size")
        self.seed = seed
        self.queue = None
        self.position = None

    def build(self, input_shape: Sequence[Sequence[int | None]]) -> None:
        self.compute_output_shape(input_shape)
        channels = input_shape[0][-1]
        if channels is None:
            raise ValueError(f"Expected queries with a fixed number of channels. Received shapes {input_shape}.")
        bound = math.sqrt(3 / channels)
        self.queue = self.add_weight(
            shape=(self.size, channels),
            initializer=keras.initializers.RandomUniform(-bound, bound, seed=self.seed),
            dtype="float32",
            trainable=False,
            autocast=False,
            name="queue",
        )
        self.position = self.add_weight(shape=(), initializer="zeros", dtype="int32", trainable=False, name="position")

    def call(self, inputs: Sequence[Any], training: bool | None = None) -> Any:
        queries, keys = inputs
        keys = ops.stop_gradient(keys)
        # A copy: the gradient of the queries needs the keys that were there before this batch's.
        earlier = ops.stop_gradient(ops.cast(ops.copy(self.queue), queries.dtype))
        own = ops.sum(queries * keys, axis=-1, keepdims=True)
        outputs = ops.concatenate([own, ops.matmul(queries, ops.transpose(earlier))], axis=-1)
        if training:
            self._enqueue(keys)
        return outputs

    def _enqueue(self, keys: Any) -> None:
        count = ops.shape(keys)[0]
        rows = (self.position + ops.arange(count, dtype="int32")) % self.size
        keys = ops.cast(keys, "float32")
        self.queue.assign(ops.scatter_update(ops.copy(self.queue), ops.expand_dims(rows, -1), keys))
        self.position.assign((self.position + count) % self.size)

    def compute_output_shape(self, input_shape: Sequence[Sequence[int | None]]) -> tuple[int | None, ...]:
        ranks = [len(shape) if isinstance(shape, Sequence) else 0 for shape in input_shape]
        if ranks != [2, 2] or input_shape[0][-1] != input_shape[1][-1]:
            raise ValueError(
                f"Expected queries (batch, channels) and keys (batch, channels). Received shapes {input_shape}."
            )
        batch = input_shape[0][0]
        if batch is not None and batch > self.size:
            raise ValueError(f"Expected batches of at most {self.size}, the size of the queue. Received {batch}.")
        return (batch, 1 + self.size)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size, "seed": self.seed}
