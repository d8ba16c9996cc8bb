"""Layers for video: tensors of shape (batch, frames, height, width, channels)."""

from keras_layers.video.conv2plus1d import Conv2Plus1D, parameter_matched_filters
from keras_layers.video.temporal_difference import TemporalDifference

__all__ = ["Conv2Plus1D", "TemporalDifference", "parameter_matched_filters"]
