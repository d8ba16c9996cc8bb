"""From a list of videos to batches: a `tf.data.Dataset` that decodes in parallel and does not depend on the threads.

What an element holds is a pure function of (seed, epoch, video): every random value comes from a generator seeded with
those three, so neither the number of threads nor the epoch at which a run was resumed changes a bit.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np

from apps.action_recognition.data.augmentation import Augmentation
from apps.action_recognition.data.clips import random_clip, read_clip, read_views
from apps.action_recognition.data.sources import VideoList
from apps.action_recognition.data.spec import ClipSpec
from tools.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf

# Keeps the order of an epoch and the clips of an epoch on separate random streams.
ORDER, CLIP = 0, 1


def clip_dataset(
    videos: VideoList,
    spec: ClipSpec,
    batch_size: int,
    *,
    training: bool,
    seed: int = 0,
    first_epoch: int = 0,
    epochs: int = 1,
    augmentation: Augmentation | None = None,
) -> tf.data.Dataset:
    """Batches of (clip float32 (B, T, H, W, 3), label int32 (B,)).

    Training: every epoch is shuffled anew, each video gives a random clip, augmented. The epochs follow each other in
    one stream, each of ceil(videos / batch_size) batches, of which the last may be smaller; the stream from
    `first_epoch` = k is, bit for bit, the one from 0 without its first k epochs. A video that fails to decode is
    reported once and replaced by the next in the epoch's order.

    Otherwise: the order of the list, the central clip, the centre crop; a video that fails stops the iteration.

    Args:
        videos: to read.
        spec: what a clip is.
        batch_size: B, at least 1.
        training: see above.
        seed: not negative.
        first_epoch: number of the first epoch, not negative.
        epochs: how many epochs to run through.
        augmentation: None stands for `Augmentation()`: scale jitter and random crop, no mirror images, no colour. Not
            used unless training.

    Raises:
        InputError: if a number is out of range, or training has fewer videos than the batch.
    """
    for name, value, least in (("batch_size", batch_size, 1), ("seed", seed, 0), ("first_epoch", first_epoch, 0)):
        _check_integer(name, value, least)
    _check_integer("epochs", epochs, 1)
    if not len(videos):
        raise InputError("Expected at least one video. Received none.")
    if training and len(videos) < batch_size:
        raise InputError(
            f"Expected at least as many training videos as the batch size {batch_size}. Received {len(videos)} videos."
        )
    if training:
        load = _TrainingReader(videos, spec, seed, augmentation or Augmentation())
    else:
        load = _CentralReader(videos, spec)
    return _dataset(load, videos, spec, batch_size, first_epoch, epochs)


def _dataset(
    load: _TrainingReader | _CentralReader,
    videos: VideoList,
    spec: ClipSpec,
    batch_size: int,
    first_epoch: int,
    epochs: int,
) -> tf.data.Dataset:
    import tensorflow as tf

    count = len(videos)

    def element(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        clip, label = tf.numpy_function(load, [number // count, number % count], [tf.float32, tf.int32])
        return tf.ensure_shape(clip, spec.shape), tf.ensure_shape(label, ())

    elements = tf.data.Dataset.range(first_epoch * count, (first_epoch + epochs) * count)
    elements = elements.map(element, num_parallel_calls=workers(), deterministic=True)
    grouped = in_batches(elements, count, batch_size, epochs)
    return grouped.map(lambda clip, label: (tf.ensure_shape(clip, (None, *spec.shape)), label)).prefetch(2)


def in_batches(elements: tf.data.Dataset, count: int, batch_size: int, epochs: int) -> tf.data.Dataset:
    """Groups the elements of epochs of `count` each; no batch reaches over the end of an epoch.

    Args:
        elements: `count * epochs` of them.
        count: elements of an epoch.
        batch_size: at least 1; the last batch of an epoch may be smaller.
        epochs: how many.
    """
    import tensorflow as tf

    batches = -(-count // batch_size)
    if count % batch_size == 0:
        grouped = elements.batch(batch_size)
    else:
        # A list of sizes is gone through in a circle.
        sizes = [batch_size] * (batches - 1) + [count - batch_size * (batches - 1)]
        grouped = elements.batch(1).rebatch(sizes)
    return grouped.apply(tf.data.experimental.assert_cardinality(batches * epochs))


def view_dataset(videos: VideoList, spec: ClipSpec, *, clips: int = 10, crops: int = 3) -> tf.data.Dataset:
    """One element a video, in order: (views float32 (clips * crops, T, H, W, 3), label int32, index int32).

    The clips are spread evenly over the video, the crops along the longer side of the frame; the crops of one clip
    follow each other. A video that fails to decode stops the iteration.

    Args:
        videos: to read.
        spec: what a clip is.
        clips: per video, at least 1.
        crops: per clip, at least 1.

    Raises:
        InputError: if a number is out of range or there is no video.
    """
    import tensorflow as tf

    _check_integer("clips", clips, 1)
    _check_integer("crops", crops, 1)
    if not len(videos):
        raise InputError("Expected at least one video. Received none.")

    def read(index: np.int64) -> np.ndarray:
        return read_views(videos.paths[index], spec, clips, crops)

    def element(index: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        views = tf.numpy_function(read, [index], tf.float32)
        return tf.ensure_shape(views, (clips * crops, *spec.shape)), label, tf.cast(index, tf.int32)

    labels = tf.data.Dataset.from_tensor_slices(np.array(videos.labels, np.int32))
    elements = tf.data.Dataset.zip((tf.data.Dataset.range(len(videos)), labels))
    return elements.map(element, num_parallel_calls=workers(), deterministic=True).prefetch(1)


def workers() -> int:
    """How many clips are decoded side by side: one a processor core this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_integer(name: str, value: int, least: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise InputError(f"Expected {name} to be an integer of at least {least}. Received {value!r}.")


class _CentralReader:
    """Reads the central clip of a video."""

    def __init__(self, videos: VideoList, spec: ClipSpec):
        self.videos, self.spec = videos, spec

    def __call__(self, epoch: np.int64, position: np.int64) -> tuple[np.ndarray, np.int32]:
        return read_clip(self.videos.paths[position], self.spec), np.int32(self.videos.labels[position])


class _TrainingReader:
    """Reads the random clip of the video at a position of an epoch's order."""

    def __init__(self, videos: VideoList, spec: ClipSpec, seed: int, augmentation: Augmentation):
        self.videos, self.spec, self.seed, self.augmentation = videos, spec, seed, augmentation
        self._order = functools.lru_cache(maxsize=2)(self._shuffled)
        self._failed: set[int] = set()
        self._lock = threading.Lock()

    def _shuffled(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, ORDER, epoch]).permutation(len(self.videos))

    def __call__(self, epoch: np.int64, position: np.int64) -> tuple[np.ndarray, np.int32]:
        order = self._order(int(epoch))
        for step in range(len(order)):
            index = int(order[(position + step) % len(order)])
            generator = np.random.default_rng([self.seed, CLIP, int(epoch), index])
            try:
                clip = random_clip(self.videos.paths[index], self.spec, self.augmentation, generator)
            except InputError as error:
                self._report(index, error)
                continue
            return clip, np.int32(self.videos.labels[index])
        raise InputError(f"Expected training videos that can be decoded. Received {len(order)} of which none can.")

    def _report(self, index: int, error: InputError) -> None:
        with self._lock:
            if index in self._failed:
                return
            self._failed.add(index)
        print(f"replaced in training by the next video: {error}", file=sys.stderr)
