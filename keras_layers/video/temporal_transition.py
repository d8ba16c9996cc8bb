"""Convolutions of several temporal depths side by side, then fewer channels, frames and positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation
from keras_layers.precision import float32_variables
from keras_layers.sublayers import fresh, keep_frozen


@keras.saving.register_keras_serializable(package="keras_layers")
class TemporalTransition(keras.layers.Layer):
    """The Temporal Transition Layer (TTL) of T3D: what lies between two dense blocks, at several temporal depths.

    ```
             +-> BN -> ReLU -> Conv3D (d1, s, s) -+
    input ---+-> BN -> ReLU -> Conv3D (d2, s, s) -+-> concatenate -> BN -> ReLU -> Conv3D 1x1x1 -> average pooling
             +-> BN -> ReLU -> Conv3D (d3, s, s) -+
    ```

    s is 1 where the depth is 1, and else `spatial_size`. All branches keep the length of time: a depth that is even
    pads one frame more behind than before (depth 6: 2 and 3, depth 4: 1 and 2), as TensorFlow's "same" does. The paper
    does not say how it pads.

    Args:
        depths: temporal depths of the branches. Default (1, 3, 6), those of T3D's first; its others have (1, 3, 4).
        filters: channels of every branch. Default 128.
        output_filters: channels of the output. Default None: half of all branches' together.
        spatial_size: height and width of the kernels of branches deeper than 1. Default 3.
        pool_size: window and stride of the pooling, (t, h, w) or one integer; without padding. Default 2.
        momentum: momentum of the moving statistics, as Keras means it. Default 0.9.
        epsilon: added to the variances. Default 1e-5.
        kernel_initializer: of all kernels. Default "he_normal".
        kernel_regularizer: of all kernels. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer. Statistics are float32 under every policy.

    Input shape:
        (batch, frames, height, width, channels), channels last; every axis but the channels may be None.

    Output shape:
        (batch, frames // t, height // h, width // w, output_filters), in the compute dtype.

    Raises:
        ValueError: for an argument out of range, an input that is not of rank 5, has no fixed number of channels, or
            is smaller than the window of the pooling.

    Example:
        >>> tuple(TemporalTransition((1, 3, 6))(keras.ops.zeros((1, 8, 4, 4, 32))).shape)
        (1, 4, 2, 2, 192)

    Reference:
        Diba et al., "Temporal 3D ConvNets: New Architecture and Transfer Learning for Video Classification" (2017),
        section 3.1.
    """

    def __init__(
        self,
        depths: Sequence[int] = (1, 3, 6),
        filters: int = 128,
        output_filters: int | None = None,
        spatial_size: int = 3,
        pool_size: int | Sequence[int] = 2,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        kernel_initializer: Any = "he_normal",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not isinstance(depths, Sequence) or isinstance(depths, str) or not depths:
            raise ValueError(f"Expected `depths` to be one or more positive integers. Received {depths!r}.")
        self.depths = tuple(validation.positive_integer(depth, "depths") for depth in depths)
        self.filters = validation.positive_integer(filters, "filters")
        self.output_filters = output_filters
        if output_filters is not None:
            validation.positive_integer(output_filters, "output_filters")
        self.spatial_size = validation.positive_integer(spatial_size, "spatial_size")
        self.pool_size = validation.positive_integers(pool_size, 3, "pool_size")
        self.momentum = validation.fraction(momentum, "momentum")
        self.epsilon = validation.positive_number(epsilon, "epsilon")
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

        self.branches = [
            self._unit(f"branch{number}", self.filters, self._kernel(depth))
            for number, depth in enumerate(self.depths, start=1)
        ]
        self.unit = self._unit("transition", self._output_filters(), (1, 1, 1))

    def _kernel(self, depth: int) -> tuple[int, int, int]:
        return (depth, self.spatial_size, self.spatial_size) if depth > 1 else (1, 1, 1)

    def _output_filters(self) -> int:
        return self.output_filters or max(1, len(self.depths) * self.filters // 2)

    def _unit(self, name: str, filters: int, kernel_size: tuple[int, int, int]) -> tuple[keras.layers.Layer, ...]:
        """Normalization, activation and convolution, to be called in this order."""
        return (
            keras.layers.BatchNormalization(
                momentum=self.momentum,
                epsilon=self.epsilon,
                dtype=float32_variables(self.dtype_policy),
                name=f"{name}_normalization",
            ),
            keras.layers.Activation("relu", dtype=self.dtype_policy, name=f"{name}_activation"),
            keras.layers.Conv3D(
                filters,
                kernel_size,
                padding="same",
                data_format="channels_last",
                use_bias=False,
                kernel_initializer=fresh(self.kernel_initializer),
                kernel_regularizer=self.kernel_regularizer,
                dtype=self.dtype_policy,
                name=name,
            ),
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)
        validation.fixed_channels(self, input_shape)
        for branch in self.branches:
            _build(branch, tuple(input_shape))
        _build(self.unit, (*input_shape[:4], len(self.depths) * self.filters))
        keep_frozen(self)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        branches = [_apply(branch, inputs, training) for branch in self.branches]
        outputs = _apply(self.unit, ops.concatenate(branches, axis=-1), training)
        # In float32: TensorFlow has no 3-D average pooling in float16 on CPU.
        outputs = ops.average_pool(
            ops.cast(outputs, "float32"), self.pool_size, self.pool_size, "valid", data_format="channels_last"
        )
        return ops.cast(outputs, self.compute_dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        validation.clip_shape(input_shape)
        lengths = [
            validation.convolution_length(length, window, window, "valid")
            for length, window in zip(input_shape[1:4], self.pool_size, strict=True)
        ]
        return (input_shape[0], *lengths, self._output_filters())

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "depths": self.depths,
            "filters": self.filters,
            "output_filters": self.output_filters,
            "spatial_size": self.spatial_size,
            "pool_size": self.pool_size,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


def _build(layers: Sequence[keras.layers.Layer], shape: tuple[int | None, ...]) -> None:
    for layer in layers:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)


def _apply(layers: Sequence[keras.layers.Layer], x: Any, training: bool | None) -> Any:
    for layer in layers:
        x = layer(x, training=training) if isinstance(layer, keras.layers.BatchNormalization) else layer(x)
    return x
