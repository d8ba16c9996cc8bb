"""Layers, losses and metrics of the suite; importing this package registers them all with Keras."""

from keras_layers.video import Conv2Plus1D, TemporalDifference

__all__ = ["Conv2Plus1D", "TemporalDifference"]
