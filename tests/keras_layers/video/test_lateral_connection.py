"""LateralConnection against NumPy, and against its contract."""

import numpy as np
import pytest

from keras_layers import LateralConnection
from tests.conformance.layers import CHECKS, LayerCase, name_of

CASES = [
    LayerCase("defaults", LateralConnection, {"filters": 3}, (2, 8, 3, 2, 2), free_axes=(0, 1, 2, 3)),
    LayerCase(
        "every_argument",
        LateralConnection,
        {
            "filters": 4,
            "kernel_size": 7,
            "rate": 2,
            "normalization": False,
            "momentum": 0.5,
            "epsilon": 1e-2,
            "kernel_initializer": "he_normal",
            "kernel_regularizer": "l2",
        },
        (2, 6, 3, 2, 2),
        free_axes=(0, 1, 2, 3),
        complete=True,
    ),
    LayerCase("normalized", LateralConnection, {"filters": 3, "rate": 2, "epsilon": 0.5}, (2, 4, 3, 3, 2)),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


@pytest.mark.parametrize(("kernel_size", "rate"), [(5, 8), (7, 4), (5, 4), (3, 1), (4, 2), (1, 3)])
@pytest.mark.parametrize("normalization", [True, False])
def test_equals_numpy(kernel_size, rate, normalization):
    rng = np.random.default_rng(0)
    fast = rng.standard_normal((2, 16, 2, 3, 5)).astype(np.float32)
    layer = LateralConnection(4, kernel_size, rate, normalization=normalization, epsilon=0.3)
    layer.build(fast.shape)
    layer.set_weights([rng.uniform(0.2, 1, weight.shape) for weight in layer.get_weights()])

    kernel = np.asarray(layer.convolution.kernel, np.float64)[:, 0, 0]
    padded = np.pad(fast.astype(np.float64), [(0, 0), (kernel_size // 2,) * 2, (0, 0), (0, 0), (0, 0)])
    starts = range(0, padded.shape[1] - kernel_size + 1, rate)
    expected = np.stack(
        [np.einsum("bthwi,tio->bhwo", padded[:, start : start + kernel_size], kernel) for start in starts], axis=1
    )
    if normalization:
        gamma, beta, mean, variance = map(np.asarray, layer.normalization.get_weights())
        expected = np.maximum((expected - mean) / np.sqrt(variance + 0.3) * gamma + beta, 0)
    outputs = layer(fast)
    assert outputs.shape == expected.shape == layer.compute_output_shape(fast.shape)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel_size", [5, 7])
@pytest.mark.parametrize("rate", [4, 8])
def test_reaches_the_frame_rate_of_the_slow_pathway(kernel_size, rate):
    assert LateralConnection(2, kernel_size, rate).compute_output_shape((None, 32, 7, 7, 8))[1] == 32 // rate


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "`filters` to be a positive integer. Received 0"),
        ({"kernel_size": (5, 1, 1)}, r"`kernel_size` to be a positive integer. Received \(5, 1, 1\)"),
        ({"rate": -8}, "`rate` to be a positive integer. Received -8"),
        ({"momentum": 1.0}, "`momentum` to be a number of at least 0 and less than 1. Received 1.0"),
        ({"epsilon": 0}, "`epsilon` to be a number greater than 0. Received 0"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        LateralConnection(**{"filters": 2, **arguments})


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((None, 8, 4, 3), r"shape \(batch, frames, height, width, channels\)"),
        ((None, 8, 4, 4, None), "fixed number of channels"),
    ],
)
def test_refuses_bad_inputs(shape, message):
    with pytest.raises(ValueError, match=message):
        LateralConnection(2).build(shape)
