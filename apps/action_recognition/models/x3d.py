"""X3D: a tiny 2-D network expanded, one axis at a time, into a small and accurate 3-D one.

Feichtenhofer, "X3D: Expanding Architectures for Efficient Video Recognition" (2020).

    clip -> conv1 (1x3x3, 5x1x1 channelwise) -> res2 -> res3 -> res4 -> res5 -> conv5 -> pool -> fc1 -> classifier
    stride  1,2,2                               1,2,2   1,2,2   1,2,2   1,2,2

    block:  input --> 1x1x1, BN, ReLU --> 3x3x3 channelwise, BN --> (SE) --> swish --> 1x1x1, BN --> add --> ReLU
              |                                                                                       |
              +---------------------- (1x1x1 where the shape changes, BN) ----------------------------+
"""

from __future__ import annotations

import os
from typing import Any

import keras

from apps.action_recognition.models import blocks
from apps.action_recognition.models.documentation import documented
from keras_layers import ChannelwiseConv3D, SqueezeExcitation3D
from keras_layers.validation import one_of, positive_integer, positive_integers, positive_number
from tools.registry import ModelInfo

# === Configuration ===


# What the expansion begins with, X2D: one frame of 112x112, no more channels inside a block than outside of it, and in
# the stages res2 to res5 so many blocks. Depth d makes ceil(d * blocks) of them.
X2D_DEPTHS = (1, 2, 5, 3)
X2D_SIDE = 112
# Blocks and channels of the stages res2 to res5.
DEPTHS = {"m": (3, 5, 11, 7), "l": (5, 10, 25, 15)}
WIDTHS = (24, 48, 96, 192)
# Channels inside a block over those outside, of its squeeze-and-excitation (every other block has one) over those
# inside, and of fc1.
BOTTLENECK = 2.25
SQUEEZE = 0.0625
FC1_UNITS = 2048
# Whose network: whether res2's shortcut, which changes the size but not the number of channels, is normalised.
SHORTCUTS = {"pytorchvideo": False, "pyslowfast": True}


def rounded_filters(filters: float, divisor: int = 8) -> int:
    """`filters` to the nearest multiple of `divisor`, at least one, and not less than nine tenths of it."""
    rounded = max(divisor, int(filters + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * filters else rounded


# === Functional graph ===


@documented(
    name='"x3d"',
    features="(batch, features), or (batch, frames, height / 32, width / 32, features) without pooling, where features "
    "are `bottleneck` times the last stage's channels",
    include_top="whether the classifier, and the layer fc1 before it, are part of the model.",
)
def X3D(
    depths: tuple[int, int, int, int] = DEPTHS["m"],
    widths: tuple[int, int, int, int] = WIDTHS,
    bottleneck: float = BOTTLENECK,
    fc1_units: int = FC1_UNITS,
    shortcut: str = "pytorchvideo",
    input_shape: tuple[int | None, int | None, int | None, int] = (16, 224, 224, 3),
    classes: int = 400,
    dropout: float = 0.5,
    weights: str | os.PathLike | None = None,
    name: str | None = None,
    include_top: bool = True,
    pooling: str | None = "avg",
    classifier_activation: str | None = "softmax",
) -> keras.Model:
    """X3D for clips.

    All scales of normalizations begin with 1; PyTorchVideo begins those of the last ones of the blocks with 0.

    Args:
        depths: blocks of the four stages.
        widths: channels of the four stages.
        bottleneck: channels inside a block, and of conv5, over those of its stage. Default 2.25.
        fc1_units: channels of the layer fc1. Default 2048.
        shortcut: "pytorchvideo" (no normalization on the shortcut of res2, which only halves the size) or
            "pyslowfast" (one). Weights of the one do not fit the other.
        input_shape: (frames, height, width, channels); all but the channels may be None.
        {head}
    """
    # Layers
    head = blocks.Head(classes, dropout, include_top, pooling, classifier_activation)
    with blocks.input_errors():
        depths = positive_integers(depths, len(WIDTHS), "depths")
        widths = positive_integers(widths, len(WIDTHS), "widths")
        inner = [positive_integer(_inner(bottleneck, filters), "bottleneck * widths") for filters in widths]
        fc1_units = positive_integer(fc1_units, "fc1_units")
        normalised = SHORTCUTS[one_of(shortcut, tuple(SHORTCUTS), "shortcut")]
    name = name or "x3d"
    clip, x = blocks.clip_input(name, input_shape)

    # Functional graph
    x = blocks.convolution(x, widths[0], (1, 3, 3), (1, 2, 2), name="conv1_spatial")
    x = _channelwise((5, 1, 1), 1, "conv1_temporal")(x)
    x = blocks.normalization("conv1")(x)
    x = keras.layers.Activation("relu", name="conv1_activation")(x)
    for stage, (count, filters, inside) in enumerate(zip(depths, widths, inner, strict=True), start=2):
        for block in range(1, count + 1):
            x = _block(x, filters, inside, block, normalised, f"res{stage}_block{block}")
    x = blocks.unit(x, inner[-1], (1, 1, 1), name="conv5")
    outputs = _head(head, x, fc1_units)

    # Configuration
    return blocks.finished(clip, outputs, name, weights, include_top)


# === Layers ===


def _inner(bottleneck: float, filters: int) -> int:
    return int(positive_number(bottleneck, "bottleneck") * filters)


def _channelwise(kernel_size: tuple[int, int, int], stride: int, name: str) -> ChannelwiseConv3D:
    return ChannelwiseConv3D(
        kernel_size,
        (1, stride, stride),
        padding="symmetric",
        kernel_initializer=blocks.he_normal(),
        name=name,
    )


def _block(x: Any, filters: int, inner: int, number: int, normalised: bool, name: str) -> Any:
    stride = 2 if number == 1 else 1
    shortcut = x
    if stride > 1:
        shortcut = blocks.convolution(x, filters, (1, 1, 1), (1, stride, stride), name=f"{name}_shortcut")
        if normalised or x.shape[-1] != filters:
            shortcut = blocks.normalization(f"{name}_shortcut")(shortcut)

    x = blocks.unit(x, inner, (1, 1, 1), name=f"{name}_a")
    x = _channelwise((3, 3, 3), stride, f"{name}_b")(x)
    x = blocks.normalization(f"{name}_b")(x)
    if number % 2:
        x = SqueezeExcitation3D(rounded_filters(SQUEEZE * inner), name=f"{name}_squeeze_excitation")(x)
    x = keras.layers.Activation("silu", name=f"{name}_b_activation")(x)
    x = blocks.unit(x, filters, (1, 1, 1), name=f"{name}_c", activation=None)
    return blocks.add(x, shortcut, name)


def _head(head: blocks.Head, x: Any, fc1_units: int) -> Any:
    if not head.include_top:
        return head(x)
    x = head.pool(x, "global_pool")
    x = keras.layers.Dense(
        fc1_units, activation="relu", use_bias=False, kernel_initializer=blocks.he_normal(), name="fc1"
    )(x)
    return head.classify(x)


# === Registered models ===


def _info(
    size: str,
    depths: str,
    frames: int,
    frame_rate: float,
    side: int,
    parameters: int,
    multiply_adds: int,
    accuracy: str,
) -> ModelInfo:
    return ModelInfo(
        name=f"x3d_{size}",
        constructor=X3D,
        arguments={"depths": DEPTHS[depths]},
        input_shape=(frames, side, side, 3),
        classes=400,
        parameters=parameters,
        multiply_adds=multiply_adds,
        preprocessing="pyslowfast",
        frame_rate=frame_rate,
        source=f"Feichtenhofer 2020; as PyTorchVideo x3d_{size}",
        accuracy=f"Kinetics-400, top-1/top-5: {accuracy} % (published by PyTorchVideo)",
    )


MODELS = (
    # size, depths, frames, frames per second, side, parameters, multiply-adds, published accuracy
    _info("xs", "m", 4, 2.5, 160, 3_794_274, 605_256_512, "69.12/88.63"),
    _info("s", "m", 13, 5.0, 160, 3_794_274, 1_962_892_112, "73.33/91.27"),
    _info("m", "m", 16, 6.0, 224, 3_794_274, 4_732_468_736, "75.94/92.72"),
    _info("l", "l", 16, 6.0, 312, 6_153_384, 18_367_710_176, "77.44/93.31"),
)
