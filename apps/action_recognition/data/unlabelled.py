"""Lists of videos without labels: folders of any structure, CSV files with paths, text files with a path a line."""

from __future__ import annotations

import csv
import os
import pathlib

from apps.action_recognition.data.sources import VideoList, check_videos, videos_in
from tools.errors import InputError

# A list needs a class; of videos without labels all have this one.
CLASS = "video"


def load_unlabelled(source: str | os.PathLike, *, root: str | os.PathLike | None = None) -> VideoList:
    """Lists videos whatever their labels are; each is opened, and what cannot be read is skipped and reported.

    Args:
        source: a folder, whose subfolders mean nothing; a `.csv` with a column `path`; or a `.txt` with a path a line.
        root: folder to which relative paths of a list refer; by default that of the file.

    Returns:
        The videos in the order of their paths (folder) or of the file, all of class "video".

    Raises:
        InputError: if there is no such file, it lists no video, or none can be read.
    """
    source = pathlib.Path(source)
    folder = pathlib.Path(root or source.parent)
    suffix = source.suffix.lower()
    if source.is_dir():
        paths = videos_in(source)
    elif source.is_file() and suffix in (".csv", ".txt"):
        paths = [folder / name for name in (_column(source) if suffix == ".csv" else _lines(source))]
    else:
        what = "another file" if source.is_file() else "not found"
        raise InputError(f"Expected a folder of videos, a .csv or a .txt file. Received {source}: {what}.")
    if not paths:
        raise InputError(f"Expected videos in {source}. Received none.")
    return check_videos(VideoList(tuple(map(str, paths)), (0,) * len(paths), (CLASS,)))


def _column(source: pathlib.Path) -> list[str]:
    try:
        with open(source, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            reader.fieldnames = [(name or "").strip().lower() for name in reader.fieldnames or []]
            if "path" not in reader.fieldnames:
                columns = ", ".join(reader.fieldnames) or "none"
                raise InputError(f"Expected {source} to have a column 'path'. Received columns {columns}.")
            return [path for row in reader if (path := (row["path"] or "").strip())]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"Expected {source} to be a CSV file in UTF-8. Received: {error}.") from None


def _lines(source: pathlib.Path) -> list[str]:
    try:
        text = source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"Expected {source} to be text in UTF-8. Received other bytes.") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
