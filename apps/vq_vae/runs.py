"""Reading the run folder of an autoencoder, of any medium."""

from __future__ import annotations

import os
import pathlib
import zipfile
from typing import TYPE_CHECKING, Any

from tools.errors import InputError
from tools.files import read_json

if TYPE_CHECKING:
    import keras

APPLICATION = "vq_vae"
SUMMARY = "summary.json"
# The medium of a run whose config.json names none.
IMAGES = "images"
AUDIO = "audio"
PRIOR = "prior"
WHICH = ("best", "last")


def read_run(
    path: str | os.PathLike, which: str, medium: str, *names: str
) -> tuple[pathlib.Path, keras.Model, dict[str, Any], dict[str, Any]]:
    """Folder, model, config.json and summary.json of a finished run of a medium, "images" or "audio".

    Args:
        path: the run folder.
        which: "best" or "last".
        medium: that the run must be of.
        names: that summary.json must hold.

    Raises:
        InputError: if this is no run folder, one of another application or medium, or its training has not ended.
    """
    folder = pathlib.Path(path)
    if which not in WHICH:
        raise InputError(f"Expected which to be one of {', '.join(WHICH)}. Received {which!r}.")
    found = medium_of(folder)
    if found != medium:
        raise InputError(f"Expected a run of an autoencoder of {medium}. Received {folder}, of {found}.")
    if not (folder / SUMMARY).exists():
        raise InputError(
            f"Expected a run whose training has ended. Received {folder}: no {SUMMARY} (--resume goes on)."
        )
    config, summary = read_json(folder / "config.json"), read_json(folder / SUMMARY, *names)
    return folder, load_checkpoint(folder / f"{which}.keras"), config, summary


def medium_of(path: str | os.PathLike) -> str:
    """What a run folder of this application is of: "images", another medium, or "prior".

    Raises:
        InputError: if this is no run folder, or one of another application.
    """
    folder = pathlib.Path(path)
    if not folder.is_dir():
        raise InputError(f"Expected a run folder. Received {folder}: {'a file' if folder.exists() else 'not found'}.")
    config = read_json(folder / "config.json")
    if config.get("application") != APPLICATION:
        raise InputError(f"Expected a run of {APPLICATION}. Received {folder}, a run of {config.get('application')}.")
    return config.get("medium", IMAGES)


def load_checkpoint(file: pathlib.Path) -> keras.Model:
    """A model of a run folder, without optimizer.

    Raises:
        InputError: if the file is absent, cut off, or no model of this suite.
    """
    if not file.exists() or not zipfile.is_zipfile(file):
        raise InputError(f"Expected {file} to be a whole Keras file. Received one that is absent, cut off or another.")

    import keras

    import keras_layers  # noqa: F401 (registers the layers)

    try:
        return keras.models.load_model(file, compile=False)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise InputError(f"Expected {file} to be a model of this suite. Received: {error}") from error
