"""Layers, losses and metrics of the suite; importing this package registers them all with Keras."""

from keras_layers import losses
from keras_layers.tabular import InverseLink, PiecewiseLinear, RandomFourierFeatures
from keras_layers.video import (
    CenteredIdentity,
    ChannelwiseConv3D,
    ClipCheck,
    Conv2Plus1D,
    FramePadding,
    FrameRateResampling,
    InflatedInception,
    LateralConnection,
    SelfGating,
    SeparableInception,
    SqueezeExcitation3D,
    TemporalDifference,
    TemporalTransition,
    WindowedAveragePooling3D,
    inflate,
)

__all__ = [
    "CenteredIdentity",
    "ChannelwiseConv3D",
    "Conv2Plus1D",
    "FramePadding",
    "FrameRateResampling",
    "InflatedInception",
    "InverseLink",
    "LateralConnection",
    "ClipCheck",
    "PiecewiseLinear",
    "RandomFourierFeatures",
    "SelfGating",
    "SeparableInception",
    "SqueezeExcitation3D",
    "TemporalDifference",
    "TemporalTransition",
    "WindowedAveragePooling3D",
    "inflate",
    "losses",
]
