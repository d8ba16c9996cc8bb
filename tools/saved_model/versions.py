"""Version directories base/name/NUMBER that appear whole or not at all, whoever else publishes at the same time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
import re
import secrets
import shutil
import time
from collections.abc import Iterator

from tools.errors import InputError

# TensorFlow Serving skips what is no number; the dot hides it from people as well.
TEMPORARY = ".publishing-"
# A publisher locks its directory at once; one that is still unlocked after this long has lost its publisher.
ABANDONED_AFTER_SECONDS = 60.0
LARGEST_VERSION = 2**63 - 1

_MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
# What TensorFlow Serving's SimpleAtoi reads as a version, leading zeros included.
_VERSION = re.compile(r"[+-]?[0-9]+")


def check_name(name: str) -> None:
    """Refuses a model name that is no directory name, no part of a URL, or looks like a version.

    Raises:
        InputError: naming it.
    """
    if not isinstance(name, str) or not _MODEL_NAME.fullmatch(name) or _VERSION.fullmatch(name):
        raise InputError(
            f"Expected a model name of letters, digits, _, - and . that is not a number. Received {name!r}."
        )


def versions(folder: pathlib.Path) -> list[int]:
    """The version numbers under base/name, in increasing order, as TensorFlow Serving reads them."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except NotADirectoryError as error:
        raise InputError(f"Expected a directory for the versions of a model. Received the file {folder}.") from error
    return sorted(int(name) for name in names if _VERSION.fullmatch(name))


@contextlib.contextmanager
def new_version(base: str | os.PathLike, name: str, version: int | None = None) -> Iterator[NewVersion]:
    """A directory to write a version in, which `commit` turns into base/name/NUMBER.

    What is not committed when the context ends, by an error or by Ctrl-C, is removed, with the directories that were
    made for it. Directories that a killed publisher left are removed too.

    Args:
        base: directory of all models.
        name: model.
        version: number, or None for the one after the highest.

    Raises:
        InputError: for an unusable name, a number below 1, or a version that exists.
    """
    check_name(name)
    folder = pathlib.Path(base).absolute() / name
    if version is not None:
        _check_version(folder, version)
    made = _missing_parents(folder)
    descriptor = None
    new = None
    try:
        path, descriptor = _make_temporary(folder)
        new = NewVersion(path, folder, version)
        _remove_abandoned(folder)
        yield new
    finally:
        if new is not None and new.committed is None:
            shutil.rmtree(new.path, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)
        if new is None or new.committed is None:
            for parent in made:
                with contextlib.suppress(OSError):
                    parent.rmdir()


class NewVersion:
    """A version that is being written in `path`; `committed` is its number once it stands."""

    def __init__(self, path: pathlib.Path, folder: pathlib.Path, version: int | None):
        self.path = path
        self.committed: int | None = None
        self._folder = folder
        self._version = version

    def commit(self) -> pathlib.Path:
        """Writes everything through to the disk and renames the directory to its number.

        Raises:
            InputError: if the number was given and somebody has published it meanwhile.
        """
        _write_through(self.path)
        while self.committed is None:
            number = self._number()
            target = self._folder / str(number)
            try:
                os.rename(self.path, target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
                continue
            self.committed = number
        self.path = target
        _sync(self._folder)
        return target

    def _number(self) -> int:
        if self._version is not None:
            _check_version(self._folder, self._version)
            return self._version
        number = max([0, *versions(self._folder)]) + 1
        if number > LARGEST_VERSION:
            raise InputError(f"Expected a free version number. Received {self._folder}, which holds the largest.")
        return number


def _check_version(folder: pathlib.Path, version: int) -> None:
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= LARGEST_VERSION:
        raise InputError(f"Expected a version number from 1 to {LARGEST_VERSION}. Received {version!r}.")
    if version in versions(folder):
        raise InputError(f"Expected a version that is not published yet. Received {version}: {folder} has it.")


def _missing_parents(folder: pathlib.Path) -> list[pathlib.Path]:
    """The directories that have to be made for `folder`, innermost first."""
    missing = []
    for path in (folder, *folder.parents):
        if path.is_dir():
            return missing
        if path.exists():
            raise InputError(f"Expected a directory to publish in. Received the file {path}.")
        missing.append(path)
    return missing


def _make_temporary(folder: pathlib.Path) -> tuple[pathlib.Path, int]:
    """A new directory in `folder`, with the descriptor that holds its lock."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}"
        # Another publisher that failed may have removed `folder` again between the two calls.
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            path.mkdir()
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            # File systems without locks leave the cleaning to the user.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return path, descriptor


def _remove_abandoned(folder: pathlib.Path) -> None:
    for path in folder.glob(f"{TEMPORARY}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime < ABANDONED_AFTER_SECONDS:
                continue
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                # The lock of a living publisher makes this raise BlockingIOError.
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)


def _write_through(path: pathlib.Path) -> None:
    for folder, _, files in os.walk(path):
        for file in files:
            _sync(pathlib.Path(folder, file))
        _sync(pathlib.Path(folder))


def _sync(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
