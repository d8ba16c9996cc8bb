"""The margin losses by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from keras_layers.losses.hinges import (
    L1HingeLoss,
    L2HingeLoss,
    L2MarginLoss,
    ModifiedHuberLoss,
    PerceptronLoss,
    SmoothedL1HingeLoss,
    ZeroOneLoss,
)
from keras_layers.losses.margin import MarginLoss, registered_name
from keras_layers.losses.smooth import DWDMarginLoss, ExpLoss, LogitMarginLoss, SigmoidLoss

MARGIN_LOSSES: dict[str, type[MarginLoss]] = {
    registered_name(loss): loss
    for loss in (
        ZeroOneLoss,
        PerceptronLoss,
        L1HingeLoss,
        SmoothedL1HingeLoss,
        ModifiedHuberLoss,
        DWDMarginLoss,
        L2MarginLoss,
        L2HingeLoss,
        SigmoidLoss,
        LogitMarginLoss,
        ExpLoss,
    )
}


def names() -> list[str]:
    """The names that `get` knows."""
    return list(MARGIN_LOSSES)


def get(identifier: Any, **arguments: Any) -> keras.losses.Loss:
    """A loss by its name, its class name, its configuration, or as it is.

    `keras.losses.get` looks only among Keras' own losses when it is given a name.

    Args:
        identifier: a name of `names()` ("l1_hinge"), a class name ("L1HingeLoss"), what
            `keras.saving.serialize_keras_object` made of a loss, or a loss.
        **arguments: of the loss, with a name: `get("dwd_margin", q=2)`.

    Raises:
        ValueError: if there is no such loss, or arguments come with anything but a name.

    Example:
        >>> get("smoothed_l1_hinge", gamma=0.5).gamma
        0.5
    """
    if isinstance(identifier, str):
        by_class = {loss.__name__: loss for loss in MARGIN_LOSSES.values()}
        loss = MARGIN_LOSSES.get(identifier) or by_class.get(identifier)
        if loss is None:
            raise ValueError(f"Expected a loss of {', '.join(MARGIN_LOSSES)}. Received {identifier!r}.")
        return loss(**arguments)
    if arguments:
        raise ValueError(f"Expected arguments only with the name of a loss. Received {arguments} with {identifier!r}.")
    if isinstance(identifier, Mapping):
        identifier = keras.saving.deserialize_keras_object(dict(identifier))
    if not isinstance(identifier, keras.losses.Loss):
        raise ValueError(f"Expected a loss, its name or its configuration. Received {identifier!r}.")
    return identifier
