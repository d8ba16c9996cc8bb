"""The graph convolution that tells apart what the Weisfeiler-Lehman test tells apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation
from keras_layers.graph.aggregation import AGGREGATIONS, aggregate, check_structure, fixed_channels
from keras_layers.precision import float32_variables
from keras_layers.sublayers import keep_frozen


@keras.saving.register_keras_serializable(package="keras_layers")
class GINConv(keras.layers.Layer):
    """Graph isomorphism convolution: a perceptron on each node's features and what it receives from its neighbours.

    `outputs_i = mlp((1 + epsilon) inputs_i + aggregate over the edges from j to i of inputs_j)`

    ```
    nodes --> aggregate --> Dense --> BatchNormalization --> ReLU --> Dense --> BatchNormalization --> ReLU
              + (1 + epsilon) nodes   as often as `units` says
    ```

    With "sum" and an injective perceptron, layers of it tell apart any two graphs that the Weisfeiler-Lehman test of
    colours tells apart; "mean" and "max" tell fewer. The node itself is added outside of the aggregation, whichever it
    is. Dense layers before a normalization have no bias.

    Args:
        units: width of each dense layer of the perceptron, or of the only one. The reference has two of 64.
        aggregation: "sum" (default), "mean" or "max"; a node without neighbours receives 0.
        epsilon: how much more than 1 a node's own features count, at the start. Default 0.0 (GIN-0).
        learn_epsilon: whether it is trained. Default False.
        normalization: whether batch normalization follows each dense layer. Default True.
        activation: nonlinearity behind it, any that `keras.activations.get` knows. Default "relu".
        activate_last: whether normalization and nonlinearity follow the last dense layer too. Default True.
        momentum: of the moving statistics, as Keras means it. Default 0.9.
        variance_epsilon: added to the variance. Default 1e-5.
        kernel_initializer: of every kernel. Default "glorot_uniform".
        kernel_regularizer: of every kernel. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer. Statistics are float32 under every policy.

    Input shape:
        A list of features and structure, and perhaps a mask: features (nodes, channels) and edges (edges, 2), integers,
        source and target, negative for padding; or features (batch, nodes, channels) and adjacency (batch, nodes,
        nodes), whose row i holds what node i receives. The mask (nodes,) or (batch, nodes) is 0 for padded nodes: they
        answer 0 and are left out of the statistics.

    Output shape:
        (nodes, units[-1]) or (batch, nodes, units[-1]), in the compute dtype.

    Raises:
        ValueError: for an argument out of range, or inputs of other shapes or without a fixed number of channels.

    Example:
        >>> edges = keras.ops.convert_to_tensor([[0, 1], [1, 0], [1, 2], [2, 1]])
        >>> tuple(GINConv((64, 64))([keras.ops.ones((3, 7)), edges]).shape)
        (3, 64)

    Reference:
        Xu et al., "How Powerful are Graph Neural Networks?" (2019), equation 4.1.
    """

    def __init__(
        self,
        units: int | Sequence[int],
        aggregation: str = "sum",
        epsilon: float = 0.0,
        learn_epsilon: bool = False,
        normalization: bool = True,
        activation: str | Callable | None = "relu",
        activate_last: bool = True,
        momentum: float = 0.9,
        variance_epsilon: float = 1e-5,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        several = isinstance(units, Sequence) and not isinstance(units, str)
        self.units = validation.positive_integers(units, len(units) if several else 1, "units")
        if not self.units:
            raise ValueError("Expected `units` to have at least one width. Received none.")
        self.aggregation = validation.one_of(aggregation, AGGREGATIONS, "aggregation")
        self.epsilon = float(epsilon)
        self.learn_epsilon = bool(learn_epsilon)
        self.normalization = bool(normalization)
        self.activation = validation.activation(activation, "activation")
        self.activate_last = bool(activate_last)
        self.momentum = validation.fraction(momentum, "momentum")
        self.variance_epsilon = validation.positive_number(variance_epsilon, "variance_epsilon")
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.learned_epsilon = None
        activated = len(self.units) if self.activate_last else len(self.units) - 1
        normalized = activated if self.normalization else 0
        self.denses = [self._dense(number, width, number >= normalized) for number, width in enumerate(self.units)]
        self.normalizations = [
            keras.layers.BatchNormalization(
                momentum=self.momentum,
                epsilon=self.variance_epsilon,
                dtype=float32_variables(self.dtype_policy),
                name=f"normalization_{number}",
            )
            for number in range(normalized)
        ]
        self.activations = [
            keras.layers.Activation(self.activation, dtype=self.dtype_policy, name=f"activation_{number}")
            for number in range(activated)
        ]

    def _dense(self, number: int, width: int, use_bias: bool) -> keras.layers.Dense:
        initializer = self.kernel_initializer
        return keras.layers.Dense(
            width,
            use_bias=use_bias,
            # One instance without a seed draws the same numbers at every call.
            kernel_initializer=initializer.clone() if hasattr(initializer, "clone") else initializer,
            kernel_regularizer=self.kernel_regularizer,
            dtype=self.dtype_policy,
            name=f"dense_{number}",
        )

    def build(self, input_shape: Sequence[Sequence[int | None]]) -> None:
        self.compute_output_shape(input_shape)
        shape = tuple(input_shape[0])
        fixed_channels(shape)
        if self.learn_epsilon:
            self.learned_epsilon = self.add_weight(
                shape=(), name="epsilon", initializer=keras.initializers.Constant(self.epsilon)
            )
        for number, dense in enumerate(self.denses):
            dense.build(shape)
            shape = (*shape[:-1], self.units[number])
            for layer in (*self.normalizations[number : number + 1], *self.activations[number : number + 1]):
                layer.build(shape)
        keep_frozen(self)

    def call(self, inputs: Sequence[Any], training: bool | None = None) -> Any:
        features, structure, *rest = inputs
        mask = ops.cast(rest[0], "bool") if rest else None
        own = 1.0 + (self.epsilon if self.learned_epsilon is None else self.learned_epsilon)
        outputs = own * features + aggregate(features, structure, self.aggregation)
        for number, dense in enumerate(self.denses):
            outputs = dense(outputs)
            for normalization in self.normalizations[number : number + 1]:
                outputs = normalization(outputs, training=training, mask=mask)
            for activation in self.activations[number : number + 1]:
                outputs = activation(outputs)
        if mask is None:
            return outputs
        return ops.where(ops.expand_dims(mask, -1), outputs, ops.zeros_like(outputs))

    def compute_output_shape(self, input_shape: Sequence[Sequence[int | None]]) -> tuple[int | None, ...]:
        check_structure(input_shape)
        return (*input_shape[0][:-1], self.units[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": list(self.units),
            "aggregation": self.aggregation,
            "epsilon": self.epsilon,
            "learn_epsilon": self.learn_epsilon,
            "normalization": self.normalization,
            "activation": keras.activations.serialize(self.activation),
            "activate_last": self.activate_last,
            "momentum": self.momentum,
            "variance_epsilon": self.variance_epsilon,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }
