"""Weighing channels by what the whole clip looks like, without a bottleneck."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation
from keras_layers.sublayers import keep_frozen


@keras.saving.register_keras_serializable(package="keras_layers")
class SelfGating(keras.layers.Layer):
    """Weighs every channel by a number between 0 and 1 that depends on the means of all channels.

    `outputs = inputs * activation(W mean(inputs over time and space) (+ b))`

    Args:
        use_bias: whether b is added. Default False, as in the paper.
        activation: any that `keras.activations.get` knows. Default "sigmoid".
        kernel_initializer: of W, (channels, channels). Default None: truncated normal of deviation 0.01, with which
            all gates begin near a half.
        kernel_regularizer: of W. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.

    Input shape:
        (batch, frames, height, width, channels), channels last; every axis but the channels may be None.

    Output shape:
        That of the input, in the compute dtype.

    Raises:
        ValueError: for an unknown activation, or an input that is not of rank 5 or has no fixed number of channels.

    Example:
        >>> tuple(SelfGating()(keras.ops.zeros((1, 4, 16, 16, 54))).shape)
        (1, 4, 16, 16, 54)

    Reference:
        Xie et al., "Rethinking Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs in Video Classification"
        (2018), section 5.
    """

    def __init__(
        self,
        use_bias: bool = False,
        activation: str | Callable | None = "sigmoid",
        kernel_initializer: Any = None,
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.use_bias = bool(use_bias)
        self.activation = validation.activation(activation, "activation")
        if kernel_initializer is None:
            kernel_initializer = keras.initializers.TruncatedNormal(stddev=0.01)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.pool = keras.layers.GlobalAveragePooling3D(
            data_format="channels_last", dtype=self.dtype_policy, name="pool"
        )
        self.transform = None

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)
        channels = validation.fixed_channels(self, input_shape)
        self.transform = keras.layers.Dense(
            channels,
            activation=self.activation,
            use_bias=self.use_bias,
            kernel_initializer=self.kernel_initializer,
            kernel_regularizer=self.kernel_regularizer,
            dtype=self.dtype_policy,
            name="transform",
        )
        self.transform.build((input_shape[0], channels))
        keep_frozen(self)

    def call(self, inputs: Any) -> Any:
        gates = self.transform(self.pool(inputs))
        return ops.multiply(inputs, ops.reshape(gates, (-1, 1, 1, 1, inputs.shape[-1])))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return validation.clip_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "use_bias": self.use_bias,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }
