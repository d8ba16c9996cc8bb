"""Vector quantisation with a code book that follows a loss, or a running mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation
from keras_layers.quantization import initialization, search
from keras_layers.quantization.codebook import Batch, CodebookQuantizer

STARTS = ("ones", "zeros", "sonnet")


@keras.saving.register_keras_serializable(package="keras_layers")
class VectorQuantizer(CodebookQuantizer):
    """Replaces every vector by the nearest of `codes` learned vectors; the code book learns by gradient.

    `z_q = e_k, k = argmin_j ||z - e_j||^2`, and to the loss it adds
    `mean ||sg(z) - e_k||^2 + commitment_cost * mean ||z - sg(e_k)||^2`, sg without gradient. The gradient of the output
    goes to the input as it is (straight-through).

    One layer has three uses, on arrays and in Functional models: `quantizer(z)`, `quantizer.encode(z)` for the
    indices and `quantizer.lookup(indices)` for the vectors of indices.

    In `fit` it logs `<name>_perplexity` (mean over the batches), `<name>_epoch_perplexity` and `<name>_usage` (share of
    the codes chosen in the epoch). They count in training only and are 0 in `evaluate`; there the metrics `Perplexity`
    and `CodebookUsage` measure indices that are an output of the model.

    A training step in which a vector is not finite changes neither the code book's statistics nor sends a gradient to
    the code book; it counts in `refused_steps`, and makes the loss not finite. `CodebookGuard` stops there.

    Memory: the search goes through the positions in chunks, so that none of its tensors has positions times codes.

    Args:
        codes: vectors of the code book, K.
        dimension: of a code vector, D.
        heads: parts into which the channels are split, each with a code book of its own. Default 1.
        commitment_cost: weight of the second term, beta. Default 0.25.
        loss_reduction: "mean" over positions and channels (default; as Sonnet), or "sum" over the channels and mean
            over positions (as the paper writes it: D times as much).
        decay: of the running counts by which revival knows a dead code. Default 0.99.
        initializer: "uniform" in +-1/K (default), "variance_scaling" (uniform in +-sqrt(3/D), as Sonnet), "normal" (of
            deviation 1), "data" (vectors of the first training batch), "kmeans" (their means by k-means), or an
            initialiser of Keras for the shape (heads, codes, dimension).
        similarity: "euclidean" (default), or "cosine": inputs and codes are brought to length 1 first.
        revival_threshold: a code whose running count of choices a batch falls below it becomes a vector of the batch,
            its count the threshold. Default 0: never. The counts begin at 1.
        revival_interval: revive only every so many steps. Default 1.
        seed: of the initialisation and of what revival draws. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer. The code book and all statistics are float32
            under every policy but float64's. While `trainable` is False nothing changes them.

    Call arguments:
        inputs: see below.
        mask: True for the positions that count, over the first axes of the input: all others enter neither loss nor
            statistics nor metrics (and are quantised all the same). Default: the mask that Keras hands on, if any.
        training: whether the code book learns.

    Input shape:
        (batch, ..., heads * dimension), rank 2 or more; every axis but the last may be None. `encode`: the same.
        `lookup`: integers (...), or (..., heads) with several heads.

    Output shape:
        That of the input, in the compute dtype. `encode`: int32 (...), or (..., heads) with several heads. `lookup`:
        (..., heads * dimension), in the compute dtype.

    Raises:
        ValueError: for an argument out of range, an input whose last axis is not heads * dimension, or indices that are
            no integers or are known and out of range.

    Example:
        >>> quantizer = VectorQuantizer(codes=512, dimension=64)
        >>> latents = keras.ops.ones((2, 8, 8, 64))
        >>> tuple(quantizer(latents).shape), tuple(quantizer.encode(latents).shape)
        ((2, 8, 8, 64), (2, 8, 8))
        >>> tuple(quantizer.lookup([[3, 511]]).shape)
        (1, 2, 64)

    Reference:
        van den Oord et al., "Neural Discrete Representation Learning" (2017), section 3.
    """

    trainable_codebook = True

    def _loss(self, error: Any) -> Any:
        # The term of the code book has the same value; its gradient is added in training, by `_learn`.
        return ops.stop_gradient(error) + self.commitment_cost * error

    def _learn(self, batch: Batch) -> None:
        counts, _, accepted = self._count_batch(batch)
        error = self._codebook_error(batch, accepted) * self._scale(batch)
        self.add_loss(error - ops.stop_gradient(error))
        self._follow_counts(batch, counts, accepted)

    def _codebook_error(self, batch: Batch, accepted: Any) -> Any:
        """The squared distances as a function of the code book alone, but for a constant:
        `sum_k n_k ||e_k||^2 - 2 e_k.s_k`, n and s counts and sums of the vectors that chose each code."""
        counts = search.count_codes(batch.indices, self.codes, batch.mask, self.state_dtype)
        sums = search.sum_by_code(batch.vectors, batch.indices, self.codes, batch.mask)
        counts = ops.where(accepted, counts, 0.0)
        sums = ops.where(accepted, sums, 0.0)
        squares = ops.sum(ops.square(batch.codebook), axis=-1)
        return ops.sum(counts * squares) - 2.0 * ops.sum(batch.codebook * sums)

    def _follow_counts(self, batch: Batch, counts: Any, accepted: Any) -> None:
        steps = self.steps + ops.cast(accepted, self.state_dtype)
        counts = ops.where(accepted, self.decay * self.counts + (1 - self.decay) * counts, self.counts)
        if self.revival_threshold:
            dead = self._dead(counts, steps, accepted)
            fresh = initialization.sample(batch.vectors, batch.numbers, batch.mask)
            counts = ops.where(dead, self.revival_threshold, counts)
            self.codebook.assign(ops.where(dead[:, :, None], fresh, self.codebook))
        self.counts.assign(counts)
        self.steps.assign(steps)


@keras.saving.register_keras_serializable(package="keras_layers")
class VectorQuantizerEMA(CodebookQuantizer):
    """Replaces every vector by the nearest of `codes` vectors, each of which is a running mean of what chose it.

    `z_q = e_k, k = argmin_j ||z - e_j||^2`; to the loss it adds `commitment_cost * mean ||z - sg(e_k)||^2`. A training
    step searches the old code book, then moves it:

        N_k <- decay N_k + (1 - decay) n_k             n_k: how many vectors of the batch chose code k
        m_k <- decay m_k + (1 - decay) s_k             s_k: their sum
        e_k <- m_k / ((N_k + epsilon) / (N + K epsilon) N),    N = sum_k N_k

    Everything else is as in `VectorQuantizer`: three uses (`quantizer(z)`, `encode`, `lookup`), metrics in `fit`,
    masks, memory, and what happens when a vector is not finite: that step leaves code book and statistics as they were.

    Under `tf.distribute` n and s are summed over the replicas: these end with the one code book that one replica learns
    from the joined batch. (A code book made of data, and revived codes, take the first replica's vectors.)

    Args:
        codes: vectors of the code book, K.
        dimension: of a code vector, D.
        heads: parts into which the channels are split, each with a code book of its own. Default 1.
        commitment_cost: weight of the loss, beta. Default 0.25.
        loss_reduction: "mean" over positions and channels (default; as Sonnet), or "sum" over the channels and mean
            over positions (as the paper writes it: D times as much).
        decay: of the running counts and sums. Default 0.99.
        epsilon: of the Laplace smoothing, which is not written back into the counts. Default 1e-5.
        start: what the running means begin with. "ones" (default): N = 1, m = e, so that a code not chosen stays where
            it is. "sonnet": N = 0, m = 0, both divided by `1 - decay^t` at step t; a code not chosen yet is at 0.
            "zeros": N = 0, m = e, as several PyTorch codes have it; a code not chosen in the first step is thrown far
            away and hardly comes back.
        initializer: "uniform" in +-1/K (default), "variance_scaling" (uniform in +-sqrt(3/D), as Sonnet), "normal" (of
            deviation 1), "data" (vectors of the first training batch), "kmeans" (their means by k-means), or an
            initialiser of Keras for the shape (heads, codes, dimension).
        similarity: "euclidean" (default), or "cosine": inputs and codes are brought to length 1 first.
        revival_threshold: a code whose N_k falls below it becomes a vector of the batch, with N_k the threshold and m_k
            to match. Default 0: never.
        revival_interval: revive only every so many steps. Default 1.
        seed: of the initialisation and of what revival draws. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer. The code book and all statistics are float32
            under every policy but float64's. While `trainable` is False nothing changes them.

    Input shape:
        (batch, ..., heads * dimension), rank 2 or more; every axis but the last may be None. `encode`: the same.
        `lookup`: integers (...), or (..., heads) with several heads.

    Output shape:
        That of the input, in the compute dtype. `encode`: int32 (...), or (..., heads) with several heads. `lookup`:
        (..., heads * dimension), in the compute dtype.

    Raises:
        ValueError: for an argument out of range, an input whose last axis is not heads * dimension, or indices that are
            no integers or are known and out of range.

    Example:
        >>> latent = keras.Input((8, 8, 64))
        >>> quantizer = VectorQuantizerEMA(codes=512, dimension=64, name="vq")
        >>> model = keras.Model(latent, quantizer(latent))
        >>> to_indices = keras.Model(latent, quantizer.encode(latent))
        >>> code = keras.Input((8, 8), dtype="int32")
        >>> from_indices = keras.Model(code, quantizer.lookup(code))
        >>> to_indices.output_shape, from_indices.output_shape
        ((None, 8, 8), (None, 8, 8, 64))

    Reference:
        van den Oord et al., "Neural Discrete Representation Learning" (2017), appendix A.1; Razavi et al., "Generating
        Diverse High-Fidelity Images with VQ-VAE-2" (2019). `start="sonnet"` follows dm-sonnet 2.0.2.
    """

    def __init__(
        self,
        codes: int,
        dimension: int,
        heads: int = 1,
        commitment_cost: float = 0.25,
        loss_reduction: str = "mean",
        decay: float = 0.99,
        epsilon: float = 1e-5,
        start: str = "ones",
        initializer: Any = "uniform",
        similarity: str = "euclidean",
        revival_threshold: float = 0.0,
        revival_interval: int = 1,
        seed: int | None = None,
        **kwargs: Any,
    ):
        self.epsilon = validation.positive_number(epsilon, "epsilon")
        self.start = validation.one_of(start, STARTS, "start")
        super().__init__(
            codes,
            dimension,
            heads,
            commitment_cost,
            loss_reduction,
            decay,
            initializer,
            similarity,
            revival_threshold,
            revival_interval,
            seed,
            **kwargs,
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        super().build(input_shape)
        first = "zeros" if self.start == "sonnet" else lambda shape, dtype: ops.convert_to_tensor(self.codebook)
        self.sums = self._state("sums", (self.heads, self.codes, self.dimension), first)

    def _first_counts(self) -> str:
        return "ones" if self.start == "ones" else "zeros"

    def _summed_columns(self) -> int:
        return self.dimension

    def _after_initialization(self, now: Any) -> None:
        if self.start != "sonnet":
            self.sums.assign(ops.where(now, self.codebook, self.sums))

    def _loss(self, error: Any) -> Any:
        return self.commitment_cost * error

    def _learn(self, batch: Batch) -> None:
        sums = search.sum_by_code(batch.vectors, batch.indices, self.codes, batch.mask)
        counts, sums, accepted = self._count_batch(batch, sums)
        steps = self.steps + 1.0
        counts = self.decay * self.counts + (1 - self.decay) * counts
        sums = self.decay * self.sums + (1 - self.decay) * sums
        # What the means lack because they began at 0.
        weight = 1.0 - ops.power(self.decay, steps) if self.start == "sonnet" else ops.ones_like(steps)
        codebook = sums / weight / self._smoothed(counts / weight)[:, :, None]
        if self.revival_threshold:
            dead = self._dead(counts / weight, steps, accepted)
            fresh = initialization.sample(batch.vectors, batch.numbers, batch.mask)
            counts = ops.where(dead, weight * self.revival_threshold, counts)
            dead = dead[:, :, None]
            sums = ops.where(dead, weight * self.revival_threshold * fresh, sums)
            codebook = ops.where(dead, fresh, codebook)
        for variable, value in (
            (self.counts, counts),
            (self.sums, sums),
            (self.codebook, codebook),
            (self.steps, steps),
        ):
            variable.assign(ops.where(accepted, value, variable))

    def _smoothed(self, counts: Any) -> Any:
        total = ops.sum(counts, axis=-1, keepdims=True)
        return (counts + self.epsilon) / (total + self.codes * self.epsilon) * total

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon, "start": self.start}
