"""A gate for every channel, from what the whole clip looks like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation
from keras_layers.sublayers import fresh, keep_frozen


@keras.saving.register_keras_serializable(package="keras_layers")
class SqueezeExcitation3D(keras.layers.Layer):
    """Weighs every channel by a number between 0 and 1 that depends on the means of all channels.

    `outputs = inputs * gate(excite(activation(squeeze(mean of inputs over time and space))))`

    where `squeeze` and `excite` are dense layers with biases, of `filters` units and of as many as the input has
    channels.

    Args:
        filters: units between the two dense layers.
        activation: nonlinearity between them, any that `keras.activations.get` knows. Default "relu".
        gate_activation: nonlinearity behind them. Default "sigmoid".
        kernel_initializer: of both kernels. Default "glorot_uniform".
        kernel_regularizer: of both kernels. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.

    Input shape:
        (batch, frames, height, width, channels), channels last; every axis but the channels may be None.

    Output shape:
        That of the input, in the compute dtype.

    Raises:
        ValueError: for an argument out of range, or an input that is not of rank 5 or has no fixed number of channels.

    Example:
        >>> tuple(SqueezeExcitation3D(8)(keras.ops.zeros((1, 4, 16, 16, 54))).shape)
        (1, 4, 16, 16, 54)

    Reference:
        Hu et al., "Squeeze-and-Excitation Networks" (2018), section 3.
    """

    def __init__(
        self,
        filters: int,
        activation: str | Callable | None = "relu",
        gate_activation: str | Callable | None = "sigmoid",
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = validation.positive_integer(filters, "filters")
        self.activation = validation.activation(activation, "activation")
        self.gate_activation = validation.activation(gate_activation, "gate_activation")
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.pool = keras.layers.GlobalAveragePooling3D(
            data_format="channels_last", dtype=self.dtype_policy, name="pool"
        )
        self.squeeze = None
        self.excite = None

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)
        channels = validation.fixed_channels(self, input_shape)
        self.squeeze = self._dense("squeeze", self.filters, self.activation)
        self.excite = self._dense("excite", channels, self.gate_activation)
        self.squeeze.build((input_shape[0], channels))
        self.excite.build((input_shape[0], self.filters))
        keep_frozen(self)

    def _dense(self, name: str, units: int, activation: Callable) -> keras.layers.Dense:
        return keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=fresh(self.kernel_initializer),
            kernel_regularizer=self.kernel_regularizer,
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, inputs: Any) -> Any:
        gates = self.excite(self.squeeze(self.pool(inputs)))
        return ops.multiply(inputs, ops.reshape(gates, (-1, 1, 1, 1, inputs.shape[-1])))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return validation.clip_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "activation": keras.activations.serialize(self.activation),
            "gate_activation": keras.activations.serialize(self.gate_activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }
