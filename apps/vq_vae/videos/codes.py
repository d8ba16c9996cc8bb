"""The codes of clips, for a prior of videos."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apps.vq_vae.prior.code_sets import CodeSet
from apps.vq_vae.videos.data import Clips, read_clips
from tools.errors import InputError


def clips_of(run: Any, path: str | os.PathLike) -> Clips:
    """Clips whose frames an autoencoder of images takes, read as its images were.

    Raises:
        InputError: if there are none, or their frames have another size.
    """
    clips = read_clips(path, run.config["reading"]["grey"])
    if clips.frames.shape[2:] != run.shape:
        raise InputError(
            f"Expected clips with frames of shape {run.shape}, as the autoencoder was trained on. "
            f"Received {clips.frames.shape[2:]} in {path}."
        )
    return clips


def encode_clips(run: Any, clips: np.ndarray) -> np.ndarray:
    """The codes of clips uint8, int32 (clips, frames, height, width)."""
    from apps.vq_vae.images.codes import encode

    codes = encode(run, clips.reshape(-1, *clips.shape[2:]))
    return codes.reshape(*clips.shape[:2], *codes.shape[1:])


def make_codes(
    run: Any,
    config: Any,
    data: str,
    labels: str | None = None,
    names: Mapping[str, Sequence[str]] | None = None,
) -> CodeSet:
    """The codes of the frames of clips, each with those before it as "past", and with classes the "action" to it.

    Args:
        run: an autoencoder of images.
        config: the `PriorConfig`; `classes` says whether actions are read, and `overrides` how many frames are the
            past.
        data: clips; see `read_clips`.
        labels: None: actions stand beside the clips.
        names: of the actions of the training, where these are validation clips.

    Returns:
        An example for every frame but the first of each clip. The frames of a clip are one group.

    Raises:
        InputError: if there are no clips of the size that the run takes, or actions are missing or out of range.
    """
    from apps.vq_vae import models
    from apps.vq_vae.models.arguments import input_errors
    from apps.vq_vae.models.video_prior import PAST
    from keras_layers.validation import positive_integer

    if labels:
        raise InputError(
            f"Expected no file of labels for a prior of videos: actions stand beside the clips. Received {labels}."
        )
    clips = clips_of(run, data)
    if clips.frames.shape[1] < 2:
        raise InputError(f"Expected clips of at least 2 frames in {data}. Received {clips.frames.shape[1]}.")
    with input_errors():
        past = positive_integer(
            {"past": PAST, **models.info(config.model).arguments, **config.overrides}["past"], "past"
        )
    actions, found = None, {}
    if config.classes:
        actions, found["action"] = known_actions(clips, data, None if names is None else names["action"])
    count = run.model.get_layer("quantizer").code_count
    return windows(encode_clips(run, clips.frames), past, count, actions, found)


def known_actions(
    clips: Clips, source: str | os.PathLike, names: Sequence[str] | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The actions of clips as numbers among `names`, int32 (clips, frames), and the names.

    Raises:
        InputError: if the clips have no actions, or one that is not among the names; `source` names the clips.
    """
    if clips.actions is None:
        raise InputError(f"Expected clips with an array `actions` for a prior that knows actions. Received {source}.")
    if names is None:
        return clips.actions, clips.action_names
    used = [clips.action_names[number] for number in np.unique(clips.actions)]
    unknown = [name for name in used if name not in names]
    if unknown:
        raise InputError(f"Expected actions of the training: {', '.join(names)}. Received {unknown[0]!r} in {source}.")
    numbers = [names.index(name) if name in names else -1 for name in clips.action_names]
    return np.array(numbers, np.int32)[clips.actions], tuple(names)


def windows(
    codes: np.ndarray,
    past: int,
    count: int,
    actions: np.ndarray | None = None,
    names: Mapping[str, Sequence[str]] | None = None,
) -> CodeSet:
    """An example for every frame but the first of each clip, in the order of clips and time.

    Args:
        codes: int32 (clips, frames, height, width).
        past: frames before that are seen. Where the clip begins later, the code `count` stands for those before.
        count: size of the code book.
        actions: int32 (clips, frames), or None.
        names: of the actions, as of `CodeSet`.
    """
    clips, frames, *grid = codes.shape
    nothing = np.full((clips, past, *grid), count, np.int32)
    before = np.concatenate([nothing, codes[:, :-1]], axis=1)
    seen = np.lib.stride_tricks.sliding_window_view(before, past, axis=1)[:, 1:]
    conditions = {"past": np.moveaxis(seen, -1, 2).reshape(-1, past, *grid)}
    if actions is not None:
        conditions["action"] = actions[:, 1:].reshape(-1)
    groups = np.repeat(np.arange(clips), frames - 1)
    return CodeSet(codes[:, 1:].reshape(-1, *grid), conditions, names or {}, groups)
