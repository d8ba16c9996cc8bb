"""Lists of videos with or without labels, or one video."""

from __future__ import annotations

import csv
import dataclasses
import os
import pathlib
import re

from apps.action_recognition.data.sources import VIDEO_SUFFIXES, VideoList, check_videos, load_videos, videos_in
from apps.action_recognition.data.unlabelled import load_unlabelled

# Label of a video whose class is not known.
UNKNOWN = -1


def load_any(source: str | os.PathLike, *, root: str | os.PathLike | None = None) -> VideoList:
    """Lists videos, with their labels where the source has labels; what cannot be read is skipped and reported.

    Args:
        source: a video file; a folder, labelled if it holds folders of videos and no video itself; a `.csv` with a
            column `path`, labelled by a column `label`; a `.txt` with a path a line, labelled if it is a split file of
            UCF101 with numbers, or beside a `classInd.txt`.
        root: folder to which relative paths of a list refer; by default that of the file.

    Returns:
        The videos. Without labels all of them have -1, and there are no classes.

    Raises:
        InputError: if nothing is there, or no video can be read.
    """
    source = pathlib.Path(source)
    if source.is_file() and source.suffix.lower() in VIDEO_SUFFIXES:
        return check_videos(VideoList((str(source),), (UNKNOWN,), ()))
    if _labelled(source):
        return load_videos(source, root=root if source.is_file() else None, one_class=True)
    videos = load_unlabelled(source, root=root)
    return dataclasses.replace(videos, labels=(UNKNOWN,) * len(videos), classes=())


def _labelled(source: pathlib.Path) -> bool:
    if source.is_dir():
        videos = videos_in(source)
        folders = [path for path in source.iterdir() if path.is_dir() and not path.name.startswith(".")]
        return bool(videos) and all(path.parent != source for path in videos) and all(map(videos_in, folders))
    if not source.is_file():
        return False
    # Whatever cannot be read is refused, with its reason, by what reads the list.
    with open(source, newline="", encoding="utf-8-sig", errors="replace") as file:
        if source.suffix.lower() == ".csv":
            return "label" in {name.strip().lower() for name in next(csv.reader(file), [])}
        lines = [line for line in file if line.strip()]
    numbered = bool(lines) and all(re.search(r"\S\s+-?\d+\s*$", line) for line in lines)
    return source.suffix.lower() == ".txt" and (numbered or (source.parent / "classInd.txt").is_file())
