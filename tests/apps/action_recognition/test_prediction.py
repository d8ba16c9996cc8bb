"""Time lines, folders, cameras."""

import numpy as np
import pytest

from apps.action_recognition import prediction
from apps.action_recognition.data import read_clip
from apps.action_recognition.prediction import Predictor, camera_index, videos_in
from apps.action_recognition.runs import load_run
from tools.errors import InputError


@pytest.fixture(scope="module")
def predictor(trained_run):
    return Predictor(load_run(trained_run), top=2)


def test_the_answer_is_the_models_for_the_central_clip(predictor, motion_videos):
    path = motion_videos / "left" / "000.mp4"
    run = predictor.run
    expected = run.model.predict(read_clip(path, run.spec)[None], verbose=0)[0]
    result = predictor.predict(path)
    assert [name for name, _ in result.top] == [run.classes[index] for index in np.argsort(-expected)[:2]]
    np.testing.assert_allclose([p for _, p in result.top], np.sort(expected)[::-1][:2], atol=1e-6)
    assert result.segments is None and "segments" not in result.to_dict()


def test_a_time_line_covers_the_video_without_gap_or_overlap(predictor, motion_videos):
    path = motion_videos / "up" / "001.mp4"
    windows = list(predictor.windows(str(path), 0.2))
    result = predictor.predict(path, step=0.2)
    assert result.segments[0].start == 0 and result.segments[-1].end == windows[-1][1]
    for before, after in zip(result.segments, result.segments[1:], strict=False):
        assert before.end == after.start and before.top[0][0] != after.top[0][0]
    mean = np.mean([probabilities for _, _, probabilities in windows], axis=0)
    assert result.top == predictor.best(mean)


def test_successive_windows_of_one_class_are_merged(predictor):
    def window(start, *probabilities):
        return start, start + 1.0, np.array(probabilities)

    windows = [window(0, 0.6, 0.3, 0.1), window(1, 0.8, 0.1, 0.1), window(2, 0.1, 0.2, 0.7), window(3, 0.5, 0.4, 0.1)]
    segments = list(predictor.merge(windows))
    assert [(segment.start, segment.end, segment.top[0][0]) for segment in segments] == [
        (0, 2, "left"),
        (2, 3, "up"),
        (3, 4, "left"),
    ]
    assert segments[0].top[0][1] == pytest.approx(0.7)
    assert list(predictor.merge([])) == []


def test_where_windows_overlap_the_later_counts_from_its_start(predictor):
    windows = [(0.0, 2.0, np.array([1.0, 0, 0])), (1.0, 3.0, np.array([0, 1.0, 0])), (5.0, 6.0, np.array([1.0, 0, 0]))]
    assert [(s.start, s.end) for s in predictor.merge(windows)] == [(0.0, 1.0), (1.0, 3.0), (5.0, 6.0)]


def test_a_camera_is_read_window_by_window(predictor, monkeypatch):
    def windows(source, spec, step):
        assert (source, step) == (0, 1.0)
        for start in range(3):
            yield start, start + 1.0, np.zeros(spec.shape, "float32")

    monkeypatch.setattr(prediction, "iter_windows", windows)
    received = list(predictor.windows(0, 1.0))
    assert [start for start, _, _ in received] == [0, 1, 2]
    assert all(probabilities.sum() == pytest.approx(1, abs=1e-5) for _, _, probabilities in received)


def test_a_number_is_a_camera_unless_it_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert camera_index("0") == 0 and camera_index("a.mp4") is None
    (tmp_path / "0").write_bytes(b"")
    assert camera_index("0") is None


def test_videos_of_a_folder_are_sorted_and_other_files_left_out(tmp_path, motion_videos):
    assert [path.parent.name for path in videos_in(motion_videos)] == ["left"] * 4 + ["right"] * 4 + ["up"] * 4
    (tmp_path / "._0.mp4").write_text("what macOS leaves beside a file")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(InputError, match="without any"):
        videos_in(tmp_path)
    (tmp_path / "lost.mp4").symlink_to(tmp_path / "gone.mp4")
    assert videos_in(tmp_path) == [tmp_path / "lost.mp4"]


def test_top_has_at_least_one(predictor):
    with pytest.raises(InputError, match="top"):
        Predictor(predictor.run, top=0)
