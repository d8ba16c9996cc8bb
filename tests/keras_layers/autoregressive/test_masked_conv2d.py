"""MaskedConv2D against NumPy, its masks by Jacobians, its steps against its call, and against its contract."""

import numpy as np
import pytest

from keras_layers import MaskedConv2D
from tests.conformance.layers import CHECKS, LayerCase, name_of
from tests.keras_layers.autoregressive.stepping import dependence, randomise

EVERY_ARGUMENT = {
    "filters": 4,
    "kernel_size": (5, 3),
    "mask": "A",
    "stack": "vertical",
    "use_bias": False,
    "kernel_initializer": "he_normal",
    "bias_initializer": "ones",
    "kernel_regularizer": "l2",
    "bias_regularizer": "l1",
}
CASES = [
    LayerCase("defaults", MaskedConv2D, {"filters": 3}, (2, 4, 5, 2), free_axes=(0, 1, 2)),
    LayerCase("every_argument", MaskedConv2D, EVERY_ARGUMENT, (2, 4, 5, 2), free_axes=(0, 1, 2), complete=True),
    LayerCase("horizontal", MaskedConv2D, {"filters": 3, "mask": "A", "stack": "horizontal"}, (2, 4, 5, 2)),
]
COMBINATIONS = [(stack, mask) for stack in ("raster", "vertical", "horizontal") for mask in "AB"]


def is_seen(stack: str, mask: str, down: int, right: int) -> bool:
    """Whether the mask shows the position `down` rows below and `right` columns to the right, by the paper's words."""
    if stack == "vertical":
        return down < 0 or (down == 0 and mask == "B")
    if stack == "horizontal":
        return down == 0 and (right < 0 or (right == 0 and mask == "B"))
    return down < 0 or (down == 0 and (right < 0 or (right == 0 and mask == "B")))


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


@pytest.mark.parametrize(("stack", "mask"), COMBINATIONS)
@pytest.mark.parametrize("kernel_size", [(3, 3), (5, 3), (3, 7)])
def test_equals_a_masked_kernel(stack, mask, kernel_size):
    rng = np.random.default_rng(0)
    height, width = kernel_size
    layer = MaskedConv2D(4, kernel_size, mask, stack)
    inputs = rng.standard_normal((2, 4, 5, 3)).astype(np.float32)
    layer(inputs)
    randomise(layer)

    kernel = np.zeros((height, width, 3, 4))
    middle, centre = height // 2, width // 2
    if layer.vertical is not None:
        part = np.asarray(layer.vertical.kernel)
        start = middle + is_seen(stack, mask, 0, 0) * (stack == "vertical") - len(part)
        kernel[start : start + len(part)] = part
    if layer.horizontal is not None:
        part = np.asarray(layer.horizontal.kernel)[0]
        stop = centre + (mask == "B")
        kernel[middle, stop - len(part) : stop] = part
    offsets = [(row, column) for row in range(height) for column in range(width)]
    for row, column in offsets:
        assert np.any(kernel[row, column]) == is_seen(stack, mask, row - middle, column - centre)
    padded = np.pad(inputs.astype(np.float64), [(0, 0), (middle, middle), (centre, centre), (0, 0)])
    expected = sum(padded[:, r : r + 4, c : c + 5] @ kernel[r, c] for r, c in offsets)
    expected = expected + np.asarray((layer.horizontal or layer.vertical).bias)
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("stack", "mask"), COMBINATIONS)
def test_sees_what_its_mask_shows_and_nothing_else(stack, mask):
    height, width = 4, 5
    layer = MaskedConv2D(2, 9, mask, stack)
    inputs = np.random.default_rng(0).standard_normal((1, height, width, 2)).astype(np.float32)
    found = dependence(layer, inputs)
    for r, c, row, column in np.ndindex(height, width, height, width):
        assert found[r, c, row, column] == is_seen(stack, mask, row - r, column - c)


def test_a_raster_stack_has_a_blind_spot():
    layers = [MaskedConv2D(2, 3, "A"), MaskedConv2D(2, 3), MaskedConv2D(2, 3)]

    def stack(x):
        for layer in layers:
            x = layer(x)
        return x

    found = dependence(stack, np.random.default_rng(0).standard_normal((1, 5, 7, 2)).astype(np.float32))
    before = np.tril(np.ones((35, 35)), -1).reshape(5, 7, 5, 7) > 0
    assert not (found & ~before).any()
    # One row above, two to the right: in reach of three kernels of 3, and not seen.
    assert found[4, 3, 3, 4] and not found[4, 3, 3, 5]


@pytest.mark.parametrize("mask", ["A", "B"])
@pytest.mark.parametrize("kernel_size", [(3, 3), (7, 5)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_steps_equal_the_call(mask, kernel_size, use_bias):
    inputs = np.random.default_rng(0).standard_normal((2, 4, 5, 3)).astype(np.float32)
    vertical, horizontal = (MaskedConv2D(4, kernel_size, mask, s, use_bias) for s in ("vertical", "horizontal"))
    expected = []
    for layer in (vertical, horizontal):
        layer(inputs)
        randomise(layer)
        expected.append(np.asarray(layer(inputs)))
    delay = int(mask == "A")
    junk = np.full_like(inputs[:, 0], 9.0)
    rows, columns = (layer.initial_state(2, (4, 5)) for layer in (vertical, horizontal))
    for row in range(4):
        found, rows = vertical.step_row(inputs[:, row - delay] if row >= delay else junk, rows, row)
        np.testing.assert_allclose(found, expected[0][:, row], rtol=1e-4, atol=1e-5)
        for column in range(5):
            given = inputs[:, row, column - delay] if column >= delay else junk[:, 0]
            found, columns = horizontal.step(given, columns, (row, column))
            np.testing.assert_allclose(found, expected[1][:, row, column], rtol=1e-4, atol=1e-5)
    assert vertical.step(inputs[:, 0, 0], rows, (0, 0))[0] is None
    assert horizontal.step_row(inputs[:, 0], columns, 0)[0] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "`filters` to be a positive integer. Received 0"),
        ({"kernel_size": 4}, "`kernel_size` to be odd. Received 4"),
        ({"kernel_size": (3, 3, 3)}, r"`kernel_size` to be a positive integer or 2 of them. Received \(3, 3, 3\)"),
        ({"kernel_size": 1, "mask": "A"}, "`kernel_size` to reach a position that mask 'A' shows. Received 1"),
        ({"mask": "C"}, "`mask` to be one of 'A', 'B'. Received 'C'"),
        ({"stack": "diagonal"}, "`stack` to be one of 'raster', 'vertical', 'horizontal'. Received 'diagonal'"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MaskedConv2D(**{"filters": 2, **arguments})


@pytest.mark.parametrize("shape", [(None, 8, 3), (None, 8, 8, None)])
def test_refuses_bad_inputs(shape):
    with pytest.raises(ValueError, match=r"shape \(batch, height, width, channels\) with a fixed number of channels"):
        MaskedConv2D(2).build(shape)


def test_a_raster_stack_has_no_steps():
    layer = MaskedConv2D(2)
    layer.build((None, 4, 4, 1))
    with pytest.raises(ValueError, match=r"which have steps\. Received 'raster'"):
        layer.initial_state(1, (4, 4))
