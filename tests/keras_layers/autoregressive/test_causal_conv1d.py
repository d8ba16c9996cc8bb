"""CausalConv1D against NumPy, its causality by Jacobians, its steps against its call, and against its contract."""

import numpy as np
import pytest

from keras_layers import CausalConv1D
from tests.conformance.layers import CHECKS, LayerCase, name_of
from tests.keras_layers.autoregressive.stepping import dependence, in_steps, randomise

CASES = [
    LayerCase("defaults", CausalConv1D, {"filters": 3}, (2, 9, 2), free_axes=(0, 1)),
    LayerCase(
        "every_argument",
        CausalConv1D,
        {
            "filters": 4,
            "kernel_size": 3,
            "dilation_rate": 2,
            "mask": "A",
            "use_bias": False,
            "kernel_initializer": "he_normal",
            "bias_initializer": "ones",
            "kernel_regularizer": "l2",
            "bias_regularizer": "l1",
        },
        (2, 9, 2),
        free_axes=(0, 1),
        complete=True,
    ),
    LayerCase("with_bias", CausalConv1D, {"filters": 3, "kernel_size": 3, "dilation_rate": 4}, (2, 9, 2)),
]
SIZES = [(2, 1, "B"), (2, 4, "B"), (3, 2, "A"), (1, 1, "A"), (1, 5, "B"), (2, 16, "A")]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


@pytest.mark.parametrize(("kernel_size", "dilation_rate", "mask"), SIZES)
def test_equals_numpy_and_its_own_steps(kernel_size, dilation_rate, mask):
    inputs = np.random.default_rng(0).standard_normal((2, 11, 3)).astype(np.float32)
    layer = CausalConv1D(4, kernel_size, dilation_rate, mask)
    layer(inputs)
    randomise(layer)
    kernel, bias = np.asarray(layer.convolution.kernel, np.float64), np.asarray(layer.convolution.bias)
    expected = np.zeros((2, 11, 4)) + bias
    for time in range(11):
        for tap in range(kernel_size):
            seen = time - tap * dilation_rate - (mask == "A")
            if seen >= 0:
                expected[:, time] += inputs[:, seen] @ kernel[kernel_size - 1 - tap]
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(in_steps(layer, inputs)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kernel_size", "dilation_rate", "mask"), SIZES)
def test_sees_its_taps_and_nothing_else(kernel_size, dilation_rate, mask):
    layer = CausalConv1D(2, kernel_size, dilation_rate, mask)
    found = dependence(layer, np.random.default_rng(0).standard_normal((1, 12, 2)).astype(np.float32))
    taps = {tap * dilation_rate + (mask == "A") for tap in range(kernel_size)}
    for time, seen in np.ndindex(12, 12):
        assert found[time, seen] == (time - seen in taps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "`filters` to be a positive integer. Received 0"),
        ({"kernel_size": 2.0}, "`kernel_size` to be a positive integer. Received 2.0"),
        ({"dilation_rate": -1}, "`dilation_rate` to be a positive integer. Received -1"),
        ({"mask": None}, "`mask` to be one of 'A', 'B'. Received None"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        CausalConv1D(**{"filters": 2, **arguments})


@pytest.mark.parametrize("shape", [(None, 8, 8, 3), (None, 8, None)])
def test_refuses_bad_inputs(shape):
    with pytest.raises(ValueError, match=r"shape \(batch, time, channels\) with a fixed number of channels"):
        CausalConv1D(2).build(shape)
