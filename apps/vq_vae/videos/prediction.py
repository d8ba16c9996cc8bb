"""Predicts frames of a video in the latent space, one after the other, each position by position."""

from __future__ import annotations

from typing import Any

import numpy as np

from apps.vq_vae.prior.evaluation import check_codes
from tools.errors import InputError
from tools.sampling import Sampler


def predict_frames(
    sampler: Sampler,
    context: np.ndarray,
    frames: int,
    seed: Any,
    *,
    actions: np.ndarray | None = None,
    temperature: Any = 1.0,
    top_k: Any = None,
    top_p: Any = None,
) -> np.ndarray:
    """Codes of the frames that follow.

    Args:
        sampler: of a `video_prior`.
        context: integers (batch, context frames, height, width). The last frames count, as many as the prior sees;
            where there are fewer, the prior is told so.
        frames: how many to predict.
        seed: integers (batch,).
        actions: integers (batch, frames), each leading to its frame, for a prior with actions; otherwise None.
        temperature: as of `Sampler`.
        top_k: as of `Sampler`.
        top_p: as of `Sampler`.

    Returns:
        int32 (batch, frames, height, width).

    Raises:
        InputError: for codes of another code book or grid, actions that are not one a frame, or a prior that is none of
            videos.
    """
    model = sampler.stepped.model
    sizes = {tensor.name: tuple(tensor.shape[1:]) for tensor in model.inputs}
    if "past" not in sizes:
        raise InputError(f"Expected a prior of videos, with an input 'past'. Received {model.name!r}.")
    count, past = model.output_shape[-1], sizes["past"][0]
    context = np.asarray(context)
    if context.ndim != 4 or context.shape[2:] != sizes["codes"]:
        raise InputError(
            f"Expected `context` of shape (batch, frames, {sizes['codes'][0]}, {sizes['codes'][1]}). "
            f"Received {context.shape}."
        )
    check_codes(context, count, "context")
    if (actions is None) != ("action" not in sizes) or (
        actions is not None and np.shape(actions) != (len(context), frames)
    ):
        wanted = f"of shape {(len(context), frames)}" if "action" in sizes else "to be None"
        received = "None" if actions is None else f"shape {np.shape(actions)}"
        raise InputError(f"Expected `actions` {wanted}. Received {received}.")

    nothing = np.full((len(context), past, *sizes["codes"]), count, np.int32)
    video = np.concatenate([nothing, context.astype(np.int32)], axis=1)
    for number in range(frames):
        conditions = {"past": video[:, -past:]}
        if actions is not None:
            conditions["action"] = np.asarray(actions, np.int32)[:, number]
        frame = sampler(seed, temperature=temperature, top_k=top_k, top_p=top_p, stream=number, **conditions)
        video = np.concatenate([video, frame.numpy()[:, None]], axis=1)
    return video[:, -frames:]
