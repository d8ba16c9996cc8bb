"""Layers, losses and metrics of the suite; importing this package registers them all with Keras."""

from keras_layers import losses
from keras_layers.autoregressive import CausalConv1D, GatedMaskedBlock, MaskedConv2D, WaveNetBlock
from keras_layers.contrastive import KeyQueue, MomentumContrast
from keras_layers.embedding import RowEmbedding
from keras_layers.graph import GINConv, GraphReadout, JumpingKnowledgeReadout, LightGCNPropagation
from keras_layers.quantization import (
    CodebookGuard,
    CodebookUsage,
    FiniteScalarQuantizer,
    Perplexity,
    ResidualVectorQuantizer,
    VectorQuantizer,
    VectorQuantizerEMA,
)
from keras_layers.tabular import InverseLink, PiecewiseLinear, RandomFourierFeatures
from keras_layers.variational import CategoricalSampling, GaussianSampling, importance_bound, vimco_loss
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
    "CategoricalSampling",
    "CausalConv1D",
    "CenteredIdentity",
    "ChannelwiseConv3D",
    "ClipCheck",
    "CodebookGuard",
    "CodebookUsage",
    "Conv2Plus1D",
    "FiniteScalarQuantizer",
    "FramePadding",
    "FrameRateResampling",
    "GINConv",
    "GatedMaskedBlock",
    "GaussianSampling",
    "GraphReadout",
    "InflatedInception",
    "InverseLink",
    "JumpingKnowledgeReadout",
    "KeyQueue",
    "LateralConnection",
    "LightGCNPropagation",
    "MaskedConv2D",
    "MomentumContrast",
    "Perplexity",
    "PiecewiseLinear",
    "RandomFourierFeatures",
    "ResidualVectorQuantizer",
    "RowEmbedding",
    "SelfGating",
    "SeparableInception",
    "SqueezeExcitation3D",
    "TemporalDifference",
    "TemporalTransition",
    "VectorQuantizer",
    "VectorQuantizerEMA",
    "WaveNetBlock",
    "WindowedAveragePooling3D",
    "importance_bound",
    "inflate",
    "losses",
    "vimco_loss",
]
