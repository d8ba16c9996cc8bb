"""R(2+1)D: residual networks whose 3-D convolutions are split into space and time.

Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition" (2018).

    input  ->  conv1  ->  conv2_x  ->  conv3_x  ->  conv4_x  ->  conv5_x  ->  global_pool  ->  classifier
    stride     1,2,2      1            2,2,2        2,2,2        2,2,2                         (t, h, w)

    block:   input --> Conv2Plus1D --> BN --> ReLU --> Conv2Plus1D --> BN --> add --> ReLU
               |                                                               |
               +---------- (1x1x1 convolution --> BN, where the shape changes) +
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import keras

from apps.action_recognition.models import blocks
from apps.action_recognition.models.documentation import WINDOWS, documented
from keras_layers.validation import one_of, positive_integers
from keras_layers.video import Conv2Plus1D, TemporalDifference, WindowedAveragePooling3D, parameter_matched_filters
from tools.errors import InputError
from tools.registry import ModelInfo

# === Configuration ===


@dataclasses.dataclass(frozen=True)
class ChannelRule:
    """In what the published implementations differ.

    Attributes:
        every_convolution: whether the channels between space and time are computed for each convolution, or once a
            block from the block's input and output.
        epsilon: of every batch normalization.
    """

    every_convolution: bool
    epsilon: float


CHANNEL_RULES = {
    "torchvision": ChannelRule(every_convolution=False, epsilon=1e-5),
    "vmz": ChannelRule(every_convolution=True, epsilon=1e-3),
}
# Blocks in conv2_x, conv3_x, conv4_x and conv5_x.
DEPTHS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
STAGE_STRIDES = (1, 2, 2, 2)
BOTTLENECK_STRIDES = ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
STEM_INTERMEDIATE_FILTERS = (45, 64)
KERNEL = (3, 3, 3)
MODALITIES = ("rgb", "rgb_difference")


# === Functional graph ===


@documented(
    name='"r2plus1d_<depth>"',
    features="(batch, widths[3]), or (batch, frames / 8, height / 16, width / 16, widths[3]) without pooling",
)
def R2Plus1D(
    depth: int = 18,
    channel_rule: str = "torchvision",
    widths: tuple[int, int, int, int] = (64, 128, 256, 512),
    input_shape: tuple[int | None, int | None, int | None, int] = (16, 112, 112, 3),
    classes: int = 400,
    dropout: float = 0.0,
    weights: str | os.PathLike | None = None,
    name: str | None = None,
    include_top: bool = True,
    pooling: str | None = "avg",
    classifier_activation: str | None = "softmax",
    modality: str = "rgb",
) -> keras.Model:
    """R(2+1)D for clips.

    Args:
        depth: 10 (one block a stage), 18 or 34.
        channel_rule: channels between the spatial and the temporal convolution, "torchvision" (computed once a block,
            batch normalization with epsilon 1e-5) or "vmz" (computed for each convolution, epsilon 1e-3; the paper's
            authors' code and the IG-65M weights). Weights of the one do not fit the other.
        widths: channels of the four stages.
        input_shape: (frames, height, width, channels); all but the channels may be None.
        {head}
        modality: "rgb", or "rgb_difference" to show the network only what changes from frame to frame (Wang et al.,
            "Temporal Segment Networks", 2016): one frame fewer, no weights more.
    """
    # Layers
    counts, rule, widths = _validated(depth, channel_rule, widths, modality)
    head = blocks.Head(classes, dropout, include_top, pooling, classifier_activation)
    name = name or f"r2plus1d_{depth}"
    clip, x = blocks.clip_input(name, input_shape, (2 if modality == "rgb_difference" else 1, 1, 1))
    stem_filters = STEM_INTERMEDIATE_FILTERS[0] * widths[0] // STEM_INTERMEDIATE_FILTERS[1]

    # Functional graph
    if modality == "rgb_difference":
        x = TemporalDifference(name="difference")(x)
    x = _convolution(widths[0], (3, 7, 7), (1, 2, 2), max(1, stem_filters), rule, "conv1")(x)
    x = blocks.normalization("conv1", rule.epsilon)(x)
    x = keras.layers.Activation("relu", name="conv1_activation")(x)
    for stage, (count, filters, stride) in enumerate(zip(counts, widths, STAGE_STRIDES, strict=True), start=2):
        for block in range(1, count + 1):
            x = _block(x, filters, stride if block == 1 else 1, rule, f"conv{stage}_block{block}")

    # Configuration
    return blocks.finished(clip, head(x), name, weights, include_top)


@documented(
    name='"r2plus1d_<depth>"',
    features="(batch, 32 * width), or (batch, frames / 4, height / 32, width / 32, 32 * width) without pooling",
    average=WINDOWS,
)
def R2Plus1DBottleneck(
    depth: int = 50,
    width: int = 64,
    input_shape: tuple[int | None, int | None, int | None, int] = (16, 224, 224, 3),
    classes: int = 400,
    dropout: float = 0.5,
    weights: str | os.PathLike | None = None,
    name: str | None = None,
    include_top: bool = True,
    pooling: str | None = "avg",
    classifier_activation: str | None = "softmax",
) -> keras.Model:
    """R(2+1)D of bottleneck blocks, whose middle convolution is split: time first, then space.

    Args:
        depth: 14 (one block a stage), 50 or 101.
        width: channels of conv1; those of the stages are 4, 8, 16 and 32 times as many.
        input_shape: (frames, height, width, channels); all but the channels may be None.
        {head}
    """
    # Layers
    counts = blocks.checked_bottlenecks(depth, width)
    head = blocks.Head(classes, dropout, include_top, pooling, classifier_activation)
    name = name or f"r2plus1d_{depth}"
    clip, x = blocks.clip_input(name, input_shape)

    # Functional graph
    x = blocks.unit(x, width, (1, 7, 7), (1, 2, 2), name="conv1")
    for stage, (count, strides) in enumerate(zip(counts, BOTTLENECK_STRIDES, strict=True), start=2):
        x = blocks.Stage(count, strides=strides, split_kernel=3)(x, width * 2 ** (stage - 2), f"res{stage}")

    # Configuration
    return blocks.finished(clip, head(x, WindowedAveragePooling3D), name, weights, include_top)


# === Layers ===


def _convolution(
    filters: int,
    kernel_size: tuple[int, int, int],
    strides: int | tuple[int, int, int],
    intermediate_filters: int,
    rule: ChannelRule,
    name: str,
) -> Conv2Plus1D:
    return Conv2Plus1D(
        filters,
        kernel_size,
        strides,
        padding="symmetric",
        intermediate_filters=intermediate_filters,
        momentum=blocks.MOMENTUM,
        epsilon=rule.epsilon,
        kernel_initializer=blocks.he_normal(),
        name=name,
    )


def _block(x: Any, filters: int, stride: int, rule: ChannelRule, name: str) -> Any:
    first = parameter_matched_filters(KERNEL, x.shape[-1], filters)
    second = parameter_matched_filters(KERNEL, filters, filters) if rule.every_convolution else first
    shortcut = blocks.shortcut(x, filters, (stride,) * 3, name, rule.epsilon)
    x = _convolution(filters, KERNEL, stride, first, rule, f"{name}_conv1")(x)
    x = blocks.normalization(f"{name}_conv1", rule.epsilon)(x)
    x = keras.layers.Activation("relu", name=f"{name}_conv1_activation")(x)
    x = _convolution(filters, KERNEL, 1, second, rule, f"{name}_conv2")(x)
    x = blocks.normalization(f"{name}_conv2", rule.epsilon)(x)
    return blocks.add(x, shortcut, name)


def _validated(
    depth: int, channel_rule: str, widths: Any, modality: Any
) -> tuple[tuple[int, ...], ChannelRule, tuple[int, ...]]:
    if depth not in DEPTHS:
        raise InputError(f"Expected `depth` to be one of {', '.join(map(str, DEPTHS))}. Received {depth!r}.")
    with blocks.input_errors():
        one_of(channel_rule, tuple(CHANNEL_RULES), "channel_rule")
        one_of(modality, MODALITIES, "modality")
        return DEPTHS[depth], CHANNEL_RULES[channel_rule], positive_integers(widths, len(STAGE_STRIDES), "widths")


# === Registered models ===

PAPER = "Tran et al. 2018"
MODELS = (
    ModelInfo(
        name="r2plus1d_18",
        constructor=R2Plus1D,
        arguments={"depth": 18, "channel_rule": "torchvision"},
        input_shape=(16, 112, 112, 3),
        classes=400,
        parameters=31_505_325,
        multiply_adds=40_519_080_960,
        preprocessing="torchvision",
        frame_rate=15.0,
        source=f"{PAPER}; as torchvision r2plus1d_18",
        accuracy="Kinetics-400, one clip, top-1/top-5: 57.5/78.81 % (published by torchvision)",
    ),
    ModelInfo(
        name="r2plus1d_18_vmz",
        constructor=R2Plus1D,
        arguments={"depth": 18, "channel_rule": "vmz"},
        input_shape=(16, 112, 112, 3),
        classes=400,
        parameters=33_370_839,
        multiply_adds=41_496_308_736,
        preprocessing="torchvision",
        frame_rate=15.0,
        source=f"{PAPER}; as VMZ R(2+1)D-18",
        accuracy="Kinetics-400, whole videos, top-1/top-5: 68.5/87.5 % (published by VMZ)",
    ),
    ModelInfo(
        name="r2plus1d_34",
        constructor=R2Plus1D,
        arguments={"depth": 34, "channel_rule": "vmz"},
        input_shape=(32, 112, 112, 3),
        classes=400,
        parameters=63_697_175,
        multiply_adds=152_355_715_072,
        preprocessing="torchvision",
        frame_rate=15.0,
        source=f"{PAPER}; as VMZ R(2+1)D-34",
        accuracy="Kinetics-400, whole videos, top-1/top-5: 72.4/90.6 % (published by VMZ)",
    ),
    ModelInfo(
        name="r2plus1d_50",
        constructor=R2Plus1DBottleneck,
        arguments={"depth": 50},
        input_shape=(16, 224, 224, 3),
        classes=400,
        parameters=28_107_600,
        multiply_adds=57_533_825_024,
        preprocessing="pyslowfast",
        frame_rate=7.5,
        source=f"{PAPER}; as PyTorchVideo r2plus1d_r50",
        accuracy="Kinetics-400, 10 clips x 3 crops, top-1/top-5: 76.01/92.23 % (published by PyTorchVideo)",
    ),
    ModelInfo(
        name="r2plus1d_tiny",
        constructor=R2Plus1D,
        arguments={"depth": 10, "channel_rule": "torchvision", "widths": (16, 32, 64, 128)},
        input_shape=(8, 56, 56, 3),
        classes=400,
        parameters=834_703,
        multiply_adds=163_878_016,
        preprocessing="torchvision",
        frame_rate=15.0,
        source="ours: R(2+1)D with 10 layers and a quarter of the channels, for demonstration and tests",
    ),
)
