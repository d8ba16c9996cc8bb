"""The block of which a WaveNet is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation
from keras_layers.autoregressive.causal_conv1d import AXES, CausalConv1D
from keras_layers.autoregressive.gating import check_present, fixed_channels, fresh, gate, pointwise
from keras_layers.sublayers import keep_frozen

Shape = Sequence[int | None]


@keras.saving.register_keras_serializable(package="keras_layers")
class WaveNetBlock(keras.layers.Layer):
    """A gated dilated causal convolution with a residual and a skip output.

    ```
    inputs ---> .convolution -> (+ conditions) -> gate -> dropout --> .skip 1x1 --------------> skip
       \\         dilated                                    `--> .output 1x1 --> + ----------> outputs
        `-----------------------------------------------------------------------'
    ```

    gate(a, b) = tanh(a) sigmoid(b), of the two halves of 2 `gate_filters` channels. The global condition is one vector
    for all times (a speaker), the local one has a vector for each time (codes brought to the rate of the signal); each
    is projected and added before the gate. The inputs must not hold what the output at the same time is to predict: the
    convolution sees the present.

    Args:
        filters: channels of the input and of the residual output.
        dilation_rate: distance of the taps in time. Default 1.
        kernel_size: taps. Default 2.
        gate_filters: channels behind the gate. Default None: `filters`.
        skip_filters: channels of the skip output. Default None: `filters`.
        residual: whether there is a residual output, which the last block of a stack does not need. Default True.
        dropout: share of the gated features left out in training. Default 0.0.
        kernel_initializer: of all kernels. Default "glorot_uniform".
        kernel_regularizer: of all kernels. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.

    Call arguments:
        inputs: the features.
        local_condition: a vector for each time, or None. Given at every call or at none.
        global_condition: a vector for each example, or None. Given at every call or at none.

    Input shape:
        (batch, time, filters); `local_condition` (batch, time, features), `global_condition` (batch, features). Batch
        and time may be None.

    Output shape:
        List of the residual output (batch, time, filters) and the skip output (batch, time, skip_filters), in the
        compute dtype; without `residual` the skip output alone.

    Raises:
        ValueError: for an argument out of range, an input that is not of rank 3 with `filters` channels, or a condition
            that is there at one call and not at another.

    Example:
        >>> block = WaveNetBlock(32, dilation_rate=4, skip_filters=64)
        >>> outputs, skip = block(keras.ops.zeros((1, 100, 32)), global_condition=keras.ops.ones((1, 8)))
        >>> tuple(outputs.shape), tuple(skip.shape)
        ((1, 100, 32), (1, 100, 64))

    Reference:
        van den Oord et al., "WaveNet: A Generative Model for Raw Audio" (2016), sections 2.3 to 2.5.
    """

    def __init__(
        self,
        filters: int,
        dilation_rate: int = 1,
        kernel_size: int = 2,
        gate_filters: int | None = None,
        skip_filters: int | None = None,
        residual: bool = True,
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = validation.positive_integer(filters, "filters")
        self.gate_filters = self._optional(gate_filters, "gate_filters")
        self.skip_filters = self._optional(skip_filters, "skip_filters")
        self.residual = bool(residual)
        self.dropout = validation.fraction(dropout, "dropout")
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

        self._gated = self.gate_filters or self.filters
        self._skipped = self.skip_filters or self.filters
        self.convolution = CausalConv1D(
            2 * self._gated,
            kernel_size,
            dilation_rate,
            kernel_initializer=fresh(self.kernel_initializer),
            kernel_regularizer=self.kernel_regularizer,
            dtype=self.dtype_policy,
            name="convolution",
        )
        self.kernel_size, self.dilation_rate = self.convolution.kernel_size, self.convolution.dilation_rate
        self.drop = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy, name="drop")
        self.skip = pointwise(self, self._skipped, "skip")
        self.output_projection = pointwise(self, self.filters, "output") if self.residual else None
        self.local_projection = None
        self.global_projection = None

    @staticmethod
    def _optional(value: Any, name: str) -> int | None:
        return None if value is None else validation.positive_integer(value, name)

    def build(
        self,
        inputs_shape: Shape,
        local_condition_shape: Shape | None = None,
        global_condition_shape: Shape | None = None,
    ) -> None:
        self.compute_output_shape(inputs_shape)
        self.convolution.build(inputs_shape)
        gated = (*tuple(inputs_shape)[:-1], self._gated)
        for layer in (self.drop, self.skip, self.output_projection):
            if layer is not None:
                layer.build(gated)
        if local_condition_shape is not None:
            features = fixed_channels(local_condition_shape, 3, "(batch, time, features)", "local_condition")
            self.local_projection = pointwise(self, 2 * self._gated, "local_condition", use_bias=False)
            self.local_projection.build((None, None, features))
        if global_condition_shape is not None:
            features = fixed_channels(global_condition_shape, 2, "(batch, features)", "global_condition")
            self.global_projection = pointwise(self, 2 * self._gated, "global_condition", use_bias=False)
            self.global_projection.build((None, features))
        keep_frozen(self)

    def call(
        self, inputs: Any, local_condition: Any = None, global_condition: Any = None, training: bool | None = None
    ) -> Any:
        features = self.convolution(inputs)
        conditions = self._conditions(local_condition, global_condition)
        return self._finished(features if conditions is None else features + conditions, inputs, training)

    def _finished(self, features: Any, inputs: Any, training: bool | None) -> Any:
        gated = self.drop(gate(features), training=training)
        skip = self.skip(gated)
        return [inputs + self.output_projection(gated), skip] if self.residual else skip

    def _conditions(self, local_condition: Any, global_condition: Any) -> Any:
        """What the conditions add before the gate, (batch, time or 1, channels); None without any."""
        check_present("local_condition", local_condition, self.local_projection)
        check_present("global_condition", global_condition, self.global_projection)
        total = None
        if global_condition is not None:
            total = ops.expand_dims(self.global_projection(global_condition), 1)
        if local_condition is not None:
            projected = self.local_projection(local_condition)
            total = projected if total is None else total + projected
        return total

    def initial_state(
        self, batch: Any, lengths: Sequence[Any], local_condition: Any = None, global_condition: Any = None
    ) -> dict[str, Any]:
        """What the block remembers before the first position, what the conditions add among it.

        Args:
            batch: its size.
            lengths: (time,).
            local_condition: as of the call.
            global_condition: as of the call.
        """
        state = {"convolution": self.convolution.initial_state(batch, lengths)}
        conditions = self._conditions(local_condition, global_condition)
        if conditions is not None:
            # Times first; one for all where there is no local condition.
            state["conditions"] = ops.transpose(conditions, (1, 0, 2))
        return state

    def step(self, inputs: Any, state: dict[str, Any], position: Sequence[Any]) -> tuple[Any, dict[str, Any]]:
        """One position; see `keras_layers.autoregressive`.

        Args:
            inputs: (batch, filters) at the position.
            state: from `initial_state` or the last step.
            position: (time,), from 0.

        Returns:
            the outputs of the call at the position, (batch, channels) each, and the state.
        """
        features, convolution = self.convolution.step(inputs, state["convolution"], position)
        if "conditions" in state:
            conditions = state["conditions"]
            features += conditions[0] if self.local_projection is None else ops.take(conditions, position[0], axis=0)
        return self._finished(features, inputs, training=False), {**state, "convolution": convolution}

    def compute_output_shape(
        self,
        inputs_shape: Shape,
        local_condition_shape: Shape | None = None,
        global_condition_shape: Shape | None = None,
    ) -> Any:
        if fixed_channels(inputs_shape, 3, AXES) != self.filters:
            raise ValueError(
                f"Expected {self.filters} channels of the input, to which the output is added. "
                f"Received shape {tuple(inputs_shape)}."
            )
        axes = tuple(inputs_shape)[:-1]
        skip = (*axes, self._skipped)
        return [(*axes, self.filters), skip] if self.residual else skip

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "dilation_rate": self.dilation_rate,
            "kernel_size": self.kernel_size,
            "gate_filters": self.gate_filters,
            "skip_filters": self.skip_filters,
            "residual": self.residual,
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }
