"""Rules of the layers of SlowFast networks."""

from __future__ import annotations

import keras

from keras_layers.video.frame_rate_resampling import resampled_frames
from tools.lite.rewriting.feature import Feature, take_frames
from tools.lite.rewriting.table import rule


@rule("keras_layers>FrameRateResampling")
def frame_rate_resampling(context, layer, feature: Feature) -> Feature:
    """The frames that are kept, one by one, side by side again: the converter does not quantise behind a gather."""
    kept = [take_frames(feature, position, 1, 1) for position in resampled_frames(feature.shape[0], layer.rate)]
    parts, axis = [frame.tensor("time") for frame in kept], 1
    positions = feature.shape[1] * feature.shape[2]
    if len(parts) == 1 and positions > 1:
        # Nor behind a slice and a change of shape: the frame is joined of two halves.
        half = positions // 2
        parts, axis = [parts[0][:, :, :half], parts[0][:, :, half:]], 2
    joined = keras.layers.Concatenate(axis=axis, name=context.name())(parts)
    return Feature(context, (len(kept), *feature.shape[1:]), {"time": joined})


@rule("keras_layers>LateralConnection")
def lateral_connection(context, layer, feature: Feature) -> Feature:
    """Its parts, one after the other."""
    return context.chain(layer, (layer.padding, layer.convolution, layer.normalization, layer.activation), feature)


@rule("keras_layers>WindowedAveragePooling3D")
def windowed_average_pooling(context, layer, feature: Feature):
    """The means of the windows of each frame, those of the windows in time, then the mean of all."""
    frames = min(layer.temporal_window, feature.shape[0])
    window = tuple(min(layer.window, size) for size in feature.shape[1:3])
    if window != feature.shape[1:3]:
        rows, columns = (size - length + 1 for size, length in zip(feature.shape[1:3], window, strict=True))
        pooling = keras.layers.AveragePooling2D(window, strides=1, name=context.name("windows"))
        feature = feature.apply(pooling, "frames", (feature.shape[0], rows, columns, feature.shape[3]))
    if 1 < frames < feature.shape[0]:
        pooling = keras.layers.AveragePooling2D((frames, 1), strides=1, name=context.name("time_windows"))
        feature = feature.apply(pooling, "time", (feature.shape[0] - frames + 1, *feature.shape[1:]))
    return keras.layers.GlobalAveragePooling2D(name=context.name())(feature.tensor("time"))
