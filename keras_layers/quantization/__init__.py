"""Quantisers: vectors replaced by codes, codes told as indices, indices turned back into vectors."""

from keras_layers.quantization.finite_scalar import FiniteScalarQuantizer
from keras_layers.quantization.guard import CodebookGuard
from keras_layers.quantization.residual import ResidualVectorQuantizer
from keras_layers.quantization.usage import CodebookUsage, Perplexity
from keras_layers.quantization.vector_quantizer import VectorQuantizer, VectorQuantizerEMA

__all__ = [
    "CodebookGuard",
    "CodebookUsage",
    "FiniteScalarQuantizer",
    "Perplexity",
    "ResidualVectorQuantizer",
    "VectorQuantizer",
    "VectorQuantizerEMA",
]
