"""Lists of videos without labels."""

import pytest

from apps.action_recognition.data.unlabelled import load_unlabelled
from tools.errors import InputError


def test_lists_without_labels(motion_videos, tmp_path):
    videos = load_unlabelled(motion_videos)
    assert len(videos) == 12 and set(videos.labels) == {0}
    (tmp_path / "list.csv").write_text(f"Path, label\n{videos.paths[4]}, up\n{videos.paths[2]},\n")
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in videos.paths[:2]))
    assert load_unlabelled(tmp_path / "list.csv").paths == (videos.paths[4], videos.paths[2])
    assert load_unlabelled(tmp_path / "list.txt").paths == videos.paths[:2]
    (tmp_path / "relative.txt").write_text("left/000.mp4\n")
    assert load_unlabelled(tmp_path / "relative.txt", root=motion_videos).paths == (
        str(motion_videos / "left/000.mp4"),
    )


def test_lists_that_are_none(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.csv").write_text("file\na.mp4\n")
    (tmp_path / "none.txt").write_text("\n")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    for name, message in {
        "empty": "Expected videos in .*empty. Received none",
        "list.csv": "to have a column 'path'. Received columns file",
        "none.txt": "Expected videos in",
        "bytes.txt": "to be text in UTF-8",
        "nowhere": "nowhere: not found",
    }.items():
        with pytest.raises(InputError, match=message):
            load_unlabelled(tmp_path / name)
