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
from apps.vq_vae.runs import load_run, medium_of
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


MEDIA = {
    "images": Medium(load_run, image_codes, "pixelcnn_8x8"),
    "audio": Medium(load_audio_run, audio_codes, "wavenet_prior"),
}


def find_medium(path: str | os.PathLike) -> tuple[str, Medium]:
    """The medium of the autoencoder in a run folder.

    Raises:
        InputError: if this is no run folder of an autoencoder.
    """
    name = medium_of(path)
    if name not in MEDIA:
        raise InputError(f"Expected a run of an autoencoder of {' or '.join(MEDIA)}. Received {path}, of a {name}.")
    return name, MEDIA[name]
