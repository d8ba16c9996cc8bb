"""Clips to compare on, and other ones to calibrate with."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pathlib
import random
from collections.abc import Sequence

import numpy as np

from apps.action_recognition.data import ClipSpec, motion_clips, read_clip, sources
from tools.errors import InputError

# DeepMind's I3D cuts flow at so many pixels a frame and divides by it.
LARGEST_FLOW = 20.0
MOTION_CLIP_SIZE = 128


@dataclasses.dataclass(frozen=True)
class Videos:
    """Paths of the videos that are compared, and of those that int8 takes its ranges from; none is in both."""

    compared: tuple[str, ...]
    calibration: tuple[str, ...]


def choose(
    paths: Sequence[str | os.PathLike], folder: pathlib.Path, *, compared: int, calibration: int, seed: int
) -> Videos:
    """Draws videos from folders and files, as many of each as there are.

    Args:
        paths: folders of videos or video files; with none, motion clips are made in `folder` once.
        folder: where the made ones are kept.
        compared: how many to compare.
        calibration: how many others to calibrate with.
        seed: of the draw.

    Raises:
        InputError: if a path is neither a folder nor a video, or there are fewer videos.
    """
    if min(compared, calibration) < 1:
        raise InputError(
            f"Expected at least 1 video to compare and 1 to calibrate with. Received {compared} and {calibration}."
        )
    if not paths:
        made = folder / "videos"
        if not made.is_dir():
            # So many of each class, not so many videos: few are needed, and all classes should be among them.
            per_class = -(-(compared + calibration) // len(motion_clips.CLASSES))
            motion_clips.generate(made, per_class, seed, size=MOTION_CLIP_SIZE)
        paths = [made]
    pools = []
    for path in map(pathlib.Path, paths):
        pool = sources.videos_in(path) if path.is_dir() else [path]
        if not pool or not pool[0].is_file():
            raise InputError(f"Expected a video or a folder of videos. Received {path}.")
        random.Random(seed).shuffle(pool)
        pools.append(pool)
    turns = [path for turn in itertools.zip_longest(*pools) for path in turn if path is not None]
    taken = dict.fromkeys(os.fspath(path.resolve()) for path in turns)
    # No more of them are opened than it takes: a folder may hold thousands.
    readable = (path for path in taken if sources.unreadable(path) is None)
    found = list(itertools.islice(readable, compared + calibration))
    if len(found) < compared + calibration:
        raise InputError(
            f"Expected at least {compared + calibration} videos: {compared} to compare and {calibration} others to "
            f"calibrate with. Received {len(found)} that can be read."
        )
    # Drawn, because the folders take turns in the list, and each should be able to give to both.
    drawn = random.Random(seed).sample(found, len(found))
    return Videos(tuple(drawn[:compared]), tuple(drawn[compared:]))


def read(paths: Sequence[str], spec: ClipSpec, channels: int) -> np.ndarray:
    """The central clip of each video, ready for the network: float32 (videos, T, H, W, channels).

    With two channels it is optical flow, see `flow_clip`.
    """
    return np.stack([flow_clip(path, spec) if channels == 2 else read_clip(path, spec) for path in paths])


def flow_clip(path: str, spec: ClipSpec) -> np.ndarray:
    """Flow from frame to frame by Farneback's method, cut at 20 pixels and scaled to -1..1: float32 (T, H, W, 2)."""
    import cv2

    low, high = spec.rules.value_range
    frames = read_clip(path, dataclasses.replace(spec, frames=spec.frames + 1))
    frames = frames * np.asarray(spec.rules.deviation) + np.asarray(spec.rules.mean)
    grey = np.clip((frames.mean(axis=-1) - low) / (high - low) * 255.0, 0, 255).round().astype(np.uint8)
    flows = [
        cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 3, 15, 3, 5, 1.2, 0)
        for first, second in itertools.pairwise(grey)
    ]
    return np.clip(np.stack(flows) / LARGEST_FLOW, -1.0, 1.0).astype(np.float32)
