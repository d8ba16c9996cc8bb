"""What is long enough passes unchanged, and what is not is refused, however the layer was built."""

import keras
import numpy as np
import pytest

from apps.action_recognition import models
from keras_layers import MinimumLengths
from tests.conformance.layers import CHECKS, LayerCase, name_of

SHAPE = (2, 3, 4, 5, 3)
CASES = [LayerCase("clip", MinimumLengths, {"minimum": (2, 4, 5)}, SHAPE, (0, 1, 2, 3, 4), complete=True)]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def test_passes_clips_unchanged():
    clip = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    np.testing.assert_array_equal(MinimumLengths((3, 4, 5))(clip), clip)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 1, 4, 5, 3), "at least 2 frames. Received 1"),
        ((2, 3, 3, 5, 3), "at least 4 pixels of height. Received 3"),
        ((2, 3, 4, 4, 3), "at least 5 pixels of width. Received 4"),
        ((3, 4, 5, 3), r"shape \(3, 4, 5, 3\)"),
    ],
)
def test_refuses(shape, message):
    with pytest.raises(ValueError, match=message):
        MinimumLengths((2, 4, 5)).build(shape)
    free = keras.Input((None, None, None, 3))
    model = keras.Model(free, MinimumLengths((2, 4, 5))(free))
    if len(shape) == 5:
        with pytest.raises(ValueError, match=message):
            model(np.zeros(shape, np.float32))


@pytest.mark.parametrize("minimum", [(0, 1, 1), (1, 1), 2.5])
def test_refuses_other_minima(minimum):
    with pytest.raises(ValueError, match="minimum"):
        MinimumLengths(minimum)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("s3d", (1, 2, 32, 32, 3), "at least 5 frames. Received 2"),
        ("i3d_resnet50", (1, 1, 32, 32, 3), "at least 2 frames. Received 1"),
        ("densenet3d_121", (1, 2, 32, 32, 3), "frames. Received 2"),
    ],
)
def test_networks_of_free_lengths_say_what_they_need(name, shape, message):
    model = models.create(name, input_shape=(None, None, None, 3), classes=3)
    with pytest.raises(ValueError, match=message):
        model(np.zeros(shape, np.float32))
    fixed = models.create(name, input_shape=(32, 64, 64, 3), classes=3)
    assert not [layer for layer in fixed.layers if isinstance(layer, MinimumLengths)]
    assert [weight.path for weight in model.weights] == [weight.path for weight in fixed.weights]
