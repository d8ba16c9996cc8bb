"""Layers that make the similarities which a contrastive loss compares: `keras_layers.losses.InfoNCE`."""

from keras_layers.contrastive.key_queue import KeyQueue
from keras_layers.contrastive.momentum_contrast import MomentumContrast

__all__ = ["KeyQueue", "MomentumContrast"]
