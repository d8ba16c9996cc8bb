"""Reading the run folder of an autoencoder."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import zipfile
from typing import TYPE_CHECKING, Any

from tools.errors import InputError
from tools.files import read_json

if TYPE_CHECKING:
    import keras

    from apps.vq_vae.likelihoods import Likelihood

APPLICATION = "vq_vae"
SUMMARY = "summary.json"
# The medium of a run whose config.json names none.
IMAGES = "images"
AUDIO = "audio"
WHICH = ("best", "last")


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained autoencoder of images.

    Attributes:
        path: the run folder.
        model: images (batch, height, width, channels), pixels / 255 - 0.5, to what the likelihood reads.
        likelihood: of the pixels.
        config: config.json.
        summary: what training found: "variance" of the training images (pixels / 255), "sigma" of the errors on them
            (pixel values) where the likelihood is "mse", else None.
    """

    path: pathlib.Path
    model: keras.Model
    likelihood: Likelihood
    config: dict[str, Any]
    summary: dict[str, Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images of the training."""
        return tuple(self.config["found"]["shape"])

    def read(self, path: str | os.PathLike) -> Any:
        """Images uint8 of the size that the model takes, read as those of the training were.

        Raises:
            InputError: if there are none, or they have another size.
        """
        from apps.vq_vae.image_data import read_images

        images = read_images(path, self.config["reading"]["grey"])
        if images.shape[1:] != self.shape:
            raise InputError(
                f"Expected images of shape {self.shape}, as the model was trained on. Received {images.shape[1:]} "
                f"in {path}."
            )
        return images


def load_run(path: str | os.PathLike, which: str = "best") -> Run:
    """Reads a run folder that `train` wrote.

    Args:
        path: the run folder.
        which: "best" (lowest validation loss) or "last" (last epoch).

    Raises:
        InputError: if this is no run folder, one of another application, or its training has not ended.
    """
    folder, model, config, summary = read_run(path, which, IMAGES)
    return Run(folder, model, likelihood_of(config, summary), config, summary)


def read_run(
    path: str | os.PathLike, which: str, medium: str
) -> tuple[pathlib.Path, keras.Model, dict[str, Any], dict[str, Any]]:
    """Folder, model, config.json and summary.json of a finished run of a medium, "images" or "audio".

    Raises:
        InputError: as `load_run`.
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
    config, summary = read_json(folder / "config.json"), read_json(folder / SUMMARY)
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

    import apps.vq_vae.models  # noqa: F401 (registers the bound of VIMCO)
    import keras_layers  # noqa: F401 (registers the layers)

    try:
        return keras.models.load_model(file, compile=False)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise InputError(f"Expected {file} to be a model of this suite. Received: {error}") from error


def likelihood_of(config: dict[str, Any], summary: dict[str, Any]) -> Likelihood:
    """The likelihood of a run; of "mse" with the deviation that training found."""
    from apps.vq_vae.likelihoods import Mse, find

    name = config["training"]["likelihood"]
    return Mse(summary["sigma"]) if name == Mse.name else find(name)
