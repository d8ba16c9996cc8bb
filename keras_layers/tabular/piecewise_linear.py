"""A function given by points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable(package="keras_layers")
class PiecewiseLinear(keras.layers.Layer):
    """Straight lines between given points, and constant beyond the first and the last, for each input by itself.

    `y = y_1 + sum over i of slope_i clip(x - x_i, 0, x_(i+1) - x_i)`, of operations that every runtime has.

    Args:
        x: places of the points, strictly increasing; at least one.
        y: values there, as many.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.

    Input shape:
        Any.

    Output shape:
        The same, in the compute dtype.

    Raises:
        ValueError: if the points are not finite numbers, not as many, or not increasing.

    Example:
        >>> layer = PiecewiseLinear([0.0, 1.0, 3.0], [0.0, 0.5, 1.0])
        >>> keras.ops.convert_to_numpy(layer(keras.ops.array([-1.0, 0.5, 2.0, 9.0])))
        array([0.  , 0.25, 0.75, 1.  ], dtype=float32)
    """

    def __init__(self, x: Sequence[float], y: Sequence[float], **kwargs: Any):
        super().__init__(**kwargs)
        places, values = np.asarray(x, "float64"), np.asarray(y, "float64")
        if places.ndim != 1 or places.shape != values.shape or not len(places):
            raise ValueError(f"Expected as many `y` as `x`, at least one. Received {places.shape} and {values.shape}.")
        if not (np.isfinite(places).all() and np.isfinite(values).all() and (np.diff(places) > 0).all()):
            raise ValueError(f"Expected finite `x`, strictly increasing, and finite `y`. Received {x} and {y}.")
        self.x, self.y = places.tolist(), values.tolist()

    def call(self, inputs: Any) -> Any:
        places = np.asarray(self.x)
        widths = np.diff(places)
        if not len(widths):
            return keras.ops.full_like(inputs, self.y[0])
        slopes = np.diff(self.y) / widths
        above, steps = keras.ops.expand_dims(inputs, -1), (len(widths),)
        constant = [
            keras.ops.convert_to_tensor(np.reshape(values, steps), dtype=inputs.dtype)
            for values in (places[:-1], widths, slopes)
        ]
        parts = keras.ops.minimum(keras.ops.relu(above - constant[0]), constant[1]) * constant[2]
        return self.y[0] + keras.ops.sum(parts, axis=-1)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "x": self.x, "y": self.y}
