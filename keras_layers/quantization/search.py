"""Nearest codes, what chose each code, and gradients past the choice, in memory that a few positions need."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

# Scores (positions x heads x codes) that are held at a time: 4 MB, which stay in the cache of a processor.
SCORES = 2**20


def nearest(vectors: Any, codebook: Any, with_errors: bool = True) -> tuple[Any, Any]:
    """The code nearest to every vector, found without a matrix of all vectors by all codes.

    `argmin_k ||x - e_k||^2 = argmax_k 2 x.e_k - ||e_k||^2`, over chunks of the vectors.

    Args:
        vectors: float (positions, heads, dimension); positions may be free.
        codebook: (heads, codes, dimension).
        with_errors: whether the second result is wanted.

    Returns:
        Indices, int32 (positions, heads), and squared distances summed over the heads, (positions,), or None. A vector
        that is not finite has some index in range, and a distance that is not finite.
    """
    heads, codes, dimension = codebook.shape
    kernels = [ops.transpose(codebook[head]) * 2.0 for head in range(heads)]
    biases = [-ops.sum(ops.square(codebook[head]), axis=-1) for head in range(heads)]
    table = ops.reshape(codebook, (heads * codes, dimension))

    def part(some: Any) -> tuple[Any, ...]:
        columns = [ops.reshape(some, (-1, dimension))] if heads == 1 else [some[:, head] for head in range(heads)]
        chosen = [
            # Bounded, because the order of scores that are NaN is nobody's.
            ops.clip(_first_largest(ops.add(ops.matmul(column, kernel), bias)), 0, codes - 1)
            for column, kernel, bias in zip(columns, kernels, biases, strict=True)
        ]
        indices = ops.cast(chosen[0] if heads == 1 else ops.concatenate(chosen, axis=-1), "int32")
        if not with_errors:
            return (indices,)
        found = ops.take(table, rows_of(indices, codes), axis=0)
        return indices, ops.sum(ops.square(some - found), axis=(1, 2))

    results = in_chunks(part, vectors, max(1, SCORES // (heads * codes)))
    return results if with_errors else (results[0], None)


def _first_largest(scores: Any) -> Any:
    """Index of the largest score of every row, of equal ones the first: (rows, 1)."""
    if keras.backend.backend() == "tensorflow":
        # `ops.argmax` of floats leaves operations in the graph that LiteRT does not have.
        return ops.top_k(scores, 1)[1]
    return ops.argmax(scores, axis=-1, keepdims=True)


def in_chunks(part: Any, vectors: Any, chunk: int) -> tuple[Any, ...]:
    """What `part` makes of vectors, a tuple of tensors with as many rows, computed for `chunk` rows at a time."""
    length = vectors.shape[0]
    if length is not None and length <= chunk:
        return part(vectors)
    length = ops.shape(vectors)[0]
    size = min(chunk, length) if isinstance(length, int) else ops.minimum(chunk, length)
    number = -(-length // chunk) if isinstance(length, int) else ops.maximum(1, (length + chunk - 1) // chunk)
    # All parts are of one size: the last begins earlier, and what it finds a second time is dropped.
    starts = ops.minimum(ops.arange(number, dtype="int32") * chunk, length - size)
    rest = tuple(vectors.shape[1:])
    results = ops.map(lambda start: part(ops.slice(vectors, (start, *(0 for _ in rest)), (size, *rest))), starts)

    def joined(parts: Any) -> Any:
        flat = ops.reshape(parts, (-1, *parts.shape[2:]))
        kept = (number - 1) * chunk
        return ops.concatenate([flat[:kept], flat[number * size - (length - kept) :]], axis=0)

    return tuple(joined(parts) for parts in results)


def rows_of(indices: Any, codes: int) -> Any:
    """Rows in the table (heads * codes, dimension) of all code books: of indices (..., heads), the same shape."""
    heads = indices.shape[-1]
    return indices if heads == 1 else indices + ops.arange(0, heads * codes, codes, dtype="int32")


def look_up(codebook: Any, indices: Any) -> Any:
    """Vectors (..., heads, dimension) of indices (..., heads) in a code book (heads, codes, dimension)."""
    heads, codes, dimension = codebook.shape
    return ops.take(ops.reshape(codebook, (heads * codes, dimension)), rows_of(indices, codes), axis=0)


def count_codes(indices: Any, codes: int, weights: Any | None = None, dtype: str = "float32") -> Any:
    """How often every code stands in indices (positions, heads): (heads, codes), each counted with the weight of its
    position, (positions,)."""
    heads = indices.shape[-1]
    rows = ops.reshape(rows_of(indices, codes), (-1,))
    if weights is None:
        ones = ops.ones_like(rows, dtype=dtype)
    else:
        ones = ops.reshape(ops.repeat(ops.cast(weights, dtype)[:, None], heads, axis=1), (-1,))
    return ops.reshape(ops.segment_sum(ones, rows, num_segments=heads * codes), (heads, codes))


def sum_by_code(vectors: Any, indices: Any, codes: int, mask: Any | None = None) -> Any:
    """Sums (heads, codes, dimension) of the vectors (positions, heads, dimension) that chose each code.

    Vectors where `mask` (positions,) is False are left out, whatever they hold.
    """
    _, heads, dimension = vectors.shape
    rows = rows_of(indices, codes)
    if mask is not None:
        rows = ops.where(mask[:, None], rows, heads * codes)
    sums = ops.segment_sum(
        ops.reshape(vectors, (-1, dimension)), ops.reshape(rows, (-1,)), num_segments=heads * codes + 1
    )
    return ops.reshape(sums[:-1], (heads, codes, dimension))


def straight_through(inputs: Any, outputs: Any) -> Any:
    """`outputs`, with the gradient of the identity to `inputs` and none to `outputs`.

    Unlike `inputs + stop_gradient(outputs - inputs)` it costs no arithmetic, and is exact in any precision.
    """

    @ops.custom_gradient
    def replace(inputs, outputs):
        def gradient(*arguments, upstream=None):
            # PyTorch names the gradient and gives the arguments of the forward pass instead.
            if upstream is None:
                (upstream,) = arguments
            return upstream, ops.zeros_like(upstream)

        return ops.cast(outputs, inputs.dtype), gradient

    return replace(inputs, outputs)


def total_error(vectors: Any, found: Any, errors: Any, mask: Any | None = None) -> Any:
    """`sum_i ||vectors_i - found_i||^2` of squared distances that are known already.

    The gradient, `2 (vectors_i - found_i)`, goes to `vectors` alone, and is 0 where the mask is False, whatever the
    vector holds.

    Args:
        vectors, found: (positions, heads, dimension).
        errors: squared distances, (positions,), 0 where the mask is False.
        mask: (positions,), True for the positions that count; None for all.
    """

    flags = ops.ones((1,)) if mask is None else ops.cast(mask, vectors.dtype)

    @ops.custom_gradient
    def total(vectors, found, errors, flags):
        def gradient(*arguments, upstream=None):
            if upstream is None:
                (upstream,) = arguments
            to_vectors = 2.0 * upstream * (vectors - found)
            if mask is not None:
                to_vectors = ops.where(ops.reshape(flags, (-1, 1, 1)) > 0, to_vectors, 0.0)
            return to_vectors, *(ops.zeros_like(fixed) for fixed in (found, errors, flags))

        return ops.sum(errors), gradient

    return total(vectors, ops.stop_gradient(found), ops.stop_gradient(errors), flags)
