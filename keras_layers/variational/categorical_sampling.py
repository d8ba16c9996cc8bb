"""Draws discrete latents several times, and tells how probable they were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation


@keras.saving.register_keras_serializable(package="keras_layers")
class CategoricalSampling(keras.layers.Layer):
    """Draws codes from the logits that an encoder names, `samples` times for every example.

    `z_s ~ q(z | x) = product over the positions of softmax(logits)`, s = 1, ..., samples, and with them log q(z_s | x).
    Outside of training there is one sample, the most probable codes.

    The samples of an example follow each other on the batch axis, so that a decoder takes them as more examples. Codes
    have no gradient; that of log q goes to the logits (see `vimco_loss`).

    Args:
        samples: how often to draw in training.
        seed: of the draws. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer. Probabilities are at least float32 under
            every policy.

    Input shape:
        (batch, ..., codes): logits, at least one axis of positions.

    Output shape:
        A list: codes, int32 (batch * samples, ...), and log q, (batch, samples), in nats, float32 or wider. Outside of
        training samples is 1.

    Raises:
        ValueError: if `samples` is no positive integer, or for an input of rank less than 3 or without a fixed number
            of codes.

    Example:
        >>> codes, log_q = CategoricalSampling(samples=5)(keras.ops.zeros((2, 7, 7, 16)), training=True)
        >>> tuple(codes.shape), tuple(log_q.shape)
        ((10, 7, 7), (2, 5))

    Reference:
        Mnih and Rezende, "Variational Inference for Monte Carlo Objectives" (2016), section 2.
    """

    def __init__(self, samples: int, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.samples = validation.positive_integer(samples, "samples")
        self.seed = seed
        self.draws = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> list[Any]:
        return self.sample(inputs, self.samples) if training else self._most_probable(inputs)

    def sample(self, inputs: Any, samples: int, seed: Any = None) -> list[Any]:
        """What the layer gives in training, whether or not in training, with another number of samples.

        Args:
            inputs: as of the layer.
            samples: how often to draw.
            seed: an integer or a `keras.random.SeedGenerator`. Default the layer's own.
        """
        log_q = _log_softmax(inputs)
        lengths = ops.shape(inputs)[1:-1]
        flat = ops.reshape(log_q, (-1, inputs.shape[-1]))
        drawn = keras.random.categorical(flat, samples, dtype="int32", seed=self.draws if seed is None else seed)
        # Of the flat table: beside an axis of samples the whole of it would be repeated for each.
        chosen = ops.reshape(ops.take_along_axis(flat, drawn, axis=-1), (-1, *lengths, samples))
        drawn = ops.moveaxis(ops.reshape(drawn, (-1, *lengths, samples)), -1, 1)
        positions = tuple(range(1, len(inputs.shape) - 1))
        return [ops.reshape(drawn, (-1, *lengths)), ops.sum(chosen, axis=positions)]

    def _most_probable(self, inputs: Any) -> list[Any]:
        # `ops.argmax` of floats leaves operations in the graph that LiteRT does not have.
        log_q, codes = ops.top_k(_log_softmax(inputs), 1)
        return [
            ops.cast(codes[..., 0], "int32"),
            ops.sum(log_q[..., 0], axis=tuple(range(1, len(inputs.shape) - 1)))[:, None],
        ]

    def compute_output_shape(
        self, input_shape: Sequence[int | None], training: bool = False
    ) -> list[tuple[int | None, ...]]:
        """Shapes of codes and log q; in training there are more of both."""
        shape = tuple(input_shape)
        if len(shape) < 3 or shape[-1] is None:
            raise ValueError(
                f"Expected an input of {self.name!r} of shape (batch, ..., codes), of rank 3 or more. "
                f"Received shape {shape}."
            )
        samples = self.samples if training else 1
        return [(None if shape[0] is None else shape[0] * samples, *shape[1:-1]), (shape[0], samples)]

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> list[keras.KerasTensor]:
        codes, log_q = self.compute_output_shape(inputs.shape, bool(training))
        wide = keras.backend.result_type(self.compute_dtype, "float32")
        return [keras.KerasTensor(codes, dtype="int32"), keras.KerasTensor(log_q, dtype=wide)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "samples": self.samples, "seed": self.seed}


def _log_softmax(logits: Any) -> Any:
    return ops.log_softmax(ops.cast(logits, keras.backend.result_type(logits.dtype, "float32")), axis=-1)
