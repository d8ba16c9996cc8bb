"""What a node receives from its neighbours, and a graph from its nodes, for lists of edges and dense batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

AGGREGATIONS = ("sum", "mean", "max")


def check_structure(shapes: Sequence[Sequence[int | None]], most: int = 3) -> None:
    """Raises a `ValueError` unless `shapes` are those of features, edges or adjacency, and perhaps a mask.

    Args:
        shapes: of the inputs of a layer.
        most: how many inputs the layer takes; 3 with a mask.
    """
    ranks = tuple(len(shape) if isinstance(shape, Sequence) else 0 for shape in shapes)
    forms = ((2, 2), (3, 3), (2, 2, 1), (3, 3, 2))
    fits = ranks in forms and len(ranks) <= most
    if fits and ranks[0] == 2:
        fits = shapes[1][-1] == 2
    elif fits:
        fits = len({length for length in (shapes[0][1], *shapes[1][1:]) if length is not None}) <= 1
    if not fits:
        raise ValueError(
            "Expected features (nodes, channels) and edges (edges, 2), or features (batch, nodes, channels) and an "
            f"adjacency (batch, nodes, nodes){', each perhaps with a mask of the nodes' if most == 3 else ''}. "
            f"Received {shapes}."
        )


def fixed_channels(shape: Sequence[int | None]) -> int:
    """The last axis of a shape.

    Raises:
        ValueError: if it is None.
    """
    if shape[-1] is None:
        raise ValueError(f"Expected features with a fixed number of channels. Received shape {tuple(shape)}.")
    return shape[-1]


def aggregate(features: Any, structure: Any, aggregation: str) -> Any:
    """What every node receives from its neighbours; nothing is 0.

    Args:
        features: (nodes, channels) or (batch, nodes, channels).
        structure: edges (edges, 2) of integers, source and target, where an edge of a negative node is padding; or an
            adjacency (batch, nodes, nodes) whose entry (i, j) is the weight with which node i receives from j.
        aggregation: "sum", "mean" (the sum over the number of edges, or over the sum of the weights) or "max" (of
            every entry that is not 0, whatever its weight).
    """
    if len(features.shape) == 2:
        sources, targets = structure[:, 0], structure[:, 1]
        received = ops.take(features, ops.maximum(sources, 0), axis=0)
        targets = ops.where(sources < 0, sources, targets)
        return reduce_segments(received, targets, ops.shape(features)[0], aggregation)
    if aggregation == "max":
        return _dense_maximum(features, structure)
    total = ops.matmul(structure, features)
    return total if aggregation == "sum" else _divided(total, ops.sum(structure, axis=-1))


def degrees(features: Any, structure: Any) -> tuple[Any, Any]:
    """How many edges, or which weight, leaves and reaches every node, in float32.

    Args:
        features: as `aggregate` takes them; only for their shape.
        structure: as `aggregate` takes it.
    """
    if len(features.shape) == 2:
        sources, targets = structure[:, 0], structure[:, 1]
        real = ops.cast(ops.logical_and(sources >= 0, targets >= 0), "float32")
        nodes = ops.shape(features)[0]
        return tuple(_sum_segments(real, ends, nodes) for ends in (sources, targets))
    structure = ops.cast(structure, "float32")
    return ops.sum(structure, axis=-2), ops.sum(structure, axis=-1)


def reduce_segments(values: Any, segments: Any, count: Any, reduction: str) -> Any:
    """The sum, mean or maximum of the rows of every segment; of a segment without rows 0.

    Args:
        values: (rows, channels).
        segments: (rows,) of integers below `count`; rows of a negative segment are left out.
        count: number of segments.
        reduction: "sum", "mean" or "max".
    """
    if reduction == "sum":
        return _sum_segments(values, segments, count)
    rows = _sum_segments(ops.ones_like(values[:, 0], dtype="float32"), segments, count)
    if reduction == "mean":
        return _divided(_sum_segments(values, segments, count), rows)
    largest = ops.segment_max(values, ops.maximum(segments, -1) + 1, count + 1)[1:]
    return ops.where(ops.expand_dims(rows, -1) > 0, largest, ops.zeros_like(largest))


def _sum_segments(values: Any, segments: Any, count: Any) -> Any:
    # In half precision a sum stops growing long before a hub's neighbours are all in it.
    wide = ops.cast(values, keras.backend.result_type(values.dtype, "float32"))
    # Segment 0 collects what is left out: negative segments are an error on one backend and count from the end on
    # another.
    return ops.cast(ops.segment_sum(wide, ops.maximum(segments, -1) + 1, count + 1)[1:], values.dtype)


def _divided(total: Any, weight: Any) -> Any:
    weight = ops.expand_dims(ops.cast(weight, total.dtype), -1)
    return ops.where(weight != 0, total / ops.where(weight != 0, weight, ops.ones_like(weight)), ops.zeros_like(total))


def _dense_maximum(features: Any, adjacency: Any) -> Any:
    linked = ops.expand_dims(ops.not_equal(adjacency, 0), -1)
    candidates = ops.expand_dims(features, 1)
    lowest = ops.min(features) - 1
    largest = ops.max(ops.where(linked, candidates, lowest), axis=2)
    return ops.where(ops.any(linked, axis=2), largest, ops.zeros_like(largest))
