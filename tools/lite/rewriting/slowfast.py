"""Rules of the layers of SlowFast networks."""

from __future__ import annotations

import keras

from keras_layers.video.frame_rate_resampling import resampled_frames
from tools.lite.rewriting.feature import Feature
from tools.lite.rewriting.table import rule


@rule("keras_layers>FrameRateResampling")
def frame_rate_resampling(context, layer, feature: Feature) -> Feature:
    """A selection of frames, known beforehand."""
    positions = resampled_frames(feature.shape[0], layer.rate)
    tensor = context.named(keras.ops.take(feature.tensor("time"), positions, axis=1), "frames")
    return Feature(context, (len(positions), *feature.shape[1:]), {"time": tensor})


@rule("keras_layers>LateralConnection")
def lateral_connection(context, layer, feature: Feature) -> Feature:
    """Its parts, one after the other."""
    return context.chain(layer, (layer.padding, layer.convolution, layer.normalization, layer.activation), feature)


@rule("keras_layers>WindowedAveragePooling3D")
def windowed_average_pooling(context, layer, feature: Feature):
    """The means of the windows of each frame, then the mean of all those."""
    window = tuple(min(layer.window, size) for size in feature.shape[1:3])
    if window != feature.shape[1:3]:
        rows, columns = (size - length + 1 for size, length in zip(feature.shape[1:3], window, strict=True))
        pooling = keras.layers.AveragePooling2D(window, strides=1, name=context.name("windows"))
        feature = feature.apply(pooling, "frames", (feature.shape[0], rows, columns, feature.shape[3]))
    return keras.layers.GlobalAveragePooling2D(name=context.name())(feature.tensor("time"))
