"""What a training minimises: the cross-entropy of smoothed labels, and how much each class counts in it."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from apps.action_recognition.data import VideoList
from tools.errors import InputError


class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of probabilities (B, classes) and labels (B,), of which a share is spread over all classes."""

    def __init__(self, label_smoothing: float = 0.0):
        super().__init__(name="crossentropy")
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        labels = keras.ops.one_hot(keras.ops.cast(keras.ops.reshape(y_true, (-1,)), "int32"), y_pred.shape[-1])
        return keras.losses.categorical_crossentropy(labels, y_pred, label_smoothing=self.label_smoothing)


def class_weights(wanted: str | Mapping[str, float] | None, videos: VideoList) -> dict[int, float] | None:
    """The weight of each class's loss, by label.

    Args:
        wanted: None for none, "balanced" for n / (classes n_class), or {class name: weight}.
        videos: those of the training.

    Raises:
        InputError: if it is none of these.
    """
    if wanted is None:
        return None
    if wanted == "balanced":
        counts = np.bincount(videos.labels, minlength=len(videos.classes))
        return {label: len(videos) / (len(counts) * max(int(count), 1)) for label, count in enumerate(counts)}
    if not isinstance(wanted, Mapping) or set(wanted) != set(videos.classes):
        raise InputError(
            f'Expected class_weight to be "balanced" or a weight for each of {", ".join(videos.classes)}. '
            f"Received {wanted!r}."
        )
    return {label: float(wanted[name]) for label, name in enumerate(videos.classes)}
