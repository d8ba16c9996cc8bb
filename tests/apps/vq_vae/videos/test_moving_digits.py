"""Digits fly straight between the walls, or move as their actions say."""

import gzip
import struct

import numpy as np
import pytest

from apps.vq_vae.videos.moving_digits import ACTIONS, moving_digits, read_digits
from tools.errors import InputError


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    """Whole squares, so that their corners can be seen."""
    return np.stack([np.full((28, 28), value, np.uint8) for value in range(100, 120)])


def corners(frames: np.ndarray) -> np.ndarray:
    """Upper left corners (frames, 2) of the one square in each frame (frames, side, side, 1)."""
    return np.array([[np.flatnonzero(frame[..., 0].any(axis=axis))[0] for axis in (1, 0)] for frame in frames])


def test_digits_stay_whole_between_the_walls(digits):
    clips = moving_digits(digits, 30, 40, count=1)
    assert clips.frames.shape == (30, 40, 64, 64, 1) and clips.frames.dtype == np.uint8 and clips.actions is None
    assert np.all((clips.frames > 0).sum(axis=(2, 3, 4)) == 28 * 28)
    places = np.stack([corners(clip) for clip in clips.frames])
    assert places.min() >= 0 and places.max() == 36


def test_digits_fly_straight_and_are_thrown_back(digits):
    clips = moving_digits(digits, 50, 30, count=1, seed=1)
    for clip in clips.frames:
        steps = np.diff(corners(clip), axis=0)
        speeds = np.hypot(*steps.T)
        # Rounding moves each corner by half a pixel at most; where a wall is in the way, the step is shorter.
        assert speeds.max() <= 5 + np.sqrt(2)
        free = np.all((corners(clip)[1:] > 5) & (corners(clip)[:-1] > 5), axis=1)
        free &= np.all((corners(clip)[1:] < 31) & (corners(clip)[:-1] < 31), axis=1)
        assert np.all(speeds[free] >= 2 - np.sqrt(2))
        assert not free.any() or np.all(np.ptp(np.abs(steps[free]), axis=0) <= 1)


def test_actions_move_a_digit_as_far_as_the_wall(digits):
    clips = moving_digits(digits, 20, 12, count=1, with_actions=True, seed=2)
    assert clips.actions.shape == (20, 12) and clips.action_names == tuple(ACTIONS) and not clips.actions[:, 0].any()
    assert set(np.unique(clips.actions)) == set(range(5))
    for clip, actions in zip(clips.frames, clips.actions, strict=True):
        places = corners(clip)
        for number in range(1, 12):
            step = 4 * np.array(list(ACTIONS.values())[actions[number]])
            np.testing.assert_array_equal(places[number], np.clip(places[number - 1] + step, 0, 36))


def test_the_brighter_of_two_is_seen(digits):
    clips = moving_digits(digits, 20, 6, count=2)
    sizes = (clips.frames > 0).sum(axis=(2, 3, 4))
    assert sizes.min() < 2 * 28 * 28 <= sizes.max() + 1
    for frame in clips.frames[:, 0]:
        values = np.unique(frame[frame > 0])
        assert len(values) in (1, 2) and (frame == values[-1]).sum() == 28 * 28


def test_the_seed_decides_and_smaller_frames_hold_smaller_digits(digits):
    small = moving_digits(digits, 4, 5, size=32, count=1, seed=3)
    assert np.all((small.frames > 0).sum(axis=(2, 3, 4)) == 14 * 14)
    again = moving_digits(digits, 4, 5, size=32, count=1, seed=3)
    np.testing.assert_array_equal(small.frames, again.frames)
    assert np.any(small.frames != moving_digits(digits, 4, 5, size=32, count=1, seed=4).frames)


def test_splits_share_no_digit(tmp_path, digits):
    path = tmp_path / "digits.idx3.gz"
    path.write_bytes(gzip.compress(struct.pack(">4I", 0x803, *digits.shape) + digits.tobytes()))
    train, test = (read_digits(path, split) for split in ("train", "test"))
    np.testing.assert_array_equal(np.concatenate([train, test]), read_digits(path))
    assert len(test) == 2
    with pytest.raises(InputError, match=r"split to be one of all, train, test\. Received 'half'"):
        read_digits(path, "half")


@pytest.mark.parametrize("name", ["clips", "frames", "size", "count", "seed"])
def test_refuses_what_is_out_of_range(digits, name):
    arguments = {"clips": 1, "frames": 2, name: -1}
    with pytest.raises(InputError, match=rf"Expected {name} to be at least \d+\. Received -1\."):
        moving_digits(digits, **arguments)
    with pytest.raises(InputError, match=r"digits \(digits, side, side\)\. Received \(2, 3, 4\)"):
        moving_digits(np.zeros((2, 3, 4), np.uint8), 1)
