"""Asking a trained model about a video, a folder of videos, or a camera."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from apps.action_recognition.data import iter_windows, read_views, sources
from apps.action_recognition.runs import Run
from tools.errors import InputError

Answer = tuple[str, float]


@dataclasses.dataclass(frozen=True)
class Segment:
    """A stretch of a video in which the same class is the most probable.

    Attributes:
        start: seconds from the first frame.
        end: seconds from the first frame.
        top: classes and their mean probabilities, most probable first.
    """

    start: float
    end: float
    top: tuple[Answer, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"start": round(self.start, 3), "end": round(self.end, 3), "top": _plain(self.top)}


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the model says about one video.

    Attributes:
        path: of the video.
        top: classes and probabilities, most probable first.
        segments: the time line, if one was asked for.
    """

    path: str
    top: tuple[Answer, ...]
    segments: tuple[Segment, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        line = {} if self.segments is None else {"segments": [segment.to_dict() for segment in self.segments]}
        return {"path": self.path, "top": _plain(self.top), **line}


class Predictor:
    """A run, ready to be asked.

    Args:
        run: a trained model.
        top: how many classes an answer lists, at most all.

    Raises:
        InputError: if `top` is below 1.
    """

    def __init__(self, run: Run, top: int = 5):
        if top < 1:
            raise InputError(f"Expected top to be at least 1. Received {top}.")
        self.run, self.top = run, top
        self._answer = tf.function(lambda clip: run.model(clip, training=False), reduce_retracing=True)

    def probabilities(self, clip: np.ndarray) -> np.ndarray:
        """Of the classes for one clip float32 (T, H, W, 3): float32 (classes,)."""
        return self._answer(tf.constant(clip[None])).numpy()[0]

    def predict(
        self, path: str | os.PathLike, step: float | None = None, *, clips: int = 1, crops: int = 1
    ) -> Prediction:
        """Answers for one video.

        Args:
            path: of the video.
            step: None to ask about `clips` and `crops`; otherwise seconds from one window to the next over the whole
                video: the answer is the mean over the windows, and a time line comes with it.
            clips: of the video, spread evenly, over whose answers the mean is taken; one is the central one.
            crops: of a clip, along the longer side, which count likewise; one is the central one.

        Raises:
            InputError: if the video cannot be read, or `clips` or `crops` is below 1.
        """
        path = os.fspath(path)
        for name, value in {"clips": clips, "crops": crops}.items():
            if value < 1:
                raise InputError(f"Expected {name} to be at least 1. Received {value}.")
        if step is None:
            views = read_views(path, self.run.spec, clips, crops)
            return Prediction(path, self.best(np.mean([self.probabilities(view) for view in views], axis=0)))
        windows = list(self.windows(path, step))
        mean = np.mean([probabilities for _, _, probabilities in windows], axis=0)
        return Prediction(path, self.best(mean), tuple(self.merge(windows)))

    def windows(self, source: str | int, step: float) -> Iterator[tuple[float, float, np.ndarray]]:
        """(start, end, probabilities) of each window of a video or, without end, of a camera."""
        for start, end, clip in iter_windows(source, self.run.spec, step):
            yield start, end, self.probabilities(clip)

    def merge(self, windows: Iterable[tuple[float, float, np.ndarray]]) -> Iterator[Segment]:
        """Joins successive windows of one most probable class; where they overlap, the later counts from its start."""
        group: list[tuple[float, float, np.ndarray]] = []
        for window in windows:
            if group and window[2].argmax() != group[0][2].argmax():
                yield self._segment(group, min(window[0], group[-1][1]))
                group = []
            group.append(window)
        if group:
            yield self._segment(group, group[-1][1])

    def best(self, probabilities: np.ndarray) -> tuple[Answer, ...]:
        """The most probable classes with their probabilities."""
        order = np.argsort(-probabilities, kind="stable")[: self.top]
        return tuple((self.run.classes[index], float(probabilities[index])) for index in order)

    def _segment(self, group: list[tuple[float, float, np.ndarray]], end: float) -> Segment:
        return Segment(group[0][0], end, self.best(np.mean([window[2] for window in group], axis=0)))


def videos_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """The videos of a folder and its subfolders, sorted; as in training, hidden files are no videos.

    Raises:
        InputError: if there is none.
    """
    found = sources.videos_in(folder)
    if not found:
        raise InputError(f"Expected videos in {folder}. Received a folder without any.")
    return found


def camera_index(source: str) -> int | None:
    """The index of a camera, where the source is a number and no file of that name exists."""
    return int(source) if source.isdecimal() and not pathlib.Path(source).exists() else None


def _plain(top: tuple[Answer, ...]) -> list[dict[str, Any]]:
    return [{"class": name, "probability": probability} for name, probability in top]
