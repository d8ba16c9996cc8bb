"""Inception modules over time and space: of full 3-D convolutions (I3D), and of separated ones (S3D, S3D-G)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation
from keras_layers.precision import float32_variables, pooling_policy
from keras_layers.sublayers import fresh, keep_frozen
from keras_layers.video.self_gating import SelfGating

BRANCHES = 6


class Inception(keras.layers.Layer):
    """What the modules have in common; `_space_and_time` says how a branch looks over time and space.

    Attributes:
        parts: all sublayers, branch after branch.
        branches: the sublayers of each of the four branches, in the order in which they are called.
    """

    def __init__(
        self,
        filters: Sequence[int],
        activation: str | Callable | None,
        scale: bool,
        momentum: float,
        epsilon: float,
        kernel_initializer: Any,
        kernel_regularizer: Any,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = validation.positive_integers(_sequence(filters), BRANCHES, "filters")
        self.activation = validation.activation(activation, "activation")
        self.scale = bool(scale)
        self.momentum = validation.fraction(momentum, "momentum")
        self.epsilon = validation.positive_number(epsilon, "epsilon")
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.parts: list[keras.layers.Layer] = []
        self._ends: tuple[int, ...] = ()

    def _make(self) -> None:
        first, second_reduced, second, third_reduced, third, fourth = self.filters
        pool = keras.layers.MaxPooling3D(
            3, 1, "same", data_format="channels_last", dtype=pooling_policy(self.dtype_policy), name="branch3_pool"
        )
        branches = (
            (*self._unit("branch0", first), *self._end("branch0")),
            (
                *self._unit("branch1_reduce", second_reduced),
                *self._space_and_time("branch1", second),
                *self._end("branch1"),
            ),
            (
                *self._unit("branch2_reduce", third_reduced),
                *self._space_and_time("branch2", third),
                *self._end("branch2"),
            ),
            (pool, *self._unit("branch3", fourth), *self._end("branch3")),
        )
        # Keras saves the layers of a list, but not those of lists in a list.
        self.parts = [part for branch in branches for part in branch]
        lengths = [len(branch) for branch in branches]
        self._ends = tuple(sum(lengths[:count]) for count in range(len(lengths) + 1))

    def _space_and_time(self, name: str, filters: int) -> tuple[keras.layers.Layer, ...]:
        raise NotImplementedError

    def _end(self, name: str) -> tuple[keras.layers.Layer, ...]:
        return ()

    def _unit(
        self,
        name: str,
        filters: int,
        kernel_size: tuple[int, int, int] = (1, 1, 1),
        normalization: bool = True,
        initializer: Any = None,
    ) -> tuple[keras.layers.Layer, ...]:
        """Convolution, normalization and activation; without normalization the convolution has a bias."""
        convolution = keras.layers.Conv3D(
            filters,
            kernel_size,
            padding="same",
            data_format="channels_last",
            use_bias=not normalization,
            kernel_initializer=fresh(self.kernel_initializer if initializer is None else initializer),
            kernel_regularizer=self.kernel_regularizer,
            dtype=self.dtype_policy,
            name=name,
        )
        activation = keras.layers.Activation(self.activation, dtype=self.dtype_policy, name=f"{name}_activation")
        if not normalization:
            return convolution, activation
        normalized = keras.layers.BatchNormalization(
            scale=self.scale,
            momentum=self.momentum,
            epsilon=self.epsilon,
            dtype=float32_variables(self.dtype_policy),
            name=f"{name}_normalization",
        )
        return convolution, normalized, activation

    @property
    def branches(self) -> tuple[tuple[keras.layers.Layer, ...], ...]:
        """The sublayers of each branch."""
        return tuple(tuple(self.parts[start:end]) for start, end in zip(self._ends, self._ends[1:], strict=False))

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)
        validation.fixed_channels(self, input_shape)
        for branch in self.branches:
            shape = tuple(input_shape)
            for part in branch:
                part.build(shape)
                shape = part.compute_output_shape(shape)
        keep_frozen(self)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        outputs = []
        for branch in self.branches:
            x = inputs
            for part in branch:
                x = part(x, training=training) if isinstance(part, keras.layers.BatchNormalization) else part(x)
            outputs.append(x)
        return ops.concatenate(outputs, axis=-1)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        validation.clip_shape(input_shape)
        first, _, second, _, third, fourth = self.filters
        return (*input_shape[:4], first + second + third + fourth)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "activation": keras.activations.serialize(self.activation),
            "scale": self.scale,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


def _sequence(filters: Any) -> Any:
    # One integer would stand for all six, which is no module anybody means.
    if isinstance(filters, Sequence) and not isinstance(filters, str):
        return filters
    raise ValueError(f"Expected `filters` to be {BRANCHES} positive integers. Received {filters!r}.")


@keras.saving.register_keras_serializable(package="keras_layers")
class InflatedInception(Inception):
    """The Inception module of I3D: four branches over time and space, side by side on the channels.

    ```
             +-> branch0: 1x1x1 -----------------------------+
             +-> branch1_reduce: 1x1x1 --> branch1: t x 3 x 3 +
    input ---+-> branch2_reduce: 1x1x1 --> branch2: t x 3 x 3 +--> concatenate
             +-> branch3_pool: max 3x3x3 --> branch3: 1x1x1 --+
    ```

    Every convolution is without bias and followed by batch normalization and activation. All strides are 1, and zeros
    keep every length.

    Args:
        filters: channels of branch0, branch1_reduce, branch1, branch2_reduce, branch2 and branch3.
        temporal_size: length in time of the kernels of branch1 and branch2. Default 3.
        activation: any that `keras.activations.get` knows. Default "relu".
        scale: whether the batch normalizations have a scale (gamma). Default False, as in DeepMind's network.
        momentum: momentum of the moving statistics, as Keras means it. Default 0.999.
        epsilon: added to the variances. Default 1e-3.
        kernel_initializer: of all kernels. Default "he_normal".
        kernel_regularizer: of all kernels. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer. Statistics are float32 under every policy.

    Input shape:
        (batch, frames, height, width, channels), channels last; every axis but the channels may be None.

    Output shape:
        (batch, frames, height, width, filters[0] + filters[2] + filters[4] + filters[5]), in the compute dtype.

    Raises:
        ValueError: for an argument out of range, or an input that is not of rank 5 or has no fixed number of channels.

    Example:
        >>> mixed_3b = InflatedInception((64, 96, 128, 16, 32, 32))
        >>> tuple(mixed_3b(keras.ops.zeros((1, 4, 7, 7, 192))).shape)
        (1, 4, 7, 7, 256)

    Reference:
        Carreira and Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset" (2017), figure 3.
    """

    def __init__(
        self,
        filters: Sequence[int],
        temporal_size: int = 3,
        activation: str | Callable | None = "relu",
        scale: bool = False,
        momentum: float = 0.999,
        epsilon: float = 1e-3,
        kernel_initializer: Any = "he_normal",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(
            filters, activation, scale, momentum, epsilon, kernel_initializer, kernel_regularizer, **kwargs
        )
        self.temporal_size = validation.positive_integer(temporal_size, "temporal_size")
        self._make()

    def _space_and_time(self, name: str, filters: int) -> tuple[keras.layers.Layer, ...]:
        return self._unit(name, filters, (self.temporal_size, 3, 3))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temporal_size": self.temporal_size}


@keras.saving.register_keras_serializable(package="keras_layers")
class SeparableInception(Inception):
    """The Inception module of S3D: that of I3D with its 3x3x3 convolutions separated into space and time.

    ```
             +-> branch0: 1x1x1 ------------------------------------------------------------------+
             +-> branch1_reduce: 1x1x1 --> branch1_spatial: 1x3x3 --> branch1_temporal: t x 1 x 1 +
    input ---+-> branch2_reduce: 1x1x1 --> branch2_spatial: 1x3x3 --> branch2_temporal: t x 1 x 1 +--> concatenate
             +-> branch3_pool: max 3x3x3 --> branch3: 1x1x1 --------------------------------------+
    ```

    Every convolution is followed by batch normalization and activation; with `gating`, a `SelfGating` ends each branch
    (S3D-G). All strides are 1, and zeros keep every length.

    Args:
        filters: channels of branch0, branch1_reduce, branch1 (both convolutions), branch2_reduce, branch2 (both
            convolutions) and branch3.
        temporal_size: length of the kernels over time. Default 3.
        gating: whether the branches end in a `SelfGating`. Default False.
        temporal_normalization: whether a batch normalization follows the convolutions over time; without it they have
            a bias, as in the authors' network (TensorFlow slim). Default True.
        activation: any that `keras.activations.get` knows. Default "relu".
        scale: whether the batch normalizations have a scale (gamma). Default True.
        momentum: momentum of the moving statistics, as Keras means it. Default 0.999.
        epsilon: added to the variances. Default 1e-3.
        kernel_initializer: of the kernels. Default "he_normal".
        temporal_initializer: of the kernels over time; `CenteredIdentity()` lets them begin as the identity, so that a
            network trained on images is not disturbed. Default None: as the others.
        kernel_regularizer: of all kernels. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer. Statistics are float32 under every policy.

    Input shape:
        (batch, frames, height, width, channels), channels last; every axis but the channels may be None.

    Output shape:
        (batch, frames, height, width, filters[0] + filters[2] + filters[4] + filters[5]), in the compute dtype.

    Raises:
        ValueError: for an argument out of range, or an input that is not of rank 5 or has no fixed number of channels.

    Example:
        >>> mixed_3b = SeparableInception((64, 96, 128, 16, 32, 32), gating=True)
        >>> tuple(mixed_3b(keras.ops.zeros((1, 4, 7, 7, 192))).shape)
        (1, 4, 7, 7, 256)

    Reference:
        Xie et al., "Rethinking Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs in Video Classification"
        (2018), figures 5 and 8.
    """

    def __init__(
        self,
        filters: Sequence[int],
        temporal_size: int = 3,
        gating: bool = False,
        temporal_normalization: bool = True,
        activation: str | Callable | None = "relu",
        scale: bool = True,
        momentum: float = 0.999,
        epsilon: float = 1e-3,
        kernel_initializer: Any = "he_normal",
        temporal_initializer: Any = None,
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(
            filters, activation, scale, momentum, epsilon, kernel_initializer, kernel_regularizer, **kwargs
        )
        self.temporal_size = validation.positive_integer(temporal_size, "temporal_size")
        self.gating = bool(gating)
        self.temporal_normalization = bool(temporal_normalization)
        self.temporal_initializer = keras.initializers.get(temporal_initializer)
        self._make()

    def _space_and_time(self, name: str, filters: int) -> tuple[keras.layers.Layer, ...]:
        return (
            *self._unit(f"{name}_spatial", filters, (1, 3, 3)),
            *self._unit(
                f"{name}_temporal",
                filters,
                (self.temporal_size, 1, 1),
                self.temporal_normalization,
                self.temporal_initializer,
            ),
        )

    def _end(self, name: str) -> tuple[keras.layers.Layer, ...]:
        if not self.gating:
            return ()
        gate = SelfGating(kernel_regularizer=self.kernel_regularizer, dtype=self.dtype_policy, name=f"{name}_gating")
        return (gate,)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "temporal_size": self.temporal_size,
            "gating": self.gating,
            "temporal_normalization": self.temporal_normalization,
            "temporal_initializer": keras.initializers.serialize(self.temporal_initializer)
            if self.temporal_initializer is not None
            else None,
        }
