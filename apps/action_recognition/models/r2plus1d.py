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

from keras_layers.precision import float32_variables
from keras_layers.validation import activation, fraction, one_of, positive_integer, positive_integers
from keras_layers.video import Conv2Plus1D, TemporalDifference, parameter_matched_filters
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
BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
STAGE_STRIDES = (1, 2, 2, 2)
STEM_INTERMEDIATE_FILTERS = (45, 64)
MOMENTUM = 0.9
KERNEL = (3, 3, 3)
MODALITIES = ("rgb", "rgb_difference")
POOLING = {"avg": keras.layers.GlobalAveragePooling3D, "max": keras.layers.GlobalMaxPooling3D}


# === Functional graph ===


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
        classes: number of classes.
        dropout: fraction of features dropped before the classifier, 0 to 1 (excluded). Default 0.
        weights: None (random) or the path of a checkpoint that `apps.action_recognition.checkpoints.load` reads.
        name: name of the model. Default "r2plus1d_<depth>".
        include_top: whether the classifier is part of the model.
        pooling: over time and space, "avg" or "max"; without the classifier also None, for the map itself.
        classifier_activation: "softmax" for probabilities, None for logits, or any that Keras knows.
        modality: "rgb", or "rgb_difference" to show the network only what changes from frame to frame (Wang et al.,
            "Temporal Segment Networks", 2016): one frame fewer, no weights more.

    Returns:
        A Functional model. Input "clip": float32 (batch, frames, height, width, channels). Output, float32 under
        every dtype policy: (batch, classes); without the classifier (batch, widths[3]), or
        (batch, frames / 8, height / 16, width / 16, widths[3]) without pooling. The layer "global_pool" holds the
        embedding, "classifier" the logits.

    Raises:
        InputError: for an argument out of range, or weights that do not fit.
    """
    # Layers
    blocks, rule, widths, input_shape = _validated(
        depth,
        channel_rule,
        widths,
        input_shape,
        classes,
        dropout,
        include_top,
        pooling,
        classifier_activation,
        modality,
        name,
    )
    clip = keras.Input(input_shape, name="clip", dtype="float32")
    stem_filters = STEM_INTERMEDIATE_FILTERS[0] * widths[0] // STEM_INTERMEDIATE_FILTERS[1]

    # Functional graph
    x = TemporalDifference(name="difference")(clip) if modality == "rgb_difference" else clip
    x = _convolution(widths[0], (3, 7, 7), (1, 2, 2), max(1, stem_filters), rule, "conv1")(x)
    x = _normalization(rule, "conv1")(x)
    x = keras.layers.Activation("relu", name="conv1_activation")(x)
    for stage, (count, filters, stride) in enumerate(zip(blocks, widths, STAGE_STRIDES, strict=True), start=2):
        for block in range(1, count + 1):
            x = _block(x, filters, stride if block == 1 else 1, rule, f"conv{stage}_block{block}")
    outputs = _head(x, classes, dropout, include_top, pooling, classifier_activation)

    # Configuration
    model = keras.Model(clip, outputs, name=name or f"r2plus1d_{depth}")
    if weights is not None:
        from apps.action_recognition import checkpoints

        checkpoints.load(model, weights, classifier=include_top)
    return model


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
        momentum=MOMENTUM,
        epsilon=rule.epsilon,
        kernel_initializer=_initializer(),
        name=name,
    )


def _initializer() -> keras.initializers.Initializer:
    # He et al.'s, by the number of outputs: what the published networks were trained from.
    return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal")


def _normalization(rule: ChannelRule, name: str) -> keras.layers.BatchNormalization:
    return keras.layers.BatchNormalization(
        momentum=MOMENTUM,
        epsilon=rule.epsilon,
        dtype=float32_variables(keras.config.dtype_policy()),
        name=f"{name}_normalization",
    )


def _block(x: Any, filters: int, stride: int, rule: ChannelRule, name: str) -> Any:
    first = parameter_matched_filters(KERNEL, x.shape[-1], filters)
    second = parameter_matched_filters(KERNEL, filters, filters) if rule.every_convolution else first
    shortcut = x
    if stride != 1 or x.shape[-1] != filters:
        shortcut = keras.layers.Conv3D(
            filters,
            kernel_size=1,
            strides=stride,
            data_format="channels_last",
            use_bias=False,
            kernel_initializer=_initializer(),
            name=f"{name}_shortcut",
        )(x)
        shortcut = _normalization(rule, f"{name}_shortcut")(shortcut)

    x = _convolution(filters, KERNEL, stride, first, rule, f"{name}_conv1")(x)
    x = _normalization(rule, f"{name}_conv1")(x)
    x = keras.layers.Activation("relu", name=f"{name}_conv1_activation")(x)
    x = _convolution(filters, KERNEL, 1, second, rule, f"{name}_conv2")(x)
    x = _normalization(rule, f"{name}_conv2")(x)
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.Activation("relu", name=f"{name}_activation")(x)


def _head(
    x: Any, classes: int, dropout: float, include_top: bool, pooling: str | None, classifier_activation: Any
) -> Any:
    if pooling is None:
        return keras.layers.Activation("linear", dtype="float32", name="features")(x)
    x = POOLING[pooling](data_format="channels_last", dtype="float32", name="global_pool")(x)
    if not include_top:
        return x
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    initializer = keras.initializers.RandomNormal(stddev=0.01)
    x = keras.layers.Dense(classes, kernel_initializer=initializer, name="classifier")(x)
    return keras.layers.Activation(classifier_activation, dtype="float32", name="classifier_activation")(x)


def _validated(
    depth: int,
    channel_rule: str,
    widths: Any,
    input_shape: Any,
    classes: int,
    dropout: float,
    include_top: bool,
    pooling: str | None,
    classifier_activation: Any,
    modality: Any,
    name: Any,
) -> tuple[tuple[int, ...], ChannelRule, tuple[int, ...], tuple[int | None, ...]]:
    try:
        if depth not in BLOCKS:
            raise ValueError(f"Expected `depth` to be one of {', '.join(map(str, BLOCKS))}. Received {depth!r}.")
        one_of(channel_rule, tuple(CHANNEL_RULES), "channel_rule")
        widths = positive_integers(widths, len(STAGE_STRIDES), "widths")
        positive_integer(classes, "classes")
        fraction(dropout, "dropout")
        if name is not None and (not isinstance(name, str) or not name or "/" in name):
            raise ValueError(f"Expected `name` to be None or a text without a slash. Received {name!r}.")
        if not isinstance(include_top, bool):
            raise ValueError(f"Expected `include_top` to be True or False. Received {include_top!r}.")
        if pooling is not None or include_top:
            one_of(pooling, tuple(POOLING), "pooling")
        one_of(modality, MODALITIES, "modality")
        shape = _validated_shape(input_shape, modality)
        activation(classifier_activation, "classifier_activation")
    except ValueError as error:
        raise InputError(str(error)) from error
    return BLOCKS[depth], CHANNEL_RULES[channel_rule], widths, shape


def _validated_shape(input_shape: Any, modality: str) -> tuple[int | None, ...]:
    if not isinstance(input_shape, tuple | list) or len(input_shape) != 4:
        raise ValueError(f"Expected `input_shape` to be (frames, height, width, channels). Received {input_shape!r}.")
    positive_integer(input_shape[3], "input_shape[3] (channels)")
    for axis, length in zip(("frames", "height", "width"), input_shape[:3], strict=True):
        if length is not None:
            positive_integer(length, f"input_shape ({axis})")
    if modality == "rgb_difference" and input_shape[0] == 1:
        raise ValueError(f"Expected `input_shape` to have at least 2 frames to subtract. Received {input_shape!r}.")
    return tuple(input_shape)


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
        source=f"{PAPER}; as VMZ R(2+1)D-34",
        accuracy="Kinetics-400, whole videos, top-1/top-5: 72.4/90.6 % (published by VMZ)",
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
        source="ours: R(2+1)D with 10 layers and a quarter of the channels, for demonstration and tests",
    ),
)
