"""Propagation over a user-item graph without weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation
from keras_layers.graph.aggregation import aggregate, check_structure, degrees


@keras.saving.register_keras_serializable(package="keras_layers")
class LightGCNPropagation(keras.layers.Layer):
    """The mean of the embeddings of every node after 0, 1, ..., `depth` steps over the normalised graph.

    `x_i <- sum over the edges from j to i of x_j / sqrt(edges to i * edges from j)`, `outputs = mean of all x`

    No weights, no nonlinearity, no edge from a node to itself. What has no edges keeps 1 / (depth + 1) of its
    embedding.

    Args:
        depth: number of steps. Default 3.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.

    Input shape:
        A list of embeddings (nodes, channels) and edges (edges, 2), integers, source and target, negative for padding;
        or of embeddings (batch, nodes, channels) and adjacency (batch, nodes, nodes), whose row i holds what node i
        receives.

    Output shape:
        That of the embeddings, in the compute dtype.

    Raises:
        ValueError: if `depth` is no positive integer, or for inputs of other shapes.

    Example:
        >>> edges = keras.ops.convert_to_tensor([[0, 2], [2, 0], [1, 2], [2, 1]])
        >>> tuple(LightGCNPropagation(depth=2)([keras.ops.ones((3, 64)), edges]).shape)
        (3, 64)

    Reference:
        He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation" (2020), equations
        3 and 4 with alpha = 1 / (K + 1).
    """

    def __init__(self, depth: int = 3, **kwargs: Any):
        super().__init__(**kwargs)
        self.depth = validation.positive_integer(depth, "depth")

    def build(self, input_shape: Sequence[Sequence[int | None]]) -> None:
        self.compute_output_shape(input_shape)

    def call(self, inputs: Sequence[Any]) -> Any:
        embeddings, structure = inputs
        leaving, reaching = (
            ops.cast(_inverse_root(degree), embeddings.dtype) for degree in degrees(embeddings, structure)
        )
        total = state = embeddings
        for _ in range(self.depth):
            state = reaching * aggregate(leaving * state, structure, "sum")
            total = total + state
        return total / (self.depth + 1)

    def compute_output_shape(self, input_shape: Sequence[Sequence[int | None]]) -> tuple[int | None, ...]:
        check_structure(input_shape, most=2)
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "depth": self.depth}


def _inverse_root(degree: Any) -> Any:
    # rsqrt(0) is infinite, and of a node without edges infinity times nothing would be not-a-number.
    degree = ops.expand_dims(degree, -1)
    return ops.where(degree > 0, ops.rsqrt(ops.where(degree > 0, degree, ops.ones_like(degree))), 0.0 * degree)
