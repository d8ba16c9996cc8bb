"""A convolution over space followed by one over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_layers import validation
from keras_layers.precision import float32_variables
from keras_layers.sublayers import fresh, keep_frozen


def parameter_matched_filters(kernel_size: int | Sequence[int], input_channels: int, filters: int) -> int:
    """Channels between the two convolutions that give them as many weights as one full 3-D convolution.

    `floor(t * h * w * input_channels * filters / (h * w * input_channels + t * filters))`, at least 1.

    Args:
        kernel_size: (t, h, w), or one integer for all three.
        input_channels: channels of the input.
        filters: channels of the output.
    """
    time, height, width = validation.positive_integers(kernel_size, 3, "kernel_size")
    full = time * height * width * input_channels * filters
    return max(1, full // (height * width * input_channels + time * filters))


@keras.saving.register_keras_serializable(package="keras_layers")
class Conv2Plus1D(keras.layers.Layer):
    """A 3-D convolution split into a spatial and a temporal one, with a nonlinearity in between.

    ```
    (t, h, w) kernel  =  Conv3D (1, h, w)  ->  BatchNormalization  ->  activation  ->  Conv3D (t, 1, 1)
                         .spatial              .normalization          .activation     .temporal
    ```

    The spatial convolution takes the strides of height and width, the temporal one that of time. Nothing follows the
    temporal convolution: its normalization and activation are the caller's.

    Args:
        filters: channels of the output.
        kernel_size: (t, h, w), or one integer for all three. Default 3.
        strides: (t, h, w), or one integer for all three. Default 1.
        padding: "same" (default), "valid", or "symmetric": zeros of `kernel // 2` on both sides of every axis whatever
            the stride, which is what weights trained in PyTorch expect (at stride 2, "same" pads even lengths on one
            side only).
        intermediate_filters: channels between the two convolutions. Default None: as many as give both together the
            weights of one full 3-D convolution (`parameter_matched_filters`), computed from the input's channels.
        activation: nonlinearity between the two, any that `keras.activations.get` knows. Default "relu"; None is none.
        normalization: whether a batch normalization stands before that activation. Default True.
        momentum: momentum of the moving statistics, as Keras means it. Default 0.9.
        epsilon: added to the variance. Default 1e-5.
        use_bias: whether the two convolutions add a bias. Default False.
        kernel_initializer: of both kernels. Default "glorot_uniform".
        bias_initializer: of both biases. Default "zeros".
        kernel_regularizer: of both kernels. Default None.
        bias_regularizer: of both biases. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer. Statistics are float32 under every policy.

    Input shape:
        (batch, frames, height, width, channels), channels last; every axis but the channels may be None.

    Output shape:
        (batch, frames', height', width', filters), in the compute dtype.

    Raises:
        ValueError: for an argument out of range, an input that is not of rank 5, has no fixed number of channels, or
            is shorter than a kernel that may not be padded.

    Example:
        >>> layer = Conv2Plus1D(64, kernel_size=3, strides=(1, 2, 2))
        >>> tuple(layer(keras.ops.zeros((1, 8, 56, 56, 32))).shape)
        (1, 8, 28, 28, 64)

    Reference:
        Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition" (2018), section 3.5.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int] = 3,
        strides: int | Sequence[int] = 1,
        padding: str = "same",
        intermediate_filters: int | None = None,
        activation: str | Callable | None = "relu",
        normalization: bool = True,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        use_bias: bool = False,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = validation.positive_integer(filters, "filters")
        self.kernel_size = validation.positive_integers(kernel_size, 3, "kernel_size")
        self.strides = validation.positive_integers(strides, 3, "strides")
        self.padding = validation.one_of(padding, validation.PADDINGS, "padding")
        self.intermediate_filters = intermediate_filters
        if intermediate_filters is not None:
            validation.positive_integer(intermediate_filters, "intermediate_filters")
        self.use_normalization = bool(normalization)
        self.momentum = validation.fraction(momentum, "momentum")
        self.epsilon = validation.positive_number(epsilon, "epsilon")
        self.use_bias = bool(use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)

        function = validation.activation(activation, "activation")
        self.activation = keras.layers.Activation(function, dtype=self.dtype_policy, name="activation")
        self.normalization = None
        self.spatial_padding = None
        self.spatial = None
        self.temporal_padding = None
        self.temporal = None

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)
        channels = validation.fixed_channels(self, input_shape)
        time, height, width = self.kernel_size
        intermediate = self.intermediate_filters or parameter_matched_filters(self.kernel_size, channels, self.filters)

        self.spatial_padding, self.spatial = self._convolution(
            "spatial", intermediate, (1, height, width), (1, *self.strides[1:])
        )
        if self.use_normalization:
            self.normalization = keras.layers.BatchNormalization(
                momentum=self.momentum,
                epsilon=self.epsilon,
                dtype=float32_variables(self.dtype_policy),
                name="normalization",
            )
        self.temporal_padding, self.temporal = self._convolution(
            "temporal", self.filters, (time, 1, 1), (self.strides[0], 1, 1)
        )

        shape = tuple(input_shape)
        for layer in self._steps():
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        keep_frozen(self)

    def _convolution(
        self, name: str, filters: int, kernel_size: tuple[int, int, int], strides: tuple[int, int, int]
    ) -> tuple[keras.layers.Layer | None, keras.layers.Layer]:
        """The layer that pads (None where the convolution itself can) and the convolution."""
        padding_layer, padding = None, self.padding
        if padding == "symmetric":
            # At stride 1 an odd kernel's "same" is symmetric already, and spares the copy that padding makes.
            padding = "same"
            pairs = zip(strides, kernel_size, strict=True)
            if any(kernel > 1 and (stride > 1 or kernel % 2 == 0) for stride, kernel in pairs):
                padding = "valid"
                padding_layer = keras.layers.ZeroPadding3D(
                    tuple(kernel // 2 for kernel in kernel_size),
                    data_format="channels_last",
                    dtype=self.dtype_policy,
                    name=f"{name}_padding",
                )
        convolution = keras.layers.Conv3D(
            filters,
            kernel_size,
            strides=strides,
            padding=padding,
            data_format="channels_last",
            use_bias=self.use_bias,
            kernel_initializer=fresh(self.kernel_initializer),
            bias_initializer=fresh(self.bias_initializer),
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            dtype=self.dtype_policy,
            name=name,
        )
        return padding_layer, convolution

    def _steps(self) -> list[keras.layers.Layer]:
        steps = [
            self.spatial_padding,
            self.spatial,
            self.normalization,
            self.activation,
            self.temporal_padding,
            self.temporal,
        ]
        return [step for step in steps if step is not None]

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        outputs = inputs
        for step in self._steps():
            outputs = step(outputs, training=training) if step is self.normalization else step(outputs)
        return outputs

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        validation.clip_shape(input_shape)
        lengths = [
            validation.convolution_length(length, kernel, stride, self.padding)
            for length, kernel, stride in zip(input_shape[1:4], self.kernel_size, self.strides, strict=True)
        ]
        return (input_shape[0], *lengths, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "intermediate_filters": self.intermediate_filters,
            "activation": keras.activations.serialize(self.activation.activation),
            "normalization": self.use_normalization,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
        }
