"""Windows of a time line: from files and from streams."""

import numpy as np
import pytest

from apps.action_recognition.data import ClipSpec, iter_windows, read_clip, windows
from tests.apps.action_recognition.data.videos import LEVEL, frame_numbers, write_video
from tools.errors import InputError

SPEC = ClipSpec(frames=4, size=(16, 16), frame_rate=10.0, preset="howto100m_s3d")
EVERY = ClipSpec(frames=4, size=(16, 16), frame_rate=None, preset="howto100m_s3d")


def grey_stream(moments):
    for index, moment in enumerate(moments):
        yield moment, np.full((20, 20, 3), LEVEL * (index % 40) + 10, np.uint8)


def seen(clip):
    return np.rint((clip[:, 0, 0, 0] * 255 - 10) / LEVEL).astype(int).tolist()


@pytest.mark.parametrize("rate", [10.0, 25.0])
def test_windows_of_a_file_are_its_clips(tmp_path, rate):
    path = write_video(tmp_path / "a.mp4", frames=30, rate=rate)
    found = list(iter_windows(path, SPEC, 0.3))
    length = 30 / rate
    starts = [start for start, _, _ in found]
    np.testing.assert_allclose(starts[:-1], 0.3 * np.arange(len(starts) - 1), atol=1e-9)
    assert found[-1][1] == pytest.approx(length, abs=1 / rate)
    for start, end, clip in found:
        assert end - start == pytest.approx(0.4, abs=1e-6) or end == pytest.approx(length, abs=1e-6)
        np.testing.assert_array_equal(clip, read_clip(path, SPEC, start))


def test_the_rest_at_the_end_gets_a_window_of_its_own():
    found = list(windows.windows_of(grey_stream(np.arange(10) / 10), SPEC, 0.5, 0.1))
    assert [(round(start, 3), round(end, 3), seen(clip)) for start, end, clip in found] == [
        (0.0, 0.4, [0, 1, 2, 3]),
        (0.5, 0.9, [5, 6, 7, 8]),
    ]
    found = list(windows.windows_of(grey_stream(np.arange(12) / 10), SPEC, 0.5, 0.1))
    assert [seen(clip) for _, _, clip in found] == [[0, 1, 2, 3], [5, 6, 7, 8], [8, 9, 10, 11]]


def test_short_video_gives_one_window_that_goes_round(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=2, rate=10.0)
    for spec in (SPEC, EVERY):
        ((start, _, clip),) = iter_windows(path, spec, 1.0)
        assert start == 0.0
        assert frame_numbers(clip * 255) == [0, 1, 0, 1]


@pytest.mark.parametrize("spec", [SPEC, EVERY])
def test_one_frame_is_a_window(tmp_path, spec):
    path = write_video(tmp_path / "a.mp4", frames=1, rate=10.0)
    ((start, end, clip),) = iter_windows(path, spec, 1.0)
    assert (start, end, frame_numbers(clip * 255)) == (0.0, 0.1, [0] * 4)


def test_every_frame_in_turn():
    found = list(windows.windows_of(grey_stream(np.arange(9) / 10), EVERY, 0.3, 0.1))
    assert [seen(clip) for _, _, clip in found] == [[0, 1, 2, 3], [3, 4, 5, 6], [5, 6, 7, 8]]
    assert [round(end - start, 6) for start, end, _ in found] == [0.4] * 3


def test_stream_of_uneven_times_shows_what_was_last_seen():
    moments = [0.0, 0.05, 0.31, 0.33, 0.8, 1.0]
    (start, end, clip), *_ = windows.windows_of(grey_stream(moments), SPEC, 10.0, 0.1)
    assert (start, end, seen(clip)) == (0.0, 0.4, [0, 1, 1, 1])


def test_a_window_comes_as_soon_as_it_is_complete_and_old_frames_are_let_go():
    given = []

    def stream():
        for moment, frame in grey_stream(np.arange(1000) / 100):
            given.append(moment)
            yield moment, frame

    running = windows.windows_of(stream(), SPEC, 0.5, 0.01)
    next(running)
    assert given[-1] <= 0.32
    for _ in range(10):
        next(running)
    held = running.gi_frame.f_locals["held"]
    assert len(held) < 100


def test_bad_sources(tmp_path, capfd):
    with pytest.raises(InputError, match="step_seconds"):
        iter_windows(tmp_path / "a.mp4", SPEC, 0.0)
    with pytest.raises(InputError, match=r"a\.mp4: no such file"):
        iter_windows(tmp_path / "a.mp4", SPEC, 1.0)
    with pytest.raises(InputError, match="Received none"):
        list(windows.windows_of(iter(()), SPEC, 1.0, 0.1))
    with pytest.raises(InputError, match="camera"):
        next(iter_windows(97, SPEC, 1.0))
    assert capfd.readouterr().err == ""
