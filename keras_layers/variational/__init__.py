"""Latents that are drawn, for models trained by a bound on the likelihood: Gaussian ones, discrete ones, VIMCO."""

from keras_layers.variational.categorical_sampling import CategoricalSampling
from keras_layers.variational.gaussian_sampling import GaussianSampling
from keras_layers.variational.multi_sample import importance_bound, vimco_loss

__all__ = ["CategoricalSampling", "GaussianSampling", "importance_bound", "vimco_loss"]
