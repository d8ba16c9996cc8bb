"""Layers for classifiers of tables: a kernel's features, and scores turned into probabilities."""

from keras_layers.tabular.inverse_link import InverseLink
from keras_layers.tabular.piecewise_linear import PiecewiseLinear
from keras_layers.tabular.random_fourier_features import RandomFourierFeatures

__all__ = ["InverseLink", "PiecewiseLinear", "RandomFourierFeatures"]
