"""Draws Gaussian latents, and adds what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation


@keras.saving.register_keras_serializable(package="keras_layers")
class GaussianSampling(keras.layers.Layer):
    """Draws latents from the Gaussians that an encoder names, and adds their divergence from the standard normal.

    The first half of the channels is the mean m, the second the logarithm of the variance v:

        z = m + sqrt(v) * noise                               in training; z = m otherwise
        loss: weight * mean over the batch of sum (m^2 + v - log v - 1) / 2

    The sum is the Kullback-Leibler divergence KL(N(m, v) || N(0, 1)) of all latents of an example, in nats. The
    gradient goes through the noise (reparameterisation).

    Args:
        weight: of the divergence in the loss. Default 1.0; 1 over the numbers of an image where the likelihood is a
            mean over them.
        seed: of the noise. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer. The divergence is at least float32 under
            every policy.

    Input shape:
        (batch, ..., 2 * channels).

    Output shape:
        (batch, ..., channels), in the compute dtype.

    Raises:
        ValueError: if `weight` is no number of at least 0, or the last axis of the input is not even.

    Example:
        >>> tuple(GaussianSampling()(keras.ops.zeros((2, 7, 7, 32))).shape)
        (2, 7, 7, 16)

    Reference:
        Kingma and Welling, "Auto-Encoding Variational Bayes" (2013), section 2.4 and appendix B.
    """

    def __init__(self, weight: float = 1.0, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.weight = validation.non_negative_number(weight, "weight")
        self.seed = seed
        self.noise = keras.random.SeedGenerator(seed)
        # A variance may lie beyond the range of half precision.
        self.autocast = False

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        mean, logarithm = ops.split(_wide(inputs), 2, axis=-1)
        self.add_loss(self.weight * ops.mean(self.divergence(inputs)))
        return ops.cast(self._drawn(mean, logarithm) if training else mean, self.compute_dtype)

    def sample(self, inputs: Any, seed: Any = None) -> Any:
        """Latents drawn from the Gaussians of `inputs`, whether or not in training; adds no loss.

        Args:
            inputs: as of the layer.
            seed: an integer or a `keras.random.SeedGenerator`. Default the layer's own.
        """
        return ops.cast(self._drawn(*ops.split(_wide(inputs), 2, axis=-1), seed=seed), self.compute_dtype)

    def divergence(self, inputs: Any) -> Any:
        """KL(N(m, v) || N(0, 1)) of each example, in nats: (batch,), float32 or wider."""
        mean, logarithm = ops.split(_wide(inputs), 2, axis=-1)
        each = 0.5 * (ops.square(mean) + ops.exp(logarithm) - logarithm - 1.0)
        return ops.sum(each, axis=tuple(range(1, len(each.shape))))

    def _drawn(self, mean: Any, logarithm: Any, seed: Any = None) -> Any:
        noise = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=self.noise if seed is None else seed)
        return mean + ops.exp(0.5 * logarithm) * noise

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        shape = tuple(input_shape)
        if len(shape) < 2 or shape[-1] is None or shape[-1] % 2:
            raise ValueError(
                f"Expected an input of {self.name!r} of shape (batch, ..., channels) with an even number of channels. "
                f"Received shape {shape}."
            )
        return (*shape[:-1], shape[-1] // 2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight, "seed": self.seed}


def _wide(inputs: Any) -> Any:
    inputs = ops.convert_to_tensor(inputs)
    return ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
