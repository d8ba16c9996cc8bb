"""What a model is built under: a dtype policy, and the devices that hold it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Builds layers under a dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def strategy(mirrored: bool) -> contextlib.AbstractContextManager:
    """The scope in which variables are made: of all local GPUs, or of one device."""
    return tf.distribute.MirroredStrategy().scope() if mirrored else contextlib.nullcontext()
