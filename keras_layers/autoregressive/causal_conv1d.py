"""A dilated convolution that sees only the past."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_layers import validation
from keras_layers.autoregressive.gating import MASKS, fixed_channels
from keras_layers.sublayers import keep_frozen

AXES = "(batch, time, channels)"


@keras.saving.register_keras_serializable(package="keras_layers")
class CausalConv1D(keras.layers.Layer):
    """A dilated 1-D convolution over the present and the past, with zeros before the beginning.

    y[t] = bias + sum_j kernel[kernel_size - 1 - j] x[t - j dilation - delay],  j from 0 to kernel_size - 1

    where delay is 0 with mask "B" and 1 with mask "A". A step costs `kernel_size` products whatever the dilation: the
    past is kept in a ring of `dilation (kernel_size - 1) + 1` places.

    Args:
        filters: channels of the output.
        kernel_size: taps. Default 2.
        dilation_rate: distance of the taps in time. Default 1.
        mask: "A" hides the present, which the first layer of a model of its own input must; "B" (default) shows it.
        use_bias: whether a bias is added. Default True.
        kernel_initializer: of the kernel. Default "glorot_uniform".
        bias_initializer: of the bias. Default "zeros".
        kernel_regularizer: of the kernel. Default None.
        bias_regularizer: of the bias. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.

    Input shape:
        (batch, time, channels); batch and time may be None.

    Output shape:
        (batch, time, filters), in the compute dtype.

    Raises:
        ValueError: for an argument out of range, or an input that is not of rank 3 or has no fixed number of channels.

    Example:
        >>> layer = CausalConv1D(64, kernel_size=2, dilation_rate=4)
        >>> tuple(layer(keras.ops.zeros((1, 100, 32))).shape)
        (1, 100, 64)

    Reference:
        van den Oord et al., "WaveNet: A Generative Model for Raw Audio" (2016), section 2.1; the ring of steps as in
        Le Paine et al., "Fast Wavenet Generation Algorithm" (2016).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 2,
        dilation_rate: int = 1,
        mask: str = "B",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = validation.positive_integer(filters, "filters")
        self.kernel_size = validation.positive_integer(kernel_size, "kernel_size")
        self.dilation_rate = validation.positive_integer(dilation_rate, "dilation_rate")
        self.mask = validation.one_of(mask, MASKS, "mask")
        self.use_bias = bool(use_bias)
        self._delay = int(self.mask == "A")
        self._past = (self.kernel_size - 1) * self.dilation_rate
        self.convolution = keras.layers.Conv1D(
            self.filters,
            self.kernel_size,
            dilation_rate=self.dilation_rate,
            data_format="channels_last",
            use_bias=self.use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            dtype=self.dtype_policy,
            name="convolution",
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        channels = fixed_channels(input_shape, 3, AXES)
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: channels})
        self.convolution.build((None, None, channels))
        keep_frozen(self)

    def call(self, inputs: Any) -> Any:
        seen = inputs[:, :-1] if self._delay else inputs
        return self.convolution(ops.pad(seen, ((0, 0), (self._past + self._delay, 0), (0, 0))))

    def initial_state(self, batch: Any, lengths: Sequence[Any]) -> dict[str, Any]:
        """What the layer remembers before the first position: the ring, (places, batch, channels).

        Args:
            batch: its size.
            lengths: (time,), of no account here.
        """
        return {"ring": ops.zeros((self._past + 1, batch, self.input_spec.axes[-1]), self.compute_dtype)}

    def step(self, inputs: Any, state: dict[str, Any], position: Sequence[Any]) -> tuple[Any, dict[str, Any]]:
        """One position; see `keras_layers.autoregressive`.

        Args:
            inputs: (batch, channels) at the position, with mask "A" of the one before.
            state: from `initial_state` or the last step.
            position: (time,), from 0.

        Returns:
            (batch, filters) and the state.
        """
        (time,) = position
        if self.mask == "A":
            inputs = inputs * ops.cast(time > 0, inputs.dtype)
        # Written first and read then: nothing else holds the ring, and it is changed in place.
        ring = ops.scatter_update(state["ring"], ops.reshape(time % (self._past + 1), (1, 1)), inputs[None])
        distances = self.dilation_rate * np.arange(self.kernel_size - 1, -1, -1, dtype="int32")
        taps = ops.take(ring, (time - distances) % (self._past + 1), axis=0)
        outputs = ops.sum(ops.matmul(taps, ops.cast(self.convolution.kernel, inputs.dtype)), axis=0)
        if self.use_bias:
            outputs = outputs + ops.cast(self.convolution.bias, inputs.dtype)
        return outputs, {"ring": ring}

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        fixed_channels((*tuple(input_shape)[:-1], 0), 3, AXES)
        return (*tuple(input_shape)[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        convolution = self.convolution
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
            "mask": self.mask,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(convolution.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(convolution.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(convolution.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(convolution.bias_regularizer),
        }
