"""Gated PixelCNN: the prior of a grid of codes.

van den Oord et al., "Conditional Image Generation with PixelCNN Decoders" (2016), and as the prior of "Neural Discrete
Representation Learning" (2017).

    codes -> embedding -> block_1 -> block_2 -> ... -> block_<layers> -> hidden 1x1 -> logits
                          mask A, 7x7  mask B, 3x3     the horizontal stack of the last
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from apps.vq_vae.models.arguments import checked_count, checked_lengths, input_errors
from keras_layers import GatedMaskedBlock
from keras_layers.validation import positive_integer
from tools.registry import ModelInfo

# === Functional graph ===


def PixelCNN(
    codes: int = 512,
    filters: int = 128,
    layers: int = 15,
    first_kernel: int = 7,
    kernel_size: int = 3,
    hidden: int = 256,
    condition_shape: Sequence[int] | None = None,
    input_shape: Sequence[int | None] = (32, 32),
    classes: int = 0,
    dropout: float = 0.0,
    name: str | None = None,
) -> keras.Model:
    """Gated PixelCNN over a grid of codes.

    Args:
        codes: size K of the code book.
        filters: channels of both stacks.
        layers: gated blocks, at least 1.
        first_kernel: kernel of the first block, odd, of which the mask shows half.
        kernel_size: kernel of the other blocks, the same.
        hidden: channels of the 1x1 convolution before the logits.
        condition_shape: shape (height, width, channels) of a map on which the codes depend (those of another level,
            say), or None.
        input_shape: (height, width) of the grid; either may be None.
        classes: number of classes on which the codes depend; 0 for none.
        dropout: share of the gated features of every block left out in training, 0 to 1 (excluded). Default 0.0.
        name: name of the model. Default "pixelcnn".

    Returns:
        A Functional model. Inputs, by name: "codes", int32 (batch, height, width); with classes "label", int32
        (batch,); with a condition shape "condition_map", float32. Output: logits, float32 (batch, height, width, K)
        under every dtype policy; those of a position depend on the codes before it in reading order.

    Raises:
        InputError: for an argument out of range.
    """
    # Layers
    with input_errors():
        positive_integer(codes, "codes")
        positive_integer(layers, "layers")
        checked_count(classes, "classes")
        blocks = [
            GatedMaskedBlock(
                filters,
                kernel_size if number else first_kernel,
                mask="B" if number else "A",
                dropout=dropout,
                name=f"block_{number + 1}",
            )
            for number in range(layers)
        ]
        positive_integer(hidden, "hidden")
    grid = checked_lengths(input_shape, ("height", "width"))
    inputs = {"codes": keras.Input(grid, name="codes", dtype="int32")}
    conditions: dict[str, Any] = {}
    if classes:
        inputs["label"] = keras.Input((), name="label", dtype="int32")
        conditions["condition"] = keras.layers.Embedding(classes, filters, name="label_embedding")(inputs["label"])
    if condition_shape is not None:
        shape = checked_lengths(condition_shape, ("height", "width", "channels"), name="condition_shape")
        inputs["condition_map"] = keras.Input(shape, name="condition_map", dtype="float32")
        conditions["condition_map"] = inputs["condition_map"]

    # Functional graph
    logits = pixelcnn_logits(inputs["codes"], blocks, codes, filters, hidden, conditions)

    # Configuration
    return keras.Model(inputs, logits, name=name or "pixelcnn")


def pixelcnn_logits(
    x: Any, blocks: Sequence[GatedMaskedBlock], codes: int, filters: int, hidden: int, conditions: dict[str, Any]
) -> Any:
    """From a grid of codes to their logits: embedding, blocks, and two 1x1 convolutions."""
    embedded = keras.layers.Embedding(codes, filters, name="embedding")(x)
    features = [embedded, embedded]
    for block in blocks:
        features = block(features, **conditions)
    x = keras.layers.Activation("relu", name="relu")(features[1])
    x = keras.layers.Dense(hidden, activation="relu", name="hidden")(x)
    return keras.layers.Dense(codes, dtype="float32", name="logits")(x)


# === Registered models ===

SOURCE = "van den Oord et al. 2016 (gated PixelCNN), 2017 (as the prior of VQ-VAE)"
MODELS = (
    ModelInfo(
        name="pixelcnn",
        constructor=PixelCNN,
        arguments={},
        input_shape=(32, 32),
        classes=0,
        parameters=5_924_992,
        multiply_adds=5_989_466_112,
        preprocessing="codes",
        source=SOURCE,
    ),
    ModelInfo(
        name="pixelcnn_8x8",
        constructor=PixelCNN,
        arguments={"layers": 12, "first_kernel": 5, "dropout": 0.1},
        input_shape=(8, 8),
        classes=10,
        parameters=5_285_376,
        multiply_adds=283_901_952,
        preprocessing="codes",
        source=SOURCE,
    ),
    ModelInfo(
        name="pixelcnn_tiny",
        constructor=PixelCNN,
        arguments={"codes": 16, "filters": 32, "layers": 4, "first_kernel": 5, "hidden": 64},
        input_shape=(8, 8),
        classes=10,
        parameters=115_216,
        multiply_adds=6_242_304,
        preprocessing="codes",
        source=SOURCE,
    ),
)
