"""Layers, losses and metrics of the suite; importing this package registers them all with Keras."""

from keras_layers import losses
from keras_layers.contrastive import KeyQueue, MomentumContrast
from keras_layers.embedding import RowEmbedding
from keras_layers.graph import GINConv, GraphReadout, JumpingKnowledgeReadout, LightGCNPropagation
from keras_layers.tabular import InverseLink, PiecewiseLinear, RandomFourierFeatures
from keras_layers.video import (
    CenteredIdentity,
    ChannelwiseConv3D,
    Conv2Plus1D,
    FramePadding,
    FrameRateResampling,
    InflatedInception,
    LateralConnection,
    MinimumLengths,
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
    "GINConv",
    "GraphReadout",
    "InflatedInception",
    "InverseLink",
    "JumpingKnowledgeReadout",
    "KeyQueue",
    "LateralConnection",
    "LightGCNPropagation",
    "MinimumLengths",
    "MomentumContrast",
    "PiecewiseLinear",
    "RandomFourierFeatures",
    "RowEmbedding",
    "SelfGating",
    "SeparableInception",
    "SqueezeExcitation3D",
    "TemporalDifference",
    "TemporalTransition",
    "WindowedAveragePooling3D",
    "inflate",
    "losses",
]
