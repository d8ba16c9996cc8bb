"""Moving digits: clips made from still ones, bouncing off the walls or moved by an action a frame.

Srivastava et al., "Unsupervised Learning of Video Representations using LSTMs" (2015), section 4.1: two digits in a
square of 64, each with a velocity of its own. The variant with actions is this suite's.
"""

from __future__ import annotations

import os
import pathlib

import numpy as np

from apps.vq_vae.images.data import read_idx
from apps.vq_vae.videos.data import Clips
from tools.errors import InputError

# Rows and columns by which an action moves the digit, in sixteenths of the side of a frame.
ACTIONS = {"stay": (0, 0), "left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
# Sides of a digit and of a frame, and the range of the speed in pixels a frame, as of Moving MNIST.
DIGIT_SIDE, FRAME_SIDE = 28, 64
SPEEDS = (2.0, 5.0)
SPLITS = ("all", "train", "test")
LEAST_SIDE = 16


def read_digits(path: str | os.PathLike, split: str = "all") -> np.ndarray:
    """Digits uint8 (digits, height, width) of an idx3 file.

    Args:
        path: of the file, packed by gzip or not.
        split: "all" (default), "train", the first nine tenths, or "test", the others.

    Raises:
        InputError: for another file or split.
    """
    if split not in SPLITS:
        raise InputError(f"Expected split to be one of {', '.join(SPLITS)}. Received {split!r}.")
    digits = read_idx(pathlib.Path(path))
    border = len(digits) * 9 // 10
    chosen = {"all": digits, "train": digits[:border], "test": digits[border:]}[split]
    if not chosen.size:
        raise InputError(f"Expected digits in {path} ({split}). Received none.")
    return chosen


def moving_digits(
    digits: np.ndarray,
    clips: int,
    frames: int = 16,
    *,
    size: int = FRAME_SIDE,
    count: int = 2,
    with_actions: bool = False,
    seed: int = 0,
) -> Clips:
    """Clips of digits that move over black.

    Args:
        digits: uint8 (digits, height, width), the same height and width.
        clips: how many to make, at least 1.
        frames: of each clip, at least 1.
        size: side of a frame in pixels, at least 16. A digit has 28/64 of it, and speeds are in proportion.
        count: digits of a clip, at least 1. Where they cross, the brighter pixel is seen.
        with_actions: in place of a velocity, an action a frame moves all digits by a sixteenth of the side, as far as
            the
            wall: one of `ACTIONS`, each as likely as the others.
        seed: of everything random.

    Returns:
        frames uint8 (clips, frames, size, size, 1), and with actions int32 (clips, frames), the one that led to each
        frame; that of a first frame is 0, "stay".

    Raises:
        InputError: for an argument out of range, or digits that are not square.
    """
    least = {
        "clips": (clips, 1),
        "frames": (frames, 1),
        "size": (size, LEAST_SIDE),
        "count": (count, 1),
        "seed": (seed, 0),
    }
    for name, (value, lowest) in least.items():
        if value < lowest:
            raise InputError(f"Expected {name} to be at least {lowest}. Received {value}.")
    if digits.ndim != 3 or digits.shape[1] != digits.shape[2] or not digits.size:
        raise InputError(f"Expected digits (digits, side, side). Received {digits.shape}.")
    generator = np.random.default_rng(seed)
    side = round(size * DIGIT_SIDE / FRAME_SIDE)
    chosen = _resized(digits, side)[generator.integers(0, len(digits), (clips, count))]
    actions = None
    if with_actions:
        actions = generator.integers(0, len(ACTIONS), (clips, frames)).astype(np.int32)
        actions[:, 0] = 0
        corners = _moved(generator, actions, count, size - side, size // 16)
    else:
        corners = _bounced(generator, (clips, count), frames, size - side, size / FRAME_SIDE)
    return Clips(_drawn(chosen, corners, size), actions, tuple(ACTIONS) if with_actions else ())


def _resized(digits: np.ndarray, side: int) -> np.ndarray:
    if digits.shape[1] == side:
        return digits
    import cv2

    return np.stack([cv2.resize(digit, (side, side), interpolation=cv2.INTER_AREA) for digit in digits])


def _bounced(
    generator: np.random.Generator, shape: tuple[int, int], frames: int, room: int, scale: float
) -> np.ndarray:
    """Upper left corners (clips, digits, frames, 2) of digits that fly straight and are thrown back by the walls."""
    start = generator.uniform(0, room, (*shape, 2))
    angle = generator.uniform(0, 2 * np.pi, shape)
    speed = scale * generator.uniform(*SPEEDS, shape)
    velocity = speed[..., None] * np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    straight = start[:, :, None] + velocity[:, :, None] * np.arange(frames)[:, None]
    folded = np.mod(straight, 2 * room)
    return np.minimum(folded, 2 * room - folded).round().astype(np.int64)


def _moved(generator: np.random.Generator, actions: np.ndarray, count: int, room: int, step: int) -> np.ndarray:
    """Upper left corners (clips, digits, frames, 2) of digits that actions move."""
    clips, frames = actions.shape
    corners = np.empty((clips, count, frames, 2), np.int64)
    corners[:, :, 0] = generator.integers(0, room + 1, (clips, count, 2))
    moves = step * np.array(list(ACTIONS.values()))[actions]
    for number in range(1, frames):
        corners[:, :, number] = np.clip(corners[:, :, number - 1] + moves[:, None, number], 0, room)
    return corners


def _drawn(digits: np.ndarray, corners: np.ndarray, size: int) -> np.ndarray:
    clips, count, frames, _ = corners.shape
    video = np.zeros((clips, frames, size, size), np.uint8)
    inside = np.arange(digits.shape[-1])
    every = np.arange(clips)[:, None, None]
    for number in range(frames):
        for index in range(count):
            rows = (corners[:, index, number, :1] + inside)[:, :, None]
            columns = (corners[:, index, number, 1:] + inside)[:, None, :]
            seen = video[every, number, rows, columns]
            video[every, number, rows, columns] = np.maximum(seen, digits[:, index])
    return video[..., None]
