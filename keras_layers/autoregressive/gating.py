"""What the gated blocks share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

MASKS = ("A", "B")


def fresh(initializer: Any) -> Any:
    """The initializer for one more weight: one instance without a seed draws the same numbers at every call."""
    return initializer.clone() if isinstance(initializer, keras.initializers.Initializer) else initializer


def pointwise(parent: keras.layers.Layer, units: int, name: str, use_bias: bool = True) -> keras.layers.Dense:
    """A 1x1 convolution with the initializer, the regularizer and the dtype policy of the layer it is part of."""
    return keras.layers.Dense(
        units,
        use_bias=use_bias,
        kernel_initializer=fresh(parent.kernel_initializer),
        kernel_regularizer=parent.kernel_regularizer,
        dtype=parent.dtype_policy,
        name=name,
    )


def gate(x: Any) -> Any:
    """tanh of the first half of the channels times the sigmoid of the second."""
    signal, opening = ops.split(x, 2, axis=-1)
    return ops.tanh(signal) * ops.sigmoid(opening)


def fixed_channels(shape: Sequence[int | None], rank: int, axes: str, what: str = "input") -> int:
    """The channels of a tensor of `rank` axes.

    Raises:
        ValueError: if it has another rank, or a free number of channels.
    """
    shape = tuple(shape)
    if len(shape) != rank or shape[-1] is None:
        raise ValueError(
            f"Expected the {what} to be of shape {axes} with a fixed number of channels. Received {shape}."
        )
    return shape[-1]


def check_present(name: str, tensor: Any, projection: keras.layers.Layer | None) -> None:
    """Refuses a condition that the layer was not built with, and the lack of one that it was built with.

    Raises:
        ValueError: in both cases.
    """
    if (tensor is None) != (projection is None):
        built, called = ("without", "with") if projection is None else ("with", "without")
        raise ValueError(
            f"Expected `{name}` at every call or at none. Received a call {called} it, of a layer built {built} it."
        )
