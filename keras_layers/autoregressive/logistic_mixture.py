"""Log-probabilities of ordered levels under a mixture of logistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation
from keras_layers.autoregressive.gating import fixed_channels

# Logarithm of the scale, the range of the levels being 2: at the least a component is one level.
LEAST_LOG_SCALE, LARGEST_LOG_SCALE = -7.0, 3.0


@keras.saving.register_keras_serializable(package="keras_layers")
class LogisticMixture(keras.layers.Layer):
    """Logits of `levels` ordered values from few parameters: a mixture of logistics, rounded to the levels.

    With the levels at v_l = 2 l / (levels - 1) - 1, d = 1 / (levels - 1), F the distribution function of a logistic,
    and all mass beyond the first and the last level at these two:

        logits_l = log sum_m softmax(a)_m (F((v_l + d - mu_m) / s_m) - F((v_l - d - mu_m) / s_m))

    They are logarithms of probabilities that sum to 1, so a loss for logits, and a sampler of logits, take them as they
    are. A softmax over the levels learns each by itself; here neighbours are alike from the start.

    Args:
        levels: how many values, at least 2. Default 256.
        **kwargs: `name` and `dtype`, as of every Keras layer. It computes in float32 under every dtype policy but
            float64's; the outputs are of the compute dtype.

    Input shape:
        (..., 3 * components): the a_m, then the mu_m, then the logarithms of the s_m, clipped to -7 and 3.

    Output shape:
        (..., levels).

    Raises:
        ValueError: if `levels` is no integer of at least 2, or the last axis of the input no multiple of 3.

    Example:
        >>> logits = LogisticMixture(levels=256)(keras.ops.zeros((2, 100, 30)))
        >>> tuple(logits.shape)
        (2, 100, 256)

    Reference:
        Salimans et al., "PixelCNN++" (2017), section 2.1; as the output of a WaveNet in van den Oord et al., "Parallel
        WaveNet" (2018), section 2.1.
    """

    def __init__(self, levels: int = 256, **kwargs: Any):
        super().__init__(**kwargs)
        self.levels = validation.positive_integer(levels, "levels")
        if self.levels < 2:
            raise ValueError(f"Expected `levels` to be at least 2. Received {levels}.")

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any) -> Any:
        wide = keras.backend.result_type(inputs.dtype, "float32")
        weights, means, scales = ops.split(ops.cast(inputs, wide)[..., None], 3, axis=-2)
        inverse = ops.exp(-ops.clip(scales, LEAST_LOG_SCALE, LARGEST_LOG_SCALE))
        half = 1.0 / (self.levels - 1)
        # The borders between the levels, and how far below each is the one before.
        borders = (2.0 * ops.arange(self.levels - 1, dtype=wide) + 1.0) * half - 1.0
        places = (borders - means) * inverse
        below, above = ops.log_sigmoid(places), ops.log_sigmoid(-places)
        # log (F(b) - F(a)) = log F(b) + log (1 - F(a)) + log (1 - e^(a - b)), which no rounding makes log 0.
        width = ops.log(-ops.expm1(-2.0 * half * inverse))
        inner = below[..., 1:] + above[..., :-1] + width
        each = ops.concatenate([below[..., :1], inner, above[..., -1:]], axis=-1)
        return ops.cast(ops.logsumexp(each + ops.log_softmax(weights, axis=-2), axis=-2), self.compute_dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        channels = fixed_channels(input_shape, len(tuple(input_shape)), "(..., 3 * components)")
        if channels % 3:
            raise ValueError(f"Expected an input of shape (..., 3 * components). Received {tuple(input_shape)}.")
        return (*input_shape[:-1], self.levels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": self.levels}
