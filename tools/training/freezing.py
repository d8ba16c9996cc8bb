"""Fine-tuning from the middle on: the first layers of a model stay as they are."""

from __future__ import annotations

import difflib

import keras

from tools.errors import InputError


def freeze(model: keras.Model, layer: str) -> None:
    """Keeps a layer, and every layer on whose output it depends, as it is in training.

    Their weights are not trained, and their batch normalizations use and keep the moving statistics they have. The
    model's file says so too, so it holds for a model that is saved and loaded. A layer beside the way to the named one
    (a second pathway) is trained. To be called before the model is compiled.

    Args:
        model: a Functional model.
        layer: name of the last layer to freeze.

    Raises:
        InputError: if the model has no such layer, or nothing would be left to train.
    """
    names = [one.name for one in model.layers]
    if layer not in names:
        near = difflib.get_close_matches(str(layer), names, 3, 0.3) or names[-3:]
        raise InputError(
            f"Expected `freeze` to name a layer of {model.name!r}, such as {', '.join(near)}. Received {layer!r}."
        )
    frozen = keras.Model(model.inputs, model.get_layer(layer).output).layers
    kept = {id(weight) for one in frozen for weight in one.weights}
    if all(id(weight) in kept for weight in model.trainable_weights):
        raise InputError(
            f"Expected `freeze` to name a layer of {model.name!r} with weights after it. Received {layer!r}: nothing "
            "would be trained."
        )
    for one in frozen:
        one.trainable = False
