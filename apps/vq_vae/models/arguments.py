"""Checks of arguments that the families of models share."""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Iterator, Sequence
from typing import Any

from keras_layers.validation import positive_integer
from tools.errors import InputError


@contextlib.contextmanager
def input_errors() -> Iterator[None]:
    """Turns the ValueError of a validator into the error that a command prints in one line."""
    try:
        yield
    except ValueError as error:
        raise InputError(str(error)) from error


def checked_lengths(
    shape: Any, axes: Sequence[str], free: bool = True, name: str = "input_shape"
) -> tuple[int | None, ...]:
    """`shape` as one length for each axis.

    Args:
        shape: what the constructor was given.
        axes: their names.
        free: whether a length may be None.
        name: of the argument.

    Raises:
        InputError: if it is not of so many positive lengths.
    """
    if not isinstance(shape, tuple | list) or len(shape) != len(axes):
        raise InputError(f"Expected `{name}` to be ({', '.join(axes)}). Received {shape!r}.")
    with input_errors():
        for axis, length in zip(axes, shape, strict=True):
            if length is not None or not free:
                positive_integer(length, f"{name} ({axis})")
    return tuple(shape)


def checked_count(value: Any, name: str) -> int:
    """`value` as an int of at least 0.

    Raises:
        ValueError: if it is none.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
        raise ValueError(f"Expected `{name}` to be an integer of at least 0. Received {value!r}.")
    return int(value)
