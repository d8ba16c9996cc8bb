"""What can be turned into codes: one entry a medium, with a folder of its own beside this file."""

from __future__ import annotations

import dataclasses
import importlib
import os
from types import ModuleType
from typing import Any

from apps.vq_vae.runs import AUDIO, IMAGES, medium_of
from tools.errors import InputError

VIDEOS = "videos"


@dataclasses.dataclass(frozen=True)
class Medium:
    """What the common verbs, and the priors, need to know of a medium.

    Attributes:
        name: also of its folder, of which each module answers for one step: `codes` has `make_codes(run, config, data,
            labels, names)`, where `config` is the `PriorConfig`, `labels` a file of classes or None, and `names` those
            of the training where these are validation data. With autoencoders of its own it has `runs` (`load_run`),
            `training` (`TrainingConfig`, `config_of`, `train`) and `cli` (`evaluate`, `reconstruct`, `export`,
            `measures_text`) too.
        prior: registered name of the prior that is taken by default.
        constructors: of the autoencoders that are trained on it; none where those of another medium make its codes.
        encoded_by: that other medium.
    """

    name: str
    prior: str
    constructors: tuple[str, ...] = ()
    encoded_by: str | None = None

    def module(self, name: str) -> ModuleType:
        """One of the modules of its folder, imported now: those of training take seconds."""
        return importlib.import_module(f"apps.vq_vae.{self.name}.{name}")

    def load_run(self, path: str | os.PathLike, which: str) -> Any:
        """The run of an autoencoder that makes its codes: `model`, with a layer "quantizer", and `config`."""
        return MEDIA[self.encoded_by or self.name].module("runs").load_run(path, which)


MEDIA = {
    medium.name: medium
    for medium in (
        Medium(IMAGES, "pixelcnn_8x8", ("ImageVQVAE", "VAE", "VIMCO")),
        Medium(AUDIO, "wavenet_prior", ("AudioVQVAE",)),
        Medium(VIDEOS, "video_prior", encoded_by=IMAGES),
    )
}
# Those that have autoencoders of their own.
TRAINED = {name: medium for name, medium in MEDIA.items() if medium.encoded_by is None}


def medium_of_run(path: str | os.PathLike) -> Medium:
    """The medium on which the autoencoder in a run folder was trained.

    Raises:
        InputError: if this is no run folder of an autoencoder.
    """
    name = medium_of(path)
    if name not in TRAINED:
        raise InputError(f"Expected a run of an autoencoder of {' or '.join(TRAINED)}. Received {path}, of a {name}.")
    return TRAINED[name]


def medium_of_prior(path: str | os.PathLike, prior: str | None = None) -> Medium:
    """The medium whose codes a prior of the autoencoder in a run folder learns.

    Args:
        path: the run folder.
        prior: registered name of the prior to be. One of videos takes the codes of an autoencoder of images frame by
            frame.

    Raises:
        InputError: if this is no run folder of an autoencoder.
    """
    medium = medium_of_run(path)
    if medium.name == IMAGES and prior is not None and _is_of_videos(prior):
        return MEDIA[VIDEOS]
    return medium


def _is_of_videos(prior: str) -> bool:
    from apps.vq_vae import models

    return models.info(prior).constructor is models.VideoPrior
