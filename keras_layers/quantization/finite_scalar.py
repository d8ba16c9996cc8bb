"""Quantisation without a code book: every channel is rounded to a few levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_layers import validation
from keras_layers.quantization.base import Quantizer
from keras_layers.quantization.search import count_codes, straight_through

# Widens the range a little, so that the outermost levels are reached by finite numbers.
MARGIN = 1e-3
INT32_MAXIMUM = 2**31 - 1
# A count is kept for each code in training; more of them than this are not worth the memory.
COUNTED_CODES = 2**20


@keras.saving.register_keras_serializable(package="keras_layers")
class FiniteScalarQuantizer(Quantizer):
    """Rounds every channel to one of L levels between -1 and 1; the code is the combination of the levels.

    `b = h tanh(z + atanh(o / h)) - o, z_q = round(b) / floor(L / 2)`, `h = (L - 1) (1 + 0.001) / 2`, o = 1/2 for an
    even number of levels and 0 for an odd one. The gradient of the rounding is the identity. There is no code book, no
    loss and nothing to learn.

    Three uses, as of `VectorQuantizer`: `quantizer(z)`, `quantizer.encode(z)` and `quantizer.lookup(indices)`; an index
    counts with the first channel as its lowest digit. In `fit` it logs `<name>_perplexity`, `<name>_epoch_perplexity`
    and `<name>_usage`, of training alone and only with at
    most 2^20 codes.

    Args:
        levels: levels of each channel, at least 2 each; their product is the number of codes, at most 2^31 - 1.
        **kwargs: `name` and `dtype`, as of every Keras layer. It computes in float32 under every policy but float64's.

    Call arguments:
        inputs: see below.
        mask: True for the positions that enter the metrics, as of `VectorQuantizer`.
        training: whether codes are counted.

    Input shape:
        (batch, ..., len(levels)), rank 2 or more; every axis but the last may be None. `lookup`: integers (...).

    Output shape:
        That of the input, in the compute dtype. `encode`: int32 (...). `lookup`: (..., len(levels)).

    Raises:
        ValueError: for levels that are no integers of at least 2 or make too many codes, an input whose last axis is
            not that of the levels, or indices that are no integers or are known and out of range.

    Example:
        >>> quantizer = FiniteScalarQuantizer(levels=(8, 5, 5, 5))
        >>> latents = keras.ops.ones((2, 8, 8, 4))
        >>> tuple(quantizer(latents).shape), tuple(quantizer.encode(latents).shape)
        ((2, 8, 8, 4), (2, 8, 8))

    Reference:
        Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple" (2023), section 3 and appendix A.1.
    """

    def __init__(self, levels: Sequence[int], **kwargs: Any):
        if isinstance(levels, (str, int)) or not isinstance(levels, Sequence) or not levels:
            raise ValueError(f"Expected `levels` to be several integers of at least 2. Received {levels!r}.")
        checked = tuple(validation.positive_integer(level, "levels") for level in levels)
        codes = math.prod(checked)
        if min(checked) < 2 or codes > INT32_MAXIMUM:
            raise ValueError(
                f"Expected `levels` of at least 2 each, whose product is at most 2^31 - 1. Received {levels!r}."
            )
        super().__init__(len(checked), codes, None, **kwargs)
        self.levels = checked
        self.counted = codes <= COUNTED_CODES
        if self.counted:
            self._make_metrics(codes, 1)
        self._sizes = np.array(checked)
        self._halves = self._sizes // 2
        self._bases = np.concatenate([[1], np.cumprod(self._sizes[:-1])])
        self._ranges = (self._sizes - 1) * (1 + MARGIN) / 2
        self._offsets = np.where(self._sizes % 2 == 0, 0.5, 0.0)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Nothing: there are no weights."""

    @property
    def _number_dtype(self) -> str:
        return "float64" if self.variable_dtype == "float64" else "float32"

    def _rounded(self, inputs: Any) -> tuple[Any, Any]:
        """The bounded inputs, and the whole numbers next to them; both from -floor(L / 2) up."""
        shifts, ranges, offsets = (
            ops.convert_to_tensor(numbers, self._number_dtype)
            for numbers in (np.arctanh(self._offsets / self._ranges), self._ranges, self._offsets)
        )
        bounded = ops.tanh(ops.cast(inputs, self._number_dtype) + shifts) * ranges - offsets
        return bounded, ops.round(ops.stop_gradient(bounded))

    def _indices(self, rounded: Any) -> Any:
        halves, bases, highest = (
            ops.convert_to_tensor(numbers, "int32") for numbers in (self._halves, self._bases, self._sizes - 1)
        )
        # Bounded, because what is no number becomes any integer.
        digits = ops.maximum(ops.minimum(ops.cast(rounded, "int32") + halves, highest), 0)
        return ops.sum(digits * bases, axis=-1)

    def _quantize(self, inputs: Any, mask: Any, training: bool | None) -> Any:
        bounded, rounded = self._rounded(inputs)
        if training and self.counted:
            indices = ops.reshape(self._indices(rounded), (-1, 1))
            counts = count_codes(indices, self.code_count, self._flat_mask(mask, inputs))
            self._report(counts, counts)
        halves = ops.convert_to_tensor(self._halves, self._number_dtype)
        return ops.cast(straight_through(bounded, rounded) / halves, self.compute_dtype)

    def _encode(self, inputs: Any) -> Any:
        return self._indices(self._rounded(inputs)[1])

    def _lookup(self, indices: Any) -> Any:
        bases, sizes = (ops.convert_to_tensor(numbers, "int32") for numbers in (self._bases, self._sizes))
        digits = ops.mod(ops.floor_divide(indices[..., None], bases), sizes)
        halves = ops.convert_to_tensor(self._halves, self._number_dtype)
        return ops.cast((ops.cast(digits, self._number_dtype) - halves) / halves, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": list(self.levels)}
