"""Layers made of layers."""

from __future__ import annotations

from typing import Any

import keras


def fresh(initializer: Any) -> Any:
    """The initializer for one more weight: one instance without a seed draws the same numbers at every call."""
    return initializer.clone() if isinstance(initializer, keras.initializers.Initializer) else initializer


def keep_frozen(layer: keras.layers.Layer) -> None:
    """Freezes what a frozen layer is made of; called at the end of `build`.

    Keras hands `trainable` on when it is set, to the sublayers there are then. A layer read from a file is told
    `trainable=False` before it has any: their normalizations would go on updating their statistics.
    """
    if not layer.trainable:
        # TensorFlow passes over the assignment of the value that an attribute has.
        layer.trainable = True
        layer.trainable = False
