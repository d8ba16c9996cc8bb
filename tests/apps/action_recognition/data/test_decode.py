"""Decoding: the frame on the screen at a time, upright, in RGB, from files of every kind."""

import os

import numpy as np
import pytest

from apps.action_recognition.data import decode, sampling
from apps.action_recognition.data.containers import missing_bytes
from apps.action_recognition.data.sampling import Timeline
from tests.apps.action_recognition.data.videos import (
    find_box,
    frame_numbers,
    rotate,
    set_durations,
    time_base,
    write_bad_files,
    write_long,
    write_video,
)
from tools.errors import InputError


def whole(path):
    return decode.decode(path, lambda line: np.arange(len(line)), lambda frame: frame)


@pytest.mark.parametrize(("name", "codec", "rate"), [("a.mp4", "mp4v", 16.0), ("a.avi", "MJPG", 25.0)])
def test_every_frame_at_its_time(tmp_path, name, codec, rate):
    path = write_video(tmp_path / name, frames=20, rate=rate, codec=codec)
    line = decode.timeline(path)
    np.testing.assert_allclose(line.stamps, np.arange(20) / rate, atol=1e-3)
    assert line.duration == pytest.approx(20 / rate, abs=1e-3)
    frames = whole(path)
    assert frames.shape == (20, 48, 64, 3) and frames.dtype == np.uint8
    assert frame_numbers(frames) == list(range(20))


def test_repeated_and_unsorted_indices(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=10)
    frames = decode.decode(path, lambda line: np.array([[7, 2], [2, 9]]), lambda frame: frame[:4, :4])
    assert frames.shape == (2, 2, 4, 4, 3)
    assert frame_numbers(frames.reshape(4, -1)) == [7, 2, 2, 9]


def test_variable_frame_rate_is_read_from_the_time_stamps(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=8, rate=16.0)
    base = time_base(path)
    set_durations(path, [base // 16] * 4 + [base // 4] * 3 + [base // 16])
    line = decode.timeline(path)
    expected = np.cumsum([0, *[1 / 16] * 4, *[1 / 4] * 3])
    np.testing.assert_allclose(line.stamps, expected, atol=1e-3)
    times = np.array([0.0, 0.06, 0.07, 0.3, 0.49, 0.51, 0.9])
    shown = [int(np.flatnonzero(expected <= time + 1e-3)[-1]) for time in times]
    assert shown == [0, 0, 1, 4, 4, 5, 6]
    assert frame_numbers(decode.decode(path, lambda line: line.index_at(times), lambda frame: frame)) == shown


def test_rotation_of_the_container_is_honoured(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=2, size=(48, 64))
    assert whole(path).shape == (2, 48, 64, 3)
    rotate(path)
    assert whole(path).shape == (2, 64, 48, 3)


def test_colours_are_rgb(tmp_path):
    import cv2

    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 32))
    writer.write(np.full((32, 32, 3), (0, 0, 250), np.uint8))
    writer.release()
    red, green, blue = whole(tmp_path / "a.avi")[0].mean(axis=(0, 1))
    assert red > 230 and green < 20 and blue < 20


def test_one_frame_is_a_video(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=1)
    assert len(decode.timeline(path)) == 1
    frames = decode.decode(path, lambda line: sampling.clip_indices(line, 0.0, 5, 15.0), lambda frame: frame)
    assert frame_numbers(frames) == [0] * 5


def test_no_bad_file_is_taken_for_a_video(tmp_path, capfd):
    for name, reason in write_bad_files(tmp_path).items():
        with pytest.raises(InputError, match=reason) as raised:
            whole(tmp_path / name)
        assert str(tmp_path / name) in str(raised.value) and "\n" not in str(raised.value)
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match="not a file"):
        whole(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match="not a file"):
        whole(tmp_path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "MJPG"), ("a.mp4", "mp4v"), ("a.mkv", "mp4v")])
def test_a_file_that_broke_off_is_named(name, codec, tmp_path, capfd):
    path = write_video(tmp_path / name, frames=20, codec=codec)
    assert missing_bytes(path) == 0
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    # The box or chunk that was cut states its own size, not that of what followed it.
    assert 0 < missing_bytes(path) <= len(content) - len(content) // 2
    with pytest.raises(InputError, match=r"^Expected a (whole )?video file\. Received .*: it is cut off"):
        decode.timeline(path)
    assert capfd.readouterr().err == ""


def test_an_mp4_with_its_index_in_front_that_broke_off_is_named(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=20)
    content = path.read_bytes()
    data, index = find_box(content, b"mdat"), find_box(content, b"moov")
    front = content[:data] + content[index:] + content[data:index]
    path.write_bytes(front)
    assert missing_bytes(path) == 0
    path.write_bytes(front[:-500])
    assert missing_bytes(path) == 500


@pytest.mark.parametrize(
    "content", [b"", b"RIFF", b"\0\0\0\2ftyp", b"\x1a\x45\xdf\xa3", b"GIF89a, which states no size"]
)
def test_where_no_size_is_stated_nothing_is_missing(content, tmp_path):
    (tmp_path / "a").write_bytes(content)
    assert missing_bytes(tmp_path / "a") == 0


@pytest.mark.real_data
def test_no_real_file_is_taken_for_cut(real_data):
    videos = [path for path in (real_data / "videos").rglob("*") if path.suffix in (".mp4", ".avi", ".gif")]
    assert len(videos) > 200
    assert not [path for path in videos if missing_bytes(path)]


def test_damage_in_the_middle_ends_the_video_there(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", frames=20)
    real = decode.frames_in_order

    def stops_after_seven(capture, period, seek=0.0):
        for number, time in enumerate(real(capture, period, seek)):
            if number == 7:
                return
            yield time

    monkeypatch.setattr(decode, "frames_in_order", stops_after_seven)
    lengths = []

    def plan(line):
        lengths.append(len(line))
        return np.array([len(line) - 1, 0])

    assert frame_numbers(decode.decode(path, plan, lambda frame: frame)) == [6, 0]
    assert lengths == [20, 7]
    monkeypatch.setattr(decode, "frames_in_order", lambda *_: iter(()))
    with pytest.raises(InputError, match="not one frame"):
        whole(path)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), 90000.0])
def test_a_rate_that_cannot_be_true_is_not_believed(rate):
    class Capture:
        def get(self, _):
            return rate

    assert decode.stated_rate(Capture()) == 25.0


def test_files_without_stamps_get_an_even_timeline(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", frames=10, rate=20.0)
    import cv2

    real = decode.open_capture

    class WithoutStamps:
        def __init__(self, capture):
            self.capture = capture

        def get(self, name):
            return 0.0 if name == cv2.CAP_PROP_POS_MSEC else self.capture.get(name)

        def __getattr__(self, name):
            return getattr(self.capture, name)

    monkeypatch.setattr(
        decode, "open_capture", lambda *arguments, **keywords: WithoutStamps(real(*arguments, **keywords))
    )
    np.testing.assert_allclose(decode.timeline(path).stamps, np.arange(10) / 20)
    assert frame_numbers(whole(path)) == list(range(10))


def test_a_seek_gives_the_frames_of_a_sequential_reading(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", frames=40, rate=10.0)
    long = write_long(tmp_path / "long.mp4")
    plan = lambda line: np.array([len(line) - 30, len(line) - 1])  # noqa: E731
    sought = decode.decode(long, plan, lambda frame: frame)
    monkeypatch.setattr(decode, "SEEK_AFTER_FRAMES", 10**9)
    np.testing.assert_array_equal(sought, decode.decode(long, plan, lambda frame: frame))
    monkeypatch.setattr(decode, "SEEK_AFTER_FRAMES", 5)
    assert frame_numbers(decode.decode(path, lambda line: np.arange(30, 33), lambda frame: frame)) == [30, 31, 32]


@pytest.mark.real_data
def test_real_files_seek_exactly_and_packed_frames_keep_their_order(real_data):
    clips = real_data / "videos" / "clips"
    for name in ("kinetics_arm_wrestling.mp4", "kinetics_cleaning_pool.mp4"):
        path = str(clips / name)
        line = decode.timeline(path)
        for index in (130, 201, len(line) - 1):
            seek = float(line.stamps[index]) - decode.SEEK_MARGIN_SECONDS
            sought = decode._decode(path, line, [index], lambda frame: frame, seek)
            straight = decode._decode(path, line, [index], lambda frame: frame, 0.0)
            assert sought is not None
            np.testing.assert_array_equal(sought[0][index], straight[0][index])
    avi = decode.timeline(clips / "v_ApplyEyeMakeup_g01_c01.avi")
    assert (len(avi), avi.duration) == (164, pytest.approx(6.56))
    assert whole(clips / "v_ApplyEyeMakeup_g01_c01.avi").shape == (164, 240, 320, 3)


def test_timeline_rejects_nothing_it_cannot_order():
    line = Timeline(np.array([0.0, 0.1, 0.5]), 0.1)
    assert line.index_at([0.0, 0.0995, 0.3, 0.4995, 0.59, 0.6, 0.75]).tolist() == [0, 1, 1, 2, 2, 0, 1]


@pytest.mark.skipif(
    not os.path.isdir("/proc/self/fd"), reason="counts the open files in /proc/self/fd, which is Linux's"
)
def test_reading_leaves_no_file_open_and_no_memory_behind(tmp_path):
    import resource

    good = write_video(tmp_path / "a.mp4", frames=12, size=(240, 320))
    bad = list(write_bad_files(tmp_path / "bad"))

    def read_all(times):
        for _ in range(times):
            decode._timeline.cache_clear()
            whole(good)
            for name in bad:
                with pytest.raises(InputError):
                    whole(tmp_path / "bad" / name)

    read_all(5)
    files, memory = len(os.listdir("/proc/self/fd")), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read_all(40)
    assert len(os.listdir("/proc/self/fd")) == files
    # One reading holds 2.8 MB of frames; kept captures would add up to more than 100 MB (in KiB here).
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 40_000
