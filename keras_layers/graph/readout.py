"""From the nodes of graphs to the graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation
from keras_layers.graph.aggregation import AGGREGATIONS, fixed_channels, reduce_segments
from keras_layers.sublayers import keep_frozen


class _Readout(keras.layers.Layer):
    """What the readouts share: how nodes are pooled, and how many graphs there are."""

    def __init__(self, pooling: str, graphs: int | None, **kwargs: Any):
        super().__init__(**kwargs)
        self.pooling = validation.one_of(pooling, AGGREGATIONS, "pooling")
        self.graphs = None if graphs is None else validation.positive_integer(graphs, "graphs")

    def build(self, input_shape: Sequence[Sequence[int | None]]) -> None:
        # A compiler must know how many rows come out.
        self.supports_jit = self.compute_output_shape(input_shape)[0] is not None or len(input_shape[-1]) == 2

    def pool(self, features: Any, membership: Any) -> Any:
        """Pools the nodes of each graph; a graph without nodes answers 0."""
        if len(features.shape) == 2:
            graphs = ops.max(membership) + 1 if self.graphs is None else self.graphs
            return reduce_segments(features, membership, graphs, self.pooling)
        mask = ops.expand_dims(ops.cast(membership, "bool"), -1)
        if self.pooling == "max":
            lowest = ops.min(features) - 1
            largest = ops.max(ops.where(mask, features, lowest), axis=1)
            return ops.where(ops.any(mask, axis=1), largest, ops.zeros_like(largest))
        total = ops.sum(ops.where(mask, features, ops.zeros_like(features)), axis=1)
        if self.pooling == "sum":
            return total
        # In half precision a count stops at 256 or 2048.
        count = ops.maximum(ops.sum(ops.cast(mask, "float32"), axis=1), 1)
        return total / ops.cast(count, total.dtype)

    def pooled_shape(self, features: Sequence[int | None], membership: Sequence[int | None]) -> tuple[int | None, ...]:
        """The shape of what `pool` returns.

        Raises:
            ValueError: if the shapes are none that it takes.
        """
        ranks = tuple(len(shape) if isinstance(shape, Sequence) else 0 for shape in (features, membership))
        if ranks == (2, 1):
            return (self.graphs, features[-1])
        if ranks == (3, 2):
            return (features[0], features[-1])
        raise ValueError(
            "Expected features (nodes, channels) and the graph of each node (nodes,), or features (batch, nodes, "
            f"channels) and a mask (batch, nodes). Received shapes {features} and {membership}."
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pooling": self.pooling, "graphs": self.graphs}


@keras.saving.register_keras_serializable(package="keras_layers")
class GraphReadout(_Readout):
    """The sum, mean or maximum of the features of each graph's nodes.

    Args:
        pooling: "sum" (default), "mean" or "max".
        graphs: number of graphs in a list of nodes. Default None, one more than the largest number of a graph; the
            backends that compile for fixed shapes (JAX, XLA) need to be told.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.

    Input shape:
        A list of features (nodes, channels) and the number of each node's graph (nodes,), integers from 0, negative for
        padding; or of features (batch, nodes, channels) and a mask (batch, nodes), 0 for padded nodes.

    Output shape:
        (graphs, channels) or (batch, channels), in the compute dtype. A graph without nodes answers 0.

    Raises:
        ValueError: for an argument out of range, or inputs of other shapes.

    Example:
        >>> graph_of_node = keras.ops.convert_to_tensor([0, 0, 1])
        >>> GraphReadout("mean")([keras.ops.convert_to_tensor([[1.0], [3.0], [5.0]]), graph_of_node]).numpy().tolist()
        [[2.0], [5.0]]

    Reference:
        Xu et al., "How Powerful are Graph Neural Networks?" (2019), section 4.2.
    """

    def __init__(self, pooling: str = "sum", graphs: int | None = None, **kwargs: Any):
        super().__init__(pooling, graphs, **kwargs)

    def call(self, inputs: Sequence[Any]) -> Any:
        features, membership = inputs
        return self.pool(features, membership)

    def compute_output_shape(self, input_shape: Sequence[Sequence[int | None]]) -> tuple[int | None, ...]:
        if len(input_shape) != 2:
            raise ValueError(f"Expected two inputs, features and membership. Received shapes {input_shape}.")
        return self.pooled_shape(*input_shape)


@keras.saving.register_keras_serializable(package="keras_layers")
class JumpingKnowledgeReadout(_Readout):
    """Reads graphs out of the features of every depth of a network: of the input and after each convolution.

    `outputs = sum over the depths of dropout(dense_depth(pool of the features of that depth))`

    or, without `units`, the pools of all depths side by side.

    Args:
        units: width of the dense layer that each depth has. Default None, no dense layers: pools side by side.
        pooling: "sum" (default), "mean" or "max".
        dropout: share of each depth's outputs left out in training, only with `units`. Default 0.0.
        graphs: as of `GraphReadout`.
        kernel_initializer: of every kernel. Default "glorot_uniform".
        kernel_regularizer: of every kernel. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.

    Input shape:
        A list of the features of each depth, each as `GraphReadout` takes them, and behind them what says which graph
        or whether a node is real.

    Output shape:
        (graphs, units) or (batch, units); without `units` the channels of all depths together. In the compute dtype.

    Raises:
        ValueError: for an argument out of range, or inputs of other shapes or without a fixed number of channels.

    Example:
        >>> depths = [keras.ops.ones((5, 7)), keras.ops.ones((5, 64)), keras.ops.ones((5, 64))]
        >>> graph_of_node = keras.ops.convert_to_tensor([0, 0, 1, 1, 1])
        >>> tuple(JumpingKnowledgeReadout(2)([*depths, graph_of_node]).shape)
        (2, 2)
        >>> tuple(JumpingKnowledgeReadout()([*depths, graph_of_node]).shape)
        (2, 135)

    Reference:
        Xu et al., "How Powerful are Graph Neural Networks?" (2019), equation 4.2, as its authors' code has it.
    """

    def __init__(
        self,
        units: int | None = None,
        pooling: str = "sum",
        dropout: float = 0.0,
        graphs: int | None = None,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(pooling, graphs, **kwargs)
        self.units = None if units is None else validation.positive_integer(units, "units")
        self.dropout = validation.fraction(dropout, "dropout")
        if self.dropout and self.units is None:
            raise ValueError(f"Expected `dropout` only with `units`. Received dropout={dropout} and no units.")
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.denses: list[keras.layers.Dense] = []
        self.drop = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy, name="drop") if self.dropout else None

    def build(self, input_shape: Sequence[Sequence[int | None]]) -> None:
        *depths, _ = [tuple(shape) for shape in input_shape]
        super().build(input_shape)
        channels = [fixed_channels(shape) for shape in depths]
        if self.units is not None:
            self.denses = [self._dense(number) for number in range(len(depths))]
            for dense, width in zip(self.denses, channels, strict=True):
                dense.build((None, width))
        keep_frozen(self)

    def _dense(self, number: int) -> keras.layers.Dense:
        initializer = self.kernel_initializer
        return keras.layers.Dense(
            self.units,
            # One instance without a seed draws the same numbers at every call.
            kernel_initializer=initializer.clone() if hasattr(initializer, "clone") else initializer,
            kernel_regularizer=self.kernel_regularizer,
            dtype=self.dtype_policy,
            name=f"dense_{number}",
        )

    def call(self, inputs: Sequence[Any], training: bool | None = None) -> Any:
        *depths, membership = inputs
        pools = [self.pool(features, membership) for features in depths]
        if self.units is None:
            return ops.concatenate(pools, axis=-1)
        outputs = None
        for dense, pool in zip(self.denses, pools, strict=True):
            score = dense(pool)
            if self.drop is not None:
                score = self.drop(score, training=training)
            outputs = score if outputs is None else outputs + score
        return outputs

    def compute_output_shape(self, input_shape: Sequence[Sequence[int | None]]) -> tuple[int | None, ...]:
        *depths, membership = input_shape
        if not depths or not isinstance(membership, Sequence):
            raise ValueError(
                "Expected a list of the features of each depth and, last, the graph of each node or a mask. "
                f"Received shapes {input_shape}."
            )
        shapes = [self.pooled_shape(features, membership) for features in depths]
        widths = [shape[-1] for shape in shapes]
        together = None if None in widths else sum(widths)
        return (shapes[0][0], together if self.units is None else self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }
