"""Draws from a prior: codes from nothing, and the images that the autoencoder makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from apps.vq_vae.images.evaluation import whole_pixels
from apps.vq_vae.images.runs import Run
from apps.vq_vae.prior.evaluation import check_codes
from apps.vq_vae.prior.runs import PriorRun
from apps.vq_vae.runs import AUDIO, IMAGES
from tools.commands import progress
from tools.errors import InputError

# Medium -> name of the condition that is a class.
CLASSES = {IMAGES: "label", AUDIO: "speaker"}


def sample_codes(
    run: PriorRun,
    seeds: Sequence[int],
    labels: np.ndarray | None = None,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    batch: int = 256,
) -> np.ndarray:
    """Codes that the prior finds likely, int32 (samples, height, width) of images, (samples, window) of audio.

    Args:
        run: a prior of images or audio.
        seeds: one for each sample; the same seed and label give the same codes.
        labels: numbers of classes or speakers (samples,), for a prior that knows such; otherwise None.
        temperature: of at least 0; below 1 the likely codes become likelier, and 0 takes the likeliest. Default 1.0.
        top_k: only so many likeliest codes are taken; 0, the default, takes all.
        top_p: more than 0 and at most 1: only the likeliest codes are taken whose sum first reaches this share. Default
            1.0.
        batch: samples at a time.

    Raises:
        InputError: for a prior of videos, labels where it knows none or none where it does, or a value out of
            range.
    """
    condition = condition_of(run)
    knows = condition in run.names
    if knows != (labels is not None):
        raise InputError(f"Expected labels {'for' if knows else 'only for'} a prior that knows classes: {run.path}.")
    found = []
    starts = range(0, len(seeds), batch)
    for start in progress(starts, len(starts), "sampling, batches"):
        conditions = {condition: labels[start : start + batch]} if knows else {}
        chosen = np.asarray(seeds[start : start + batch], np.int64)
        codes = run.sampler(chosen, temperature=temperature, top_k=top_k, top_p=top_p, **conditions)
        found.append(codes.numpy())
    return np.concatenate(found)


def decode(run: Run, codes: np.ndarray, batch: int = 256) -> np.ndarray:
    """The expected images of codes, uint8 (images, height, width, channels).

    Raises:
        InputError: for codes of another code book.
    """
    check_codes(codes, run.model.get_layer("quantizer").code_count)
    starts = range(0, len(codes), batch)
    return np.concatenate(
        [whole_pixels(run, run.decoder(codes[start : start + batch], training=False)) for start in starts]
    )


def condition_of(run: PriorRun) -> str:
    """The condition that is a class: "label" of an image, "speaker" of a sound.

    Raises:
        InputError: for a prior of another medium.
    """
    medium = run.config["prior_of"]
    if medium not in CLASSES:
        raise InputError(
            f"Expected a prior of {' or '.join(CLASSES)}, to sample from. Received {run.path}, of {medium}."
        )
    return CLASSES[medium]


def check_images(run: PriorRun) -> None:
    """Raises an `InputError` for the prior of another medium than images."""
    medium: Any = run.config["prior_of"]
    if medium != IMAGES:
        raise InputError(f"Expected a prior of images. Received {run.path}, of {medium}.")
