"""TemporalDifference against NumPy and its contract."""

import numpy as np
import pytest

from keras_layers import TemporalDifference
from tests.conformance.layers import CHECKS, LayerCase, name_of

CASES = [
    LayerCase("every_argument", TemporalDifference, {}, (2, 4, 3, 5, 2), free_axes=(0, 1, 2, 3), complete=True),
    LayerCase("two_frames", TemporalDifference, {}, (1, 2, 3, 3, 1)),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def test_it_is_the_difference_of_consecutive_frames():
    clip = np.random.default_rng(0).standard_normal((2, 5, 3, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(TemporalDifference()(clip), np.diff(clip, axis=1))


def test_what_stands_still_vanishes():
    still = np.repeat(np.random.default_rng(0).standard_normal((1, 1, 3, 4, 3)).astype(np.float32), 5, axis=1)
    assert not np.asarray(TemporalDifference()(still)).any()


@pytest.mark.parametrize("shape", [(2, 1, 3, 4, 3), (2, 3, 4, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"at least 2 frames. Received 1|expected ndim=5"):
        TemporalDifference()(np.zeros(shape, np.float32))
