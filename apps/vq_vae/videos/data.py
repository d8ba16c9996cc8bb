"""Clips from files: arrays with or without actions, and folders of videos."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from apps.vq_vae.images.data import checked_images
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
