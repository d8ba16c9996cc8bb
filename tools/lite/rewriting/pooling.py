"""Rules of 3-D pooling, cropping and enlarging: over space on the frames, then over time."""

from __future__ import annotations

import keras

from tools.errors import InputError
from tools.lite.rewriting.convolution import require_channels_last
from tools.lite.rewriting.feature import Feature
from tools.lite.rewriting.table import rule

POOLING = {
    "MaxPooling3D": keras.layers.MaxPooling2D,
    "AveragePooling3D": keras.layers.AveragePooling2D,
    "GlobalMaxPooling3D": keras.layers.GlobalMaxPooling2D,
    "GlobalAveragePooling3D": keras.layers.GlobalAveragePooling2D,
}


@rule("MaxPooling3D", "AveragePooling3D")
def pooling(context, layer, feature: Feature) -> Feature:
    """A maximum of maxima and a mean of means: the valid elements of a window are a box, also under "same"."""
    require_channels_last(layer)
    kind = POOLING[type(layer).__name__]
    (frames, *window), (time_stride, *strides) = layer.pool_size, layer.strides
    time, height, width, channels = feature.shape
    height, width = (pooled(*sizes, layer.padding) for sizes in zip((height, width), window, strides, strict=True))
    if (tuple(window), tuple(strides)) != ((1, 1), (1, 1)):
        over_space = kind(tuple(window), tuple(strides), layer.padding, name=context.name())
        feature = feature.apply(over_space, "frames", (time, height, width, channels))
    if (frames, time_stride) != (1, 1):
        time = pooled(time, frames, time_stride, layer.padding)
        over_time = kind((frames, 1), (time_stride, 1), layer.padding, name=context.name())
        feature = feature.apply(over_time, "time", (time, height, width, channels))
    return feature


def pooled(size: int, window: int, stride: int, padding: str) -> int:
    """Positions of a window along one axis."""
    return -(-size // stride) if padding == "same" else (size - window) // stride + 1


@rule("GlobalMaxPooling3D", "GlobalAveragePooling3D")
def global_pooling(context, layer, feature: Feature):
    """Over the two axes (time, height * width)."""
    require_channels_last(layer)
    kind = POOLING[type(layer).__name__]
    tensor = kind(keepdims=layer.keepdims, name=context.name())(feature.tensor("time"))
    if layer.keepdims:
        return Feature(context, (1, 1, 1, feature.shape[-1]), {"time": tensor})
    return tensor


@rule("Cropping3D")
def cropping(context, layer, feature: Feature) -> Feature:
    """Rows and columns of the frames, then frames."""
    require_channels_last(layer)
    along_time, *space = (tuple(pair) for pair in layer.cropping)
    time, height, width, channels = feature.shape
    if any(sum(space, ())):
        height, width = height - sum(space[0]), width - sum(space[1])
        layer_2d = keras.layers.Cropping2D(tuple(space), name=context.name())
        feature = feature.apply(layer_2d, "frames", (time, height, width, channels))
    if any(along_time):
        layer_2d = keras.layers.Cropping2D((along_time, (0, 0)), name=context.name())
        feature = feature.apply(layer_2d, "time", (time - sum(along_time), height, width, channels))
    return feature


@rule("UpSampling3D")
def up_sampling(context, layer, feature: Feature) -> Feature:
    """Repeats rows and columns of the frames, then frames."""
    require_channels_last(layer)
    times, rows, columns = layer.size
    time, height, width, channels = feature.shape
    if (rows, columns) != (1, 1):
        height, width = height * rows, width * columns
        layer_2d = keras.layers.UpSampling2D((rows, columns), name=context.name())
        feature = feature.apply(layer_2d, "frames", (time, height, width, channels))
    if times != 1:
        layer_2d = keras.layers.UpSampling2D((times, 1), name=context.name())
        feature = feature.apply(layer_2d, "time", (time * times, height, width, channels))
    return feature


@rule("TimeDistributed")
def time_distributed(context, layer, feature: Feature):
    """The layer inside, on every frame as a batch."""
    inner = layer.layer
    if isinstance(inner, keras.Model):
        raise InputError(f"Expected TimeDistributed {layer.name!r} to hold a layer. Received a model, {inner.name!r}.")
    tensor = context.copy(inner)(feature.tensor("frames"))
    time = feature.shape[0]
    if len(tensor.shape) == 4:
        return Feature(context, (time, *tensor.shape[1:]), {"frames": tensor})
    return context.named(keras.ops.reshape(tensor, (-1, time, *tensor.shape[1:])), "sequence")
