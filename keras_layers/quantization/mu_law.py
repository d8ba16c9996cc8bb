"""Mu-law: the levels of a telephone, fine near silence and coarse where it is loud."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation


def mu_law_encode(waveform: Any, levels: int = 256) -> Any:
    """Levels of a waveform: `round((sign(x) ln(1 + mu |x|) / ln(1 + mu) + 1) mu / 2)`, mu = levels - 1.

    Args:
        waveform: floats between -1 and 1; what lies beyond is taken for the nearest of the two.
        levels: at least 2. Default 256.

    Returns:
        int32 of the same shape, at least 0 and less than `levels`.

    Raises:
        ValueError: for fewer than 2 levels.

    Example:
        >>> keras.ops.convert_to_numpy(mu_law_encode([-1.0, 0.0, 0.01, 1.0])).tolist()
        [0, 128, 157, 255]

    Reference:
        ITU-T G.711 without its segments, as in van den Oord et al., "WaveNet" (2016), section 2.2.
    """
    mu = float(_checked(levels) - 1)
    x = ops.clip(ops.cast(waveform, "float32"), -1.0, 1.0)
    # Not log1p, which LiteRT does not have; its last digits are far below a level.
    compressed = ops.sign(x) * ops.log(1.0 + mu * ops.absolute(x)) / math.log1p(mu)
    # Floor of a half more: the rounding of a half to even would tell the two signs apart.
    return ops.cast(ops.floor((compressed + 1.0) * (mu / 2) + 0.5), "int32")


def mu_law_decode(codes: Any, levels: int = 256) -> Any:
    """The waveform of levels: `sign(y) ((1 + mu)^|y| - 1) / mu` with `y = 2 level / mu - 1`, mu = levels - 1.

    Args:
        codes: integers of at least 0 and less than `levels`.
        levels: at least 2. Default 256.

    Returns:
        float32 of the same shape, between -1 and 1.

    Raises:
        ValueError: for fewer than 2 levels.

    Example:
        >>> keras.ops.convert_to_numpy(mu_law_decode([0, 255])).round(3).tolist()
        [-1.0, 1.0]
    """
    mu = float(_checked(levels) - 1)
    y = ops.cast(codes, "float32") * (2.0 / mu) - 1.0
    return ops.sign(y) * ops.expm1(ops.absolute(y) * math.log1p(mu)) / mu


def _checked(levels: Any) -> int:
    if validation.positive_integer(levels, "levels") < 2:
        raise ValueError(f"Expected `levels` to be at least 2. Received {levels}.")
    return int(levels)


@keras.saving.register_keras_serializable(package="keras_layers")
class MuLaw(keras.layers.Layer):
    """The mu-law level of every sample of a waveform: `mu_law_encode` as a layer.

    It has no weights, computes in float32 under every dtype policy, and lets no gradient pass.

    Args:
        levels: at least 2. Default 256.
        **kwargs: `name` and `dtype`, as of every Keras layer.

    Input shape:
        Any, of floats between -1 and 1.

    Output shape:
        That of the input, int32.

    Raises:
        ValueError: for fewer than 2 levels.

    Example:
        >>> keras.ops.convert_to_numpy(MuLaw()(keras.ops.array([[-1.0, 0.0, 0.01, 1.0]]))).tolist()
        [[0, 128, 157, 255]]

    Reference:
        van den Oord et al., "WaveNet: A Generative Model for Raw Audio" (2016), section 2.2.
    """

    def __init__(self, levels: int = 256, **kwargs: Any):
        super().__init__(**{"autocast": False, **kwargs})
        self.levels = _checked(levels)

    def call(self, inputs: Any) -> Any:
        return mu_law_encode(inputs, self.levels)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, dtype="int32")

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": self.levels}
