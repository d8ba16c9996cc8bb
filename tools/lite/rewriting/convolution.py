"""Rules of 3-D convolutions and of the batch normalisation behind them."""

from __future__ import annotations

import keras
import numpy as np

from keras_layers.validation import same_pads
from tools.errors import InputError
from tools.lite.rewriting.feature import (
    NO_PADS,
    Convolution,
    Feature,
    Pads,
    ZeroPadding,
    pad,
    take_frames,
    take_positions,
)
from tools.lite.rewriting.table import rule


def require_channels_last(layer: keras.layers.Layer) -> None:
    """Refuses a layer whose channels come first."""
    if layer.data_format != "channels_last":
        raise InputError(
            f"Expected layer {layer.name!r} to have data_format 'channels_last'. Received {layer.data_format!r}."
        )


@rule("Conv3D")
def conv3d(context, layer, feature: Feature) -> Feature:
    """A convolution over time and space by 2-D convolutions, in one of three ways:

    - kernel (1, h, w): over the frames, as a batch of images;
    - kernel (t, 1, 1): kernel (t, 1) over (time, height * width);
    - kernel (t, h, w): t shifted copies of the frames side by side on the channels, then one convolution over frames.
    """
    require_channels_last(layer)
    kernel = keras.ops.convert_to_numpy(layer.kernel).astype("float64")
    bias = keras.ops.convert_to_numpy(layer.bias).astype("float64") if layer.use_bias else np.zeros(kernel.shape[-1])
    if layer.groups not in (1, feature.shape[-1]):
        raise InputError(
            f"Expected groups of layer {layer.name!r} (Conv3D) to be 1 or its {feature.shape[-1]} input channels. "
            f"Received {layer.groups}."
        )
    pads = keras_pads(layer.padding, feature.shape, layer.kernel_size, layer.strides, layer.dilation_rate)
    source, pads = with_pending_zeros(feature, pads)
    return activate(
        context,
        layer.activation,
        convolve(context, source, kernel, bias, layer.strides, layer.dilation_rate, pads, depthwise=layer.groups > 1),
    )


def with_pending_zeros(feature: Feature, pads: Pads) -> tuple[Feature, Pads]:
    """What a layer pads that adds zeros of its own to those put off before it, and the zeros together."""
    if not isinstance(feature.pending, ZeroPadding):
        return feature, pads
    pending = feature.pending
    return pending.source, tuple((a + c, b + d) for (a, b), (c, d) in zip(pending.pads, pads, strict=True))


def keras_pads(padding: str, shape, kernel_size, strides, dilation) -> Pads:
    """The zeros on either side of each axis under Keras' "same" or "valid"."""
    if padding == "valid":
        return NO_PADS
    return tuple(same_pads(*sizes) for sizes in zip(shape[:3], kernel_size, strides, dilation, strict=True))


def activate(context, activation, feature: Feature) -> Feature:
    """The activation that a convolution carries in itself."""
    if activation is keras.activations.linear:
        return feature
    return feature.apply(keras.layers.Activation(activation, name=context.name("activation")))


def convolve(context, feature, kernel, bias, strides, dilation, pads: Pads, depthwise: bool) -> Feature:
    """A convolution with explicit zeros, put off so that a batch normalisation can join it."""
    sizes = tuple(
        (size + sum(zeros) - (taps - 1) * rate - 1) // stride + 1
        for size, zeros, taps, stride, rate in zip(
            feature.shape[:3], pads, kernel.shape[:3], strides, dilation, strict=True
        )
    )
    if min(sizes) < 1:
        raise InputError(
            f"Expected a feature map of at least the kernel's size {kernel.shape[:3]} at {context.name()!r}. "
            f"Received {feature.shape[:3]}."
        )
    form = "time" if kernel.shape[1:3] == (1, 1) and kernel.shape[0] > 1 else "frames"
    layers = _Convolver(context, feature, strides, dilation, pads, sizes, depthwise)
    build = layers.over_time if form == "time" else layers.over_frames
    return Feature(
        context,
        (*sizes, kernel.shape[-1]),
        pending=Convolution(kernel, bias, lambda kernel, bias: (form, build(kernel, bias))),
    )


class _Convolver:
    """Builds the 2-D layers of one convolution."""

    def __init__(self, context, feature, strides, dilation, pads, sizes, depthwise):
        self.context = context
        self.feature = feature
        self.strides = strides
        self.dilation = dilation
        self.pads = pads
        self.sizes = sizes
        self.depthwise = depthwise

    def over_time(self, kernel, bias):
        """Kernel (t, 1, 1): the positions of a frame stand in one axis, along which the kernel is 1 wide."""
        source = pad(self.feature, ((0, 0), *self.pads[1:]))
        source = take_positions(source, self.sizes[1:], self.strides[1:])
        taps = kernel[:, 0]
        return self._convolution(
            source.tensor("time"), taps, bias, (self.strides[0], 1), (self.dilation[0], 1), (self.pads[0], (0, 0))
        )

    def over_frames(self, kernel, bias):
        """Kernel (t, h, w): each output frame is made of t input frames, as if they were more channels."""
        before, after = self.pads[0]
        # Frames up to a multiple of the stride, which `take_frames` wants, are written once for all taps.
        missing = -(self.feature.shape[0] + before + after) % self.strides[0]
        source = pad(self.feature, ((before, after + missing), (0, 0), (0, 0)))
        frames = [
            take_frames(source, tap * self.dilation[0], self.sizes[0], self.strides[0])
            for tap in range(kernel.shape[0])
        ]
        space = (self.strides[1:], self.dilation[1:], self.pads[1:])
        if self.depthwise:
            parts = [
                self._convolution(shifted.tensor("frames"), kernel[tap], bias if tap == 0 else None, *space)
                for tap, shifted in enumerate(frames)
            ]
            return parts[0] if len(parts) == 1 else keras.layers.Add(name=self.context.name("taps"))(parts)
        if len(frames) == 1:
            return self._convolution(frames[0].tensor("frames"), kernel[0], bias, *space)
        time, height, width, channels = frames[0].shape
        joined = keras.layers.Concatenate(name=self.context.name("taps"))([part.tensor("time") for part in frames])
        stacked = Feature(self.context, (time, height, width, channels * len(frames)), {"time": joined})
        taps, rows, columns, inputs, outputs = kernel.shape
        kernel = kernel.transpose(1, 2, 0, 3, 4).reshape(rows, columns, taps * inputs, outputs)
        return self._convolution(stacked.tensor("frames"), kernel, bias, *space)

    def _convolution(self, tensor, kernel, bias, strides, dilation, pads):
        """One 2-D convolution; zeros it cannot make itself are written before it."""
        same = tuple(
            same_pads(*sizes) for sizes in zip(tensor.shape[1:3], kernel.shape[:2], strides, dilation, strict=True)
        )
        # Zeros that no output position reaches need not be written, nor agree with "same".
        reached = tuple(
            (before, max(after - (size + before + after - (taps - 1) * rate - 1) % stride, 0))
            for size, (before, after), taps, stride, rate in zip(
                tensor.shape[1:3], pads, kernel.shape[:2], strides, dilation, strict=True
            )
        )
        padded = any(sum(reached, ()))
        padding = "same" if padded and reached == same else "valid"
        if padded and padding == "valid":
            tensor = keras.layers.ZeroPadding2D(reached, name=self.context.name("pad"))(tensor)
        if self.depthwise:
            return self._depthwise(tensor, kernel, bias, strides, dilation, padding)
        layer = keras.layers.Conv2D(
            kernel.shape[-1],
            kernel.shape[:2],
            strides=strides,
            dilation_rate=dilation,
            padding=padding,
            name=self.context.name(),
        )
        tensor = layer(tensor)
        layer.set_weights([kernel, bias])
        return tensor

    def _depthwise(self, tensor, kernel, bias, strides, dilation, padding):
        rows, columns, _, outputs = kernel.shape
        channels = tensor.shape[-1]
        # TensorFlow's depthwise kernel has one stride for both axes.
        thinned = strides[0] != strides[1]
        if thinned and padding == "same":
            zeros = tuple(
                same_pads(*sizes) for sizes in zip(tensor.shape[1:3], (rows, columns), strides, dilation, strict=True)
            )
            tensor = keras.layers.ZeroPadding2D(zeros, name=self.context.name("pad"))(tensor)
            padding = "valid"
        layer = keras.layers.DepthwiseConv2D(
            (rows, columns),
            strides=1 if thinned else strides,
            dilation_rate=dilation,
            depth_multiplier=outputs // channels,
            padding=padding,
            use_bias=bias is not None,
            name=self.context.name(),
        )
        tensor = layer(tensor)
        weights = [kernel.reshape(rows, columns, channels, outputs // channels)]
        layer.set_weights(weights if bias is None else [*weights, bias])
        if thinned:
            tensor = self.context.named(tensor[:, :: strides[0], :: strides[1]], "positions")
        return tensor


@rule("BatchNormalization")
def batch_normalization(context, layer, feature: Feature) -> Feature:
    """Joins the convolution before it, where nothing else reads that; else scales and shifts the 4-D form."""
    if layer.axis not in (-1, 4):
        raise InputError(
            f"Expected axis of layer {layer.name!r} (BatchNormalization) to be the channels. Received {layer.axis}."
        )
    if isinstance(feature.pending, Convolution) and feature.uses <= 1:
        pending = feature.pending.scaled(*scale_and_shift(layer))
        return Feature(context, feature.shape, pending=pending)
    return feature.apply(context.copy(layer, axis=-1))


def scale_and_shift(layer: keras.layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """Inference of a batch normalisation as y = x * scale + shift, in float64."""
    mean, variance = (
        keras.ops.convert_to_numpy(value).astype("float64") for value in (layer.moving_mean, layer.moving_variance)
    )
    gamma = keras.ops.convert_to_numpy(layer.gamma).astype("float64") if layer.scale else 1.0
    beta = keras.ops.convert_to_numpy(layer.beta).astype("float64") if layer.center else 0.0
    scale = gamma / np.sqrt(variance + layer.epsilon)
    return scale, beta - mean * scale


@rule("keras_layers>Conv2Plus1D")
def conv2plus1d(context, layer, feature: Feature) -> Feature:
    """Its parts, one after the other."""
    return context.chain(
        layer,
        (
            layer.spatial_padding,
            layer.spatial,
            layer.normalization,
            layer.activation,
            layer.temporal_padding,
            layer.temporal,
        ),
        feature,
    )


@rule("ZeroPadding3D")
def zero_padding(context, layer, feature: Feature) -> Feature:
    """Put off until it is used: a convolution merges it with its own zeros."""
    require_channels_last(layer)
    source, pads = with_pending_zeros(feature, tuple(tuple(pair) for pair in layer.padding))
    sizes = tuple(size + sum(zeros) for size, zeros in zip(source.shape[:3], pads, strict=True))
    return Feature(context, (*sizes, source.shape[3]), pending=ZeroPadding(source, pads))
