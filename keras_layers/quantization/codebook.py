"""What the two vector quantisers share: the code book, its initialisation, the losses, revival, and refusal of NaN."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation
from keras_layers.quantization import initialization, search
from keras_layers.quantization.base import Quantizer

FROM_DATA = ("data", "kmeans")
INITIALIZERS = ("uniform", "variance_scaling", "normal", *FROM_DATA)
REDUCTIONS = ("mean", "sum")
SIMILARITIES = ("euclidean", "cosine")


@dataclasses.dataclass(frozen=True)
class Batch:
    """What a call has found, on one replica.

    Attributes:
        vectors: (positions, heads, dimension), without gradient.
        codebook: (heads, codes, dimension), as it was searched.
        indices: of the nearest codes, (positions, heads).
        errors: squared distances to them, (positions,); 0 where the mask is False.
        mask: (positions,), True for the positions that count; None for all.
        numbers: random, at least 0 and less than 1, (heads, codes); None where none are needed.
    """

    vectors: Any
    codebook: Any
    indices: Any
    errors: Any
    mask: Any | None
    numbers: Any | None


class CodebookQuantizer(Quantizer):
    """Base of the quantisers with a code book that is learned; see `VectorQuantizer` for the arguments.

    A subclass says which loss it adds (`_loss`) and how a batch moves its code book (`_learn`).
    """

    # Whether the optimizer moves the code book.
    trainable_codebook = False

    def __init__(
        self,
        codes: int,
        dimension: int,
        heads: int = 1,
        commitment_cost: float = 0.25,
        loss_reduction: str = "mean",
        decay: float = 0.99,
        initializer: Any = "uniform",
        similarity: str = "euclidean",
        revival_threshold: float = 0.0,
        revival_interval: int = 1,
        seed: int | None = None,
        **kwargs: Any,
    ):
        self.codes = validation.positive_integer(codes, "codes")
        self.dimension = validation.positive_integer(dimension, "dimension")
        self.heads = validation.positive_integer(heads, "heads")
        columns = None if self.heads == 1 else self.heads
        super().__init__(self.heads * self.dimension, self.codes, columns, **kwargs)
        self.commitment_cost = validation.non_negative_number(commitment_cost, "commitment_cost")
        self.loss_reduction = validation.one_of(loss_reduction, REDUCTIONS, "loss_reduction")
        self.decay = validation.fraction(decay, "decay")
        self.similarity = validation.one_of(similarity, SIMILARITIES, "similarity")
        self.revival_threshold = validation.non_negative_number(revival_threshold, "revival_threshold")
        self.revival_interval = validation.positive_integer(revival_interval, "revival_interval")
        self.seed = seed
        self.from_data = isinstance(initializer, str) and initializer in FROM_DATA
        named = isinstance(initializer, str) and initializer in INITIALIZERS
        self.initializer = initializer if named else _initializer(initializer)
        self.draws = keras.random.SeedGenerator(seed) if self.from_data or self.revival_threshold else None
        self._make_metrics(self.codes, self.heads)

    @property
    def state_dtype(self) -> str:
        """Of the code book and its statistics: float32 whatever the policy, but for float64."""
        return "float64" if self.variable_dtype == "float64" else "float32"

    def build(self, input_shape: Sequence[int | None]) -> None:
        shape = (self.heads, self.codes, self.dimension)
        self.codebook = self._state("codebook", shape, self._make_initializer(), trainable=self.trainable_codebook)
        self.counts = self._state("counts", shape[:2], self._first_counts())
        self.steps = self._state("steps", (), "zeros")
        self.initialized = self._state("initialized", (), "zeros" if self.from_data else "ones")
        # Steps that left everything as it was because a vector was not finite: read by `CodebookGuard`.
        self.refused_steps = self._state("refused_steps", (), "zeros")
        # The sum over the replicas is what the aggregation of this variable does when it is assigned.
        rows, columns = self.heads * self.codes + 1, 1 + self._summed_columns()
        self.batch_statistics = self._state("batch_statistics", (rows, columns), "zeros", aggregation="sum")

    def _state(self, name: str, shape: Sequence[int], initializer: Any, trainable: bool = False, **how: Any) -> Any:
        # What one replica writes all of them take over, so that no two code books drift apart.
        how = {"aggregation": "only_first_replica", **how}
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            dtype=self.state_dtype,
            trainable=trainable,
            autocast=False,
            **how,
        )

    def _make_initializer(self) -> Any:
        """The initialiser of the code book; one made of data begins uniform, in case it never meets any."""
        if not isinstance(self.initializer, str):
            return self.initializer
        if self.initializer == "normal":
            return keras.initializers.RandomNormal(stddev=1.0, seed=self.seed)
        bound = (3 / self.dimension) ** 0.5 if self.initializer == "variance_scaling" else 1 / self.codes
        return keras.initializers.RandomUniform(-bound, bound, seed=self.seed)

    def _first_counts(self) -> str:
        return "ones"

    def _summed_columns(self) -> int:
        """Columns of the statistics beside the counts that are summed over the replicas."""
        return 0

    def _encode(self, inputs: Any) -> Any:
        # The nearest code by the cosine does not depend on the length of the input.
        vectors = self._vectors(inputs, normalize=False)
        indices, _ = search.nearest(vectors, self._codebook(), with_errors=False)
        return ops.reshape(indices, self._shape_of(inputs, () if self.columns is None else (self.heads,)))

    def _lookup(self, indices: Any) -> Any:
        indices = indices[..., None] if self.columns is None else indices
        found = search.look_up(self._codebook(), indices)
        return ops.cast(ops.reshape(found, self._shape_of(indices, (self.channels,))), self.compute_dtype)

    def _quantize(self, inputs: Any, mask: Any, training: bool | None) -> Any:
        vectors = self._vectors(inputs)
        mask = self._flat_mask(mask, inputs)
        learning = bool(training) and self.trainable
        numbers = keras.random.uniform((self.heads, self.codes), seed=self.draws) if learning and self.draws else None
        fixed = ops.stop_gradient(vectors)
        if learning and self.from_data:
            self._initialize_from(fixed, mask, numbers)
        codebook = self._codebook()
        indices, errors = search.nearest(fixed, ops.stop_gradient(codebook))
        found = ops.stop_gradient(search.look_up(codebook, indices))
        errors = errors if mask is None else ops.where(mask, errors, 0.0)
        batch = Batch(fixed, codebook, indices, errors, mask, numbers)
        self.add_loss(self._loss(search.total_error(vectors, found, errors, mask) * self._scale(batch)))
        if learning:
            self._learn(batch)
        return ops.reshape(
            search.straight_through(ops.cast(vectors, self.compute_dtype), ops.cast(found, self.compute_dtype)),
            self._shape_of(inputs, (self.channels,)),
        )

    def _loss(self, error: Any) -> Any:
        """The scalar to add, of the reduced squared distance, whose gradient goes to the inputs."""
        raise NotImplementedError

    def _learn(self, batch: Batch) -> None:
        """Moves the code book and its statistics by a training step, or adds the loss that moves it."""
        raise NotImplementedError

    def _vectors(self, inputs: Any, normalize: bool = True) -> Any:
        """The inputs as (positions, heads, dimension) in the type of the code book."""
        vectors = ops.reshape(ops.cast(inputs, self.state_dtype), (-1, self.heads, self.dimension))
        return normalized(vectors) if normalize and self.similarity == "cosine" else vectors

    def _codebook(self) -> Any:
        # A copy: the variable itself may be assigned before all that is computed of this value is.
        codebook = self.codebook * 1.0
        return normalized(codebook) if self.similarity == "cosine" else codebook

    def _shape_of(self, inputs: Any, last: tuple[int, ...]) -> tuple[Any, ...]:
        return (*ops.shape(inputs)[:-1], *last)

    def _scale(self, batch: Batch) -> Any:
        """What the sum of the squared distances is multiplied by: one over the positions, and with the reduction
        "mean" over the channels too."""
        if batch.mask is None:
            positions = ops.cast(ops.shape(batch.errors)[0], self.state_dtype)
        else:
            positions = ops.sum(ops.cast(batch.mask, self.state_dtype))
        return 1.0 / (ops.maximum(positions, 1.0) * (self.channels if self.loss_reduction == "mean" else 1))

    def _count_batch(self, batch: Batch, sums: Any | None = None) -> tuple[Any, ...]:
        """Counts of a batch over all replicas, its sums likewise, and whether the step may be taken.

        Args:
            batch: of this replica.
            sums: of the vectors that chose each code, (heads, codes, dimension); None where they are not needed.

        Returns:
            (heads, codes), (heads, codes, dimension) or None, and a boolean: every counted vector is finite on every
            replica, and there is one.
        """
        own = search.count_codes(batch.indices, self.codes, batch.mask, self.state_dtype)
        unfit = ops.sum(ops.cast(ops.logical_not(ops.isfinite(batch.errors)), self.state_dtype))
        parts = [ops.reshape(own, (-1, 1))]
        if sums is not None:
            parts.append(ops.reshape(sums, (-1, self.dimension)))
        table = ops.concatenate(parts, axis=1)
        last = ops.concatenate([ops.reshape(unfit, (1, 1)), ops.zeros((1, table.shape[1] - 1), table.dtype)], axis=1)
        self.batch_statistics.assign(ops.concatenate([table, last], axis=0))
        statistics = ops.convert_to_tensor(self.batch_statistics)
        counts = ops.reshape(statistics[:-1, 0], (self.heads, self.codes))
        if sums is not None:
            sums = ops.reshape(statistics[:-1, 1:], (self.heads, self.codes, self.dimension))
        fit = statistics[-1, 0] == 0
        accepted = ops.logical_and(fit, ops.sum(counts) > 0)
        self.refused_steps.assign(self.refused_steps + ops.cast(ops.logical_not(fit), self.state_dtype))
        self._report(ops.where(accepted, own, 0.0), ops.where(accepted, counts, 0.0))
        return counts, sums, accepted

    def _initialize_from(self, vectors: Any, mask: Any | None, numbers: Any) -> None:
        """Makes the code book of the first batch whose vectors are finite."""
        before, done = self.codebook * 1.0, self.initialized * 1.0

        def made() -> tuple[Any, Any]:
            codes = initialization.sample(vectors, numbers, mask)
            if self.initializer == "kmeans":
                codes = initialization.kmeans(vectors, codes, mask)
            fit = ops.isfinite(ops.sum(vectors if mask is None else ops.where(mask[:, None, None], vectors, 0.0)))
            fit = fit if mask is None else ops.logical_and(fit, ops.any(mask))
            fit = ops.logical_and(fit, ops.all(ops.isfinite(codes)))
            return ops.where(fit, ops.cast(codes, before.dtype), before), ops.cast(fit, done.dtype)

        codebook, initialized = ops.cond(done > 0, lambda: (before, done), made)
        self.codebook.assign(codebook)
        self.initialized.assign(initialized)
        self._after_initialization(ops.logical_and(done == 0, initialized > 0))

    def _after_initialization(self, now: Any) -> None:
        """Makes the statistics fit a code book that was made of data; `now` is whether it just was."""

    def _dead(self, counts: Any, steps: Any, accepted: Any) -> Any:
        """Which codes are to be made anew, (heads, codes): those whose running count is below the threshold."""
        due = ops.equal(ops.mod(steps, self.revival_interval), 0)
        return ops.logical_and(counts < self.revival_threshold, ops.logical_and(due, accepted))

    def get_config(self) -> dict[str, Any]:
        initializer = self.initializer
        return {
            **super().get_config(),
            "codes": self.codes,
            "dimension": self.dimension,
            "heads": self.heads,
            "commitment_cost": self.commitment_cost,
            "loss_reduction": self.loss_reduction,
            "decay": self.decay,
            "initializer": initializer if isinstance(initializer, str) else keras.initializers.serialize(initializer),
            "similarity": self.similarity,
            "revival_threshold": self.revival_threshold,
            "revival_interval": self.revival_interval,
            "seed": self.seed,
        }


def normalized(vectors: Any) -> Any:
    """Vectors of length 1; one of length 0 stays."""
    return vectors * ops.rsqrt(ops.maximum(ops.sum(ops.square(vectors), axis=-1, keepdims=True), 1e-12))


def _initializer(value: Any) -> keras.initializers.Initializer:
    try:
        initializer = keras.initializers.get(value)
    except (TypeError, ValueError):
        initializer = None
    if initializer is None:
        raise ValueError(
            f"Expected `initializer` to be one of {', '.join(map(repr, INITIALIZERS))}, or an initialiser of Keras for "
            f"the shape (heads, codes, dimension). Received {value!r}."
        )
    return initializer
