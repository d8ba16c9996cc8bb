"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tools.errors import InputError

if TYPE_CHECKING:
    import numpy as np


def read_json(path: pathlib.Path, *names: str) -> dict[str, Any]:
    """Reads a JSON object.

    Args:
        path: of the file.
        names: that it must hold.

    Raises:
        InputError: if the file is absent, holds anything else, or lacks a name.
    """
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"Expected a file {path}. Received a folder without it.") from None
    except (ValueError, OSError) as error:
        raise InputError(
            f"Expected {path} to be a JSON object. Received a file that cannot be read: {error}."
        ) from None
    if not isinstance(value, dict):
        raise InputError(f"Expected {path} to be a JSON object. Received a {type(value).__name__}.")
    _check_names(path, names, value)
    return value


def _check_names(path: str | os.PathLike, names: tuple[str, ...], found: dict[str, Any]) -> None:
    lacking = [name for name in names if name not in found]
    if lacking:
        raise InputError(
            f"Expected {', '.join(names)} in {path}. Received it without {', '.join(lacking)}: "
            "changed, or of another version?"
        )


def read_arrays(path: str | os.PathLike, *names: str) -> dict[str, np.ndarray]:
    """Reads the arrays of an .npz file by name.

    Args:
        path: of the file.
        names: that it must hold.

    Raises:
        InputError: if the file is absent or damaged, holds anything but arrays of numbers or strings, or lacks a name.
    """
    import zipfile
    import zlib

    import numpy as np

    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            raise InputError(f"Expected an .npz file. Received {path}, a single array as numpy.save writes it.")
        with content as file:
            arrays = {name: file[name] for name in file.files}
    except OSError as error:
        raise InputError(f"Expected an .npz file. Received {path}: {error.strerror or error}.") from None
    except InputError:
        raise
    except (ValueError, EOFError, AttributeError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        # What NumPy does not know it takes for Python objects, and tells how to load them unsafely.
        reason = "another kind of file, or one of Python objects" if "allow_pickle" in str(error) else error
        raise InputError(f"Expected an .npz file of numbers or strings. Received {path}: {reason}.") from None
    _check_names(path, names, arrays)
    return arrays


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes a value as JSON, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a path beside `path`; the file written there takes the place of `path` at once when the block succeeds."""
    path = pathlib.Path(path)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
