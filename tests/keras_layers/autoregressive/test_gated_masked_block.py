"""GatedMaskedBlock against NumPy, its causality by Jacobians, its steps against its call, and against its contract."""

import numpy as np
import pytest

from keras_layers import GatedMaskedBlock
from tests.conformance.layers import CHECKS, LayerCase, name_of
from tests.keras_layers.autoregressive.stepping import dependence, in_grid_steps, randomise

GRID, CHANNELS = (4, 5), 3
TWO = [(2, *GRID, CHANNELS)] * 2
CONDITIONS = {"condition": (2, 6), "condition_map": (2, *GRID, 2)}
EVERY_ARGUMENT = {
    "filters": 4,
    "kernel_size": (5, 3),
    "mask": "A",
    "dropout": 0.25,
    "kernel_initializer": "he_normal",
    "kernel_regularizer": "l2",
}
CASES = [
    LayerCase("defaults", GatedMaskedBlock, {"filters": CHANNELS}, TWO, free_axes=(0, 1, 2)),
    LayerCase("every_argument", GatedMaskedBlock, EVERY_ARGUMENT, TWO, free_axes=(0, 1, 2), complete=True),
    LayerCase("conditions", GatedMaskedBlock, {"filters": CHANNELS}, TWO, free_axes=(0, 1, 2), conditions=CONDITIONS),
]
SOME_CONDITIONS = [(), ("condition",), ("condition_map",), ("condition", "condition_map")]


def tensors(*names: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    return {name: rng.standard_normal(CONDITIONS[name]).astype(np.float32) for name in names}


def inputs(channels: int = CHANNELS) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((2, *GRID, channels)).astype(np.float32) for _ in range(2)]


def built(mask: str, conditions: dict[str, np.ndarray], kernel_size=3) -> GatedMaskedBlock:
    block = GatedMaskedBlock(CHANNELS, kernel_size, mask, dropout=0.5)
    block(inputs(), **conditions)
    randomise(block)
    return block


def gate(x: np.ndarray) -> np.ndarray:
    signal, opening = np.split(x, 2, axis=-1)
    return np.tanh(signal) / (1 + np.exp(-opening))


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


@pytest.mark.parametrize("names", SOME_CONDITIONS)
@pytest.mark.parametrize("mask", ["A", "B"])
def test_equals_the_formula(mask, names):
    conditions = tensors(*names)
    block = built(mask, conditions)
    vertical, horizontal = inputs()
    above = np.asarray(block.vertical(vertical), np.float64)
    left = np.asarray(block.horizontal(horizontal), np.float64) + above @ np.asarray(block.link.kernel)
    added = np.zeros(4 * CHANNELS)
    if "condition" in conditions:
        added = added + (conditions["condition"] @ np.asarray(block.condition_projection.kernel))[:, None, None]
    if "condition_map" in conditions:
        added = added + conditions["condition_map"] @ np.asarray(block.map_projection.kernel)
    projection, bias = block.output_projection.get_weights()
    expected = gate(left + added[..., 2 * CHANNELS :]) @ projection + bias + (horizontal if mask == "B" else 0)
    found = block([vertical, horizontal], **conditions)
    np.testing.assert_allclose(found[0], gate(above + added[..., : 2 * CHANNELS]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[1], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel_size", [(3, 3), (5, 7)])
@pytest.mark.parametrize("names", SOME_CONDITIONS)
@pytest.mark.parametrize("mask", ["A", "B"])
def test_steps_equal_the_call(mask, names, kernel_size):
    conditions = tensors(*names)
    block = built(mask, conditions, kernel_size)
    for found, expected in zip(
        in_grid_steps(block, inputs(), **conditions), block(inputs(), **conditions), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_two_blocks_see_all_that_comes_before_and_nothing_else():
    first, second = GatedMaskedBlock(2, 9, "A"), GatedMaskedBlock(2, 9)
    x = np.random.default_rng(0).standard_normal((1, *GRID, 2)).astype(np.float32)
    found = dependence(lambda image: second(first([image, image]))[1], x)
    size = GRID[0] * GRID[1]
    np.testing.assert_array_equal(found.reshape(size, size), np.tril(np.ones((size, size)), -1) > 0)
    # The vertical stack sees no position of the row.
    found = dependence(lambda image: second(first([image, image]))[0], x)
    rows = np.repeat(np.arange(GRID[0]), GRID[1])
    np.testing.assert_array_equal(found.reshape(size, size), rows[None] < rows[:, None])


def test_small_kernels_have_no_blind_spot():
    blocks = [GatedMaskedBlock(2, 3, "A"), GatedMaskedBlock(2), GatedMaskedBlock(2)]

    def stack(image):
        features = [image, image]
        for block in blocks:
            features = block(features)
        return features[1]

    found = dependence(stack, np.random.default_rng(0).standard_normal((1, 5, 7, 2)).astype(np.float32))
    # One row above, three to the right: where a stack of plain masked convolutions sees nothing.
    assert found[4, 3, 3, 4] and found[4, 3, 3, 5] and found[4, 3, 3, 6]
    assert not (found.reshape(35, 35) & ~(np.tril(np.ones((35, 35)), -1) > 0)).any()


def test_a_condition_reaches_every_position_and_both_stacks():
    conditions = tensors("condition")
    block = built("B", conditions)
    before = block(inputs(), **conditions)
    changed = block(inputs(), condition=conditions["condition"] + 1.0)
    for one, other in zip(before, changed, strict=True):
        assert (np.abs(one - other).max(axis=-1) > 1e-4).all()


def test_a_condition_map_reaches_its_position_of_the_vertical_stack():
    conditions = tensors("condition_map")
    block = built("B", conditions)
    moved = conditions["condition_map"].copy()
    moved[:, 1, 2] += 1.0
    differences = [
        np.abs(one - other).max(axis=(0, -1)) > 1e-6
        for one, other in zip(block(inputs(), **conditions), block(inputs(), condition_map=moved), strict=True)
    ]
    for difference in differences:
        assert list(zip(*np.nonzero(difference), strict=True)) == [(1, 2)]


def test_dropout_in_training_alone():
    block = built("B", {})
    assert not np.allclose(block(inputs(), training=True)[1], block(inputs(), training=True)[1])
    np.testing.assert_array_equal(block(inputs(), training=False)[1], block(inputs())[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": True}, "`filters` to be a positive integer. Received True"),
        ({"kernel_size": 2}, "`kernel_size` to be odd. Received 2"),
        ({"mask": "B "}, "`mask` to be one of 'A', 'B'. Received 'B '"),
        ({"dropout": 1.0}, "`dropout` to be a number of at least 0 and less than 1. Received 1.0"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        GatedMaskedBlock(**{"filters": 2, **arguments})


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ((None, 4, 4, 2), r"two inputs, both of shape \(batch, height, width, channels\)"),
        ([(None, 4, 4, 2)], "two inputs"),
        ([(None, 4, 4, 2), (None, 4, 4, None)], "fixed number of channels"),
        ([(None, 4, 4, 2), (None, 4, 4, 3)], "2 channels of the horizontal input"),
    ],
)
def test_refuses_bad_inputs(shapes, message):
    with pytest.raises(ValueError, match=message):
        GatedMaskedBlock(2).build(shapes)


@pytest.mark.parametrize("name", CONDITIONS)
def test_refuses_a_condition_at_some_calls_only(name):
    conditions = tensors(name)
    with pytest.raises(ValueError, match=f"`{name}` at every call or at none. Received a call without it"):
        built("B", conditions)(inputs())
    with pytest.raises(ValueError, match=f"`{name}` at every call or at none. Received a call with it"):
        built("B", {})(inputs(), **conditions)
