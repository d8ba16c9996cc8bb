"""Layers for video: tensors of shape (batch, frames, height, width, channels)."""

from keras_layers.video.channelwise_conv3d import ChannelwiseConv3D
from keras_layers.video.conv2plus1d import Conv2Plus1D, parameter_matched_filters
from keras_layers.video.frame_rate_resampling import FrameRateResampling
from keras_layers.video.lateral_connection import LateralConnection
from keras_layers.video.squeeze_excitation3d import SqueezeExcitation3D
from keras_layers.video.temporal_difference import TemporalDifference
from keras_layers.video.temporal_transition import TemporalTransition
from keras_layers.video.windowed_average_pooling3d import WindowedAveragePooling3D

__all__ = [
    "ChannelwiseConv3D",
    "Conv2Plus1D",
    "FrameRateResampling",
    "LateralConnection",
    "SqueezeExcitation3D",
    "TemporalDifference",
    "TemporalTransition",
    "WindowedAveragePooling3D",
    "parameter_matched_filters",
]
