"""Which videos are compared, which calibrate, and what a clip of flow is."""

import pathlib

import numpy as np
import pytest

from apps.action_recognition.comparison import clips
from apps.action_recognition.data import ClipSpec
from tools.errors import InputError


@pytest.fixture(scope="module")
def folders(motion_videos):
    return [motion_videos / name for name in ("left", "right")]


def test_no_video_is_both_compared_and_calibrated_with(folders):
    chosen = clips.choose(folders, pathlib.Path("unused"), compared=4, calibration=2, seed=0)
    assert len(set(chosen.compared)) == 4 and len(set(chosen.calibration)) == 2
    assert not set(chosen.compared) & set(chosen.calibration)


def test_folders_take_turns_and_give_to_both(folders):
    seen = {"compared": set(), "calibration": set()}
    for seed in range(8):
        chosen = clips.choose(folders, pathlib.Path("unused"), compared=2, calibration=2, seed=seed)
        classes = {which: [pathlib.Path(path).parent.name for path in getattr(chosen, which)] for which in seen}
        assert sorted(classes["compared"] + classes["calibration"]) == ["left", "left", "right", "right"]
        for which, names in classes.items():
            seen[which] |= set(names)
    assert seen == {"compared": {"left", "right"}, "calibration": {"left", "right"}}


def test_a_seed_always_draws_the_same_and_another_others(folders):
    first, same, other = (
        clips.choose(folders, pathlib.Path("unused"), compared=3, calibration=1, seed=seed) for seed in (0, 0, 1)
    )
    assert first == same != other


def test_no_more_videos_are_opened_than_are_drawn(folders, monkeypatch):
    opened = []
    monkeypatch.setattr(clips.sources, "unreadable", lambda path: opened.append(path))
    clips.choose(folders, pathlib.Path("unused"), compared=2, calibration=1, seed=0)
    assert len(opened) == 3


def test_motion_clips_are_made_once_where_no_videos_are_given(tmp_path):
    chosen = clips.choose([], tmp_path, compared=2, calibration=1, seed=0)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "videos").rglob("*.mp4")}
    assert {pathlib.Path(path) for path in (*chosen.compared, *chosen.calibration)} <= written.keys()
    assert clips.choose([], tmp_path, compared=2, calibration=1, seed=0) == chosen
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "videos").rglob("*.mp4")} == written


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((8, 1), "Expected at least 9 videos: 8 to compare.*Received 8"),
        ((0, 1), "at least 1 video"),
        ((1, 0), "1 to calibrate"),
    ],
)
def test_too_few_videos(folders, counts, message):
    with pytest.raises(InputError, match=message):
        clips.choose(folders, pathlib.Path("unused"), compared=counts[0], calibration=counts[1], seed=0)


def test_what_is_no_video_is_named(folders, tmp_path):
    for path in (tmp_path / "absent.mp4", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            clips.choose([*folders, path], tmp_path, compared=1, calibration=1, seed=0)


def test_flow_points_where_things_move(motion_videos):
    spec = ClipSpec(frames=6, size=(48, 48), frame_rate=None, preset="deepmind_i3d")
    means = {}
    for name in ("left", "right", "up"):
        flow = clips.read([str(motion_videos / name / "000.mp4")], spec, 2)[0]
        assert flow.shape == (6, 48, 48, 2) and flow.dtype == np.float32 and np.abs(flow).max() <= 1.0
        means[name] = flow.mean(axis=(0, 1, 2))
    assert means["left"][0] < -0.005 < 0.005 < means["right"][0]
    assert means["up"][1] < -0.005
