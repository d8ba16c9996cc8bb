"""Code vectors that now and then are those of the neighbour in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation


@keras.saving.register_keras_serializable(package="keras_layers")
class TimeJitter(keras.layers.Layer):
    """In training, each vector of a sequence is replaced by a neighbour in time with probability p; never otherwise.

    y[t] = x[t - 1] with probability p / 2, x[t + 1] with probability p / 2, x[t] else

    independently for every example and time; at either end, where one neighbour is missing, the vector itself takes its
    place. It keeps a decoder from leaning on the exact place of a code, and an encoder from telling in one code what
    the neighbours do not know.

    Args:
        probability: p, of at least 0 and less than 1. Default 0.12.
        seed: of the random numbers; None for another every time. Default None.
        **kwargs: `name` and `dtype`, as of every Keras layer.

    Call arguments:
        inputs: the sequence.
        training: whether vectors are replaced.

    Input shape:
        (batch, time, channels); batch and time may be None.

    Output shape:
        That of the input, in the compute dtype.

    Raises:
        ValueError: for a probability out of range, or an input that is not of rank 3.

    Example:
        >>> layer = TimeJitter(0.5, seed=1)
        >>> tuple(layer(keras.ops.ones((2, 10, 4)), training=True).shape)
        (2, 10, 4)

    Reference:
        Chorowski et al., "Unsupervised Speech Representation Learning Using WaveNet Autoencoders" (2019), section 2.4.
    """

    def __init__(self, probability: float = 0.12, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.probability = validation.fraction(probability, "probability")
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        self.compute_output_shape(inputs.shape)
        if not training or self.probability == 0.0:
            return inputs
        numbers = keras.random.uniform(ops.shape(inputs)[:2], seed=self.seed_generator)[..., None]
        earlier = ops.concatenate([inputs[:, :1], inputs[:, :-1]], axis=1)
        later = ops.concatenate([inputs[:, 1:], inputs[:, -1:]], axis=1)
        jittered = ops.where(numbers < self.probability / 2, earlier, inputs)
        return ops.where(numbers >= 1.0 - self.probability / 2, later, jittered)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        if len(tuple(input_shape)) != 3:
            raise ValueError(f"Expected an input of shape (batch, time, channels). Received {tuple(input_shape)}.")
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "probability": self.probability, "seed": self.seed}
