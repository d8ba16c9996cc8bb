"""Sampling with the whole model at every position: the reference of the sampler, and what its speed is measured by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tools.sampling.choice import choose, uniforms
from tools.sampling.sampler import checked_conditions, checked_lengths, checked_options, checked_seed
from tools.sampling.stepping import SteppedModel


class NaiveSampler:
    """What `Sampler` gives, by as many runs of the whole model as there are positions.

    Args:
        model: as of `Sampler`.
        lengths: as of `Sampler`.
        positions: how many to sample, from the first; the codes of the others are 0. Default None: all.

    Raises:
        InputError: as `Sampler`.
    """

    def __init__(self, model: keras.Model, lengths: Sequence[int] | None = None, positions: int | None = None):
        self._stepped = SteppedModel(model)
        self._model = model
        self.lengths = checked_lengths(self._stepped.lengths, lengths)
        self.positions = positions or math.prod(self.lengths)
        self._function = tf.function(self._sample, autograph=False, reduce_retracing=True)

    def __call__(
        self, seed: Any, *, temperature: Any = 1.0, top_k: Any = None, top_p: Any = None, **conditions: Any
    ) -> tf.Tensor:
        """Codes, int32 (batch, *lengths); arguments as of `Sampler`."""
        seed = checked_seed(seed)
        options = checked_options(seed, temperature, top_k, top_p)
        return self._function(seed, options, checked_conditions(self._stepped, conditions, seed))

    def _sample(self, seed: tf.Tensor, options: dict[str, tf.Tensor], conditions: dict[str, tf.Tensor]) -> tf.Tensor:
        batch, count = tf.shape(seed)[0], math.prod(self.lengths)
        numbers = tf.transpose(uniforms(seed, count))

        def fill(place: tf.Tensor, codes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            grid = tf.reshape(tf.transpose(codes), (batch, *self.lengths))
            logits = self._model({self._stepped.codes: grid, **conditions}, training=False)
            logits = tf.reshape(logits, (batch, count, logits.shape[-1]))[:, place]
            code = choose(logits, numbers[place], **options)
            return place + 1, tf.tensor_scatter_nd_update(codes, [[place]], code[None])

        start = (tf.constant(0), tf.zeros((count, batch), tf.int32))
        _, codes = tf.while_loop(lambda place, _: place < self.positions, fill, start)
        return tf.reshape(tf.transpose(codes), (batch, *self.lengths))
