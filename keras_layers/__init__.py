"""Layers, losses and metrics of the suite; importing this package registers them all with Keras."""

from keras_layers.video import (
    ChannelwiseConv3D,
    Conv2Plus1D,
    FrameRateResampling,
    LateralConnection,
    SqueezeExcitation3D,
    TemporalDifference,
    TemporalTransition,
    WindowedAveragePooling3D,
)

__all__ = [
    "ChannelwiseConv3D",
    "Conv2Plus1D",
    "FrameRateResampling",
    "LateralConnection",
    "SqueezeExcitation3D",
    "TemporalDifference",
    "TemporalTransition",
    "WindowedAveragePooling3D",
]
