"""Kernels that begin as the identity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_layers import validation


@keras.saving.register_keras_serializable(package="keras_layers")
class CenteredIdentity(keras.initializers.Initializer):
    """Initializes the kernel of a convolution so that it hands on its input: `gain` times the identity, centred.

    `kernel[center, i, o] = gain if i == o else 0`, and 0 everywhere off the centre, where `center` is the tap
    `(size - 1) // 2` of every axis, which "same" padding puts on the position itself.

    Args:
        gain: factor. Default 1.

    Raises:
        ValueError: for a gain that is not positive, or a shape with less than three axes (lengths, in, out).

    Example:
        >>> kernel = CenteredIdentity()((3, 2, 2))
        >>> keras.ops.convert_to_numpy(kernel)[:, 0]
        array([[0., 0.],
               [1., 0.],
               [0., 0.]], dtype=float32)

    Reference:
        Xie et al., "Rethinking Spatiotemporal Feature Learning" (2018): temporal convolutions that begin as the
        identity leave a network of images as it is.
    """

    def __init__(self, gain: float = 1.0):
        self.gain = validation.positive_number(gain, "gain")

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        if len(shape) < 3:
            raise ValueError(f"Expected the shape of a convolution's kernel. Received {tuple(shape)}.")
        kernel = np.zeros(shape, np.float32)
        kernel[tuple((size - 1) // 2 for size in shape[:-2])] = self.gain * np.eye(*shape[-2:])
        return keras.ops.convert_to_tensor(kernel, dtype=dtype or "float32")

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain}
