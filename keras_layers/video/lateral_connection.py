"""What a fast pathway tells a slow one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_layers import validation
from keras_layers.precision import float32_variables
from keras_layers.sublayers import keep_frozen


@keras.saving.register_keras_serializable(package="keras_layers")
class LateralConnection(keras.layers.Layer):
    """Brings the features of a fast pathway to the frame rate of a slow one, to be joined to its channels.

    ```
    fast --> Conv3D (k, 1, 1), stride (rate, 1, 1) --> BatchNormalization --> ReLU --> concatenated with slow
             .convolution                              .normalization         .activation
    ```

    The convolution has no bias and pads `k // 2` zeros on both sides in time.

    Args:
        filters: channels of the output; the paper has twice those of the fast pathway.
        kernel_size: length in time of the convolution. Default 5.
        rate: frames of the fast pathway for one of the slow. Default 8.
        normalization: whether batch normalization and ReLU follow the convolution. Default True.
        momentum: momentum of the moving statistics, as Keras means it. Default 0.9.
        epsilon: added to the variance. Default 1e-5.
        kernel_initializer: of the convolution. Default "glorot_uniform".
        kernel_regularizer: of the convolution. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer. Statistics are float32 under every policy.

    Input shape:
        (batch, frames, height, width, channels of the fast pathway); every axis but the channels may be None.

    Output shape:
        (batch, frames / rate rounded up for an odd kernel, height, width, filters), in the compute dtype.

    Raises:
        ValueError: for an argument out of range, or an input that is not of rank 5 or has no fixed number of channels.

    Example:
        >>> layer = LateralConnection(16, kernel_size=7, rate=4)
        >>> tuple(layer(keras.ops.zeros((1, 32, 14, 14, 8))).shape)
        (1, 8, 14, 14, 16)

    Reference:
        Feichtenhofer et al., "SlowFast Networks for Video Recognition" (2019), section 3.3, time-strided convolution.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 5,
        rate: int = 8,
        normalization: bool = True,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = validation.positive_integer(filters, "filters")
        self.kernel_size = validation.positive_integer(kernel_size, "kernel_size")
        self.rate = validation.positive_integer(rate, "rate")
        self.use_normalization = bool(normalization)
        self.momentum = validation.fraction(momentum, "momentum")
        self.epsilon = validation.positive_number(epsilon, "epsilon")

        policy = self.dtype_policy
        self.padding = keras.layers.ZeroPadding3D(
            (self.kernel_size // 2, 0, 0), data_format="channels_last", dtype=policy, name="padding"
        )
        self.convolution = keras.layers.Conv3D(
            self.filters,
            (self.kernel_size, 1, 1),
            strides=(self.rate, 1, 1),
            data_format="channels_last",
            use_bias=False,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            dtype=policy,
            name="convolution",
        )
        self.normalization = self.activation = None
        if self.use_normalization:
            self.normalization = keras.layers.BatchNormalization(
                momentum=self.momentum, epsilon=self.epsilon, dtype=float32_variables(policy), name="normalization"
            )
            self.activation = keras.layers.Activation("relu", dtype=policy, name="activation")

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)
        validation.fixed_channels(self, input_shape)
        shape = tuple(input_shape)
        for layer in self._steps():
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        keep_frozen(self)

    def _steps(self) -> list[keras.layers.Layer]:
        steps = (self.padding, self.convolution, self.normalization, self.activation)
        return [step for step in steps if step is not None]

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        outputs = inputs
        for step in self._steps():
            outputs = step(outputs, training=training) if step is self.normalization else step(outputs)
        return outputs

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        validation.clip_shape(input_shape)
        frames = validation.convolution_length(input_shape[1], self.kernel_size, self.rate, "symmetric")
        return (input_shape[0], frames, *input_shape[2:4], self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "rate": self.rate,
            "normalization": self.use_normalization,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "kernel_initializer": keras.initializers.serialize(self.convolution.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.convolution.kernel_regularizer),
        }
