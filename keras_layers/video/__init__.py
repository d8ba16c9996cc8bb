"""Layers for video: tensors of shape (batch, frames, height, width, channels)."""

from keras_layers.video.centered_identity import CenteredIdentity
from keras_layers.video.channelwise_conv3d import ChannelwiseConv3D
from keras_layers.video.clip_check import ClipCheck
from keras_layers.video.conv2plus1d import Conv2Plus1D, parameter_matched_filters
from keras_layers.video.frame_padding import FramePadding
from keras_layers.video.frame_rate_resampling import FrameRateResampling
from keras_layers.video.inception import InflatedInception, SeparableInception
from keras_layers.video.inflate import inflate, inflate_kernel
from keras_layers.video.lateral_connection import LateralConnection
from keras_layers.video.self_gating import SelfGating
from keras_layers.video.squeeze_excitation3d import SqueezeExcitation3D
from keras_layers.video.temporal_difference import TemporalDifference
from keras_layers.video.temporal_transition import TemporalTransition
from keras_layers.video.windowed_average_pooling3d import WindowedAveragePooling3D

__all__ = [
    "CenteredIdentity",
    "ChannelwiseConv3D",
    "Conv2Plus1D",
    "FramePadding",
    "FrameRateResampling",
    "InflatedInception",
    "LateralConnection",
    "ClipCheck",
    "SelfGating",
    "SeparableInception",
    "SqueezeExcitation3D",
    "TemporalDifference",
    "TemporalTransition",
    "WindowedAveragePooling3D",
    "inflate",
    "inflate_kernel",
    "parameter_matched_filters",
]
