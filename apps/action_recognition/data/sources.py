"""Lists of labelled videos: folders of class folders, CSV files, the split files of UCF101 and HMDB51."""

from __future__ import annotations

import collections
import concurrent.futures
import csv
import dataclasses
import os
import pathlib
import re
import sys
from collections.abc import Iterable, Sequence

import numpy as np

from tools.commands import progress
from tools.errors import InputError

VIDEO_SUFFIXES = {
    *(".3gp", ".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg"),
    *(".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv"),
}
HMDB51_CODES = {"train": "1", "test": "2"}
REPORTED = 10
# The largest published data sets have some thousands of classes.
MOST_NUMBERED_CLASSES = 100_000


@dataclasses.dataclass(frozen=True)
class VideoList:
    """Labelled videos.

    Attributes:
        paths: of the videos.
        labels: index into `classes` for each video.
        classes: names of the classes.
        skipped: (path, reason) of each video that was left out because it cannot be read.
    """

    paths: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def subset(self, indices: Iterable[int]) -> VideoList:
        """The videos of these indices, in this order, with the same classes."""
        indices = [int(index) for index in indices]
        return dataclasses.replace(
            self,
            paths=tuple(self.paths[index] for index in indices),
            labels=tuple(self.labels[index] for index in indices),
            skipped=(),
        )


@dataclasses.dataclass(frozen=True)
class _Entry:
    """One line of a source: label as a class name, or as an index where the source only numbers its classes."""

    path: pathlib.Path
    label: str | int
    where: str


def load_videos(
    source: str | os.PathLike,
    *,
    classes: Sequence[str] | None = None,
    root: str | os.PathLike | None = None,
    check: bool = True,
    subset: str | None = None,
    split: int = 1,
    one_class: bool = False,
) -> VideoList:
    """Lists the videos of a data set.

    Args:
        source: one of
            - a folder of class folders (nested folders allowed, hidden files ignored),
            - a `.csv` file with a header that names the columns `path` and `label` (name of a class or its index), or
              those of Kinetics: `label`, `youtube_id`, `time_start`, `time_end`,
            - a `.txt` split file of UCF101 ("Class/video.avi 1", or without the number),
            - a folder of HMDB51's split files (`<class>_test_split1.txt`).
        classes: names in the order of their labels, for instance those of a trained model. None: sorted by name; for
            UCF101 those of `classInd.txt` beside the file; "0", "1", ... where labels are numbers.
        root: folder to which relative paths refer; by default that of the file.
        check: open every video and decode its first frame; what cannot be read is left out, listed in `skipped` and
            reported on standard error.
        subset: "train" or "test" of HMDB51's split files.
        split: number of HMDB51's split.
        one_class: whether videos of a single class will do.

    Raises:
        InputError: if nothing is there, a class is empty, a column is missing, a label is out of range, there are too
            few classes, or no video of a class can be read.
    """
    source = pathlib.Path(source)
    if not source.exists():
        raise InputError(f"Expected a folder of class folders, a .csv or a .txt file. Received {source}: not found.")
    names = _class_names(classes)
    if source.is_dir() and (root is not None or subset is not None):
        entries = _hmdb51(source, pathlib.Path(root or source), subset, split)
    elif source.is_dir():
        entries = _folder(source, names)
    elif source.suffix.lower() == ".csv":
        entries = _csv(source, pathlib.Path(root or source.parent))
    elif source.suffix.lower() == ".txt":
        entries = _ucf101(source, pathlib.Path(root or source.parent))
        names = names or _ucf101_classes(source)
    else:
        raise InputError(f"Expected a folder of class folders, a .csv or a .txt file. Received {source}.")
    if not entries:
        raise InputError(f"Expected videos in {source}. Received none.")
    videos = _label(entries, names, source, one_class)
    return check_videos(videos) if check else videos


def _class_names(classes: Sequence[str] | None) -> tuple[str, ...] | None:
    if classes is None:
        return None
    names = tuple(classes)
    if isinstance(classes, str) or len(set(names)) != len(names):
        raise InputError(f"Expected classes to be different names. Received {classes!r}.")
    return names


def _label(entries: list[_Entry], names: tuple[str, ...] | None, source: pathlib.Path, one_class: bool) -> VideoList:
    if names is None:
        numbered = [entry.label for entry in entries if isinstance(entry.label, int)]
        if numbered and len(numbered) < len(entries):
            raise InputError(f"Expected labels in {source} to be all names or all numbers. Received both.")
        names = _numbers(entries, source) if numbered else tuple(sorted({entry.label for entry in entries}))
    if len(names) < 2 and not one_class:
        raise InputError(f"Expected at least two classes in {source}. Received {len(names)}: {', '.join(names)}.")
    index = {name: number for number, name in enumerate(names)}
    labels = []
    for entry in entries:
        label = index.get(str(entry.label), entry.label)
        if isinstance(label, str):
            raise InputError(f"Expected {entry.where} to have one of the {len(names)} classes. Received {label!r}.")
        if not 0 <= label < len(names):
            raise InputError(f"Expected {entry.where} to have a label from 0 to {len(names) - 1}. Received {label}.")
        labels.append(label)
    return VideoList(tuple(str(entry.path) for entry in entries), tuple(labels), names)


def _numbers(entries: list[_Entry], source: pathlib.Path) -> tuple[str, ...]:
    """The names "0", "1", ... of classes that a source only numbers."""
    highest = max(entries, key=lambda entry: entry.label)
    lowest = min(entries, key=lambda entry: entry.label)
    if lowest.label < 0:
        raise InputError(
            f"Expected {lowest.where} to have a label from 0 to {max(highest.label, 1)}. Received {lowest.label}."
        )
    # Something else than a class, a time or an identity, stands in the column: a class for each would fill the memory.
    if highest.label >= MOST_NUMBERED_CLASSES:
        raise InputError(
            f"Expected {highest.where} to have a label from 0 to {MOST_NUMBERED_CLASSES - 1}. Received {highest.label}."
        )
    return tuple(map(str, range(highest.label + 1)))


def _hidden(path: pathlib.Path, folder: pathlib.Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def videos_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """What is named like a video in a folder and its subfolders, sorted, without what is hidden."""
    files = (pathlib.Path(base) / name for base, _, names in os.walk(folder, followlinks=True) for name in names)
    return sorted(path for path in files if path.suffix.lower() in VIDEO_SUFFIXES and not _hidden(path, folder))


def _folder(source: pathlib.Path, names: tuple[str, ...] | None) -> list[_Entry]:
    folders = sorted(path for path in source.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise InputError(f"Expected a folder of class folders. Received {source}: it has no subfolders.")
    entries = []
    for folder in folders:
        if names is not None and folder.name not in names:
            raise InputError(f"Expected class folders named after the {len(names)} classes. Received {folder}.")
        videos = videos_in(folder)
        if not videos:
            raise InputError(f"Expected videos in the class folder {folder}. Received none.")
        entries.extend(_Entry(path, folder.name, str(path)) for path in videos)
    return entries


def _csv(source: pathlib.Path, root: pathlib.Path) -> list[_Entry]:
    with open(source, newline="", encoding="utf-8-sig") as file:
        try:
            reader = csv.DictReader(file, skipinitialspace=True)
            columns = [(column or "").strip().lower() for column in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = list(reader)
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"Expected {source} to be a CSV file in UTF-8. Received: {error}.") from None
    kinetics = {"youtube_id", "time_start", "time_end"} <= set(columns)
    for column in ("label",) if kinetics else ("path", "label"):
        if column not in columns:
            raise InputError(
                f"Expected {source} to have a column {column!r}. Received columns {', '.join(columns) or 'none'}."
            )
    entries = []
    for number, row in enumerate(rows, start=2):
        where = f"{source}, row {number}"
        values = {key: value.strip() for key, value in row.items() if key and isinstance(value, str)}
        empty = [key for key in (columns if kinetics else ("path", "label")) if not values.get(key) and key != "split"]
        if empty:
            raise InputError(f"Expected {where} to have a value for {empty[0]!r}. Received none.")
        label = values["label"]
        path = _kinetics_path(root, values, where) if kinetics else root / values["path"]
        entries.append(_Entry(path, int(label) if re.fullmatch(r"-?\d+", label) else label, where))
    return entries


def _kinetics_path(root: pathlib.Path, row: dict[str, str], where: str) -> pathlib.Path:
    """Kinetics' annotation names no file; its downloaders write <class>/<id>_<start>_<end>.mp4, or the file alone."""
    try:
        start, end = int(float(row["time_start"])), int(float(row["time_end"]))
    except ValueError:
        raise InputError(
            f"Expected {where} to have time_start and time_end in seconds. "
            f"Received {row['time_start']!r} and {row['time_end']!r}."
        ) from None
    name = f"{row['youtube_id']}_{start:06d}_{end:06d}.mp4"
    beside = root / name
    return beside if beside.exists() else root / row["label"] / name


def _lines(source: pathlib.Path) -> list[tuple[str, list[str]]]:
    """Non-empty lines as (place, words); only the last word may be split off, because names may hold blanks."""
    try:
        text = source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"Expected {source} to be text in UTF-8. Received other bytes.") from None
    lines = enumerate(text.splitlines(), start=1)
    return [(f"{source}, line {number}", line.rsplit(maxsplit=1)) for number, line in lines if line.strip()]


def _ucf101_classes(source: pathlib.Path) -> tuple[str, ...] | None:
    index = source.parent / "classInd.txt"
    if not index.is_file():
        return None
    return tuple(line.split()[-1] for line in index.read_text(encoding="utf-8").splitlines() if line.strip())


def _ucf101(source: pathlib.Path, root: pathlib.Path) -> list[_Entry]:
    known = _ucf101_classes(source)
    entries = []
    for where, words in _lines(source):
        numbered = len(words) == 2 and re.fullmatch(r"-?\d+", words[1])
        path = pathlib.PurePosixPath(words[0] if numbered else " ".join(words))
        if len(path.parts) < 2:
            raise InputError(f"Expected {where} to read 'Class/video.avi' with or without a label. Received {path}.")
        if numbered and known and not 1 <= int(words[1]) <= len(known):
            raise InputError(f"Expected {where} to have a label from 1 to {len(known)}. Received {words[1]}.")
        entries.append(_Entry(root / path, path.parts[-2], where))
    return entries


def _hmdb51(source: pathlib.Path, root: pathlib.Path, subset: str | None, split: int) -> list[_Entry]:
    ending = f"_test_split{split}.txt"
    files = sorted(source.glob(f"*{ending}"))
    if not files:
        raise InputError(f"Expected files <class>{ending} in {source}. Received none.")
    if subset not in HMDB51_CODES:
        raise InputError(f"Expected subset to be 'train' or 'test' for HMDB51's split files. Received {subset!r}.")
    entries = []
    for file in files:
        name = file.name.removesuffix(ending)
        for where, words in _lines(file):
            if len(words) != 2 or words[1] not in ("0", "1", "2"):
                raise InputError(f"Expected {where} to read 'video.avi' and 0, 1 or 2. Received {' '.join(words)!r}.")
            if words[1] == HMDB51_CODES[subset]:
                entries.append(_Entry(root / name / words[0], name, where))
    return entries


def check_videos(videos: VideoList) -> VideoList:
    """Opens every video and leaves out those that cannot be read; see `load_videos`."""
    with concurrent.futures.ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        reasons = list(progress(pool.map(unreadable, videos.paths), len(videos), "checking videos"))
    bad = [index for index, reason in enumerate(reasons) if reason]
    if not bad:
        return videos
    skipped = tuple((videos.paths[index], reasons[index]) for index in bad)
    shown = "; ".join(f"{path}: {reason}" for path, reason in skipped[:REPORTED])
    more = f"; and {len(bad) - REPORTED} more" if len(bad) > REPORTED else ""
    if len(bad) == len(videos):
        raise InputError(f"Expected videos that can be read. Received {len(bad)} of which none can: {shown}{more}.")
    kept = dataclasses.replace(videos.subset(index for index, reason in enumerate(reasons) if not reason))
    for label in sorted(set(videos.labels) - set(kept.labels)):
        path, reason = next(pair for index, pair in zip(bad, skipped, strict=True) if videos.labels[index] == label)
        raise InputError(
            f"Expected videos of class {videos.classes[label]!r} that can be read. Received none: {path}: {reason}."
        )
    print(f"{len(bad)} of {len(videos)} videos cannot be read and are skipped: {shown}{more}", file=sys.stderr)
    return dataclasses.replace(kept, skipped=skipped)


def unreadable(path: str) -> str | None:
    """Why the first frame of a file cannot be decoded, or None where it can."""
    from apps.action_recognition.data import decode

    try:
        decode.decode(path, lambda line: np.zeros(1, int), lambda frame: np.zeros(0))
    except InputError as error:
        return str(error).partition(f"{path}: ")[2].rstrip(".") or str(error)
    return None


def split_videos(
    videos: VideoList, validation_fraction: float, seed: int = 0, *, blocks: bool = False
) -> tuple[VideoList, VideoList]:
    """Splits each class by the same fraction into training and validation.

    Args:
        videos: to split.
        validation_fraction: above 0 and below 1. Each class keeps at least one video on either side.
        seed: of the choice.
        blocks: take the last videos of each class, in the list's order, instead of a random choice: where neighbours in
            the list come from one recording, a random choice would show the validation to the training.

    Raises:
        InputError: if the fraction is out of range or a class has a single video.
    """
    if not 0 < validation_fraction < 1:
        raise InputError(f"Expected validation_fraction to be above 0 and below 1. Received {validation_fraction!r}.")
    members = collections.defaultdict(list)
    for index, label in enumerate(videos.labels):
        members[label].append(index)
    training, validation = [], []
    for label, indices in sorted(members.items()):
        if len(indices) < 2:
            raise InputError(
                f"Expected at least two videos of class {videos.classes[label]!r} to split them. Received one: "
                f"{videos.paths[indices[0]]}."
            )
        if not blocks:
            indices = np.random.default_rng([seed, label]).permutation(indices).tolist()
        count = min(max(round(len(indices) * validation_fraction), 1), len(indices) - 1)
        training.extend(indices[:-count])
        validation.extend(indices[-count:])
    return videos.subset(sorted(training)), videos.subset(sorted(validation))
