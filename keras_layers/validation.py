"""Validators of arguments and the arithmetic of output shapes, shared by every layer of the suite."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence

import keras

PADDINGS = ("same", "valid", "symmetric")


def positive_integer(value: object, name: str) -> int:
    """`value` as an int.

    Raises:
        ValueError: if it is not an integer of at least 1; the message names the argument.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"Expected `{name}` to be a positive integer. Received {value!r}.")
    return int(value)


def positive_integers(value: object, length: int, name: str) -> tuple[int, ...]:
    """`value` as a tuple of `length` positive integers; one integer stands for all of them.

    Raises:
        ValueError: if it is neither a positive integer nor a sequence of `length` of them.
    """
    if isinstance(value, numbers.Integral):
        return (positive_integer(value, name),) * length
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != length:
        raise ValueError(f"Expected `{name}` to be a positive integer or {length} of them. Received {value!r}.")
    return tuple(positive_integer(item, name) for item in value)


def fraction(value: object, name: str) -> float:
    """`value` as a float of at least 0 and less than 1.

    Raises:
        ValueError: if it is not.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < 1:
        raise ValueError(f"Expected `{name}` to be a number of at least 0 and less than 1. Received {value!r}.")
    return float(value)


def positive_number(value: object, name: str) -> float:
    """`value` as a finite float greater than 0.

    Raises:
        ValueError: if it is not.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < value < math.inf:
        raise ValueError(f"Expected `{name}` to be a number greater than 0. Received {value!r}.")
    return float(value)


def non_negative_number(value: object, name: str) -> float:
    """`value` as a finite float of at least 0.

    Raises:
        ValueError: if it is not.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < math.inf:
        raise ValueError(f"Expected `{name}` to be a number of at least 0. Received {value!r}.")
    return float(value)


def one_of(value: object, choices: Sequence[str], name: str) -> str:
    """`value`, if it is one of `choices`.

    Raises:
        ValueError: if it is not; the message lists the choices.
    """
    if value not in choices:
        raise ValueError(f"Expected `{name}` to be one of {', '.join(map(repr, choices))}. Received {value!r}.")
    return value


def activation(value: object, name: str) -> Callable:
    """The activation function that `value` names or is; None is the identity.

    Raises:
        ValueError: if Keras knows none of that name.
    """
    try:
        return keras.activations.get(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Expected `{name}` to be None, a function, or the name of an activation in Keras. Received {value!r}."
        ) from error


def clip_shape(shape: Sequence[int | None]) -> tuple[int | None, ...]:
    """`shape` as a tuple, if it is that of a batch of clips.

    Raises:
        ValueError: if it is not of rank 5.
    """
    if len(shape) != 5:
        raise ValueError(
            f"Expected an input of shape (batch, frames, height, width, channels). Received shape {tuple(shape)}."
        )
    return tuple(shape)


def fixed_channels(layer: keras.layers.Layer, shape: Sequence[int | None]) -> int:
    """The channels of a batch of clips, to which `layer` is then bound.

    Raises:
        ValueError: if their number is None.
    """
    channels = shape[-1]
    if channels is None:
        raise ValueError(f"Expected the input to have a fixed number of channels. Received shape {tuple(shape)}.")
    layer.input_spec = keras.layers.InputSpec(ndim=5, axes={-1: channels})
    return channels


def same_pads(length: int, kernel: int, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """The zeros before and behind one axis under TensorFlow's "same"; they are one more behind where they are odd.

    Args:
        length: of the axis.
        kernel: taps of the kernel along the axis.
        stride: along the axis.
        dilation: distance between the taps.
    """
    total = max((-(-length // stride) - 1) * stride + (kernel - 1) * dilation + 1 - length, 0)
    return total // 2, total - total // 2


def convolution_length(length: int | None, kernel: int, stride: int, padding: str) -> int | None:
    """Length of one axis after a convolution, None where `length` is None.

    Args:
        length: length of the axis before.
        kernel: length of the kernel along the axis.
        stride: stride along the axis.
        padding: "same" (TensorFlow's), "valid" (none) or "symmetric" (`kernel // 2` on both sides, PyTorch's habit).

    Raises:
        ValueError: if the kernel does not fit the padded axis once.
    """
    if length is None:
        return None
    if padding == "same":
        return -(-length // stride)
    padded = length + (2 * (kernel // 2) if padding == "symmetric" else 0)
    if padded < kernel:
        raise ValueError(
            f"Expected every axis to be at least as long as the kernel. Received length {length} (padded: {padded}) "
            f"for a kernel of length {kernel} and padding={padding!r}."
        )
    return (padded - kernel) // stride + 1
