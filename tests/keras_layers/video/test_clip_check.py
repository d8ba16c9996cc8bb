"""What fits passes unchanged, and what does not is refused in one line, however the layer was built."""

import keras
import numpy as np
import pytest

from keras_layers import ClipCheck
from tests.conformance.layers import CHECKS, LayerCase, name_of

SHAPE = (2, 4, 4, 5, 3)
ARGUMENTS = {
    "minimum": (2, 4, 5),
    "shape": (None, 4, None, 3),
    "multiple": 2,
    "hints": {1: "repeat it", 2: "take another"},
    "network": "net",
}
CASES = [
    LayerCase("all", ClipCheck, ARGUMENTS, SHAPE, (0, 1, 3), complete=True),
    LayerCase("minimum", ClipCheck, {"minimum": (2, 4, 5)}, SHAPE, (0, 1, 2, 3, 4)),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def test_passes_clips_unchanged():
    clip = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    np.testing.assert_array_equal(ClipCheck(**ARGUMENTS)(clip), clip)


REFUSED = [
    ((2, 0, 4, 5, 3), "at least 2 frames. Received 0"),
    ((2, 4, 3, 5, 3), "at least 4 pixels of height. Received 3"),
    ((2, 4, 4, 4, 3), "at least 5 pixels of width. Received 4"),
    ((2, 3, 4, 5, 3), "a multiple of 2 frames. Received 3"),
    ((2, 4, 4, 5, 1), r"3 channels. Received 1, in shape \(2, 4, 4, 5, 1\): repeat it"),
    ((2, 4, 4, 5, 2), r"3 channels. Received 2, in shape \(2, 4, 4, 5, 2\): take another"),
    ((2, 4, 4, 5, 4), r"3 channels. Received 4, in shape \(2, 4, 4, 5, 4\)\."),
    (
        (2, 4, 6, 5, 3),
        r"\(None, 4, None, 3\). Received \(4, 6, 5, 3\): a network of input_shape=\(4, 6, 5, 3\) takes it",
    ),
    ((3, 4, 5, 3), r"shape \(3, 4, 5, 3\)"),
]


@pytest.mark.parametrize(("shape", "message"), REFUSED)
def test_refuses_in_one_line(shape, message):
    with pytest.raises(ValueError, match=f"^Expected clips of 'net' to have .*{message}"):
        ClipCheck(**ARGUMENTS).build(shape)
    free = keras.Input((None, None, None, None))
    model = keras.Model(free, ClipCheck(**ARGUMENTS)(free))
    if len(shape) == 5:
        with pytest.raises(ValueError, match=f"^Expected clips of 'net' to have .*{message}") as error:
            model(np.zeros(shape, np.float32))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        *[({"minimum": minimum}, "minimum") for minimum in ((0, 1, 1), (1, 1), 2.5)],
        *[({"shape": shape}, "shape") for shape in ((4, 4, 3), 4, (0, 4, 4, 3))],
        ({"multiple": 0}, "multiple"),
    ],
)
def test_refuses_other_arguments(arguments, name):
    with pytest.raises(ValueError, match=f"Expected `{name}`"):
        ClipCheck(**arguments)


def test_a_file_that_calls_it_by_its_first_name_is_read():
    old = {
        "module": "keras_layers.video.minimum_lengths",
        "class_name": "MinimumLengths",
        "registered_name": "keras_layers>MinimumLengths",
        "config": {"name": "minimum_lengths", "trainable": True, "dtype": "float32", "minimum": [2, 4, 5]},
    }
    layer = keras.saving.deserialize_keras_object(old)
    assert isinstance(layer, ClipCheck) and layer.minimum == (2, 4, 5)
    assert keras.saving.serialize_keras_object(layer)["registered_name"] == "keras_layers>ClipCheck"
