"""Code books made of the first batch: some of its vectors, or the means that k-means finds in it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops

from keras_layers.quantization.search import count_codes, nearest, sum_by_code

KMEANS_ITERATIONS = 10
# Of the root mean square of the vectors, between codes that had to be made of the same vector.
JITTER = 0.01


def sample(vectors: Any, numbers: Any, mask: Any | None = None) -> Any:
    """Vectors of a batch as codes: one of each of `codes` equal stretches of the batch, so that none is taken twice.

    A batch with fewer vectors than codes gives some of them several times, a little apart.

    Args:
        vectors: (positions, heads, dimension).
        numbers: random, at least 0 and less than 1, (heads, codes).
        mask: (positions,), True for the vectors to choose from; None for all.

    Returns:
        (heads, codes, dimension). Any vectors if the mask is False everywhere.
    """
    heads, codes = numbers.shape
    dimension = vectors.shape[-1]
    if mask is None:
        valid = ops.cast(ops.shape(vectors)[0], "float32")
    else:
        ranks_so_far = ops.cumsum(ops.cast(mask, "int32"))
        valid = ops.cast(ranks_so_far[-1], "float32")
    ranks = ops.floor((ops.arange(codes, dtype="float32") + numbers) * (valid / codes))
    ranks = ops.cast(ops.clip(ranks, 0.0, ops.maximum(valid - 1.0, 0.0)), "int32")
    if mask is not None:
        found = ops.searchsorted(ranks_so_far, ops.reshape(ranks + 1, (-1,)), side="left")
        last = ops.shape(vectors)[0] - 1
        ranks = ops.reshape(ops.minimum(ops.cast(found, "int32"), last), (heads, codes))
    chosen = ops.stack([ops.take(vectors[:, head], ranks[head], axis=0) for head in range(heads)])
    # Waves whose phases are the random numbers: apart in direction too, which is what counts for the cosine.
    waves = ops.cos(numbers[:, :, None] * np.arange(1, dimension + 1, dtype="float32") * (2 * math.pi))
    size = ops.sqrt(ops.mean(ops.square(chosen)))
    return chosen + ops.where(valid < codes, JITTER * size, 0.0) * waves


def kmeans(vectors: Any, codes: Any, mask: Any | None = None) -> Any:
    """Ten iterations of Lloyd's algorithm from given codes; a code that no vector chooses stays.

    Args:
        vectors: (positions, heads, dimension).
        codes: to begin with, (heads, codes, dimension).
        mask: (positions,), True for the vectors that count; None for all.
    """
    number = codes.shape[1]

    def iteration(_: Any, means: Any) -> Any:
        indices, _ = nearest(vectors, means, with_errors=False)
        counts = count_codes(indices, number, mask)[:, :, None]
        sums = sum_by_code(vectors, indices, number, mask)
        return ops.where(counts > 0, sums / ops.maximum(counts, 1.0), means)

    return ops.fori_loop(0, KMEANS_ITERATIONS, iteration, codes)
