"""FramePadding against NumPy and its contract."""

import numpy as np
import pytest

from keras_layers import FramePadding
from tests.conformance.layers import CHECKS, LayerCase, name_of

SHAPE = (2, 3, 3, 5, 2)
CASES = [
    LayerCase("defaults", FramePadding, {}, SHAPE, free_axes=(0, 1, 2, 3)),
    LayerCase("every_argument", FramePadding, {"before": 0, "after": 3}, SHAPE, (0, 1, 2, 3), complete=True),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 1), (3, 0), (0, 2)])
def test_equals_numpy(before, after):
    inputs = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    expected = np.pad(inputs, [(0, 0), (before, after), (0, 0), (0, 0), (0, 0)], mode="edge")
    np.testing.assert_array_equal(FramePadding(before, after)(inputs), expected)


@pytest.mark.parametrize(("arguments", "name"), [({"before": -1}, "before"), ({"after": 1.5}, "after")])
def test_refuses_bad_arguments(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}` to be a positive integer"):
        FramePadding(**arguments)


def test_refuses_bad_inputs():
    with pytest.raises(ValueError, match=r"shape \(batch, frames, height, width, channels\). Received shape \(1, 2\)"):
        FramePadding().build((1, 2))
