"""How evenly, and how much of, a code book is used."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_layers import validation
from keras_layers.quantization.search import count_codes

# Keeps the logarithm of a code never chosen finite; the papers' implementations add the same.
TINY = 1e-10


def perplexity_of(counts: Any) -> Any:
    """`exp(-sum_k p_k log p_k)` along the last axis, p the shares of the counts: 1 where one code alone is chosen, the
    number of codes where all are chosen alike, and 0 where nothing was counted."""
    totals = ops.sum(counts, axis=-1, keepdims=True)
    shares = counts / ops.maximum(totals, 1.0)
    entropy = -ops.sum(shares * ops.log(shares + TINY), axis=-1)
    return ops.where(totals[..., 0] > 0, ops.exp(entropy), 0.0)


class _CodeCounts(keras.metrics.Metric):
    """Counts of the codes since the last reset, over every replica."""

    def __init__(self, codes: int, heads: int = 1, name: str | None = None, dtype: Any = None):
        super().__init__(name=name, dtype=dtype)
        self.codes = validation.positive_integer(codes, "codes")
        self.heads = validation.positive_integer(heads, "heads")
        self.counts = self.add_variable((self.heads, self.codes), "zeros", name="counts")

    def update_state(self, y_true: Any, y_pred: Any = None, sample_weight: Any = None) -> None:
        """Counts indices: those of `y_pred`, as in `compile`, or of `y_true` where they are the only argument.

        Args:
            y_true: integers, or what `compile` gives and nobody looks at.
            y_pred: integers of any shape; with several heads the last axis is that of the heads.
            sample_weight: 0 leaves out what is masked; broadcast over the axes after its own.
        """
        indices = ops.cast(ops.convert_to_tensor(y_true if y_pred is None else y_pred), "int32")
        weights = None
        if sample_weight is not None:
            shape = ops.shape(indices) if self.heads == 1 else ops.shape(indices)[:-1]
            weights = ops.cast(ops.convert_to_tensor(sample_weight), self.dtype)
            weights = ops.reshape(weights, (*ops.shape(weights), *(1 for _ in range(len(shape) - weights.ndim))))
            weights = ops.reshape(ops.broadcast_to(weights, shape), (-1,))
        self.update_counts(count_codes(ops.reshape(indices, (-1, self.heads)), self.codes, weights))

    def update_counts(self, counts: Any) -> None:
        """Adds counts (heads, codes)."""
        self.counts.assign(self.counts + ops.cast(counts, self.counts.dtype))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "codes": self.codes, "heads": self.heads}


@keras.saving.register_keras_serializable(package="keras_layers")
class Perplexity(_CodeCounts):
    """How many codes are used, were they all used alike: the perplexity of all indices since the last reset.

    `exp(-sum_k p_k log p_k)`, p_k the share of code k; averaged over the heads. 0 while nothing was counted.

    Args:
        codes: codes of the code book.
        heads: code books; with more than one the last axis of the indices is theirs.
        name, dtype: as of every Keras metric.

    Raises:
        ValueError: if `codes` or `heads` is no positive integer.

    Example:
        >>> metric = Perplexity(codes=8)
        >>> metric.update_state([[0, 1], [2, 3]])
        >>> round(float(metric.result()), 3)
        4.0

    Reference:
        van den Oord et al., "Neural Discrete Representation Learning" (2017).
    """

    def __init__(self, codes: int, heads: int = 1, name: str = "perplexity", dtype: Any = None):
        super().__init__(codes, heads, name, dtype)

    def result(self) -> Any:
        return ops.mean(perplexity_of(ops.convert_to_tensor(self.counts)))


@keras.saving.register_keras_serializable(package="keras_layers")
class CodebookUsage(_CodeCounts):
    """Share of the codes that were chosen at least once since the last reset; averaged over the heads.

    Args:
        codes: codes of the code book.
        heads: code books; with more than one the last axis of the indices is theirs.
        name, dtype: as of every Keras metric.

    Raises:
        ValueError: if `codes` or `heads` is no positive integer.

    Example:
        >>> metric = CodebookUsage(codes=8)
        >>> metric.update_state([[0, 1], [2, 3]])
        >>> float(metric.result())
        0.5
    """

    def __init__(self, codes: int, heads: int = 1, name: str = "codebook_usage", dtype: Any = None):
        super().__init__(codes, heads, name, dtype)

    def result(self) -> Any:
        return ops.mean(ops.cast(ops.convert_to_tensor(self.counts) > 0, self.dtype))
