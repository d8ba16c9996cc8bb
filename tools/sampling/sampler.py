"""The sampler: one graph, one position's work for each code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tools.errors import InputError
from tools.sampling.choice import choose, uniforms
from tools.sampling.stepping import SteppedModel


class Sampler:
    """Samples codes from a model, each from its logits given the codes before it.

    The activations of the positions before are kept, so that a code costs the work of one position and not of all; the
    logits are those of the whole model. The whole loop is one graph of TensorFlow operations: a sampler may be called
    in a function that is published as a SavedModel. Each row of the batch depends on its own seed alone.

    Args:
        model: as of `SteppedModel`.
        lengths: (height, width) or (time,), where the model leaves them free. Default None: the model's own.
        codes: name of the input of the codes. Default "codes".

    Raises:
        InputError: if the model cannot be run so, or a length is neither fixed nor given.

    Example:
        >>> sampler = Sampler(model)
        >>> sampler(seed=[1, 2, 3], label=[4, 4, 7], temperature=0.9, top_p=0.95)
        <tf.Tensor: shape=(3, 32, 32), dtype=int32, ...>
    """

    def __init__(self, model: keras.Model, lengths: Sequence[int] | None = None, codes: str = "codes"):
        self.stepped = SteppedModel(model, codes)
        self.lengths = checked_lengths(self.stepped.lengths, lengths)
        self._function = tf.function(self._sample, autograph=False, reduce_retracing=True)

    def __call__(
        self,
        seed: Any,
        *,
        temperature: Any = 1.0,
        top_k: Any = None,
        top_p: Any = None,
        given: Any = None,
        stream: Any = 0,
        **conditions: Any,
    ) -> tf.Tensor:
        """Codes, int32 (batch, *lengths).

        Args:
            seed: integers (batch,).
            temperature: of at least 0, one number or (batch,): the logits are divided by it; 0 takes the most likely
                code.
            top_k: None, or one integer or (batch,): only so many most likely codes are taken; 0 takes all.
            top_p: None, or one number or (batch,), more than 0 and at most 1: only the most likely codes are taken
                whose sum first reaches this share.
            given: None, or integers (batch, *lengths): codes that are already known; a negative one is to be sampled.
            stream: with another stream the same seed gives other codes.
            **conditions: every other input of the model, by its name.

        Raises:
            InputError: for conditions that are not those of the model, or a value that is known and out of range.
        """
        return self._call(seed, temperature, top_k, top_p, given, stream, conditions)["codes"]

    def logits(self, codes: Any, **conditions: Any) -> tf.Tensor:
        """The logits (batch, *lengths, number of codes) of given codes, computed one position at a time.

        They are those of `model(...)`, which is faster; this shows that they are.
        """
        seed = tf.zeros(tf.shape(codes)[:1], tf.int32)
        return self._call(seed, 1.0, None, None, codes, 0, conditions, keep_logits=True)["logits"]

    def _call(
        self,
        seed: Any,
        temperature: Any,
        top_k: Any,
        top_p: Any,
        given: Any,
        stream: Any,
        conditions: Mapping[str, Any],
        keep_logits: bool = False,
    ) -> dict[str, tf.Tensor]:
        seed = checked_seed(seed)
        options = checked_options(seed, temperature, top_k, top_p)
        if given is not None:
            given = tf.ensure_shape(tf.cast(given, tf.int32), (seed.shape[0], *self.lengths))
        return self._function(
            seed,
            options,
            given,
            tf.convert_to_tensor(stream),
            checked_conditions(self.stepped, conditions, seed),
            keep_logits,
        )

    def _sample(
        self,
        seed: tf.Tensor,
        options: dict[str, tf.Tensor],
        given: tf.Tensor | None,
        stream: tf.Tensor,
        conditions: dict[str, tf.Tensor],
        keep_logits: bool,
    ) -> dict[str, tf.Tensor]:
        # Time is a grid of one row.
        height, width = self.lengths if len(self.lengths) == 2 else (1, self.lengths[0])
        batch, count = tf.shape(seed)[0], height * width
        numbers = tf.transpose(uniforms(seed, count, stream))
        known = None if given is None else tf.transpose(tf.reshape(given, (batch, count)))
        logits = tf.TensorArray(tf.float32, count if keep_logits else 0, element_shape=(None, self._codes))

        def fill_row(row: tf.Tensor, above: tf.Tensor, state: Any, rows: Any, logits: Any) -> tuple[Any, ...]:
            if len(self.lengths) == 2:
                state = self.stepped.row(above, state, row)

            def fill_position(column: tf.Tensor, before: tf.Tensor, state: Any, codes: Any, logits: Any) -> Any:
                place = row * width + column
                position = (row, column) if len(self.lengths) == 2 else (column,)
                scores, state = self.stepped.position(before, state, position)
                code = choose(scores, numbers[place], **options)
                if known is not None:
                    code = tf.where(known[place] >= 0, known[place], code)
                code = tf.ensure_shape(code, seed.shape)
                if keep_logits:
                    logits = logits.write(place, tf.cast(scores, tf.float32))
                return column + 1, code, state, codes.write(column, code), logits

            codes = tf.TensorArray(tf.int32, width, element_shape=(None,))
            start = (tf.constant(0), tf.zeros_like(seed, tf.int32), state, codes, logits)
            _, _, state, codes, logits = tf.while_loop(lambda column, *_: column < width, fill_position, start)
            filled = tf.transpose(tf.ensure_shape(codes.stack(), (width, seed.shape[0])))
            return row + 1, filled, state, rows.write(row, filled), logits

        rows = tf.TensorArray(tf.int32, height, element_shape=(None, width))
        state = self.stepped.initial_state(batch, self.lengths, conditions)
        above = tf.ensure_shape(tf.zeros((batch, width), tf.int32), (seed.shape[0], width))
        start = (tf.constant(0), above, state, rows, logits)
        *_, rows, logits = tf.while_loop(lambda row, *_: row < height, fill_row, start)
        shape = (seed.shape[0], *self.lengths)
        outputs = {"codes": tf.ensure_shape(self._whole(rows.stack(), (1, 0, 2), batch), shape)}
        if keep_logits:
            outputs["logits"] = self._whole(logits.stack(), (1, 0, 2), batch, self._codes)
        return outputs

    def _whole(self, values: tf.Tensor, order: Sequence[int], batch: tf.Tensor, *channels: int) -> tf.Tensor:
        return tf.reshape(tf.transpose(values, order), (batch, *self.lengths, *channels))

    @property
    def _codes(self) -> int:
        return self.stepped.model.outputs[0].shape[-1]


# === Arguments ===


def checked_lengths(own: Sequence[int | None], given: Sequence[int] | None) -> tuple[int, ...]:
    """Every length of the codes.

    Raises:
        InputError: if there are not one or two of them, each fixed by the model or given, and alike where both.
    """
    lengths = tuple(own if given is None else given)
    fits = len(lengths) == len(own) and all(fixed in (None, length) for fixed, length in zip(own, lengths, strict=True))
    if len(own) not in (1, 2) or not fits or any(not isinstance(length, int) or length < 1 for length in lengths):
        raise InputError(f"Expected one or two positive `lengths` that fit {tuple(own)}. Received {given}.")
    return lengths


def checked_conditions(stepped: SteppedModel, conditions: Mapping[str, Any], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """The conditions as tensors of the types of their inputs.

    Raises:
        InputError: if they are not those of the model, or one is not of the shape of its input and of the seeds.
    """
    if set(conditions) != set(stepped.conditions):
        raise InputError(
            f"Expected the conditions {sorted(stepped.conditions)} of model {stepped.model.name!r}. "
            f"Received {sorted(conditions)}."
        )
    tensors = {}
    for tensor in stepped.model.inputs:
        if tensor.name in conditions:
            value = tf.cast(conditions[tensor.name], tensor.dtype)
            shape = tf.TensorShape((seed.shape[0], *tensor.shape[1:]))
            if not shape.is_compatible_with(value.shape):
                raise InputError(f"Expected the condition {tensor.name!r} of shape {shape}. Received {value.shape}.")
            tensors[tensor.name] = value
    return tensors


def checked_seed(seed: Any) -> tf.Tensor:
    """The seeds as a tensor.

    Raises:
        InputError: if they are no integers (batch,).
    """
    tensor = tf.convert_to_tensor(seed)
    if tensor.shape.rank != 1 or not tensor.dtype.is_integer:
        raise InputError(f"Expected `seed` to be integers (batch,). Received {tensor.dtype.name} {tensor.shape}.")
    return tensor


def checked_options(seed: tf.Tensor, temperature: Any, top_k: Any, top_p: Any) -> dict[str, tf.Tensor]:
    """The options of `choose`, one for each row of the batch.

    Raises:
        InputError: for a number out of range; `tf.errors.InvalidArgumentError` for one that only the graph knows.
    """
    ranges = {
        "temperature": (temperature, tf.float32, lambda x: x >= 0, "at least 0"),
        "top_k": (top_k, tf.int32, lambda x: x >= 0, "at least 0"),
        "top_p": (top_p, tf.float32, lambda x: (x > 0) & (x <= 1), "more than 0 and at most 1"),
    }
    options = {}
    for name, (value, dtype, is_right, words) in ranges.items():
        if value is None:
            continue
        tensor = tf.cast(value, dtype)
        message = f"Expected `{name}` to be {words}."
        try:
            checks = [tf.debugging.Assert(tf.reduce_all(is_right(tensor)), [message, tensor])]
        except tf.errors.InvalidArgumentError:
            raise InputError(f"{message} Received {value}.") from None
        with tf.control_dependencies(checks if not tf.executing_eagerly() else []):
            options[name] = tf.broadcast_to(tensor, tf.shape(seed))
    return options
