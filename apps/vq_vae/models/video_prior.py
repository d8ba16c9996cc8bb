"""The prior of a video in the latent space: a gated PixelCNN of each frame on the frames before it.

van den Oord et al., "Neural Discrete Representation Learning" (2017), section 4.4, predicts 10 frames from 6, with or
without actions, all in the latent space. The paper does not give the network; this one is:

    past (frames, height, width) -> past_embedding -> channels -> past_conv -> past_block_1 ... --> condition map
    action -> action_embedding ------------------------------------------------------------------> condition
    codes -> gated PixelCNN on both -> logits
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from apps.vq_vae.models.arguments import checked_count, checked_lengths, input_errors
from apps.vq_vae.models.pixelcnn import pixelcnn_logits
from keras_layers import GatedMaskedBlock
from keras_layers.validation import positive_integer
from tools.registry import ModelInfo

# Frames of context, section 4.4.
PAST = 6

# === Functional graph ===


def VideoPrior(
    codes: int = 512,
    past: int = PAST,
    filters: int = 64,
    layers: int = 6,
    first_kernel: int = 5,
    kernel_size: int = 3,
    past_layers: int = 4,
    hidden: int = 128,
    input_shape: Sequence[int] = (16, 16),
    classes: int = 0,
    dropout: float = 0.0,
    name: str | None = None,
) -> keras.Model:
    """Gated PixelCNN over the codes of a frame, on the codes of the frames before and the action that leads to it.

    Args:
        codes: size K of the code book.
        past: frames before that are seen.
        filters: channels of both stacks and of the residual network on the past.
        layers: gated blocks, at least 1.
        first_kernel: kernel of the first block, odd, of which the mask shows half.
        kernel_size: kernel of the other blocks, the same.
        past_layers: residual blocks of the network on the past, of two 3x3 convolutions each.
        hidden: channels of the 1x1 convolution before the logits.
        input_shape: (height, width) of the codes of a frame, both fixed.
        classes: number of actions; 0 for none.
        dropout: share of the gated features of every block left out in training, 0 to 1 (excluded). Default 0.0.
        name: name of the model. Default "video_prior".

    Returns:
        A Functional model. Inputs, by name: "codes", int32 (batch, height, width), of the frame; "past", int32 (batch,
        past, height, width), of the frames before in order of time, K where there is none; with classes "action", int32
        (batch,). Output: logits, float32 (batch, height, width, K) under every dtype policy.

    Raises:
        InputError: for an argument out of range.
    """
    # Layers
    with input_errors():
        for value, argument in ((codes, "codes"), (past, "past"), (layers, "layers"), (hidden, "hidden")):
            positive_integer(value, argument)
        checked_count(past_layers, "past_layers")
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
    grid = checked_lengths(input_shape, ("height", "width"), free=False)
    inputs = {
        "codes": keras.Input(grid, name="codes", dtype="int32"),
        "past": keras.Input((past, *grid), name="past", dtype="int32"),
    }

    # Functional graph
    conditions = {"condition_map": _features_of_past(inputs["past"], codes, past, grid, filters, past_layers)}
    if classes:
        inputs["action"] = keras.Input((), name="action", dtype="int32")
        conditions["condition"] = keras.layers.Embedding(classes, filters, name="action_embedding")(inputs["action"])
    logits = pixelcnn_logits(inputs["codes"], blocks, codes, filters, hidden, conditions)

    # Configuration
    return keras.Model(inputs, logits, name=name or "video_prior")


def _features_of_past(x: Any, codes: int, past: int, grid: Sequence[int], filters: int, layers: int) -> Any:
    # One more code stands for a frame before the beginning.
    x = keras.layers.Embedding(codes + 1, filters // 2 or 1, name="past_embedding")(x)
    x = keras.layers.Permute((2, 3, 1, 4), name="past_last")(x)
    x = keras.layers.Reshape((*grid, past * (filters // 2 or 1)), name="past_channels")(x)
    x = _convolution(filters, "past_conv")(x)
    for number in range(1, layers + 1):
        residual = keras.layers.Activation("relu", name=f"past_block_{number}_relu1")(x)
        residual = _convolution(filters, f"past_block_{number}_conv1")(residual)
        residual = keras.layers.Activation("relu", name=f"past_block_{number}_relu2")(residual)
        residual = _convolution(filters, f"past_block_{number}_conv2")(residual)
        x = keras.layers.Add(name=f"past_block_{number}")([x, residual])
    return x


def _convolution(filters: int, name: str) -> keras.layers.Conv2D:
    return keras.layers.Conv2D(filters, 3, padding="same", data_format="channels_last", name=name)


# === Registered models ===

MODELS = (
    ModelInfo(
        name="video_prior",
        constructor=VideoPrior,
        arguments={},
        input_shape=(16, 16),
        classes=0,
        parameters=1_178_720,
        multiply_adds=288_358_400,
        preprocessing="codes",
        source="van den Oord et al. 2017, section 4.4 (6 context frames); the network is this suite's",
    ),
)
