"""Clips one after the other out of a file or a camera, for a time line."""

from __future__ import annotations

import collections
import os
import time
from collections.abc import Iterator

import numpy as np

from apps.action_recognition.data import decode, sampling
from apps.action_recognition.data.augmentation import Draw, crop_frame, finish
from apps.action_recognition.data.spec import ClipSpec
from tools.errors import InputError

Window = tuple[float, float, np.ndarray]
Held = collections.deque[tuple[float, np.ndarray]]


def iter_windows(source: str | os.PathLike | int, spec: ClipSpec, step_seconds: float) -> Iterator[Window]:
    """Clips one after the other from a file or a camera, for a time line; only one window is held in memory.

    Windows begin every `step_seconds`; of a file, one more ends with its last frame where the others leave a rest, and
    a file shorter than a window gives one that goes round.

    Args:
        source: path of a video, or index of a camera, whose frames carry the time of their arrival.
        spec: what a clip is. With `frame_rate` None a window is the T frames from its start on.
        step_seconds: seconds from one window to the next, above 0.

    Yields:
        (start, end, clip): seconds since the first frame, and float32 (T, H, W, 3).

    Raises:
        InputError: if the source cannot be read or the step is not above 0.
    """
    if not step_seconds > 0:
        raise InputError(f"Expected step_seconds to be above 0. Received {step_seconds!r}.")
    if isinstance(source, int):
        return windows_of(_camera_frames(source), spec, step_seconds, 1.0 / decode.DEFAULT_FRAME_RATE)
    path = os.fspath(source)
    period = decode.timeline(path).period
    return windows_of(_file_frames(path, period), spec, step_seconds, period)


def windows_of(
    frames: Iterator[tuple[float, np.ndarray]], spec: ClipSpec, step: float, period: float
) -> Iterator[Window]:
    """`iter_windows` of any stream of (seconds, uint8 RGB frame); `period` is how long the last frame is shown."""
    held: Held = collections.deque()
    start = covered = 0.0
    for moment, frame in frames:
        held.append((moment, crop_frame(frame, spec.rules, spec.size, Draw())))
        while _is_complete(held, spec, start, moment):
            window = _cut(held, spec, start, period)
            covered, start = window[1], start + step
            yield window
        _forget(held, spec, start)
    if not held:
        raise InputError("Expected a video or a camera that gives frames. Received none.")
    end = held[-1][0] + period
    while _is_complete(held, spec, start, end):
        window = _cut(held, spec, start, period)
        covered, start = min(window[1], end), start + step
        yield (window[0], covered, window[2])
    # Of a file of one frame no window is complete, and its whole length is one period.
    if not covered or end - covered > period + sampling.TOLERANCE:
        if spec.frame_rate is None:
            start = held[max(len(held) - spec.frames, 0)][0]
        else:
            start = max(end - spec.frames / spec.frame_rate, held[0][0])
        yield (start, end, _cut(held, spec, start, period)[2])


def _is_complete(held: Held, spec: ClipSpec, start: float, now: float) -> bool:
    """Whether every frame of the window that begins at `start` is known at the time `now`."""
    if spec.frame_rate is not None:
        return now > start + (spec.frames - 1) / spec.frame_rate + sampling.TOLERANCE
    before = sum(moment <= start + sampling.TOLERANCE for moment, _ in held)
    return now > start + sampling.TOLERANCE and len(held) - max(before - 1, 0) >= spec.frames


def _cut(held: Held, spec: ClipSpec, start: float, period: float) -> Window:
    stamps = np.array([moment for moment, _ in held])
    line = sampling.Timeline(stamps - stamps[0], period)
    indices = sampling.clip_indices(line, max(start - stamps[0], 0.0), spec.frames, spec.frame_rate)
    clip = finish(np.stack([held[index][1] for index in indices]), spec.rules, Draw())
    end = stamps[indices[-1]] + period if spec.frame_rate is None else start + spec.frames / spec.frame_rate
    return start, float(end), clip


def _forget(held: Held, spec: ClipSpec, start: float) -> None:
    """Drops frames that neither the next window nor one that ends with the newest frame can need."""
    while len(held) > spec.frames:
        after = held[1][0]
        needed = spec.frame_rate is not None and after > held[-1][0] - spec.frames / spec.frame_rate
        if needed or after > start:
            return
        held.popleft()


def _file_frames(path: str, period: float) -> Iterator[tuple[float, np.ndarray]]:
    capture = decode.open_capture(path)
    try:
        for moment in decode.frames_in_order(capture, period):
            frame = decode.retrieve(capture)
            if frame is None:
                return
            yield moment, frame
    finally:
        capture.release()


def _camera_frames(index: int) -> Iterator[tuple[float, np.ndarray]]:
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    capture = cv2.VideoCapture(index)
    try:
        if not capture.isOpened():
            raise InputError(f"Expected the index of a camera. Received {index}: no camera opens there.")
        first = None
        while capture.grab():
            now = time.monotonic()
            first = now if first is None else first
            frame = decode.retrieve(capture)
            if frame is None:
                return
            yield now - first, frame
    finally:
        capture.release()
