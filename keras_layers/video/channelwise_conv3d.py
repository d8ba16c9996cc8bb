"""A 3-D convolution that keeps channels apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation


@keras.saving.register_keras_serializable(package="keras_layers")
class ChannelwiseConv3D(keras.layers.Layer):
    """A convolution over time and space in which every channel has a kernel of its own ("depthwise").

    `outputs[b, t, y, x, c] = sum over k, i, j of kernel[k, i, j, 0, c] * inputs[b, t + k, y + i, x + j, c] (+ bias[c])`

    It equals `keras.layers.Conv3D(channels, ..., groups=channels)`, with a kernel of the same shape, and is computed as
    the sum over the temporal taps k of 2-D depthwise convolutions of the frames: TensorFlow has no grouped 3-D
    convolution on CPU, so that Keras compiles one with XLA, which is some hundred times slower, and which TensorFlow
    Serving and LiteRT refuse.

    Args:
        kernel_size: (t, h, w), or one integer for all three. Default 3.
        strides: (t, h, w), or one integer for all three; those of height and width are equal, since depthwise kernels
            of TensorFlow have one. Default 1.
        padding: "same" (default), "valid", or "symmetric": zeros of half the kernel's reach on both sides of every axis
            whatever the stride, which is what weights trained in PyTorch expect (at stride 2, "same" pads even lengths
            on one side only).
        temporal_dilation: distance in frames between the taps of the kernel. Default 1.
        use_bias: whether a bias is added. Default False.
        kernel_initializer: of the kernel, (t, h, w, 1, channels). Default "glorot_uniform".
        bias_initializer: of the bias. Default "zeros".
        kernel_regularizer: of the kernel. Default None.
        bias_regularizer: of the bias. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.

    Input shape:
        (batch, frames, height, width, channels), channels last; every axis but the channels may be None.

    Output shape:
        (batch, frames', height', width', channels), in the compute dtype.

    Raises:
        ValueError: for an argument out of range, an input that is not of rank 5, has no fixed number of channels, or
            is shorter than a kernel that may not be padded.

    Example:
        >>> layer = ChannelwiseConv3D(3, strides=(1, 2, 2), padding="symmetric")
        >>> tuple(layer(keras.ops.zeros((1, 4, 16, 16, 54))).shape)
        (1, 4, 8, 8, 54)

    Reference:
        Feichtenhofer, "X3D: Expanding Architectures for Efficient Video Recognition" (2020), section 3.1.
    """

    def __init__(
        self,
        kernel_size: int | Sequence[int] = 3,
        strides: int | Sequence[int] = 1,
        padding: str = "same",
        temporal_dilation: int = 1,
        use_bias: bool = False,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.kernel_size = validation.positive_integers(kernel_size, 3, "kernel_size")
        self.strides = validation.positive_integers(strides, 3, "strides")
        if self.strides[1] != self.strides[2]:
            raise ValueError(f"Expected `strides` of height and width to be equal. Received {strides!r}.")
        self.padding = validation.one_of(padding, validation.PADDINGS, "padding")
        self.temporal_dilation = validation.positive_integer(temporal_dilation, "temporal_dilation")
        self.use_bias = bool(use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel = None
        self.bias = None

    @property
    def reach(self) -> tuple[int, int, int]:
        """Lengths that the kernel covers: those of `kernel_size`, in time with what the dilation skips."""
        time, height, width = self.kernel_size
        return ((time - 1) * self.temporal_dilation + 1, height, width)

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)
        channels = validation.fixed_channels(self, input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, 1, channels),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(channels,), initializer=self.bias_initializer, regularizer=self.bias_regularizer
            )

    def call(self, inputs: Any) -> Any:
        # (t, h, w, 1, channels) -> (t, h, w, channels, 1), as 2-D depthwise convolutions have it.
        kernel = ops.swapaxes(ops.convert_to_tensor(self.kernel), 3, 4)
        over_time = self.kernel_size[1:] == (1, 1) and self.strides == (1, 1, 1) and self.temporal_dilation == 1
        outputs = self._over_time(inputs, kernel) if over_time else self._over_frames(inputs, kernel)
        return outputs if self.bias is None else ops.add(outputs, self.bias)

    def _over_time(self, inputs: Any, kernel: Any) -> Any:
        """Kernel (t, 1, 1): one 2-D convolution along the first axis of (time, height * width)."""
        padding = self.padding
        if padding == "symmetric":
            padding = "same"
            if self.kernel_size[0] % 2 == 0:
                padding, half = "valid", self.kernel_size[0] // 2
                inputs = ops.pad(inputs, ((0, 0), (half, half), (0, 0), (0, 0), (0, 0)))
        _, time, height, width, channels = ops.shape(inputs)
        flat = ops.reshape(inputs, (-1, time, height * width, channels))
        flat = ops.depthwise_conv(flat, kernel[:, 0], 1, padding, data_format="channels_last")
        return ops.reshape(flat, (-1, ops.shape(flat)[1], height, width, channels))

    def _over_frames(self, inputs: Any, kernel: Any) -> Any:
        """One 2-D convolution of the frames for each temporal tap, and their sum."""
        inputs, first, count, padding = self._padded(inputs)
        length, height, width, channels = ops.shape(inputs)[1:]
        frames = ops.reshape(inputs, (-1, height, width, channels))
        # A stretch of whole frames is no copy, where one out of each clip is: with a stride of one the windows of
        # successive clips are computed in one row, and those that reach from clip to clip dropped after it.
        in_one_row = self.strides[0] == 1 and isinstance(first, int) and first == 0
        total = None
        for tap in range(self.kernel_size[0]):
            start = first + tap * self.temporal_dilation
            if in_one_row:
                part = frames[start : ops.shape(frames)[0] - (self.reach[0] - 1) + start]
            else:
                part = inputs[:, start : start + (count - 1) * self.strides[0] + 1 : self.strides[0]]
                part = ops.reshape(part, (-1, height, width, channels))
            part = ops.depthwise_conv(part, kernel[tap], self.strides[1], padding, data_format="channels_last")
            total = part if total is None else ops.add(total, part)
        height, width = ops.shape(total)[1:3]
        if in_one_row and inputs.shape[0] != 1:
            total = ops.pad(total, ((0, self.reach[0] - 1), (0, 0), (0, 0), (0, 0)))
            return ops.reshape(total, (-1, length, height, width, channels))[:, :count]
        return ops.reshape(total, (-1, count, height, width, channels))

    def _padded(self, inputs: Any) -> tuple[Any, Any, Any, str]:
        """The input with zeros, the frame at which the first window starts, the number of windows, and what padding
        of height and width is left to the 2-D convolutions."""
        reach, stride, length = self.reach[0], self.strides[0], ops.shape(inputs)[1]
        pads, first, padding = [(0, 0), (0, 0), (0, 0)], 0, self.padding
        if self.padding == "symmetric":
            pads = [(size // 2, size // 2) for size in self.reach]
            if self.strides[1] == 1 and all(size % 2 for size in self.kernel_size[1:]):
                # "same" is symmetric then, and spares a copy.
                pads[1:], padding = [(0, 0), (0, 0)], "same"
            else:
                padding = "valid"
        elif self.padding == "same":
            count = (length + stride - 1) // stride
            needed = (count - 1) * stride + reach - length
            if isinstance(length, int):
                before = max(needed, 0) // 2
                pads[0] = (before, max(needed, 0) - before)
            else:
                # How many zeros a clip needs is known only when it comes: as many as any may need, and a later start.
                pads[0] = (reach - 1, reach - 1)
                first = reach - 1 - ops.maximum(needed, 0) // 2
        if any(sum(pads, ())):
            inputs = ops.pad(inputs, [(0, 0), *pads, (0, 0)])
        if self.padding != "same":
            count = (length + sum(pads[0]) - reach) // stride + 1
            if not isinstance(count, int):
                # A clip of free length that turns out shorter than the kernel has no window.
                count = ops.maximum(count, 0)
        return inputs, first, count, padding

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        validation.clip_shape(input_shape)
        lengths = [
            validation.convolution_length(length, reach, stride, self.padding)
            for length, reach, stride in zip(input_shape[1:4], self.reach, self.strides, strict=True)
        ]
        return (input_shape[0], *lengths, input_shape[4])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "temporal_dilation": self.temporal_dilation,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
        }
