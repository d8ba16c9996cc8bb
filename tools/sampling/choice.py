"""One code of each row of logits, with temperature, top-k and top-p, from one random number for each."""

from __future__ import annotations

import tensorflow as tf

# A temperature of 0 means the most likely code; this one is as good and divides.
LEAST_TEMPERATURE = 1e-6


def uniforms(seeds: tf.Tensor, count: int | tf.Tensor, stream: int | tf.Tensor = 0) -> tf.Tensor:
    """Random numbers of at least 0 and less than 1; each row depends on its own seed alone, whatever stands beside it.

    Args:
        seeds: integers (batch,).
        count: how many for each seed.
        stream: with another stream the same seed gives other numbers.

    Returns:
        float32 (batch, count).
    """
    stream = tf.cast(stream, tf.int64)
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform([count], tf.stack([seed, stream])),
        tf.cast(seeds, tf.int64),
        fn_output_signature=tf.float32,
    )


def choose(
    logits: tf.Tensor,
    uniform: tf.Tensor,
    temperature: tf.Tensor,
    top_k: tf.Tensor | None = None,
    top_p: tf.Tensor | None = None,
) -> tf.Tensor:
    """One code of each row, where the sum of the probabilities passes the random number.

    Args:
        logits: (batch, codes).
        uniform: (batch,), at least 0 and less than 1.
        temperature: (batch,), by which the logits are divided; 0 takes the most likely code.
        top_k: (batch,), integers: only so many most likely codes are taken, and what ties with the last; 0 takes all.
        top_p: (batch,): only the most likely codes are taken whose sum first reaches this share, and what ties with the
            last; 1 takes all. Of those that `top_k` leaves, where both are given.

    Returns:
        int32 (batch,).
    """
    logits = tf.cast(logits, tf.float32)
    scaled = logits - tf.reduce_max(logits, axis=-1, keepdims=True)
    scaled = scaled / tf.maximum(temperature, LEAST_TEMPERATURE)[:, None]
    if top_k is not None or top_p is not None:
        scaled = tf.where(scaled >= _least(scaled, top_k, top_p), scaled, -float("inf"))
    cumulative = tf.cumsum(tf.nn.softmax(scaled), axis=-1)
    total = cumulative[:, -1:]
    passed = tf.math.count_nonzero(cumulative <= uniform[:, None] * total, axis=-1, dtype=tf.int32)
    # Rounded, the product may be the total: then it is the last code of any probability.
    return tf.minimum(passed, tf.math.count_nonzero(cumulative < total, axis=-1, dtype=tf.int32))


def _least(scaled: tf.Tensor, top_k: tf.Tensor | None, top_p: tf.Tensor | None) -> tf.Tensor:
    """The least scaled logit of each row that is taken, (batch, 1)."""
    ordered = tf.sort(scaled, direction="DESCENDING")
    codes = tf.shape(scaled)[-1]
    kept = tf.fill(tf.shape(scaled)[:1], codes)
    if top_k is not None:
        kept = tf.where(top_k > 0, tf.minimum(top_k, codes), kept)
    if top_p is not None:
        taken = tf.where(tf.range(codes) < kept[:, None], ordered, -float("inf"))
        before = tf.cumsum(tf.nn.softmax(taken), axis=-1, exclusive=True)
        needed = tf.math.count_nonzero(before < top_p[:, None], axis=-1, dtype=tf.int32)
        kept = tf.where(top_p < 1.0, tf.minimum(tf.maximum(needed, 1), kept), kept)
    return tf.gather(ordered, kept[:, None] - 1, batch_dims=1)
