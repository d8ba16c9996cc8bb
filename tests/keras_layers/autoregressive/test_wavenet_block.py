"""WaveNetBlock against NumPy, its causality by Jacobians, its steps against its call, and against its contract."""

import numpy as np
import pytest

from keras_layers import WaveNetBlock
from tests.conformance.layers import CHECKS, LayerCase, name_of
from tests.keras_layers.autoregressive.stepping import dependence, in_steps, randomise

SHAPE = (2, 10, 3)
CONDITIONS = {"local_condition": (2, 10, 5), "global_condition": (2, 4)}
EVERY_ARGUMENT = {
    "filters": 3,
    "dilation_rate": 2,
    "kernel_size": 3,
    "gate_filters": 4,
    "skip_filters": 5,
    "residual": False,
    "dropout": 0.25,
    "kernel_initializer": "he_normal",
    "kernel_regularizer": "l2",
}
CASES = [
    LayerCase("defaults", WaveNetBlock, {"filters": 3}, SHAPE, free_axes=(0, 1)),
    LayerCase("every_argument", WaveNetBlock, EVERY_ARGUMENT, SHAPE, free_axes=(0, 1), complete=True),
    LayerCase("conditions", WaveNetBlock, {"filters": 3}, SHAPE, free_axes=(0, 1), conditions=CONDITIONS),
]
SOME_CONDITIONS = [(), ("local_condition",), ("global_condition",), ("local_condition", "global_condition")]


def tensors(*names: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    return {name: rng.standard_normal(CONDITIONS[name]).astype(np.float32) for name in names}


def inputs() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)


def built(conditions: dict[str, np.ndarray], **arguments) -> WaveNetBlock:
    block = WaveNetBlock(3, gate_filters=4, skip_filters=5, dropout=0.5, **arguments)
    block(inputs(), **conditions)
    randomise(block)
    return block


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


@pytest.mark.parametrize("names", SOME_CONDITIONS)
@pytest.mark.parametrize("residual", [True, False])
def test_equals_the_formula_and_its_own_steps(names, residual):
    conditions = tensors(*names)
    block = built(conditions, dilation_rate=3, residual=residual)
    features = np.asarray(block.convolution(inputs()), np.float64)
    if "local_condition" in conditions:
        features = features + conditions["local_condition"] @ np.asarray(block.local_projection.kernel)
    if "global_condition" in conditions:
        features = features + (conditions["global_condition"] @ np.asarray(block.global_projection.kernel))[:, None]
    signal, opening = np.split(features, 2, axis=-1)
    gated = np.tanh(signal) / (1 + np.exp(-opening))
    kernel, bias = block.skip.get_weights()
    expected = [gated @ kernel + bias]
    if residual:
        kernel, bias = block.output_projection.get_weights()
        expected.insert(0, inputs() + gated @ kernel + bias)
    found = block(inputs(), **conditions)
    steps = in_steps(block, inputs(), **conditions)
    for right, call, step in zip(expected, found if residual else [found], steps, strict=True):
        np.testing.assert_allclose(call, right, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(step, right, rtol=1e-4, atol=1e-5)


def test_a_stack_sees_its_receptive_field_and_nothing_of_the_future():
    blocks = [WaveNetBlock(2, dilation_rate) for dilation_rate in (1, 2, 4)]

    def stack(x):
        for block in blocks:
            x, skip = block(x)
        return skip

    found = dependence(stack, np.random.default_rng(0).standard_normal((1, 12, 2)).astype(np.float32))
    for time, seen in np.ndindex(12, 12):
        assert found[time, seen] == (0 <= time - seen <= 7)


def test_dropout_in_training_alone():
    block = built({})
    assert not np.allclose(block(inputs(), training=True)[1], block(inputs(), training=True)[1])
    np.testing.assert_array_equal(block(inputs(), training=False)[1], block(inputs())[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "`filters` to be a positive integer. Received 0"),
        ({"dilation_rate": 0}, "`dilation_rate` to be a positive integer. Received 0"),
        ({"gate_filters": 0}, "`gate_filters` to be a positive integer. Received 0"),
        ({"skip_filters": -1}, "`skip_filters` to be a positive integer. Received -1"),
        ({"dropout": -0.1}, "`dropout` to be a number of at least 0 and less than 1. Received -0.1"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        WaveNetBlock(**{"filters": 2, **arguments})


@pytest.mark.parametrize(
    ("shape", "message"), [((None, 9, 9, 2), "shape .batch, time, channels"), ((None, 9, 3), "2 channels of the input")]
)
def test_refuses_bad_inputs(shape, message):
    with pytest.raises(ValueError, match=message):
        WaveNetBlock(2).build(shape)


@pytest.mark.parametrize("name", CONDITIONS)
def test_refuses_a_condition_at_some_calls_only(name):
    conditions = tensors(name)
    with pytest.raises(ValueError, match=f"`{name}` at every call or at none. Received a call without it"):
        built(conditions)(inputs())
    with pytest.raises(ValueError, match=f"`{name}` at every call or at none. Received a call with it"):
        built({})(inputs(), **conditions)
