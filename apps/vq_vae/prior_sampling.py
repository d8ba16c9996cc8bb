"""Draws images from a prior: codes from nothing, and what the autoencoder makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from apps.vq_vae.image_evaluation import whole_pixels
from apps.vq_vae.prior import check_codes
from apps.vq_vae.prior_runs import PriorRun
from apps.vq_vae.runs import IMAGES, Run
from tools.errors import InputError


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
    """Codes of images that the prior finds likely, int32 (images, height, width).

    Args:
        run: a prior of images.
        seeds: one for each image; the same seed and label give the same codes.
        labels: numbers of classes (images,), for a prior that knows classes; otherwise None.
        temperature: of at least 0; below 1 the likely codes become likelier, and 0 takes the likeliest. Default 1.0.
        top_k: only so many likeliest codes are taken; 0, the default, takes all.
        top_p: more than 0 and at most 1: only the likeliest codes are taken whose sum first reaches this share. Default
            1.0.
        batch: images at a time.

    Raises:
        InputError: for a prior of another medium, labels where it knows none or none where it does, or a value out of
            range.
    """
    check_images(run)
    knows = "label" in run.names
    if knows != (labels is not None):
        raise InputError(f"Expected labels {'for' if knows else 'only for'} a prior that knows classes: {run.path}.")
    found = []
    for start in range(0, len(seeds), batch):
        conditions = {"label": labels[start : start + batch]} if knows else {}
        chosen = np.asarray(seeds[start : start + batch], np.int64)
        codes = run.sampler(chosen, temperature=temperature, top_k=top_k, top_p=top_p, **conditions)
        found.append(codes.numpy())
    return np.concatenate(found)


def decode(run: Run, codes: np.ndarray, batch: int = 256) -> np.ndarray:
    """The expected images of codes, uint8 (images, height, width, channels).

    Raises:
        InputError: for codes of another code book.
    """
    from apps.vq_vae.models import decoder_of

    check_codes(codes, run.model.get_layer("quantizer").code_count)
    decoder = decoder_of(run.model)
    starts = range(0, len(codes), batch)
    return np.concatenate(
        [whole_pixels(run, decoder(codes[start : start + batch], training=False)) for start in starts]
    )


def check_images(run: PriorRun) -> None:
    """Raises an `InputError` for the prior of another medium than images."""
    medium: Any = run.config["prior_of"]
    if medium != IMAGES:
        raise InputError(f"Expected a prior of images. Received {run.path}, of {medium}.")
