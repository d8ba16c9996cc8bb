"""Predicts the frames of clips in the latent space, and measures them over time against copying the last frame."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from apps.vq_vae.images.data import scaled
from apps.vq_vae.images.evaluation import reconstruct
from apps.vq_vae.images.pictures import DRAWABLE, grid, write_png
from apps.vq_vae.media import VIDEOS
from apps.vq_vae.prior.runs import PriorRun
from apps.vq_vae.prior.sampling import decode
from apps.vq_vae.videos.codes import clips_of, encode_clips, known_actions
from apps.vq_vae.videos.prediction import predict_frames
from tools.errors import InputError
from tools.files import replacing

GIVEN, CHANGED = "given", "changed"
# Side of the window of SSIM, of which images must not be smaller.
SSIM_WINDOW = 11
MILLISECONDS = 200


@dataclasses.dataclass(frozen=True)
class PredictionConfig:
    """What to predict.

    Attributes:
        context: frames that are given; None for as many as the prior sees.
        frames: to predict.
        actions: "given", "changed" (each another one, drawn by the seed), or the name of one for all frames; other than
            "given" only of a prior with actions.
        clips: only so many of the first clips, or None for all.
        temperature: as of `tools.sampling.Sampler`.
        top_k: as of `tools.sampling.Sampler`.
        top_p: as of `tools.sampling.Sampler`.
        seed: of the samples and of changed actions.
    """

    context: int | None = None
    frames: int = 10
    actions: str = GIVEN
    clips: int | None = None
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Predicted clips.

    Attributes:
        truth: uint8 (clips, context + frames, height, width, channels).
        predicted: the same, the context as it is and the predicted frames after it.
        report: what `predict_clips` measured.
    """

    truth: np.ndarray
    predicted: np.ndarray
    report: dict[str, Any]


def check(config: PredictionConfig) -> None:
    """Raises an `InputError` for values out of range."""
    for name in ("context", "frames", "clips", "top_k"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise InputError(f"Expected {name} to be at least 1. Received {value}.")
    if not 0 <= config.temperature < float("inf"):
        raise InputError(f"Expected temperature to be at least 0. Received {config.temperature}.")
    if config.top_p is not None and not 0 < config.top_p <= 1:
        raise InputError(f"Expected top_p above 0 and at most 1. Received {config.top_p}.")
    if config.seed < 0:
        raise InputError(f"Expected seed to be 0 or more. Received {config.seed}.")


def predict_clips(
    run: PriorRun, data: str, config: PredictionConfig, tell: Callable[[str], None] = lambda _: None, batch: int = 64
) -> Prediction:
    """Predicts the frames that follow the first ones of clips.

    Args:
        run: a prior of videos.
        data: clips; see `videos.data.read_clips`.
        config: how many frames, and how they are drawn.
        tell: called with a line of progress.
        batch: clips at a time.

    Returns:
        The clips and a report: "clips", "context", "frames", "actions" and "measures", for each of "prediction",
        "copy_of_the_last_frame" and "reconstruction" (of the true frames by the autoencoder: what a prediction
        without a mistake would reach) the lists over time "mse" (pixels / 255) and "ssim", and their means.

    Raises:
        InputError: for a prior of another medium, clips of too few frames or another size, or actions that are missing,
            of another name, or asked of a prior that knows none.
    """
    check(config)
    if run.config["prior_of"] != VIDEOS:
        raise InputError(f"Expected a prior of videos. Received {run.path}, of {run.config['prior_of']}.")
    clips = clips_of(run.autoencoder, data)
    context = config.context or int(run.model.get_layer("past").output.shape[1])
    length = context + config.frames
    if clips.frames.shape[1] < length:
        raise InputError(
            f"Expected clips of at least {length} frames in {data}, {context} of context and {config.frames} more. "
            f"Received {clips.frames.shape[1]}."
        )
    truth = clips.frames[: config.clips, :length]
    actions = chosen_actions(run, clips, data, config)
    if actions is not None:
        actions = actions[: config.clips, context:length]

    codes = encode_clips(run.autoencoder, truth[:, :context])
    found = []
    for start in range(0, len(truth), batch):
        rows = slice(start, min(start + batch, len(truth)))
        tell(f"predicting clips {start + 1} to {rows.stop} of {len(truth)}")
        found.append(
            predict_frames(
                run.sampler,
                codes[rows],
                config.frames,
                config.seed * 1_000_003 + np.arange(rows.start, rows.stop),
                actions=None if actions is None else actions[rows],
                temperature=config.temperature,
                top_k=config.top_k,
                top_p=config.top_p,
            )
        )
    drawn = np.concatenate(found)
    frames = decode(run.autoencoder, drawn.reshape(-1, *drawn.shape[2:])).reshape(truth[:, context:].shape)
    report = {
        "clips": len(truth),
        "context": context,
        "frames": config.frames,
        "actions": None if actions is None else config.actions,
        "temperature": config.temperature,
        "seed": config.seed,
        "measures": measures(run.autoencoder, truth[:, :context], truth[:, context:], frames),
    }
    return Prediction(truth, np.concatenate([truth[:, :context], frames], axis=1), report)


def chosen_actions(run: PriorRun, clips: Any, data: str, config: PredictionConfig) -> np.ndarray | None:
    """The actions of the configuration, int32 (clips, frames), or None for a prior without actions."""
    if "action" not in run.names:
        if config.actions != GIVEN:
            raise InputError(f"Expected no actions: the prior in {run.path} knows none. Received {config.actions!r}.")
        return None
    names = run.names["action"]
    if config.actions in names:
        return np.full(clips.frames.shape[:2], names.index(config.actions), np.int32)
    if config.actions not in (GIVEN, CHANGED):
        wanted = ", ".join((GIVEN, CHANGED, *names))
        raise InputError(f"Expected actions to be one of {wanted}. Received {config.actions!r}.")
    actions, _ = known_actions(clips, data, names)
    if config.actions == CHANGED:
        if len(names) < 2:
            raise InputError(f"Expected a prior of two actions or more, to change them. Received {run.path}, of one.")
        others = np.random.default_rng(config.seed).integers(1, len(names), actions.shape)
        actions = ((actions + others) % len(names)).astype(np.int32)
    return actions


def measures(autoencoder: Any, context: np.ndarray, truth: np.ndarray, frames: np.ndarray) -> dict[str, Any]:
    """Errors over time of predicted frames, of copies of the last frame, and of reconstructions of the true ones.

    Args:
        autoencoder: the run of the autoencoder.
        context: uint8 (clips, context, height, width, channels).
        truth: uint8 (clips, frames, height, width, channels).
        frames: the same, predicted.
    """
    copies = np.broadcast_to(context[:, -1:], truth.shape)
    rebuilt = reconstruct_all(autoencoder, truth.reshape(-1, *truth.shape[2:])).reshape(truth.shape)
    candidates = {"prediction": frames, "copy_of_the_last_frame": copies, "reconstruction": rebuilt}
    return {name: errors_over_time(truth, found) for name, found in candidates.items()}


def errors_over_time(truth: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    """Mean squared error and structural similarity of each frame over all clips, and their means.

    Args:
        truth: uint8 (clips, frames, height, width, channels).
        found: the same.

    Returns:
        "mse" of pixels / 255 and "ssim" (Wang et al. 2004: Gaussian window of 11 pixels, deviation 1.5), lists with an
        entry for each frame; "mean_mse", "mean_ssim".
    """
    import tensorflow as tf

    window = min(SSIM_WINDOW, *truth.shape[2:4])
    errors, similarities = [], []
    for number in range(truth.shape[1]):
        one, other = scaled(truth[:, number]) + 0.5, scaled(found[:, number]) + 0.5
        errors.append(float(np.square((one - other).astype(np.float64)).mean()))
        similarities.append(float(np.mean(tf.image.ssim(one, other, 1.0, filter_size=window))))
    return {
        "mse": errors,
        "ssim": similarities,
        "mean_mse": math.fsum(errors) / len(errors),
        "mean_ssim": math.fsum(similarities) / len(similarities),
    }


def reconstruct_all(run: Any, images: np.ndarray, batch: int = 256) -> np.ndarray:
    """The expected images of many, uint8, as `images` are."""
    starts = range(0, len(images), batch)
    return np.concatenate([reconstruct(run, images[start : start + batch]) for start in starts])


def write_pictures(prediction: Prediction, folder: pathlib.Path, count: int) -> list[pathlib.Path]:
    """Writes a GIF for each of the first clips, the truth at the left, and a PNG of all their frames, truth above.

    Args:
        prediction: what `predict_clips` returned.
        folder: that exists.
        count: clips to draw; 0 for none. Of images that are neither grey nor coloured none are drawn.

    Returns:
        The files.
    """
    if not count or prediction.truth.shape[-1] not in DRAWABLE:
        return []
    pairs = np.stack([prediction.truth[:count], prediction.predicted[:count]], axis=2)
    written = []
    for number, pair in enumerate(pairs):
        frames = np.stack([grid(frame[:, None]) for frame in pair])
        written.append(write_gif(frames, folder / f"clip_{number:04d}.gif"))
    rows = pairs.reshape(-1, *pairs.shape[2:])
    return [write_png(grid(rows, columns=pairs.shape[1]), folder / "predictions.png"), *written]


def write_gif(frames: np.ndarray, path: pathlib.Path) -> pathlib.Path:
    """Writes uint8 (frames, height, width, 1 or 3 channels), red first, as a GIF without end, whole or not at all."""
    from PIL import Image

    pictures = [Image.fromarray(frame[..., 0] if frame.shape[-1] == 1 else frame) for frame in frames]
    with replacing(path) as partial:
        pictures[0].save(partial, save_all=True, append_images=pictures[1:], duration=MILLISECONDS, loop=0)
    return path
