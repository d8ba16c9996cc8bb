"""WindowedAveragePooling3D against windows taken one by one, and against its contract."""

import keras
import numpy as np
import pytest

from keras_layers import WindowedAveragePooling3D
from tests.conformance.layers import CHECKS, LayerCase, name_of

CASES = [
    LayerCase("shorter_than_the_window", WindowedAveragePooling3D, {}, (2, 3, 4, 5, 2), free_axes=(0, 1, 2, 3)),
    LayerCase(
        "windows",
        WindowedAveragePooling3D,
        {"window": 2, "temporal_window": 2},
        (2, 3, 4, 5, 2),
        (0, 1, 2, 3),
        complete=True,
    ),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def of_windows(inputs: np.ndarray, window: int, temporal_window: int) -> np.ndarray:
    lengths = [
        min(limit, size) for limit, size in zip((temporal_window, window, window), inputs.shape[1:4], strict=True)
    ]
    counts = [size - length + 1 for size, length in zip(inputs.shape[1:4], lengths, strict=True)]
    means = [
        inputs[:, t : t + lengths[0], i : i + lengths[1], j : j + lengths[2]].mean((1, 2, 3))
        for t, i, j in np.ndindex(*counts)
    ]
    return np.mean(means, axis=0)


@pytest.mark.parametrize("size", [(8, 8), (7, 7), (3, 9), (12, 5), (16, 20), (1, 1)])
@pytest.mark.parametrize(("window", "temporal_window"), [(1, 1), (2, 1), (7, 1), (7, 2), (2, 4), (2, 5)])
def test_equals_the_mean_over_windows(size, window, temporal_window):
    inputs = np.random.default_rng(0).standard_normal((2, 4, *size, 4)).astype(np.float32)
    expected = of_windows(inputs.astype(np.float64), window, temporal_window)
    layer = WindowedAveragePooling3D(window, temporal_window)
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-6)
    free = keras.Input((None, None, None, 4))
    model = keras.Model(free, layer(free))
    np.testing.assert_allclose(model.predict(inputs, verbose=0), expected, rtol=1e-4, atol=1e-6)


def test_up_to_the_window_it_is_the_mean_and_beyond_the_border_counts_less():
    inputs = np.random.default_rng(0).standard_normal((2, 3, 8, 8, 4)).astype(np.float32)
    pooled = {window: np.asarray(WindowedAveragePooling3D(window)(inputs)) for window in (7, 8, 9)}
    np.testing.assert_allclose(pooled[8], inputs.mean((1, 2, 3)), atol=1e-6)
    np.testing.assert_array_equal(pooled[8], pooled[9])
    assert np.abs(pooled[7] - pooled[8]).max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        ({"window": 0}, (1, 2, 3, 4, 5), "`window` to be a positive integer. Received 0"),
        ({"temporal_window": 1.5}, (1, 2, 3, 4, 5), "`temporal_window` to be a positive integer. Received 1.5"),
        ({}, (1, 3, 4, 5), r"shape \(batch, frames, height, width, channels\). Received shape \(1, 3, 4, 5\)"),
    ],
)
def test_refuses(arguments, shape, message):
    with pytest.raises(ValueError, match=message):
        WindowedAveragePooling3D(**arguments).build(shape)
