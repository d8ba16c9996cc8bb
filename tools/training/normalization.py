"""How fast batch normalizations follow the data."""

from __future__ import annotations

import keras

from tools.errors import InputError


def set_momentum(model: keras.Model, momentum: float) -> None:
    """Gives every batch normalization of a model this momentum, also those inside other layers.

    The moving statistics after n steps keep `momentum ** n` of those before: with the 0.999 of networks trained for a
    hundred thousand steps, a fine-tuning of a hundred steps ends with nine tenths of the old ones, and the network
    answers worse than it was trained. The model's file keeps the new momentum.

    Args:
        model: a Functional model.
        momentum: from 0 to below 1.

    Raises:
        InputError: if it is out of range, or the model has no batch normalization.
    """
    if not 0 <= momentum < 1:
        raise InputError(f"Expected normalization_momentum to lie in [0, 1). Received {momentum}.")
    # The layers of this suite that hold normalizations make them by an argument of the same name.
    layers = [layer for layer in model._flatten_layers(include_self=False) if hasattr(layer, "momentum")]
    if not layers:
        raise InputError(f"Expected a model with batch normalizations. Received {model.name!r}.")
    for layer in layers:
        layer.momentum = momentum
