"""Runs layers position by position, and asks what their outputs depend on."""

from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops


def randomise(layer) -> None:
    """Moves every weight, biases among them, off its initial value."""
    rng = np.random.default_rng(7)
    layer.set_weights([weight + 0.3 * rng.standard_normal(weight.shape) for weight in layer.get_weights()])


def in_steps(layer, inputs: np.ndarray, **conditions: Any) -> list[np.ndarray]:
    """The outputs of a layer over time, one position at a time, from inputs (batch, time, channels)."""
    delay = int(getattr(layer, "mask", "B") == "A")
    batch, length, _ = inputs.shape
    state, found = layer.initial_state(batch, (length,), **conditions), []
    for time in range(length):
        # With mask "A" the step is given what lies before; at the beginning anything, which must not count.
        given = inputs[:, time - delay] if time >= delay else np.full_like(inputs[:, 0], 9.0)
        outputs, state = layer.step(ops.convert_to_tensor(given), state, (ops.convert_to_tensor(time),))
        found.append(outputs if isinstance(outputs, list) else [outputs])
    return [np.stack([ops.convert_to_numpy(one[index]) for one in found], axis=1) for index in range(len(found[0]))]


def in_grid_steps(layer, inputs: list[np.ndarray], **conditions: Any) -> list[np.ndarray]:
    """The vertical and the horizontal outputs of a block over a grid, row by row and position by position."""
    vertical, horizontal = inputs
    delay = int(layer.mask == "A")
    batch, height, width, _ = vertical.shape
    state, rows, positions = layer.initial_state(batch, (height, width), **conditions), [], []
    for row in range(height):
        given = vertical[:, row - delay] if row >= delay else np.full_like(vertical[:, 0], 9.0)
        outputs, state = layer.step_row([ops.convert_to_tensor(given), None], state, ops.convert_to_tensor(row))
        assert outputs[1] is None
        rows.append(ops.convert_to_numpy(outputs[0]))
        for column in range(width):
            before = horizontal[:, row, column - delay] if column >= delay else np.full_like(horizontal[:, 0, 0], 9.0)
            outputs, state = layer.step(
                [None, ops.convert_to_tensor(before)],
                state,
                (ops.convert_to_tensor(row), ops.convert_to_tensor(column)),
            )
            assert outputs[0] is None
            positions.append(ops.convert_to_numpy(outputs[1]))
    shape = (batch, height, width, -1)
    return [np.stack(rows, axis=1), np.stack(positions, axis=1).reshape(shape)]


def dependence(function, inputs: np.ndarray) -> np.ndarray:
    """For every position of the output and of the input, axes (*output, *input), whether the one has a derivative.

    Args:
        function: of a tensor (1, *positions, channels), to one of the same positions.
        inputs: (1, *positions, channels).
    """
    x = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = function(x)
    jacobian = np.abs(tape.jacobian(outputs, x).numpy())
    positions = inputs.ndim - 2
    # (1, *positions, channels, 1, *positions, channels)
    return jacobian.sum(axis=(0, positions + 1, positions + 2, 2 * positions + 3)) > 0
