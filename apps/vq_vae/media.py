"""What can be turned into codes, and how: one entry a medium, which the priors look up."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

from apps.vq_vae.audio_codes import audio_codes
from apps.vq_vae.audio_runs import load_audio_run
from apps.vq_vae.code_sets import CodeSet
from apps.vq_vae.image_codes import image_codes
from apps.vq_vae.runs import AUDIO, IMAGES, load_run, medium_of
from apps.vq_vae.video_data import video_codes
from tools.errors import InputError


@dataclasses.dataclass(frozen=True)
class Medium:
    """How a prior of the codes of a medium is made.

    Attributes:
        load: (path, which) to the run of an autoencoder: an object with `model`, which has a layer "quantizer", and
            `config`.
        make_codes: (run, config, data, labels, names) to the codes of `data`. `config` is the `PriorConfig`, of which
            `classes` says whether the prior shall know classes; `labels` is a file of them, or None; `names` are those
            of the training where these are validation data, else None.
        prior: registered name of the prior that is taken by default.
    """

    load: Callable[[str | os.PathLike, str], Any]
    make_codes: Callable[..., CodeSet]
    prior: str


VIDEOS = "videos"
MEDIA = {
    IMAGES: Medium(load_run, image_codes, "pixelcnn_8x8"),
    AUDIO: Medium(load_audio_run, audio_codes, "wavenet_prior"),
    VIDEOS: Medium(load_run, video_codes, "video_prior"),
}


def find_medium(path: str | os.PathLike, prior: str | None = None) -> tuple[str, Medium]:
    """The medium of the autoencoder in a run folder.

    Args:
        path: the run folder.
        prior: registered name of the prior to be. One of videos takes the codes of an autoencoder of images frame by
            frame.

    Raises:
        InputError: if this is no run folder of an autoencoder.
    """
    name = medium_of(path)
    if name == IMAGES and prior is not None and _is_of_videos(prior):
        name = VIDEOS
    if name not in MEDIA:
        known = " or ".join(medium for medium in MEDIA if medium != VIDEOS)
        raise InputError(f"Expected a run of an autoencoder of {known}. Received {path}, of a {name}.")
    return name, MEDIA[name]


def _is_of_videos(prior: str) -> bool:
    from apps.vq_vae import models

    return models.info(prior).constructor is models.VideoPrior
