"""Pairs of a clip and what the teacher saw: of the same video and moment, and of different videos, equally many."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from apps.action_recognition.data import Augmentation, ClipSpec, VideoList
from apps.action_recognition.data.clips import random_clip
from apps.action_recognition.data.pipeline import CLIP, ORDER, in_batches, workers
from apps.action_recognition.transfer.teacher import moment_share
from tools.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf

# Each clip goes through the student once and is asked about twice: with its own features, and with another video's.
PAIRS = 2
LABELS = np.array([1.0, 0.0], np.float32)
PLAIN = Augmentation(scale=(1.0, 1.0), random_crop=False)


def pair_dataset(
    videos: VideoList,
    features: np.ndarray,
    spec: ClipSpec,
    batch_size: int,
    *,
    training: bool,
    seed: int = 0,
    first_epoch: int = 0,
    epochs: int = 1,
    augmentation: Augmentation | None = None,
) -> tf.data.Dataset:
    """Batches of ({"clip": float32 (B, T, H, W, 3), "frames": float32 (B, 2, D)}, float32 (B, 2)).

    Of the two features the first are of the clip's video and moment (label 1), the second of another video (label 0).
    In an epoch of the training every video gives one clip, of a random moment, augmented, and lends its features once
    to another video, so that nothing can be told from the features alone. What an element holds is a function of seed,
    epoch and video. Otherwise every moment of every video is read once, without augmentation, and the other videos are
    the same every time.

    Args:
        videos: to read, at least two.
        features: what the teacher saw, float32 (videos, moments, D).
        spec: what a clip is.
        batch_size: B, at least 1; the last batch of an epoch may be smaller.
        training: see above.
        seed: not negative.
        first_epoch: number of the first epoch, not negative.
        epochs: how many epochs to run through.
        augmentation: of the clips, in training. Default None: `Augmentation()`.

    Raises:
        InputError: if there are fewer than two videos; in iteration, if one cannot be decoded.
    """
    import tensorflow as tf

    if len(videos) < 2:
        raise InputError(
            f"Expected at least two videos, of which one does not match the other. Received {len(videos)}."
        )
    read = _PairReader(videos, features, spec, training, seed, (augmentation or Augmentation()) if training else PLAIN)
    width = features.shape[-1]

    def element(number: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        places = [number // read.count, number % read.count]
        clip, frames, labels = tf.numpy_function(read, places, [tf.float32] * 3)
        inputs = {"clip": tf.ensure_shape(clip, spec.shape), "frames": tf.ensure_shape(frames, (PAIRS, width))}
        return inputs, tf.ensure_shape(labels, (PAIRS,))

    elements = tf.data.Dataset.range(first_epoch * read.count, (first_epoch + epochs) * read.count)
    elements = elements.map(element, num_parallel_calls=workers(), deterministic=True)
    return in_batches(elements, read.count, batch_size, epochs).prefetch(2)


class _PairReader:
    """Reads the clip at a position of an epoch's order, its own features and those of the next video of the order."""

    def __init__(
        self,
        videos: VideoList,
        features: np.ndarray,
        spec: ClipSpec,
        training: bool,
        seed: int,
        augmentation: Augmentation,
    ):
        self.videos, self.features, self.spec = videos, features, spec
        self.training, self.seed, self.augmentation = training, seed, augmentation
        self.moments = features.shape[1]
        self.count = len(videos) * (1 if training else self.moments)
        self._order = functools.lru_cache(maxsize=2)(self._shuffled)

    def _shuffled(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, ORDER, epoch]).permutation(len(self.videos))

    def __call__(self, epoch: np.int64, position: np.int64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # In a random circle the neighbour is any other video, and every video is the neighbour of exactly one.
        order = self._order(int(epoch) if self.training else 0)
        index, other = (int(order[(int(position) + step) % len(order)]) for step in range(2))
        generator = np.random.default_rng([self.seed, CLIP, int(epoch), index])
        moment, elsewhere = (int(number) for number in generator.integers(self.moments, size=2))
        if not self.training:
            moment = elsewhere = int(position) // len(order)
        share = moment_share(moment, self.moments)
        clip = random_clip(self.videos.paths[index], self.spec, self.augmentation, generator, share)
        return clip, np.stack([self.features[index, moment], self.features[other, elsewhere]]), LABELS
