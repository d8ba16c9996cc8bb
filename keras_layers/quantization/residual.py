"""Vector quantisation in stages, each of what the stages before it left over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation
from keras_layers.quantization.base import Quantizer
from keras_layers.quantization.search import straight_through
from keras_layers.quantization.vector_quantizer import VectorQuantizer, VectorQuantizerEMA
from keras_layers.sublayers import keep_frozen

UPDATES = {"ema": VectorQuantizerEMA, "gradient": VectorQuantizer}


@keras.saving.register_keras_serializable(package="keras_layers")
class ResidualVectorQuantizer(Quantizer):
    """Replaces every vector by the sum of one code of each of several code books.

    `r_1 = z; q_i = nearest code of stage i to r_i; r_(i+1) = r_i - q_i; z_q = sum_i q_i`

    The gradient of the output goes to the input as it is; every stage adds its own commitment loss. Three uses, as of
    `VectorQuantizer`: `quantizer(z)`, `quantizer.encode(z)` and `quantizer.lookup(indices)`; the last axis of the
    indices is that of the stages. The first of them alone, `lookup` of an incomplete code, is not offered: the stages
    are layers in `stages`, each with a `lookup` of its own.

    Args:
        stages: number of stages.
        codes: codes of each stage, K.
        dimension: of a code vector, D.
        update: how the code books learn: "ema" (default, `VectorQuantizerEMA`) or "gradient" (`VectorQuantizer`).
        commitment_cost: weight of each stage's loss, beta. Default 0.25.
        loss_reduction: "mean" over positions and channels (default), or "sum" over the channels.
        decay: of the running counts and sums. Default 0.99.
        initializer: of each code book, as of `VectorQuantizer`. Default "uniform" in +-1/K.
        revival_threshold: as of `VectorQuantizer`. Default 0: never.
        seed: stage i takes seed + i. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.

    Call arguments:
        inputs: see below.
        mask: as of `VectorQuantizer`.
        training: whether the code books learn.

    Input shape:
        (batch, ..., dimension), rank 2 or more; every axis but the last may be None. `lookup`: integers (..., stages).

    Output shape:
        That of the input, in the compute dtype. `encode`: int32 (..., stages). `lookup`: (..., dimension).

    Raises:
        ValueError: for an argument out of range, an input whose last axis is not the dimension, or indices that are no
            integers or are known and out of range.

    Example:
        >>> quantizer = ResidualVectorQuantizer(stages=4, codes=256, dimension=8)
        >>> latents = keras.ops.ones((2, 100, 8))
        >>> tuple(quantizer(latents).shape), tuple(quantizer.encode(latents).shape)
        ((2, 100, 8), (2, 100, 4))

    Reference:
        Zeghidour et al., "SoundStream: An End-to-End Neural Audio Codec" (2021), section III-C.
    """

    def __init__(
        self,
        stages: int,
        codes: int,
        dimension: int,
        update: str = "ema",
        commitment_cost: float = 0.25,
        loss_reduction: str = "mean",
        decay: float = 0.99,
        initializer: Any = "uniform",
        revival_threshold: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        number = validation.positive_integer(stages, "stages")
        codes = validation.positive_integer(codes, "codes")
        super().__init__(validation.positive_integer(dimension, "dimension"), codes, number, **kwargs)
        self.update = validation.one_of(update, tuple(UPDATES), "update")
        self.seed = seed
        self.stages = [
            UPDATES[self.update](
                codes,
                dimension,
                commitment_cost=commitment_cost,
                loss_reduction=loss_reduction,
                decay=decay,
                initializer=initializer,
                revival_threshold=revival_threshold,
                seed=None if seed is None else seed + stage,
                dtype=self.dtype_policy,
                name=f"{self.name}_{stage + 1}",
            )
            for stage in range(number)
        ]

    def build(self, input_shape: Sequence[int | None]) -> None:
        for stage in self.stages:
            stage.build((None, self.channels))
        keep_frozen(self)

    def _quantize(self, inputs: Any, mask: Any, training: bool | None) -> Any:
        mask = self._flat_mask(mask, inputs)
        residual = ops.reshape(inputs, (-1, self.channels))
        total = ops.zeros_like(residual)
        for stage in self.stages:
            found = ops.stop_gradient(stage(residual, mask=mask, training=training))
            residual, total = residual - found, total + found
        return straight_through(inputs, ops.reshape(total, ops.shape(inputs)))

    def _encode(self, inputs: Any) -> Any:
        residual, indices = inputs, []
        for stage in self.stages:
            indices.append(stage.encode(residual))
            residual = residual - stage.lookup(indices[-1])
        return ops.stack(indices, axis=-1)

    def _lookup(self, indices: Any) -> Any:
        return sum(stage.lookup(indices[..., place]) for place, stage in enumerate(self.stages))

    def get_config(self) -> dict[str, Any]:
        first = self.stages[0].get_config()
        shared = (
            "codes",
            "dimension",
            "commitment_cost",
            "loss_reduction",
            "decay",
            "initializer",
            "revival_threshold",
        )
        return {
            **super().get_config(),
            "stages": len(self.stages),
            "update": self.update,
            **{name: first[name] for name in shared},
            "seed": self.seed,
        }
