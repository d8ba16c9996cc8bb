"""Clips from files: arrays with or without actions, and folders of videos; and their codes for a prior of videos."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apps.vq_vae.code_sets import CodeSet
from apps.vq_vae.image_data import checked_images
from tools.errors import InputError
from tools.files import read_arrays, replacing

VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif")
# Of each clip that is cut out of a video file: the paper's 6 frames of context and 10 predicted ones.
CLIP_FRAMES = 16


@dataclasses.dataclass(frozen=True)
class Clips:
    """Short videos of one size and length.

    Attributes:
        frames: uint8 (clips, frames, height, width, channels).
        actions: int32 (clips, frames), the number of the action that led to each frame, or None.
        action_names: of the actions, in the order of their numbers; empty where there are none.
    """

    frames: np.ndarray
    actions: np.ndarray | None = None
    action_names: tuple[str, ...] = ()


def read_clips(path: str | os.PathLike, grey: bool = False) -> Clips:
    """Reads clips.

    Args:
        path: an .npz file with an array "clips" of integers 0 to 255, (clips, frames, height, width) or with a last
            axis of channels, and optionally "actions", integers (clips, frames), and "action_names", words; an .npy
            file of the clips alone; or a folder of videos (.mp4, .gif, ...) of one size, at any depth, each cut into
            clips of 16 frames one after the other, what is left over being dropped.
        grey: read videos as grey, one channel, in place of red, green and blue. Arrays stay as they are.

    Raises:
        InputError: if there is nothing, or anything but whole clips of one size, with an action for every frame or
            none.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        return Clips(_read_folder(path, grey))
    if not path.exists():
        raise InputError(f"Expected clips. Received {path}: no such file or folder.")
    if path.suffix == ".npz":
        return _from_arrays(read_arrays(path), path)
    if path.suffix == ".npy":
        try:
            return Clips(checked_clips(np.load(path, allow_pickle=False), str(path)))
        except InputError:
            raise
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"Expected an .npy file of numbers. Received {path}: {error}.") from None
    raise InputError(f"Expected an .npz or .npy file of clips, or a folder of videos. Received {path}.")


def write_clips(path: pathlib.Path, clips: Clips) -> None:
    """Writes an .npz file that `read_clips` reads, whole or not at all."""
    arrays: dict[str, Any] = {"clips": clips.frames}
    if clips.actions is not None:
        arrays.update(actions=clips.actions, action_names=np.array(clips.action_names))
    with replacing(path) as partial:
        np.savez_compressed(partial, **arrays)


def checked_clips(clips: np.ndarray, source: str) -> np.ndarray:
    """The array as uint8 (clips, frames, height, width, channels).

    Raises:
        InputError: if it is empty, of another rank, not of integers, or out of range; `source` names it.
    """
    if clips.ndim == 4:
        clips = clips[..., None]
    if clips.ndim != 5:
        raise InputError(
            f"Expected clips (clips, frames, height, width, channels) in {source}. Received {clips.shape}."
        )
    if not clips.size:
        raise InputError(f"Expected at least one clip of a frame in {source}. Received shape {clips.shape}.")
    return checked_images(clips.reshape(-1, *clips.shape[2:]), source).reshape(clips.shape)


def _from_arrays(arrays: Mapping[str, np.ndarray], path: pathlib.Path) -> Clips:
    if "clips" not in arrays:
        raise InputError(f"Expected an array `clips` in {path}. Received {', '.join(sorted(arrays)) or 'none'}.")
    frames = checked_clips(arrays["clips"], str(path))
    if "actions" not in arrays:
        return Clips(frames)
    actions = arrays["actions"]
    if actions.shape != frames.shape[:2] or actions.dtype.kind not in "iu":
        raise InputError(
            f"Expected integers `actions` of shape {frames.shape[:2]} in {path}, one a frame. "
            f"Received {actions.dtype} {actions.shape}."
        )
    names = tuple(map(str, arrays.get("action_names", np.arange(max(0, int(actions.max())) + 1))))
    if actions.min() < 0 or actions.max() >= len(names):
        wrong = actions.min() if actions.min() < 0 else actions.max()
        raise InputError(f"Expected `actions` of 0 to {len(names) - 1} in {path}. Received {wrong}.")
    return Clips(frames, actions.astype(np.int32), names)


def video_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """The videos in a folder, at any depth, in the order in which they are read."""
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in VIDEOS)


def _read_folder(folder: pathlib.Path, grey: bool) -> np.ndarray:
    from tools.commands import progress

    files = video_files(folder)
    if not files:
        raise InputError(f"Expected videos ({', '.join(VIDEOS)}) in {folder}. Received a folder without any.")
    found: list[np.ndarray] = []
    for file in progress(files, len(files), f"reading {folder}"):
        frames = read_video(file, grey)
        if len(frames) < CLIP_FRAMES:
            raise InputError(f"Expected a video of at least {CLIP_FRAMES} frames. Received {file} of {len(frames)}.")
        if found and frames.shape[1:] != found[0].shape[2:]:
            first, other = found[0].shape[2:], frames.shape[1:]
            raise InputError(
                f"Expected videos of one size, {first[1]}x{first[0]} as {files[0]}. "
                f"Received {file} of {other[1]}x{other[0]}."
            )
        whole = len(frames) // CLIP_FRAMES
        found.append(frames[: whole * CLIP_FRAMES].reshape(whole, CLIP_FRAMES, *frames.shape[1:]))
    return np.concatenate(found)


def read_video(file: pathlib.Path, grey: bool = False) -> np.ndarray:
    """All frames of a video file, uint8 (frames, height, width, 3), red first, or with one channel of grey.

    Raises:
        InputError: if it cannot be decoded.
    """
    import cv2

    capture = cv2.VideoCapture(str(file), cv2.CAP_FFMPEG)
    frames = []
    try:
        while True:
            read, frame = capture.read()
            if not read:
                break
            picture = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY if grey else cv2.COLOR_BGR2RGB)
            frames.append(picture[..., None] if grey else picture)
    finally:
        capture.release()
    if not frames:
        raise InputError(f"Expected {file} to be a video. Received a file that cannot be decoded.")
    return np.stack(frames)


# === Codes ===


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
    from apps.vq_vae.image_codes import encode

    codes = encode(run, clips.reshape(-1, *clips.shape[2:]))
    return codes.reshape(*clips.shape[:2], *codes.shape[1:])


def video_codes(
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
