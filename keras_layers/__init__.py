"""Layers, losses and metrics of the suite; importing this package registers them all with Keras."""
