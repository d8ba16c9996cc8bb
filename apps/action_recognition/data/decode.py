"""Reads frames out of video files with OpenCV (FFmpeg): by time, in RGB, upright, and never hanging.

First the packets of a file are read without decoding them, which takes about a millisecond a second of video and tells
exactly when every frame is shown, also where the frame rate varies; then only the frames of the clip are converted.
"""

from __future__ import annotations

import codecs
import functools
import math
import os
import pathlib
import stat
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from apps.action_recognition.data.containers import missing_bytes
from apps.action_recognition.data.sampling import TOLERANCE, Timeline
from tools.errors import InputError

# FFmpeg writes a line on stderr for every damaged block; OpenCV reads this variable when it opens its first file.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2

DEFAULT_FRAME_RATE = 25.0
HIGHEST_FRAME_RATE = 1000.0
# Containers in which a seek lands on a frame that its time stamp identifies; AVI with packed B-frames is one frame off.
SEEKABLE = {".mp4", ".m4v", ".mov", ".mkv", ".webm"}
SEEK_AFTER_FRAMES = 100
SEEK_MARGIN_SECONDS = 1.0
RAW_PACKETS = -1

Transform = Callable[[np.ndarray], np.ndarray]
Plan = Callable[[Timeline], np.ndarray]


def timeline(path: str | os.PathLike) -> Timeline:
    """When the frames of a file are shown, read from its packets.

    Where a container stores no usable time stamps, frames are taken to be 1/rate apart, with the rate it states or
    else 25 a second.

    Raises:
        InputError: naming the file and the reason why it cannot be read.
    """
    path = os.fspath(path)
    status = check_file(path)
    return _timeline(path, status.st_mtime_ns, status.st_size)


def check_file(path: str) -> os.stat_result:
    """Refuses what is not a readable, non-empty file; a named pipe, for instance, would be waited for without end."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"Expected a video file. Received {path}: it is not a file.")
        with open(path, "rb"):
            pass
    except FileNotFoundError:
        raise InputError(f"Expected a video file. Received {path}: no such file.") from None
    except OSError as error:
        raise InputError(f"Expected a video file. Received {path}: {error.strerror}.") from None
    if status.st_size == 0:
        raise InputError(f"Expected a video file. Received {path}: the file is empty.")
    return status


@functools.lru_cache(maxsize=16384)
def _timeline(path: str, modified: int, size: int) -> Timeline:
    capture = open_capture(path, raw=True)
    if missing_bytes(path):
        raise InputError(f"Expected a whole video file. Received {path}: {_why_not_video(path)}.")
    try:
        rate = stated_rate(capture)
        stamps = []
        while capture.grab():
            stamps.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0)
    finally:
        capture.release()
    if not stamps:
        raise InputError(f"Expected a video file. Received {path}: it holds no frames.")
    # Frames before zero are cut away by the container's edit list and are never shown.
    shown = np.sort([stamp for stamp in stamps if stamp > -1e-6 or not math.isfinite(stamp)])
    gaps = np.diff(shown)
    if len(shown) == 0 or not np.all(np.isfinite(shown)) or np.any(gaps <= 0):
        return Timeline(np.arange(len(stamps)) / rate, 1.0 / rate)
    return Timeline(shown - shown[0], float(np.median(gaps)) if len(gaps) else 1.0 / rate)


def open_capture(path: str, raw: bool = False) -> cv2.VideoCapture:
    """Opens a file with one decoding thread; `raw` reads packets without decoding them.

    Raises:
        InputError: naming the file and the reason.
    """
    # Clips are decoded side by side; threads inside a decoder or a resize would only fight over the cores.
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    settings = [cv2.CAP_PROP_N_THREADS, 1] + ([cv2.CAP_PROP_FORMAT, RAW_PACKETS] if raw else [])
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, settings)
    if not capture.isOpened():
        capture.release()
        raise InputError(f"Expected a video file. Received {path}: {_why_not_video(path)}.")
    if not raw:
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    return capture


def stated_rate(capture: cv2.VideoCapture) -> float:
    """Frames per second that the container states, or 25 where it states none that can be true."""
    rate = capture.get(cv2.CAP_PROP_FPS)
    return rate if math.isfinite(rate) and 0 < rate <= HIGHEST_FRAME_RATE else DEFAULT_FRAME_RATE


def _why_not_video(path: str) -> str:
    with open(path, "rb") as file:
        head = file.read(4096)
        size = os.fstat(file.fileno()).st_size
        file.seek(max(size - 65536, 0))
        tail = file.read()
    if head[4:8] == b"ftyp" and b"moov" not in head + tail:
        return "it is cut off before its index (no moov atom)"
    if missing := missing_bytes(path):
        return f"it is cut off, {missing:,} bytes are missing"
    if (head[:4] == b"RIFF" and head[8:12] == b"WAVE") or head[:3] == b"ID3" or head[:4] in (b"fLaC", b"OggS"):
        return "it holds audio and no video stream"
    if _is_text(head):
        return "it is text, not video"
    return "it holds no video stream that FFmpeg can decode"


def _is_text(head: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() for character in text)


def frames_in_order(capture: cv2.VideoCapture, period: float, seek: float = 0.0) -> Iterator[float]:
    """Grabs frame after frame and yields its time in seconds since the first; `retrieve` then converts it.

    Frames without a usable stamp, as at the end of some AVI files, follow the one before by `period`.

    Args:
        capture: just opened.
        period: seconds between frames.
        seek: go near this time after the first frame; what is yielded next tells where that was.
    """
    if not capture.grab():
        return
    first = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
    first = first if math.isfinite(first) else 0.0
    time = 0.0
    if seek:
        capture.set(cv2.CAP_PROP_POS_MSEC, 1000.0 * (first + seek))
    else:
        yield time
    while capture.grab():
        elapsed = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0 - first
        time = elapsed if math.isfinite(elapsed) and elapsed > time else time + period
        yield time


def retrieve(capture: cv2.VideoCapture) -> np.ndarray | None:
    """The frame just grabbed, uint8 RGB (H, W, 3), or None where it cannot be converted."""
    good, frame = capture.retrieve()
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if good else None


def decode(path: str | os.PathLike, plan: Plan, transform: Transform) -> np.ndarray:
    """Decodes the frames that `plan` chooses.

    Where decoding stops early (a file that is cut off or damaged), the frames before it count as the whole video and
    the plan is made again for them.

    Args:
        path: of the file.
        plan: from the video's timeline to an integer array of frame indices, of any shape.
        transform: applied to each uint8 RGB frame (H, W, 3) at once, so that only its result is kept in memory.

    Returns:
        array of the plan's shape + the shape of a transformed frame.

    Raises:
        InputError: if the file cannot be read or not one frame of it decoded.
    """
    path = os.fspath(path)
    line = timeline(path)
    while len(line):
        indices = plan(line)
        frames, count = _read(path, line, np.unique(indices).tolist(), transform)
        if count == len(line):
            if len({np.shape(frame) for frame in frames.values()}) > 1:
                raise InputError(f"Expected frames of one size. Received {path}: their size changes.")
            return np.stack([frames[index] for index in indices.ravel().tolist()]).reshape(
                *indices.shape, *np.shape(next(iter(frames.values())))
            )
        line = line.first(count)
    raise InputError(f"Expected a video file. Received {path}: not one frame of it can be decoded.")


def _read(path: str, line: Timeline, wanted: list[int], transform: Transform) -> tuple[dict[int, Any], int]:
    """Transformed frames by index, and how many frames the file really yields, as far as that was seen."""
    far = wanted[0] > SEEK_AFTER_FRAMES and pathlib.Path(path).suffix.lower() in SEEKABLE
    seek = float(line.stamps[wanted[0]]) - SEEK_MARGIN_SECONDS if far else 0.0
    found = _decode(path, line, wanted, transform, seek) if seek > 0 else None
    return found or _decode(path, line, wanted, transform, 0.0)


def _decode(
    path: str, line: Timeline, wanted: list[int], transform: Transform, seek: float
) -> tuple[dict[int, Any], int] | None:
    """`_read` from a place in the file; None where the seek did not land exactly on a frame before the first wanted."""
    tolerance = min(TOLERANCE, float(np.min(np.diff(line.stamps), initial=line.period)) / 2)
    frames: dict[int, Any] = {}
    last = None
    capture = open_capture(path)
    try:
        for time in frames_in_order(capture, line.period, seek):
            if last is None and seek:
                known = np.min(np.abs(line.stamps - time)) <= tolerance
                if not known or time > line.stamps[wanted[0]] + tolerance:
                    return None
            last = time
            if time < line.stamps[wanted[len(frames)]] - tolerance:
                continue
            frame = retrieve(capture)
            if frame is None:
                break
            frame = transform(frame)
            while len(frames) < len(wanted) and time >= line.stamps[wanted[len(frames)]] - tolerance:
                frames[wanted[len(frames)]] = frame
            if len(frames) == len(wanted):
                return frames, len(line)
    finally:
        capture.release()
    if last is None:
        return None if seek else ({}, 0)
    decoded = int(np.searchsorted(line.stamps, last + tolerance, side="right"))
    return frames, min(decoded, wanted[len(frames)])
