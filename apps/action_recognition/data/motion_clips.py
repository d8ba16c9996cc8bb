"""Synthetic videos of moving things, for demonstrations and tests: only movement tells the classes apart.

Two textured things move over a textured background: to the left, right, up or down, or they turn on the spot. What
leaves the picture on one side enters it on the other, and place and angle at the start are uniform, so a single frame
has the same distribution in every class: no still picture betrays the label, and a clip played backwards is one of the
opposite class. Speed, size, shape, colours and textures vary; a share of the files has another frame rate at the same
speed in pixels a second, so that counting frames instead of seconds blurs the speeds.
"""

from __future__ import annotations

import math
import os
import pathlib
import shutil
import tempfile
from collections.abc import Sequence

import numpy as np

from tools.commands import progress
from tools.errors import InputError

# (pixels a second to the right, pixels a second down, turns a second clockwise) for the speed 1 of each class.
MOVEMENTS = {
    "anticlockwise": (0.0, 0.0, -1.0),
    "clockwise": (0.0, 0.0, 1.0),
    "down": (0.0, 1.0, 0.0),
    "left": (-1.0, 0.0, 0.0),
    "right": (1.0, 0.0, 0.0),
    "up": (0.0, -1.0, 0.0),
}
CLASSES = tuple(MOVEMENTS)
# Sides of the picture, and whole turns, per second.
SPEEDS = (0.25, 0.55)
TURNS = (0.25, 0.5)
# Levels of the background and of the things, half the longer side of a thing over the side of the picture, and its
# shorter side over its longer one.
DARK = (0.0, 90.0)
BRIGHT = (150.0, 255.0)
RADII = (0.18, 0.28)
FLATNESS = (0.5, 0.8)
THINGS = 2


def generate(
    folder: str | os.PathLike,
    videos_per_class: int,
    seed: int = 0,
    *,
    classes: Sequence[str] = CLASSES,
    size: int = 64,
    seconds: float = 2.0,
    frame_rate: float = 16.0,
    other_frame_rate: float = 25.0,
    other_share: float = 0.25,
) -> pathlib.Path:
    """Writes folder/<class>/NNN.mp4 and returns the folder, which appears whole or not at all.

    Args:
        folder: must not exist, or be empty.
        videos_per_class: at least 1.
        seed: the same seed gives the same pictures; video NNN of a class does not depend on how many there are.
        classes: among `CLASSES`.
        size: side of the square picture in pixels, at least 16.
        seconds: length of a video.
        frame_rate: frames per second of most files.
        other_frame_rate: frames per second of the others.
        other_share: share of the others, from 0 to 1.

    Raises:
        InputError: if a value is out of range or the folder holds something.
    """
    folder = pathlib.Path(folder)
    unknown = sorted(set(classes) - set(CLASSES))
    if unknown or len(set(classes)) < 2:
        raise InputError(f"Expected at least two classes among {', '.join(CLASSES)}. Received {list(classes)}.")
    if not isinstance(videos_per_class, int) or videos_per_class < 1:
        raise InputError(f"Expected videos_per_class to be at least 1. Received {videos_per_class!r}.")
    if size < 16 or seconds <= 0 or min(frame_rate, other_frame_rate) <= 0 or not 0 <= other_share <= 1:
        raise InputError(
            "Expected size of at least 16, seconds and frame rates above 0 and a share from 0 to 1. Received "
            f"size={size}, seconds={seconds}, frame rates {frame_rate} and {other_frame_rate}, share {other_share}."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"Expected a folder that does not exist or is empty. Received {folder}.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = pathlib.Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        names = [(name, number) for name in dict.fromkeys(classes) for number in range(videos_per_class)]
        for name, number in progress(names, len(names), "writing motion clips"):
            generator = np.random.default_rng([seed, CLASSES.index(name), number])
            rate = other_frame_rate if generator.random() < other_share else frame_rate
            (aside / name).mkdir(exist_ok=True)
            _write(aside / name / f"{number:03d}.mp4", render(name, generator, size, seconds, rate), rate)
        aside.chmod(0o755)
        os.replace(aside, folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return folder


def render(
    name: str, generator: np.random.Generator, size: int = 64, seconds: float = 2.0, frame_rate: float = 16.0
) -> np.ndarray:
    """uint8 (frames, size, size, 3) RGB: one video of class `name` with everything else drawn from the generator."""
    right, down, clockwise = MOVEMENTS[name]
    speed = size * generator.uniform(*SPEEDS)
    turns = generator.uniform(*TURNS)
    start = generator.uniform(0, size, 2)
    times = np.arange(round(seconds * frame_rate)) / frame_rate
    frames = np.repeat(_texture(generator, size, DARK)[None], len(times), axis=0)
    for number in range(THINGS):
        layers = _thing(generator, size)
        angle = generator.uniform(0, 360)
        for frame, time in zip(frames, times, strict=True):
            place = start + number * size / THINGS + np.array([right, down]) * speed * time
            _paint(frame, layers, place, angle + 360 * clockwise * turns * time)
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def _texture(generator: np.random.Generator, size: int, levels: tuple[float, float]) -> np.ndarray:
    """float32 (size, size, 3): soft spots between two random colours of these levels; it joins itself at the edges."""
    import cv2

    cells = int(generator.integers(4, 9))
    coarse = np.tile(generator.random((cells, cells), dtype=np.float32), (3, 3))
    spots = cv2.resize(coarse, (3 * size, 3 * size), interpolation=cv2.INTER_CUBIC)[size : 2 * size, size : 2 * size]
    first, second = generator.uniform(*levels, (2, 3)).astype(np.float32)
    return first + np.clip(spots, 0, 1)[..., None] * (second - first)


def _thing(generator: np.random.Generator, size: int) -> np.ndarray:
    """float32 (size, size, 4): a textured ellipse, box or triangle in the middle, and its mask from 0 to 1."""
    import cv2

    radius = size * generator.uniform(*RADII)
    flatness = generator.uniform(*FLATNESS)
    corners = int(generator.choice([3, 4, 40]))
    turns = 2 * math.pi * (np.arange(corners) + 0.5) / corners
    outline = size / 2 + radius * np.stack([np.cos(turns), flatness * np.sin(turns)], axis=1)
    mask = np.zeros((4 * size, 4 * size), np.float32)
    cv2.fillPoly(mask, [np.round(4 * outline).astype(np.int32)], 1.0)
    mask = cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)
    return np.dstack([_texture(generator, size, BRIGHT) * mask[..., None], mask])


def _paint(frame: np.ndarray, layers: np.ndarray, place: np.ndarray, angle: float) -> None:
    """Paints a thing into a float32 frame at (x, y), turned clockwise by an angle in degrees."""
    import cv2

    size = frame.shape[0]
    # OpenCV turns anticlockwise for positive angles.
    turn = cv2.getRotationMatrix2D((size / 2, size / 2), -angle, 1.0)
    shift = np.column_stack([np.eye(2), (place - size / 2) % size])
    layers = cv2.warpAffine(layers, turn, (size, size))
    layers = cv2.warpAffine(layers, shift, (size, size), borderMode=cv2.BORDER_WRAP)
    frame *= 1 - layers[..., 3:]
    frame += layers[..., :3]


def _write(path: pathlib.Path, frames: np.ndarray, frame_rate: float) -> None:
    import cv2

    height, width = frames.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), frame_rate, (width, height))
    try:
        if not writer.isOpened():
            raise InputError(f"Expected to be able to write an MP4 video. Received {path}: OpenCV cannot open it.")
        for frame in frames:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    finally:
        writer.release()
