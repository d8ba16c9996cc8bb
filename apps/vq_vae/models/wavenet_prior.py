"""WaveNet over a sequence of codes: the prior of sound.

van den Oord et al., "WaveNet: A Generative Model for Raw Audio" (2016), and as the prior of "Neural Discrete
Representation Learning" (2017).

    codes -> embedding -> first -> block_1 -> block_2 -> ...     residual
                          mask A      `-> skip   `-> skip ...    summed -> hidden 1x1 -> logits
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from apps.vq_vae.models.arguments import checked_count, checked_lengths, input_errors
from keras_layers import CausalConv1D, WaveNetBlock
from keras_layers.validation import positive_integer
from tools.registry import ModelInfo

# === Functional graph ===


def WaveNetPrior(
    codes: int = 512,
    filters: int = 128,
    loops: int = 2,
    layers: int = 8,
    kernel_size: int = 2,
    skip_filters: int = 256,
    input_shape: Sequence[int | None] = (320,),
    classes: int = 0,
    dropout: float = 0.0,
    name: str | None = None,
) -> keras.Model:
    """WaveNet over a sequence of codes.

    Args:
        codes: size K of the code book.
        filters: channels of the residual path and of the gates.
        loops: how often the dilations run from 1 to 2^(layers - 1).
        layers: blocks in a loop. The logits depend on the last 2 + loops (kernel_size - 1) (2^layers - 1) codes: on
            512 by default.
        kernel_size: taps of every dilated convolution.
        skip_filters: channels of the skip path and of the 1x1 convolution before the logits.
        input_shape: (time,), which may be None.
        classes: number of speakers on whom the codes depend; 0 for none.
        dropout: share of the gated features of every block left out in training, 0 to 1 (excluded). Default 0.0.
        name: name of the model. Default "wavenet_prior".

    Returns:
        A Functional model. Inputs, by name: "codes", int32 (batch, time); with classes "speaker", int32 (batch,).
        Output: logits, float32 (batch, time, K) under every dtype policy; those of a time depend on the codes before.

    Raises:
        InputError: for an argument out of range.
    """
    # Layers
    with input_errors():
        for value, argument in ((codes, "codes"), (loops, "loops"), (layers, "layers")):
            positive_integer(value, argument)
        checked_count(classes, "classes")
        first = CausalConv1D(filters, 2, mask="A", name="first")
        blocks = [
            WaveNetBlock(
                filters,
                2 ** (number % layers),
                kernel_size,
                skip_filters=skip_filters,
                residual=number + 1 < loops * layers,
                dropout=dropout,
                name=f"block_{number + 1}",
            )
            for number in range(loops * layers)
        ]
        positive_integer(skip_filters, "skip_filters")
    inputs = {"codes": keras.Input(checked_lengths(input_shape, ("time",)), name="codes", dtype="int32")}
    conditions: dict[str, Any] = {}
    if classes:
        inputs["speaker"] = keras.Input((), name="speaker", dtype="int32")
        speaker = keras.layers.Embedding(classes, filters, name="speaker_embedding")(inputs["speaker"])
        conditions["global_condition"] = speaker

    # Functional graph
    x = first(keras.layers.Embedding(codes, filters, name="embedding")(inputs["codes"]))
    skips = []
    for block in blocks[:-1]:
        x, skip = block(x, **conditions)
        skips.append(skip)
    skips.append(blocks[-1](x, **conditions))
    x = keras.layers.Add(name="skips")(skips) if len(skips) > 1 else skips[0]
    x = keras.layers.Activation("relu", name="relu")(x)
    x = keras.layers.Dense(skip_filters, activation="relu", name="hidden")(x)
    logits = keras.layers.Dense(codes, dtype="float32", name="logits")(x)

    # Configuration
    return keras.Model(inputs, logits, name=name or "wavenet_prior")


# === Registered models ===

SOURCE = "van den Oord et al. 2016 (WaveNet), 2017 (as the prior of VQ-VAE); sizes are this suite's"
MODELS = (
    ModelInfo(
        name="wavenet_prior",
        constructor=WaveNetPrior,
        arguments={},
        input_shape=(320,),
        classes=0,
        parameters=2_124_544,
        multiply_adds=655_360_000,
        preprocessing="codes",
        source=SOURCE,
    ),
    ModelInfo(
        name="wavenet_prior_tiny",
        constructor=WaveNetPrior,
        arguments={"codes": 16, "filters": 24, "loops": 1, "layers": 5, "skip_filters": 32},
        input_shape=(32,),
        classes=6,
        parameters=27_208,
        multiply_adds=657_024,
        preprocessing="codes",
        source=SOURCE,
    ),
)
