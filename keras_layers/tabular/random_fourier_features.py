"""A Gaussian kernel as features."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import keras

from keras_layers import validation

# TensorFlow draws with seeds of 32 bits.
LARGEST_SEED = 2**31 - 1


@keras.saving.register_keras_serializable(package="keras_layers")
class RandomFourierFeatures(keras.layers.Layer):
    """Features whose products approximate the Gaussian kernel `exp(-|x - z|^2 / (2 bandwidth^2))`.

    `sqrt(2 / features) cos(x W / bandwidth + b)`, with W drawn from the normal distribution and b evenly from 0 to
    2 pi; neither is trained. A linear model on them is a kernel machine.

    Args:
        features: number of features; the error of the kernel falls with its square root.
        bandwidth: of the kernel, above 0. Default 1.0.
        seed: of W and b, an integer from 0 to 2^31 - 1. Default 0.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.

    Input shape:
        (batch, ..., inputs).

    Output shape:
        (batch, ..., features), in the compute dtype.

    Raises:
        ValueError: if `features` is not a positive integer, `bandwidth` not above 0, or `seed` no integer in its range.

    Example:
        >>> layer = RandomFourierFeatures(4096, bandwidth=2.0)
        >>> x = layer(keras.ops.array([[0.0, 0.0], [2.0, 0.0]]))
        >>> round(float(keras.ops.sum(x[0] * x[1])), 1)  # exp(-1/2) = 0.607
        0.6

    Reference:
        Rahimi and Recht, "Random Features for Large-Scale Kernel Machines" (2007).
    """

    def __init__(self, features: int, bandwidth: float = 1.0, seed: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.features = validation.positive_integer(features, "features")
        self.bandwidth = validation.positive_number(bandwidth, "bandwidth")
        if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or not 0 <= seed <= LARGEST_SEED:
            raise ValueError(f"Expected `seed` to be an integer from 0 to {LARGEST_SEED}. Received {seed!r}.")
        self.seed = int(seed)

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], self.features),
            initializer=keras.initializers.RandomNormal(stddev=1.0, seed=self.seed),
            trainable=False,
        )
        self.phase = self.add_weight(
            name="phase",
            shape=(self.features,),
            initializer=keras.initializers.RandomUniform(0.0, 2 * math.pi, seed=self.seed + 1),
            trainable=False,
        )

    def call(self, inputs: Any) -> Any:
        angle = keras.ops.matmul(inputs / self.bandwidth, self.kernel) + self.phase
        return math.sqrt(2 / self.features) * keras.ops.cos(angle)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.features)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "features": self.features,
            "bandwidth": self.bandwidth,
            "seed": self.seed,
        }
