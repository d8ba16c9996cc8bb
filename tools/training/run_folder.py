"""The folder of a run: claimed once, compared when resumed, and every file in it whole or absent."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

from tools.errors import InputError
from tools.files import read_json, write_json

CONFIGURATION = "config.json"
STATE = "state.npz"
BEST = "best.keras"
LAST = "last.keras"
LOG = "log.csv"
TENSORBOARD = "tensorboard"

_SHOWN_DIFFERENCES = 5
_MISSING = object()


def open_run(folder: str | os.PathLike, configuration: dict[str, Any], *, resume: bool = False) -> pathlib.Path:
    """Claims a new folder for a run, or checks that a run is resumed with the configuration it began with.

    Args:
        folder: the run folder; made with its parents.
        configuration: everything that decides the result, made of what JSON knows; kept as `config.json`.
        resume: whether the folder holds a run that is to go on. A folder that holds none yet is begun.

    Returns:
        The folder.

    Raises:
        InputError: if the folder is taken, or the configuration differs from that of the run in it.
    """
    folder = pathlib.Path(folder)
    path = folder / CONFIGURATION
    configuration = json.loads(json.dumps(configuration))
    if resume and path.exists():
        compare(read_json(path), configuration, folder)
        for partial in folder.glob(".*.partial*"):
            partial.unlink()
        return folder
    check_free(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, configuration)
    return folder


def check_free(folder: pathlib.Path) -> None:
    """Raises an `InputError` if a new run cannot begin in the folder."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"Expected the run folder to be a folder. Received the file {folder}.")
    if folder.exists() and any(folder.iterdir()):
        holds = "a run; resume continues it" if (folder / CONFIGURATION).exists() else "other files"
        raise InputError(f"Expected a new or empty run folder. Received {folder}, which holds {holds}.")


def compare(begun: dict[str, Any], now: dict[str, Any], folder: pathlib.Path) -> None:
    """Raises an `InputError` that names what differs between the configuration of a run and the one given now."""
    differences = [
        f"{key} is {_show(old)} in the run and {_show(new)} now"
        for key in sorted({**flatten(begun), **flatten(now)})
        if (old := flatten(begun).get(key, _MISSING)) != (new := flatten(now).get(key, _MISSING))
    ]
    if differences:
        more = len(differences) - _SHOWN_DIFFERENCES
        listed = "; ".join(differences[:_SHOWN_DIFFERENCES]) + (f"; and {more} more" if more > 0 else "")
        raise InputError(f"Expected the configuration that the run in {folder} began with. Received another: {listed}.")


def flatten(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested dictionary as one of dotted keys."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat.update(flatten(item, f"{prefix}{key}.") if isinstance(item, dict) and item else {f"{prefix}{key}": item})
    return flat


def _show(value: Any) -> str:
    return "absent" if value is _MISSING else json.dumps(value)
