"""What every quantiser shares: three uses of one layer, the shapes they take, and what is reported of the codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_layers import validation
from keras_layers.quantization.usage import CodebookUsage, Perplexity, perplexity_of

TASKS = ("quantize", "encode", "lookup")


class Quantizer(keras.layers.Layer):
    """Base of the layers that replace vectors by codes.

    One layer has three uses, on tensors and on the symbolic tensors of Functional models alike:

        quantizer(x)                the code vectors in place of the vectors x, of x's shape
        quantizer.encode(x)         the indices of these codes, int32
        quantizer.lookup(indices)   the code vectors of given indices

    so that `quantizer.lookup(quantizer.encode(x))` equals `quantizer(x)`. Models of the three share the layer, save and
    load. A subclass names its sizes in `__init__` and defines `_quantize`, `_encode` and `_lookup`.

    Args:
        channels: of the vectors.
        codes: indices are less than it.
        columns: indices of one vector, the last axis of the indices; None for one index without an axis of its own.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.
    """

    def __init__(self, channels: int, codes: int, columns: int | None, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.channels, self.code_count, self.columns = channels, codes, columns

    def encode(self, inputs: Any) -> Any:
        """Indices of the codes of `inputs` (..., channels): int32 (...), or (..., heads) with several indices a vector.

        Raises:
            ValueError: if the last axis is not that of the code vectors.
        """
        return self(inputs, task="encode")

    def lookup(self, indices: Any) -> Any:
        """Code vectors (..., channels) of integer `indices`, of the shape that `encode` gives.

        Inside a compiled graph, where no values are known, an index out of range stands for the nearest in range.

        Raises:
            ValueError: if the indices are no integers, lack the axis of the heads, or are known and out of range.
        """
        if isinstance(indices, (list, tuple, int, np.integer)):
            indices = np.asarray(indices)
        known = _known_values(indices)
        if known is not None and known.size and known.dtype.kind in "iu":
            wrong = known[(known < 0) | (known >= self.code_count)]
            if wrong.size:
                raise ValueError(
                    f"Expected indices for {self.name!r} of at least 0 and less than {self.code_count}. "
                    f"Received {wrong.flat[0]}."
                )
        return self(indices, task="lookup")

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None, task: str = "quantize") -> Any:
        self._check(inputs.shape, inputs.dtype, task)
        if task == "encode":
            return self._encode(inputs)
        if task == "lookup":
            return self._lookup(ops.clip(ops.cast(inputs, "int32"), 0, self.code_count - 1))
        return self._quantize(inputs, mask, training)

    def _quantize(self, inputs: Any, mask: Any, training: bool | None) -> Any:
        raise NotImplementedError

    def _encode(self, inputs: Any) -> Any:
        raise NotImplementedError

    def _lookup(self, indices: Any) -> Any:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Sequence[int | None], task: str = "quantize") -> tuple[int | None, ...]:
        """Shape of what a task ("quantize", "encode" or "lookup") makes of an input."""
        input_shape = tuple(input_shape)
        self._check(input_shape, None, task)
        axes = () if self.columns is None else (self.columns,)
        if task == "encode":
            return (*input_shape[:-1], *axes)
        if task == "lookup":
            return (*(input_shape[:-1] if axes else input_shape), self.channels)
        return input_shape

    def compute_output_spec(
        self, inputs: Any, mask: Any = None, training: bool | None = None, task: str = "quantize"
    ) -> keras.KerasTensor:
        self._check(inputs.shape, inputs.dtype, task)
        dtype = "int32" if task == "encode" else self.compute_dtype
        return keras.KerasTensor(self.compute_output_shape(inputs.shape, task), dtype=dtype)

    def _check(self, shape: Sequence[int | None], dtype: Any, task: str) -> None:
        validation.one_of(task, TASKS, "task")
        shape = tuple(shape)
        if task != "lookup":
            if len(shape) < 2 or shape[-1] != self.channels:
                raise ValueError(
                    f"Expected an input of {self.name!r} of shape (batch, ..., {self.channels}). "
                    f"Received shape {shape}."
                )
            return
        if dtype is not None and "int" not in keras.backend.standardize_dtype(dtype):
            raise ValueError(
                f"Expected integer indices for {self.name!r}. Received {keras.backend.standardize_dtype(dtype)}."
            )
        if self.columns is not None and (not shape or shape[-1] != self.columns):
            raise ValueError(f"Expected indices of {self.name!r} of shape (..., {self.columns}). Received {shape}.")

    def _make_metrics(self, codes: int, heads: int) -> None:
        """Makes what `fit` logs: perplexity of the batches and of the epoch, and the share of the codes in use."""
        self.batch_perplexity = keras.metrics.Mean(name=f"{self.name}_perplexity", dtype="float32")
        self.epoch_perplexity = Perplexity(codes, heads, name=f"{self.name}_epoch_perplexity", dtype="float32")
        self.epoch_usage = CodebookUsage(codes, heads, name=f"{self.name}_usage", dtype="float32")

    def _report(self, own: Any, all_replicas: Any) -> None:
        """Adds counts (heads, codes) of a batch to the metrics: this replica's, and the sum over the replicas."""
        values = perplexity_of(all_replicas)
        self.batch_perplexity.update_state(ops.mean(values), sample_weight=ops.cast(ops.any(values > 0), "float32"))
        self.epoch_perplexity.update_counts(own)
        self.epoch_usage.update_counts(own)

    def _flat_mask(self, mask: Any, inputs: Any) -> Any | None:
        """A mask of the first axes of the inputs as a boolean for every position, (positions,)."""
        if mask is None:
            return None
        mask = ops.cast(ops.convert_to_tensor(mask), "bool")
        shape = ops.shape(inputs)[:-1]
        if mask.ndim > len(shape):
            raise ValueError(
                f"Expected the mask of {self.name!r} to have at most {len(shape)} axes, those of the input "
                f"without its channels. Received shape {tuple(mask.shape)}."
            )
        mask = ops.reshape(mask, (*ops.shape(mask), *(1 for _ in range(len(shape) - mask.ndim))))
        return ops.reshape(ops.broadcast_to(mask, shape), (-1,))


def _known_values(tensor: Any) -> np.ndarray | None:
    """The values of a tensor, None where it has none yet: a symbolic one, or one of a graph that is being traced."""
    if keras.backend.is_keras_tensor(tensor):
        return None
    try:
        return np.asarray(ops.convert_to_numpy(tensor))
    except (NotImplementedError, TypeError):
        return None
