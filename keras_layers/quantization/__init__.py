"""Quantisers: vectors replaced by codes, codes told as indices, indices turned back into vectors."""

from keras_layers.quantization.finite_scalar import FiniteScalarQuantizer
from keras_layers.quantization.guard import CodebookGuard
from keras_layers.quantization.mu_law import MuLaw, mu_law_decode, mu_law_encode
from keras_layers.quantization.residual import ResidualVectorQuantizer
from keras_layers.quantization.time_jitter import TimeJitter
from keras_layers.quantization.usage import CodebookUsage, Perplexity
from keras_layers.quantization.vector_quantizer import VectorQuantizer, VectorQuantizerEMA

__all__ = [
    "CodebookGuard",
    "CodebookUsage",
    "FiniteScalarQuantizer",
    "MuLaw",
    "Perplexity",
    "ResidualVectorQuantizer",
    "TimeJitter",
    "VectorQuantizer",
    "VectorQuantizerEMA",
    "mu_law_decode",
    "mu_law_encode",
]
