"""The field's protocol: several views of every video, the mean of their probabilities, top-1, top-5, confusion."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import tensorflow as tf

from apps.action_recognition.data import ClipSpec, VideoList, view_dataset
from tools.commands import progress
from tools.errors import InputError
from tools.metrics import classification_metrics, confusion

if TYPE_CHECKING:
    import keras

WORST_MISTAKES = 20
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a model answers on labelled videos.

    Attributes:
        video: measures of the videos, by the mean of the probabilities over the views; see `classification_metrics`.
        view: measures of the single views.
        confusion: counts (classes, classes), row = true class.
        mistakes: the wrong answers given with the highest probability: path, true, predicted, probability.
        probabilities: float32 (videos, classes).
        labels: int (videos,).
        classes: names.
        clips: clips of a video.
        crops: crops of a clip.
        skipped: videos that could not be read: (path, reason).
    """

    video: dict[str, Any]
    view: dict[str, Any]
    confusion: np.ndarray
    mistakes: list[dict[str, Any]]
    probabilities: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    clips: int
    crops: int
    skipped: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the probabilities."""
        return {
            "videos": len(self.labels),
            "clips": self.clips,
            "crops": self.crops,
            "video": self.video,
            "view": self.view,
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
            "mistakes": self.mistakes,
            "skipped": [{"path": path, "reason": reason} for path, reason in self.skipped],
        }


def evaluate(
    model: keras.Model,
    videos: VideoList,
    spec: ClipSpec,
    *,
    clips: int = 10,
    crops: int = 3,
    batch: int = 8,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Measures a model on labelled videos.

    Args:
        model: classifier of clips, with probabilities as its output.
        videos: to measure on; their classes are the model's, in order.
        spec: the clip it takes.
        clips: clips of a video, spread evenly.
        crops: crops of a clip, along the longer side.
        batch: views that go through the model together.
        bootstrap: resamplings for the intervals of confidence; 0 for none.
        seed: of the resamplings.

    Raises:
        InputError: if the classes do not fit the model, a number is out of range or a video cannot be decoded.
    """
    if model.output_shape[-1] != len(videos.classes):
        raise InputError(
            f"Expected videos of the model's {model.output_shape[-1]} classes. Received {len(videos.classes)} classes."
        )
    if batch < 1:
        raise InputError(f"Expected batch to be at least 1. Received {batch}.")
    views = view_probabilities(model, videos, spec, clips=clips, crops=crops, batch=batch)
    labels = np.asarray(videos.labels)
    probabilities = views.mean(axis=1)
    predicted = probabilities.argmax(axis=1)
    return Evaluation(
        video=classification_metrics(probabilities, labels, bootstrap=bootstrap, seed=seed),
        view=classification_metrics(views.reshape(-1, views.shape[-1]), np.repeat(labels, views.shape[1])),
        confusion=confusion(predicted, labels, len(videos.classes)),
        mistakes=_mistakes(probabilities, labels, videos),
        probabilities=probabilities,
        labels=labels,
        classes=videos.classes,
        clips=clips,
        crops=crops,
        skipped=videos.skipped,
    )


def view_probabilities(
    model: keras.Model, videos: VideoList, spec: ClipSpec, *, clips: int, crops: int, batch: int
) -> np.ndarray:
    """Probabilities of every view of every video: float32 (videos, clips * crops, classes)."""
    views = clips * crops
    dataset = view_dataset(videos, spec, clips=clips, crops=crops).map(lambda views, label, index: views)
    batches = dataset.rebatch(batch).prefetch(1)
    total = -(-len(videos) * views // batch)

    @tf.function(reduce_retracing=True)
    def answer(clip: tf.Tensor) -> tf.Tensor:
        return model(clip, training=False)

    answers = readable(lambda: [answer(clip).numpy() for clip in progress(batches, total, "evaluating, batches")])
    return np.concatenate(answers).reshape(len(videos), views, -1)


def readable(work: Callable[[], Result]) -> Result:
    """Runs `work`; an `InputError` of a reader inside a `tf.data` pipeline comes out as one, not as TensorFlow's error.

    Raises:
        InputError: that of the reader.
    """
    try:
        return work()
    except tf.errors.OpError as error:
        cause = re.search(r"InputError: (.*)", error.message)
        if cause is None:
            raise
        raise InputError(cause[1]) from error


def _mistakes(probabilities: np.ndarray, labels: np.ndarray, videos: VideoList) -> list[dict[str, Any]]:
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")][:WORST_MISTAKES]
    return [
        {
            "path": videos.paths[index],
            "true": videos.classes[labels[index]],
            "predicted": videos.classes[predicted[index]],
            "probability": float(probabilities[index, predicted[index]]),
        }
        for index in worst
    ]
