"""Which frames make a clip and which window of a frame is kept: pure functions of times and sizes.

Frames are chosen by time: the frame of time t is the one on the screen then, the last whose time stamp is not after t.
A clip of T frames at rate r begins at `start` and takes the times start, start + 1/r, ..., start + (T - 1)/r.

A clip longer than its video goes round: after the last frame comes the first again (the rule of I3D and of mmaction2's
`SampleFrames`).
"""

from __future__ import annotations

import dataclasses

import numpy as np

# Matroska and FLV store time in whole milliseconds, so a stamp may lie this much after the instant it stands for.
TOLERANCE = 0.001


@dataclasses.dataclass(frozen=True)
class Timeline:
    """When the frames of a video are shown.

    Attributes:
        stamps: float64 (frames,), seconds since the first frame, strictly increasing.
        period: seconds for which the last frame is shown.
    """

    stamps: np.ndarray
    period: float

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return float(self.stamps[-1]) + self.period

    def __len__(self) -> int:
        return len(self.stamps)

    def first(self, frames: int) -> Timeline:
        """The timeline of the first `frames` frames."""
        return Timeline(self.stamps[:frames], self.period)

    def index_at(self, times: np.ndarray | float) -> np.ndarray:
        """Index of the frame on the screen at each time; times after the end go round."""
        times = np.mod(np.asarray(times, np.float64) + min(TOLERANCE, self.period / 2), self.duration)
        return np.maximum(np.searchsorted(self.stamps, times, side="right") - 1, 0)


def clip_indices(timeline: Timeline, start: float, frames: int, frame_rate: float | None) -> np.ndarray:
    """int64 (frames,): indices of a clip's frames.

    Args:
        timeline: of the video.
        start: in seconds; with `frame_rate` None the clip begins with the frame shown then.
        frames: T.
        frame_rate: frames per second, or None for every frame in turn.
    """
    if frame_rate is None:
        return (int(timeline.index_at(start)) + np.arange(frames)) % len(timeline)
    return timeline.index_at(start + np.arange(frames) / frame_rate)


def random_start(timeline: Timeline, frames: int, frame_rate: float | None, fraction: float) -> float:
    """Start in seconds such that all frames of the clip lie in the video; 0 where the video is too short.

    Args:
        timeline: of the video.
        frames: T.
        frame_rate: frames per second, or None.
        fraction: drawn uniformly from [0, 1).
    """
    if frame_rate is None:
        return float(timeline.stamps[int(fraction * max(len(timeline) - frames + 1, 1))])
    return fraction * max(timeline.duration - (frames - 1) / frame_rate - TOLERANCE, 0.0)


def uniform_starts(timeline: Timeline, frames: int, frame_rate: float | None, clips: int) -> np.ndarray:
    """float64 (clips,): starts in seconds of clips spread evenly, the first at the beginning, the last at the end.

    One clip is the central one. Where the video is shorter than a clip all starts are 0.
    """
    fractions = np.array([0.5]) if clips == 1 else np.linspace(0.0, 1.0, clips)
    if frame_rate is None:
        last = max(len(timeline) - frames, 0)
        return timeline.stamps[np.floor(fractions * last).astype(int)]
    return fractions * max(timeline.duration - frames / frame_rate, 0.0)


def central_start(timeline: Timeline, frames: int, frame_rate: float | None) -> float:
    """Start in seconds of the clip in the middle of the video; 0 where the video is too short."""
    return float(uniform_starts(timeline, frames, frame_rate, 1)[0])


def crop_offsets(resized: tuple[int, int], size: tuple[int, int], crops: int = 1) -> list[tuple[int, int]]:
    """(top, left) of crops of `size` spread evenly along the longer side of a frame of `resized`; one is the centre.

    A half pixel is rounded to even, as in torchvision's `center_crop`.
    """
    rooms = (resized[0] - size[0], resized[1] - size[1])
    centre = (round(rooms[0] / 2), round(rooms[1] / 2))
    if crops == 1:
        return [centre]
    steps = [part / (crops - 1) for part in range(crops)]
    if resized[0] > resized[1]:
        return [(round(rooms[0] * step), centre[1]) for step in steps]
    return [(centre[0], round(rooms[1] * step)) for step in steps]
