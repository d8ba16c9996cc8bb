"""Single clips: one reading of one file, the views of a test, the windows of a time line."""

from __future__ import annotations

import os

import numpy as np

from apps.action_recognition.data import decode, sampling
from apps.action_recognition.data.augmentation import Augmentation, Draw, crop_frame, draw, finish, resize
from apps.action_recognition.data.sampling import Timeline
from apps.action_recognition.data.spec import ClipSpec
from tools.errors import InputError


def raw_clip(path: str | os.PathLike, spec: ClipSpec, start: float | None = None) -> np.ndarray:
    """The frames of a clip as the file holds them.

    Args:
        path: of the video.
        spec: frames and frame rate; size and preset are not used.
        start: in seconds; None takes the central clip. Where the clip is longer than the video it goes round.

    Returns:
        uint8 (T, H, W, 3), RGB, of the file's own size, upright.

    Raises:
        InputError: if the file cannot be read, or `start` is not within it.
    """
    return decode.decode(path, lambda line: _indices(line, spec, start, path), lambda frame: frame)


def read_clip(path: str | os.PathLike, spec: ClipSpec, start: float | None = None) -> np.ndarray:
    """Centre view of a clip, ready for the network: `preprocess(raw_clip(path, spec, start), spec)`.

    Args:
        path: of the video.
        spec: what a clip is.
        start: in seconds; None takes the central clip.

    Returns:
        float32 (T, H, W, 3).

    Raises:
        InputError: if the file cannot be read, or `start` is not within it.
    """
    outcome = Draw()
    frames = decode.decode(path, lambda line: _indices(line, spec, start, path), _cropper(spec, outcome))
    return finish(frames, spec.rules, outcome)


def random_clip(
    path: str | os.PathLike,
    spec: ClipSpec,
    augmentation: Augmentation,
    generator: np.random.Generator,
    moment: float | None = None,
) -> np.ndarray:
    """A clip from a random moment, augmented: float32 (T, H, W, 3), a pure function of the generator's state.

    Args:
        path: of the video.
        spec: what a clip is.
        augmentation: what varies.
        generator: of all that is random.
        moment: from 0, the first possible start, to 1 (excluded), the last; None draws it.

    Raises:
        InputError: if the file cannot be read.
    """
    fraction = generator.random() if moment is None else moment
    outcome = draw(augmentation, generator)

    def plan(line: Timeline) -> np.ndarray:
        start = sampling.random_start(line, spec.frames, spec.frame_rate, fraction)
        return sampling.clip_indices(line, start, spec.frames, spec.frame_rate)

    return finish(decode.decode(path, plan, _cropper(spec, outcome)), spec.rules, outcome)


def moment_frames(
    path: str | os.PathLike, spec: ClipSpec, moment: float, size: tuple[int, int], count: int
) -> np.ndarray:
    """Frames spread evenly over the clip that `random_clip` reads at a moment, in the centre view of the clip.

    Args:
        path: of the video.
        spec: what a clip is; its view is kept, at another size.
        moment: as in `random_clip`.
        size: (height, width) of the frames.
        count: how many, 1 to T.

    Returns:
        uint8 (count, height, width, 3), RGB.

    Raises:
        InputError: if the file cannot be read.
    """
    places = ((np.arange(count) + 0.5) * spec.frames / count).astype(int)

    def plan(line: Timeline) -> np.ndarray:
        start = sampling.random_start(line, spec.frames, spec.frame_rate, moment)
        return sampling.clip_indices(line, start, spec.frames, spec.frame_rate)[places]

    return decode.decode(path, plan, lambda frame: crop_frame(frame, spec.rules, size, Draw()))


def read_views(path: str | os.PathLike, spec: ClipSpec, clips: int = 10, crops: int = 3) -> np.ndarray:
    """Views of a test: `clips` spread evenly over the video, each cropped `crops` times along the longer side.

    Returns:
        float32 (clips * crops, T, H, W, 3); the crops of one clip follow each other.
    """
    rules, size = spec.rules, spec.size

    def plan(line: Timeline) -> np.ndarray:
        starts = sampling.uniform_starts(line, spec.frames, spec.frame_rate, clips)
        return np.stack([sampling.clip_indices(line, start, spec.frames, spec.frame_rate) for start in starts])

    def cropped(frame: np.ndarray) -> np.ndarray:
        resized = rules.resized(*frame.shape[:2], size)
        frame = resize(frame, *resized)
        places = sampling.crop_offsets(resized, size, crops)
        return np.stack([frame[top : top + size[0], left : left + size[1]] for top, left in places])

    frames = decode.decode(path, plan, cropped)
    return rules.normalise(frames.swapaxes(1, 2)).reshape(clips * crops, *spec.shape)


def _indices(line: Timeline, spec: ClipSpec, start: float | None, path: str | os.PathLike) -> np.ndarray:
    if start is None:
        start = sampling.central_start(line, spec.frames, spec.frame_rate)
    elif not 0 <= start < line.duration:
        raise InputError(
            f"Expected start to be from 0 to less than {line.duration:.3f} s, the length of {os.fspath(path)}. "
            f"Received {start!r}."
        )
    return sampling.clip_indices(line, start, spec.frames, spec.frame_rate)


def _cropper(spec: ClipSpec, outcome: Draw) -> decode.Transform:
    rules, size = spec.rules, spec.size
    return lambda frame: crop_frame(frame, rules, size, outcome)
