"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from tools.errors import InputError


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        InputError: if the file is absent or holds anything else.
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
    return value


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
