"""Video files of every kind, good and bad, written on the spot."""

from __future__ import annotations

import os
import pathlib
import struct
import wave

import numpy as np

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

LEVEL = 6
# MPEG-4 in OpenCV darkens by about 2.7 levels, Motion JPEG does not.
DARKER = 1.35


def write_video(path, frames=16, rate=16.0, size=(48, 64), codec="mp4v"):
    """Writes a video whose frame i is grey of level 6 * i + 10, so that a decoded frame tells its index."""
    import cv2

    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, size[::-1])
    for index in range(frames):
        writer.write(np.full((*size, 3), LEVEL * index + 10, np.uint8))
    writer.release()
    return path


def write_long(path, seed=0, frames=240, size=(48, 64)):
    """Writes a video of noise that drifts, 24 frames a second, in which every frame and every video is different."""
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    canvas = np.random.default_rng(seed).integers(0, 255, (size[0], size[1] + frames, 3), dtype=np.uint8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 24.0, size[::-1])
    for index in range(frames):
        writer.write(np.ascontiguousarray(canvas[:, index : index + size[1]]))
    writer.release()
    return path


def frame_numbers(frames):
    """Index of each decoded frame of `write_video`."""
    levels = np.asarray(frames, np.float64).reshape(len(frames), -1).mean(axis=1)
    numbers = (levels - 10 + DARKER) / LEVEL
    assert np.all(np.abs(numbers - np.rint(numbers)) < 0.4), levels
    return np.rint(numbers).astype(int).tolist()


def find_box(content: bytes, name: bytes) -> int:
    """Offset of the only MP4 box of that name."""
    assert content.count(name) == 1, name
    return content.index(name) - 4


def set_durations(path, durations):
    """Gives the frames of an MP4 file durations of their own, in units of its time base: a variable frame rate.

    The table of durations (stts) grows, so the sizes of the boxes around it are corrected; the media data lies before.
    """
    content = bytearray(path.read_bytes())
    assert content.index(b"mdat") < content.index(b"moov")
    start = find_box(bytes(content), b"stts")
    old = struct.unpack(">I", content[start : start + 4])[0]
    table = b"".join(struct.pack(">II", 1, duration) for duration in durations)
    box = struct.pack(">I4sII", 16 + len(table), b"stts", 0, len(durations)) + table
    content[start : start + old] = box
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        place = find_box(bytes(content), name)
        size = struct.unpack(">I", content[place : place + 4])[0]
        content[place : place + 4] = struct.pack(">I", size + len(box) - old)
    # What lies after the end that the edit list states would not be shown.
    place = find_box(bytes(content), b"elst") + 16
    content[place : place + 4] = struct.pack(">I", 1 << 24)
    path.write_bytes(content)


def time_base(path) -> int:
    """Units a second of an MP4 file's only track."""
    content = path.read_bytes()
    start = find_box(content, b"mdhd")
    return struct.unpack(">I", content[start + 20 : start + 24])[0]


def rotate(path):
    """Marks an MP4 file as to be shown turned by 90 degrees clockwise."""
    content = bytearray(path.read_bytes())
    place = find_box(bytes(content), b"tkhd") + 8 + 40
    one = 1 << 16
    content[place : place + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


def write_bad_files(folder) -> dict[str, str]:
    """One file of each kind that cannot be read; returns a part of the reason expected for each name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("this is no video\n" * 40)
    whole = write_video(folder / "whole.mp4", frames=8).read_bytes()
    (folder / "whole.mp4").unlink()
    (folder / "truncated.mp4").write_bytes(whole[: whole.index(b"moov") - 4])
    write_video(folder / "no_frames.mp4", frames=0)
    with wave.open(str(folder / "audio.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        file.writeframes(bytes(16000))
    (folder / "audio.wav").rename(folder / "audio.mp4")
    header = write_video(folder / "header.avi", frames=3, codec="MJPG").read_bytes()
    (folder / "header.avi").write_bytes(header[: header.index(b"movi") + 4])
    (folder / "garbage.avi").write_bytes(bytes(range(128, 256)) * 20)
    return {
        "empty.mp4": "empty",
        "text.mp4": "text",
        "truncated.mp4": "cut off",
        "no_frames.mp4": "no video stream",
        "audio.mp4": "audio",
        "header.avi": "it is cut off",
        "garbage.avi": "no video stream",
    }
