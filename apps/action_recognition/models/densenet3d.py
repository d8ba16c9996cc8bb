"""DenseNet3D and T3D: densely connected networks of 3-D convolutions, with plain or with temporal transitions.

Diba et al., "Temporal 3D ConvNets: New Architecture and Transfer Learning for Video Classification" (2017).

    clip -> conv1 -> pool1 -> dense1 -> transition1 -> dense2 -> transition2 -> dense3 -> transition3 -> dense4 -> BN
    stride  2,2,2    2,2,2              2,2,2                    2,2,2                    2,2,2

    layer of a dense block:  input --> BN, ReLU, 1x1x1 --> BN, ReLU, 3x3x3 --> concatenate -->
                               |                                                   |
                               +---------------------------------------------------+

    transition of DenseNet3D:  BN, ReLU, 1x1x1 to half of the channels --> average pooling
    transition of T3D:         keras_layers.TemporalTransition, convolutions of three temporal depths side by side
"""

from __future__ import annotations

import os
from typing import Any

import keras

from apps.action_recognition.models import blocks
from apps.action_recognition.models.documentation import documented
from keras_layers import TemporalTransition
from keras_layers.validation import fraction, one_of, positive_integer, positive_integers
from tools.registry import ModelInfo

# === Configuration ===

# Layers of the four dense blocks.
BLOCKS = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32)}
# Temporal depths of T3D's three transitions.
TEMPORAL_DEPTHS = ((1, 3, 6), (1, 3, 4), (1, 3, 4))
TEMPORAL_FILTERS = 128
STEM_FILTERS = 64
GROWTH = 32
# Channels between the two convolutions of a layer, in growths.
BOTTLENECK = 4
TRANSITIONS = ("dense", "temporal")
# Least lengths of an input with which the last map has a position.
MINIMUM = (29, 29, 29)


# === Functional graph ===


@documented(
    name='"densenet3d" or "t3d"',
    features="(batch, features), or (batch, frames / 32, height / 32, width / 32, features) without pooling",
)
def DenseNet3D(
    depths: tuple[int, int, int, int] = BLOCKS[121],
    growth: int = GROWTH,
    transition: str = "dense",
    layer_dropout: float = 0.0,
    input_shape: tuple[int | None, int | None, int | None, int] = (32, 224, 224, 3),
    classes: int = 400,
    dropout: float = 0.0,
    weights: str | os.PathLike | None = None,
    name: str | None = None,
    include_top: bool = True,
    pooling: str | None = "avg",
    classifier_activation: str | None = "softmax",
) -> keras.Model:
    """DenseNet3D for clips.

    Args:
        depths: layers of the four dense blocks.
        growth: channels that a layer adds; the stem has twice as many.
        transition: between the blocks, "dense" (half of the channels) or "temporal" (T3D's layer).
        layer_dropout: fraction of what a layer adds that is dropped, 0 to 1 (excluded). Default 0; the authors'
            variant with dropout has 0.2.
        input_shape: (frames, height, width, channels); all but the channels may be None. Time is halved five times: it
            takes at least 29 frames.
        {head}
    """
    # Layers
    head = blocks.Head(classes, dropout, include_top, pooling, classifier_activation)
    with blocks.input_errors():
        depths = positive_integers(depths, 4, "depths")
        positive_integer(growth, "growth")
        one_of(transition, TRANSITIONS, "transition")
        fraction(layer_dropout, "layer_dropout")
    name = name or ("t3d" if transition == "temporal" else "densenet3d")
    clip, x = blocks.clip_input(name, input_shape, MINIMUM)

    # Functional graph
    x = blocks.unit(x, STEM_FILTERS * growth // GROWTH, (3, 7, 7), (2, 2, 2), name="conv1")
    x = blocks.max_pool(x, (3, 3, 3), (2, 2, 2), name="pool1")
    for stage, count in enumerate(depths, start=1):
        for number in range(1, count + 1):
            x = _layer(x, growth, layer_dropout, f"dense{stage}_layer{number}")
        if stage < len(depths):
            x = _transition(x, transition, stage, growth)
    x = blocks.normalization("dense4")(x)
    x = keras.layers.Activation("relu", name="dense4_activation")(x)
    outputs = head(x)

    # Configuration
    return blocks.finished(clip, outputs, name, weights, include_top)


# === Layers ===


def _preactivated(x: Any, filters: int, kernel_size: tuple[int, int, int], name: str) -> Any:
    """Normalization and activation before the convolution that has the name."""
    x = blocks.normalization(name)(x)
    x = keras.layers.Activation("relu", name=f"{name}_activation")(x)
    # By the number of inputs, unlike in residual networks: numbers keep their size through a hundred concatenations.
    return blocks.convolution(x, filters, kernel_size, name=name, initializer="he_normal")


def _layer(x: Any, growth: int, dropout: float, name: str) -> Any:
    added = _preactivated(x, BOTTLENECK * growth, (1, 1, 1), f"{name}_conv1")
    added = _preactivated(added, growth, (3, 3, 3), f"{name}_conv2")
    if dropout:
        added = keras.layers.Dropout(dropout, name=f"{name}_dropout")(added)
    return keras.layers.Concatenate(name=f"{name}_concatenate")([x, added])


def _transition(x: Any, transition: str, stage: int, growth: int) -> Any:
    name = f"transition{stage}"
    if transition == "temporal":
        return TemporalTransition(
            TEMPORAL_DEPTHS[stage - 1],
            TEMPORAL_FILTERS * growth // GROWTH,
            name=name,
        )(x)
    x = _preactivated(x, x.shape[-1] // 2, (1, 1, 1), name)
    return blocks.pool(x, keras.layers.AveragePooling3D, (2, 2, 2), name=f"{name}_pool")


# === Registered models ===


def _info(name: str, depth: int, transition: str, parameters: int, multiply_adds: int, source: str) -> ModelInfo:
    return ModelInfo(
        name=name,
        constructor=DenseNet3D,
        arguments={"depths": BLOCKS[depth], "transition": transition},
        input_shape=(32, 224, 224, 3),
        classes=400,
        parameters=parameters,
        multiply_adds=multiply_adds,
        # Our choice, ImageNet's mean and deviation: neither the paper nor the authors' code names any.
        preprocessing="two_stream",
        # Our choice, torchvision's: nobody says how far apart the 32 frames are.
        frame_rate=15.0,
        source=f"Diba et al. 2017; {source}",
    )


OWN = "DenseNet3D with temporal transitions as the paper draws them; its authors published no code of these"
MODELS = (
    _info("densenet3d_121", 121, "dense", 11_658_896, 34_105_638_912, "as the authors' densenet121_3D"),
    _info("densenet3d_169", 169, "dense", 19_214_992, 35_263_555_584, "as the authors' densenet169_3D"),
    _info("t3d_121", 121, "temporal", 25_577_232, 120_266_935_296, OWN),
    _info("t3d_169", 169, "temporal", 33_620_496, 122_047_785_984, OWN),
)
