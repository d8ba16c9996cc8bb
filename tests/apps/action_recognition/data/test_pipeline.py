"""Batches: a pure function of seed, epoch and video."""

import collections

import numpy as np
import pytest

from apps.action_recognition.data import (
    Augmentation,
    ClipSpec,
    VideoList,
    clip_dataset,
    load_videos,
    pipeline,
    raw_clip,
    read_clip,
    read_views,
    view_dataset,
)
from apps.action_recognition.data.presets import PRESETS
from tests.apps.action_recognition.data.videos import frame_numbers, write_long, write_video
from tools.errors import InputError

SPEC = ClipSpec(frames=4, size=(24, 24), frame_rate=8.0)
EVERYTHING = Augmentation((0.9, 1.3), True, 0.5, 0.2, 0.2, 0.2)


@pytest.fixture(scope="module")
def seven(tmp_path_factory):
    """Seven different videos in three classes."""
    folder = tmp_path_factory.mktemp("seven")
    for number in range(7):
        write_long(folder / "abc"[number % 3] / f"{number}.mp4", seed=number, frames=24)
    return load_videos(folder)


def read(dataset):
    return [tuple(part.numpy() for part in element) for element in dataset]


def same(first, second):
    return len(first) == len(second) and all(
        np.array_equal(a, b) for one, other in zip(first, second, strict=True) for a, b in zip(one, other, strict=True)
    )


def train(videos, **keywords):
    keywords = {"training": True, "seed": 5, "augmentation": EVERYTHING, **keywords}
    return clip_dataset(videos, SPEC, 3, **keywords)


def test_resumed_stream_is_the_tail_of_the_whole_one(seven):
    whole = read(train(seven, epochs=4))
    for epoch in (1, 3):
        assert same(read(train(seven, first_epoch=epoch, epochs=4 - epoch)), whole[3 * epoch :])


def test_nothing_depends_on_the_threads(seven, monkeypatch):
    monkeypatch.setattr(pipeline, "workers", lambda: 1)
    alone = read(train(seven, epochs=2))
    monkeypatch.setattr(pipeline, "workers", lambda: 8)
    assert same(read(train(seven, epochs=2)), alone)
    assert same(read(train(seven, epochs=2)), alone)


def test_seed_epoch_and_video_change_the_clip(seven):
    first = read(train(seven, epochs=2))
    assert not same(first, read(train(seven, epochs=2, seed=6)))
    clips = np.concatenate([clip for clip, _ in first])
    assert len(np.unique(clips.reshape(14, -1), axis=0)) == 14


def test_clip_of_a_video_does_not_depend_on_the_order(seven):
    backwards = seven.subset(reversed(range(7)))
    assert not same(read(train(seven)), read(train(backwards)))
    loaded = pipeline._TrainingReader(seven, SPEC, 5, EVERYTHING)
    position = list(loaded._order(2)).index(4)
    moved = pipeline._TrainingReader(seven, SPEC, 5, EVERYTHING)
    moved._order = lambda epoch: np.array([4, 0, 1, 2, 3, 5, 6])
    np.testing.assert_array_equal(loaded(2, position)[0], moved(2, 0)[0])


def test_every_epoch_holds_every_video_once_and_in_another_order(seven):
    batches = read(train(seven, epochs=3))
    assert [len(labels) for _, labels in batches] == [3, 3, 1] * 3
    orders = [np.concatenate([labels for _, labels in batches[3 * epoch : 3 * epoch + 3]]) for epoch in range(3)]
    assert all(collections.Counter(order.tolist()) == collections.Counter(seven.labels) for order in orders)
    reader = pipeline._TrainingReader(seven, SPEC, 5, EVERYTHING)
    assert len({tuple(reader._order(epoch)) for epoch in range(3)}) == 3


@pytest.mark.parametrize("count", [6, 7])
def test_shapes_and_number_of_batches_are_known_beforehand(seven, count):
    dataset = train(seven.subset(range(count)), epochs=2)
    clip, label = dataset.element_spec
    assert clip.shape.as_list() == [None, 4, 24, 24, 3] and clip.dtype == "float32"
    assert label.shape.as_list() == [None] and label.dtype == "int32"
    assert int(dataset.cardinality()) == 2 * -(-count // 3) == len(read(dataset))


def test_evaluation_is_the_central_clip_in_the_list_order(seven):
    batches = read(clip_dataset(seven, SPEC, 3, training=False))
    assert np.concatenate([labels for _, labels in batches]).tolist() == list(seven.labels)
    clips = np.concatenate([clip for clip, _ in batches])
    for path, clip in zip(seven.paths, clips, strict=True):
        np.testing.assert_array_equal(clip, read_clip(path, SPEC))


def test_views_are_the_clips_and_crops_of_each_video(seven):
    elements = read(view_dataset(seven, SPEC, clips=3, crops=3))
    assert [int(index) for _, _, index in elements] == list(range(7))
    assert [int(label) for _, label, _ in elements] == list(seven.labels)
    views = elements[2][0]
    assert views.shape == (9, 4, 24, 24, 3)
    # 24 frames at 24 a second: the clips of half a second begin at 0, 0.25 and 0.5 s; the middle crop is the centre.
    for number, start in enumerate((0.0, 0.25, 0.5)):
        np.testing.assert_array_equal(views[3 * number + 1], read_clip(seven.paths[2], SPEC, start))
    one = read_views(seven.paths[2], SPEC, clips=1, crops=1)
    np.testing.assert_array_equal(one[0], read_clip(seven.paths[2], SPEC))
    left, right = views[0], views[2]
    assert not np.array_equal(left, right)


def test_start_in_seconds_chooses_the_frame(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=20, rate=10.0)
    assert frame_numbers(raw_clip(path, SPEC, start=0.5)) == [5, 6, 7, 8]
    assert frame_numbers(raw_clip(path, ClipSpec(4, (24, 24), None), start=0.51)) == [5, 6, 7, 8]
    assert frame_numbers(raw_clip(path, SPEC)) == [7, 8, 10, 11]
    for start in (-0.1, 2.0, float("nan")):
        with pytest.raises(InputError, match=r"start.*2\.000 s.*a\.mp4"):
            read_clip(path, SPEC, start)


def test_no_augmentation_still_varies_the_moment_and_never_mirrors(seven):
    neutral = Augmentation(scale=(1.0, 1.0), random_crop=False)
    clips = [clip for batch, _ in read(train(seven, augmentation=neutral, epochs=3)) for clip in batch]
    # A video has 14 moments to begin at, so that a few of three draws coincide.
    assert len(np.unique(np.stack(clips).reshape(21, -1), axis=0)) > 12
    assert Augmentation().horizontal_flip == 0.0


@pytest.fixture
def broken_later(seven, monkeypatch):
    """The seven videos, of which number 2 passed the check and then fails to decode."""
    real = pipeline.random_clip

    def fails(path, *arguments):
        if path == seven.paths[2]:
            raise InputError(f"Expected a video file. Received {path}: not one frame of it can be decoded.")
        return real(path, *arguments)

    monkeypatch.setattr(pipeline, "random_clip", fails)
    return seven


def test_video_that_fails_later_is_replaced_by_the_next_and_reported_once(broken_later, capfd):
    reader = pipeline._TrainingReader(broken_later, SPEC, 5, EVERYTHING)
    order = reader._order(0).tolist()
    position = order.index(2)
    replacement = order[(position + 1) % 7]
    clip, label = reader(0, position)
    np.testing.assert_array_equal(clip, reader(0, (position + 1) % 7)[0])
    assert label == broken_later.labels[replacement]
    capfd.readouterr()
    batches = read(train(broken_later, epochs=3))
    assert sum(len(labels) for _, labels in batches) == 21
    report = capfd.readouterr().err
    assert report.count("replaced in training") == 1 and broken_later.paths[2] in report
    assert same(batches, read(train(broken_later, epochs=3)))


def test_evaluation_never_passes_over_a_failure(seven, tmp_path):
    import tensorflow as tf

    gone = write_video(tmp_path / "gone.mp4")
    videos = VideoList((*seven.paths, str(gone)), (*seven.labels, 0), seven.classes)
    gone.unlink()
    for dataset in (clip_dataset(videos, SPEC, 4, training=False), view_dataset(videos, SPEC, clips=1, crops=1)):
        with pytest.raises(tf.errors.OpError, match=r"gone\.mp4: no such file"):
            read(dataset)


def test_fewer_videos_than_the_batch(seven):
    with pytest.raises(InputError, match=r"batch size 8.*7 videos"):
        clip_dataset(seven, SPEC, 8, training=True)
    assert [len(labels) for _, labels in read(clip_dataset(seven, SPEC, 8, training=False))] == [7]


@pytest.mark.parametrize(
    ("name", "value"),
    [("batch_size", 0), ("batch_size", 2.0), ("seed", -1), ("first_epoch", -1), ("epochs", 0), ("epochs", True)],
)
def test_numbers_out_of_range(seven, name, value):
    arguments = {"batch_size": 2, "training": True, name: value}
    with pytest.raises(InputError, match=name):
        clip_dataset(seven, SPEC, **arguments)


def test_no_videos(seven):
    for build in (lambda videos: clip_dataset(videos, SPEC, 1, training=False), lambda v: view_dataset(v, SPEC)):
        with pytest.raises(InputError, match="at least one video"):
            build(seven.subset([]))
    with pytest.raises(InputError, match="clips"):
        view_dataset(seven, SPEC, clips=0)


@pytest.mark.real_data
@pytest.mark.parametrize("preset", list(PRESETS))
def test_real_video_with_every_preset(real_data, preset):
    spec = ClipSpec(4, (64, 64), 10.0, preset)
    clip = read_clip(real_data / "videos" / "clips" / "kinetics_arm_wrestling.mp4", spec)
    levels = (clip - PRESETS[preset].offset) / PRESETS[preset].multiplier
    assert clip.shape == (4, 64, 64, 3) and clip.dtype == np.float32
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-2)
    assert levels.std() > 20


@pytest.mark.real_data
def test_real_avi_makes_batches(real_data):
    clips = real_data / "videos" / "clips"
    names = ("v_ApplyEyeMakeup_g01_c01.avi", "kinetics_cleaning_pool.mp4", "v_CricketShot_g04_c01_rgb.gif")
    videos = VideoList(tuple(str(clips / name) for name in names), (0, 1, 0), ("a", "b"))
    ((clip, label),) = read(clip_dataset(videos, SPEC, 3, training=True))
    assert clip.shape == (3, 4, 24, 24, 3) and sorted(label.tolist()) == [0, 0, 1]
