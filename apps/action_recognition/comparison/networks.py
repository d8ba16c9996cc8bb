"""The network that is compared, with given weights or with random ones, and the clip that it takes."""

from __future__ import annotations

from typing import Any

import keras

from apps.action_recognition import checkpoints, models


def build(name: str, size: tuple[int, int, int] | None, weights: str | None = None, seed: int = 0) -> keras.Model:
    """A registered model that ends in probabilities.

    Args:
        name: registered name.
        size: (frames, height, width), or None for the native ones.
        weights: a checkpoint or the name of published weights; None for random ones.
        seed: of random weights.

    Raises:
        InputError: if the name is unknown, the model does not take the size, or the weights do not fit.
    """
    keras.utils.set_random_seed(seed)
    native = models.info(name).input_shape
    model = models.create(name, input_shape=native if size is None else (*size, native[-1]))
    if weights is not None:
        checkpoints.load(model, weights)
        return model
    for weight in model.weights:
        # A block whose last scale begins with 0 would be left out of the comparison.
        if weight.name == "gamma":
            weight.assign(keras.ops.ones_like(weight))
    return model


def logits(model: keras.Model) -> Any:
    """The Keras tensor before the softmax."""
    return model.get_layer("classifier_activation").input
