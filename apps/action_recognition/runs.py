"""Reading a run folder: the model, and everything needed to use it."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import zipfile
from typing import TYPE_CHECKING, Any

from tools.errors import InputError

if TYPE_CHECKING:
    import keras

    from apps.action_recognition.data import ClipSpec

APPLICATION = "action_recognition"
WHICH = ("best", "last")


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained model.

    Attributes:
        path: the run folder.
        model: the model, without optimizer; input "clip", output probabilities.
        spec: the clip it takes.
        classes: names in the order of its outputs.
        config: the whole config.json.
    """

    path: pathlib.Path
    model: keras.Model
    spec: ClipSpec
    classes: tuple[str, ...]
    config: dict[str, Any]


def load_run(path: str | os.PathLike, which: str = "best") -> Run:
    """Reads a run folder that `train` wrote.

    Args:
        path: the run folder.
        which: "best" (highest validation accuracy) or "last" (last whole epoch).

    Raises:
        InputError: if this is no run folder, its configuration is broken or of another application, or no epoch has
            been completed.
    """
    folder = pathlib.Path(path)
    if which not in WHICH:
        raise InputError(f"Expected which to be one of {', '.join(WHICH)}. Received {which!r}.")
    config = read_config(folder)
    checkpoint = folder / f"{which}.keras"
    if not checkpoint.exists():
        raise InputError(f"Expected a run with at least one whole epoch. Received {folder}: no {checkpoint.name} yet.")

    import keras

    import keras_layers.video  # noqa: F401 (registers the layers)
    from apps.action_recognition.data import ClipSpec

    try:
        spec = ClipSpec.from_dict(config["clip"])
    except InputError as error:
        raise InputError(f"{folder / 'config.json'}: {error}") from error
    if not zipfile.is_zipfile(checkpoint):
        raise InputError(f"Expected {checkpoint} to be a whole Keras file. Received one that is cut off or another.")
    try:
        model = keras.models.load_model(checkpoint, compile=False)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise InputError(f"Expected {checkpoint} to be a model of this suite. Received: {error}") from error
    classes = tuple(config["classes"])
    if model.output_shape[-1] != len(classes):
        raise InputError(
            f"Expected {checkpoint} to have the {len(classes)} classes of config.json. "
            f"Received {model.output_shape[-1]}."
        )
    if tuple(model.input_shape[1:]) != spec.shape:
        raise InputError(
            f"Expected {checkpoint} to take the clips {spec.shape} of config.json. Received {model.input_shape[1:]}."
        )
    return Run(folder, model, spec, classes, config)


def read_config(folder: pathlib.Path) -> dict[str, Any]:
    """The config.json of a run folder, checked.

    Raises:
        InputError: as `load_run`.
    """
    from tools.files import read_json
    from tools.training.run_folder import CONFIGURATION

    if not folder.is_dir():
        raise InputError(f"Expected a run folder. Received {folder}: {'a file' if folder.exists() else 'not found'}.")
    if not (folder / CONFIGURATION).exists():
        raise InputError(f"Expected a run folder. Received {folder}, which holds no {CONFIGURATION}.")
    config = read_json(folder / CONFIGURATION)
    kinds = {"application": str, "model": dict, "clip": dict, "classes": list, "data": dict, "training": dict}
    broken = [key for key, kind in kinds.items() if not isinstance(config.get(key), kind)]
    if broken:
        raise InputError(f"Expected {folder / CONFIGURATION} to have {', '.join(kinds)}. Received none of {broken}.")
    if config["application"] != APPLICATION:
        raise InputError(f"Expected a run of {APPLICATION}. Received {folder}, a run of {config['application']}.")
    return config
