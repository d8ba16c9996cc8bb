"""FrameRateResampling against the positions written out, and against its contract."""

import keras
import numpy as np
import pytest

from keras_layers import FrameRateResampling
from tests.conformance.layers import CHECKS, LayerCase, name_of

CASES = [
    LayerCase("clip", FrameRateResampling, {"rate": 4}, (2, 8, 3, 5, 2), free_axes=(0, 1, 2, 3), complete=True),
    LayerCase("one_frame_left", FrameRateResampling, {"rate": 3}, (2, 3, 4), free_axes=(0, 1, 2)),
    LayerCase("every_frame", FrameRateResampling, {"rate": 1}, (2, 5, 4), free_axes=(0, 1)),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


@pytest.mark.parametrize(
    ("frames", "rate", "kept"),
    # torch.linspace(0, frames - 1, frames // rate).long(), as the published networks were trained with.
    [
        (32, 8, [0, 10, 20, 31]),
        (32, 4, [0, 4, 8, 13, 17, 22, 26, 31]),
        (64, 4, [0, 4, 8, 12, 16, 21, 25, 29, 33, 37, 42, 46, 50, 54, 58, 63]),
        (8, 8, [0]),
        (6, 1, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_keeps_the_frames_of_the_published_networks(frames, rate, kept):
    clip = np.arange(frames, dtype=np.float32)[None, :, None]
    np.testing.assert_array_equal(np.asarray(FrameRateResampling(rate)(clip)).ravel(), kept)
    free = keras.Input((None, 1))
    model = keras.Model(free, FrameRateResampling(rate)(free))
    np.testing.assert_array_equal(model.predict(clip, verbose=0).ravel(), kept)


@pytest.mark.parametrize(
    ("rate", "shape", "message"),
    [
        (0, (1, 4, 2), "`rate` to be a positive integer. Received 0"),
        (1.5, (1, 4, 2), "`rate` to be a positive integer. Received 1.5"),
        (4, (1, 6, 2), "a multiple of 4 frames. Received 6"),
        (4, (1, 0, 2), "a multiple of 4 frames. Received 0"),
        (4, (8,), r"shape \(batch, frames, ...\). Received shape \(8,\)"),
    ],
)
def test_refuses(rate, shape, message):
    with pytest.raises(ValueError, match=message):
        FrameRateResampling(rate).build(shape)


def test_a_layer_built_for_any_number_refuses_what_the_rate_does_not_divide():
    layer = FrameRateResampling(4)
    layer.build((None, None, 1))
    with pytest.raises(ValueError, match=r"a multiple of 4 frames\. Received 5"):
        layer(np.zeros((1, 5, 1), np.float32))
