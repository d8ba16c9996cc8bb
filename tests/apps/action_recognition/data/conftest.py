"""Fixtures of the data tests."""

import pytest

from tests.apps.action_recognition.data.videos import write_video


@pytest.fixture
def two_classes(tmp_path):
    """A folder of two classes with three videos each."""
    for name in ("bowling", "archery"):
        for number in range(3):
            write_video(tmp_path / "videos" / name / f"{number}.mp4", frames=12 + number)
    return tmp_path / "videos"
