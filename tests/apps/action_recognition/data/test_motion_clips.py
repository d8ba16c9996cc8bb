"""Motion clips: real files, in which movement and nothing else tells the classes apart."""

import itertools
import pathlib

import numpy as np
import pytest

from apps.action_recognition.data import ClipSpec, decode, load_videos, motion_clips, raw_clip
from tools.errors import InputError

PER_CLASS = 30
SIZE = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return motion_clips.generate(tmp_path_factory.mktemp("motion") / "clips", PER_CLASS, seed=3, size=SIZE, seconds=1.0)


@pytest.fixture(scope="module")
def clips(folder):
    """uint8 (videos, 8, 32, 32, 3) and the labels."""
    videos = load_videos(folder)
    spec = ClipSpec(frames=8, frame_rate=8.0)
    return np.stack([raw_clip(path, spec) for path in videos.paths]), np.array(videos.labels)


def accuracy(features, labels):
    """Of a linear classifier on the second half of each class, learnt from the first half."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    half = np.tile(np.arange(PER_CLASS) < PER_CLASS // 2, len(motion_clips.CLASSES))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    return model.fit(features[half], labels[half]).score(features[~half], labels[~half])


def movement(clips):
    """Products of the changes in time and in space: to the right, down, and around the brightest things' middle."""
    grey = clips.astype(np.float64).mean(axis=-1)
    in_time = np.diff(grey, axis=1)
    middle = (grey[:, 1:] + grey[:, :-1]) / 2
    down, right = np.gradient(middle, axis=(2, 3))
    energy = (down**2 + right**2).mean(axis=(1, 2, 3)) + 1.0
    return np.stack(
        [(in_time * right).mean(axis=(1, 2, 3)) / energy, (in_time * down).mean(axis=(1, 2, 3)) / energy], 1
    )


def test_files_are_videos_of_two_rates_with_one_length(folder):
    assert sorted(path.name for path in folder.iterdir()) == sorted(motion_clips.CLASSES)
    files = sorted(folder.rglob("*.mp4"))
    assert len(files) == PER_CLASS * len(motion_clips.CLASSES) == len(list(folder.rglob("*.*")))
    lines = [decode.timeline(path) for path in files]
    np.testing.assert_allclose([line.duration for line in lines], 1.0, atol=2e-3)
    lengths = [len(line) for line in lines]
    assert set(lengths) == {16, 25} and 0.1 < lengths.count(25) / len(lengths) < 0.4


def test_no_single_frame_betrays_the_class(clips):
    frames, labels = clips
    chance = 1 / len(motion_clips.CLASSES)
    # Three standard deviations of guessing on this many test clips.
    bound = chance + 3 * np.sqrt(chance * (1 - chance) / (len(labels) / 2))
    for index in (0, 4, 7):
        pixels = frames[:, index, ::4, ::4].reshape(len(labels), -1).astype(np.float64)
        assert accuracy(pixels, labels) < bound, index
        assert accuracy(frames[:, index].astype(np.float64).mean(axis=(1, 2)), labels) < bound, index


def test_movement_tells_the_class_and_backwards_is_the_opposite(clips):
    frames, labels = clips
    flow = movement(frames)
    sign = {"right": (0, -1), "left": (0, 1), "down": (1, -1), "up": (1, 1)}
    for name, (axis, expected) in sign.items():
        of_class = flow[labels == motion_clips.CLASSES.index(name), axis]
        assert np.mean(np.sign(of_class) == expected) > 0.9, name
    straight = np.isin(labels, [motion_clips.CLASSES.index(name) for name in sign])
    np.testing.assert_allclose(movement(frames[straight, ::-1]), -flow[straight], atol=1e-9)


def turned(frames):
    """Mean angle in degrees by which the picture in the middle turns clockwise from frame to frame."""
    import cv2

    strips = [
        cv2.warpPolar(frame, (16, 360), (32, 32), 14, cv2.WARP_POLAR_LINEAR).astype(np.float64) for frame in frames
    ]
    shifts = []
    for one, other in itertools.pairwise(strips):
        errors = [np.abs(np.roll(one, angle, axis=0) - other).mean() for angle in range(-40, 41)]
        shifts.append(np.argmin(errors) - 40)
    return np.mean(shifts)


@pytest.mark.parametrize(("name", "sign"), [("clockwise", 1), ("anticlockwise", -1)])
def test_turning_classes_turn_their_way(name, sign, monkeypatch):
    monkeypatch.setattr(motion_clips, "THINGS", 1)
    monkeypatch.setattr(motion_clips, "FLATNESS", (0.5, 0.5))

    class InTheMiddle:
        def __init__(self, seed):
            self.generator = np.random.default_rng(seed)

        def uniform(self, low, high, size=None):
            if (low, high, size) == (0, 64, 2):
                return np.array([32.0, 32.0])
            return self.generator.uniform(low, high, size)

        def __getattr__(self, name):
            return getattr(self.generator, name)

    angles = [turned(motion_clips.render(name, InTheMiddle(seed), 64, 1.0, 8.0)) for seed in range(5)]
    assert all(sign * angle > 5 for angle in angles), angles


@pytest.mark.parametrize(("one", "other"), [("left", "right"), ("up", "down"), ("clockwise", "anticlockwise")])
def test_equal_draws_give_the_same_first_frame_and_then_part(one, other):
    first = motion_clips.render(one, np.random.default_rng(1), SIZE, 1.0, 16.0)
    second = motion_clips.render(other, np.random.default_rng(1), SIZE, 1.0, 16.0)
    np.testing.assert_array_equal(first[0], second[0])
    assert np.abs(first[4].astype(int) - second[4]).mean() > 1


def test_same_seed_same_files_and_more_videos_do_not_change_the_first(tmp_path):
    def content(name, count, seed):
        made = motion_clips.generate(tmp_path / name, count, seed=seed, size=SIZE, seconds=0.5, classes=("left", "up"))
        return {str(path.relative_to(made)): path.read_bytes() for path in sorted(made.rglob("*.mp4"))}

    first = content("a", 2, 1)
    assert content("b", 2, 1) == first
    assert first.items() <= content("c", 3, 1).items()
    assert content("d", 2, 2) != first


def test_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):
    real = motion_clips._write

    def interrupted(path, *arguments):
        if path.name == "001.mp4":
            raise KeyboardInterrupt
        real(path, *arguments)

    monkeypatch.setattr(motion_clips, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        motion_clips.generate(tmp_path / "clips", 2, size=SIZE, seconds=0.5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "values",
    [
        {"classes": ("left",)},
        {"classes": ("left", "sideways")},
        {"videos_per_class": 0},
        {"size": 8},
        {"seconds": 0},
        {"frame_rate": 0},
        {"other_share": 1.5},
    ],
)
def test_values_out_of_range(tmp_path, values):
    arguments = {"videos_per_class": 1, **values}
    with pytest.raises(InputError, match="Expected"):
        motion_clips.generate(tmp_path / "clips", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="empty"):
        motion_clips.generate(tmp_path, 1)
    assert [path.name for path in pathlib.Path(tmp_path).iterdir()] == ["mine.txt"]
