"""Which frames make a clip, and where it is cropped."""

import numpy as np
import pytest

from apps.action_recognition.data import sampling
from apps.action_recognition.data.sampling import Timeline


def even(frames, rate):
    return Timeline(np.arange(frames) / rate, 1 / rate)


def reference(line, start, frames, rate):
    """The definition, frame by frame: the last stamp that is not after the time; after the end, from the start."""
    chosen = []
    for step in range(frames):
        time = (start + step / rate) % line.duration
        chosen.append(max(index for index, stamp in enumerate(line.stamps) if stamp <= time + 1e-3))
    return chosen


@pytest.mark.parametrize(("file_rate", "clip_rate"), [(30, 15.0), (25, 15.0), (12, 15.0), (16, 16.0), (29.97, 8.0)])
def test_indices_follow_the_definition(file_rate, clip_rate):
    line = even(70, file_rate)
    for start in (0.0, 0.011, 0.5, 1.3):
        indices = sampling.clip_indices(line, start, 16, clip_rate)
        assert indices.tolist() == reference(line, start, 16, clip_rate)


def test_same_moments_whatever_the_rate_of_the_file():
    slow, fast = even(20, 10), even(60, 30)
    for start in (0.0, 0.3, 0.9):
        first = slow.stamps[sampling.clip_indices(slow, start, 5, 10.0)]
        second = fast.stamps[sampling.clip_indices(fast, start, 5, 10.0)]
        np.testing.assert_allclose(first, second)


def test_stamps_rounded_to_milliseconds_choose_the_same_frames():
    exact = even(90, 30)
    rounded = Timeline(np.round(exact.stamps, 3), exact.period)
    np.testing.assert_array_equal(
        sampling.clip_indices(rounded, 0.0, 40, 15.0), sampling.clip_indices(exact, 0.0, 40, 15.0)
    )


def test_clip_longer_than_the_video_goes_round():
    line = even(5, 10)
    assert sampling.clip_indices(line, 0.0, 12, 10.0).tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    assert sampling.clip_indices(line, 0.3, 4, None).tolist() == [3, 4, 0, 1]
    assert sampling.clip_indices(even(1, 10), 0.0, 3, 15.0).tolist() == [0, 0, 0]
    assert sampling.central_start(line, 12, 10.0) == 0.0
    assert sampling.random_start(line, 12, 10.0, 0.9) == 0.0


def test_every_frame_in_turn():
    line = Timeline(np.array([0.0, 0.1, 0.5, 0.6, 0.7]), 0.1)
    assert sampling.clip_indices(line, 0.3, 3, None).tolist() == [1, 2, 3]


@pytest.mark.parametrize("rate", [None, 10.0])
def test_random_clips_reach_every_frame_and_never_leave_the_video(rate):
    line = even(20, 10)
    firsts = set()
    for fraction in np.linspace(0, 1, 400, endpoint=False):
        indices = sampling.clip_indices(line, sampling.random_start(line, 6, rate, fraction), 6, rate)
        assert np.all(np.diff(indices) == 1), fraction
        firsts.add(int(indices[0]))
    assert firsts == set(range(15))


def test_central_and_uniform_starts():
    line = even(100, 10)
    assert sampling.central_start(line, 20, 10.0) == pytest.approx(4.0)
    assert sampling.central_start(line, 20, None) == pytest.approx(4.0)
    np.testing.assert_allclose(sampling.uniform_starts(line, 20, 10.0, 5), [0, 2, 4, 6, 8])
    np.testing.assert_allclose(sampling.uniform_starts(line, 20, None, 5), [0, 2, 4, 6, 8])
    last = sampling.clip_indices(line, sampling.uniform_starts(line, 20, 10.0, 5)[-1], 20, 10.0)
    assert last.tolist() == list(range(80, 100))


def test_crops_along_the_longer_side():
    assert sampling.crop_offsets((128, 171), (112, 112)) == [(8, 30)]
    assert sampling.crop_offsets((256, 340), (224, 224), 3) == [(16, 0), (16, 58), (16, 116)]
    assert sampling.crop_offsets((340, 256), (224, 224), 3) == [(0, 16), (58, 16), (116, 16)]
    assert sampling.crop_offsets((64, 64), (64, 64), 3) == [(0, 0)] * 3
