"""C3D: eight 3x3x3 convolutions and two wide layers on all of the last map.

Tran et al., "Learning Spatiotemporal Features with 3D Convolutional Networks" (2015).

    clip -> conv1 -> pool1 -> conv2 -> pool2 -> conv3a,b -> pool3 -> conv4a,b -> pool4 -> conv5a,b -> pool5 -> fc6, 7
    stride           1,2,2             2,2,2                2,2,2                2,2,2                2,2,2
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import keras

from apps.action_recognition.models import blocks
from apps.action_recognition.models.documentation import documented
from keras_layers.validation import one_of, positive_integer, positive_integers
from tools.registry import ModelInfo

# === Configuration ===


@dataclasses.dataclass(frozen=True)
class Stage:
    """Convolutions that share a number of channels, and the pooling behind them.

    Attributes:
        convolutions: their names.
        pool: window and stride of the pooling over (frames, height, width).
    """

    convolutions: tuple[str, ...]
    pool: tuple[int, int, int]


STAGES = (
    Stage(("conv1",), (1, 2, 2)),
    Stage(("conv2",), (2, 2, 2)),
    Stage(("conv3a", "conv3b"), (2, 2, 2)),
    Stage(("conv4a", "conv4b"), (2, 2, 2)),
    Stage(("conv5a", "conv5b"), (2, 2, 2)),
)
# What a pooling does with a last row that fills half a window, and the least input for which pool5 has an output.
# "pytorch": leaves it, but pool5 pads one row and column on both sides; "caffe": keeps it, as "same" does.
ALIGNMENTS = {"pytorch": (16, 16, 16), "caffe": (1, 1, 1)}


# === Functional graph ===


@documented(
    name='"c3d"',
    features="(batch, hidden), or (batch, 1, 1, 1, hidden) without pooling",
    average="the same, as fc7 has one position",
    dropout="fraction of units dropped behind fc6 and behind fc7, 0 to 1 (excluded). Default {dropout}.",
    include_top="whether the classifier is part of the model. fc6 and fc7 always are.",
)
def C3D(
    widths: tuple[int, int, int, int, int] = (64, 128, 256, 512, 512),
    hidden: int = 4096,
    pool_alignment: str = "pytorch",
    input_shape: tuple[int, int, int, int] = (16, 112, 112, 3),
    classes: int = 400,
    dropout: float = 0.5,
    weights: str | os.PathLike | None = None,
    name: str | None = None,
    include_top: bool = True,
    pooling: str | None = "avg",
    classifier_activation: str | None = "softmax",
) -> keras.Model:
    """C3D for clips.

    Random weights are the authors': kernels of deviation 0.01, those of fc6 and fc7 0.005, biases of 1 but for conv1
    and the classifier. They are made for the native widths; much narrower networks hardly learn from them.

    Args:
        widths: channels of the five stages.
        hidden: units of fc6 and of fc7.
        pool_alignment: where the windows of the poolings lie on odd lengths, at the native size that of pool5 alone:
            "pytorch" (zeros on both sides of pool5: weights of the PyTorch ports) or "caffe" (the last window is
            filled up behind: the authors' own weights). The shapes of all weights are the same.
        input_shape: (frames, height, width, channels), all fixed: fc6 covers the whole of the last map, so that
            weights of one size do not fit another.
        {head}
    """
    # Layers
    head = blocks.Head(classes, dropout, include_top, pooling, classifier_activation)
    with blocks.input_errors():
        widths = positive_integers(widths, len(STAGES), "widths")
        positive_integer(hidden, "hidden")
        one_of(pool_alignment, tuple(ALIGNMENTS), "pool_alignment")
    name = name or "c3d"
    clip, x = blocks.clip_input(name, input_shape, ALIGNMENTS[pool_alignment], free=False)

    # Functional graph
    for number, (stage, filters) in enumerate(zip(STAGES, widths, strict=True), start=1):
        for convolution in stage.convolutions:
            x = _convolution(filters, "zeros" if number == 1 else "ones", convolution)(x)
        x = _pool(x, number, stage.pool, pool_alignment)
    x = keras.layers.Flatten(data_format="channels_last", name="flatten")(x)
    x = _hidden(hidden, "fc6")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="fc6_dropout")(x)
    x = _hidden(hidden, "fc7")(x)
    outputs = head(keras.layers.Reshape((1, 1, 1, hidden), name="fc7_map")(x))

    # Configuration
    return blocks.finished(clip, outputs, name, weights, include_top)


# === Layers ===


def _convolution(filters: int, bias: str, name: str) -> keras.layers.Conv3D:
    return keras.layers.Conv3D(
        filters,
        3,
        padding="same",
        data_format="channels_last",
        activation="relu",
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        bias_initializer=bias,
        name=name,
    )


def _hidden(units: int, name: str) -> keras.layers.Dense:
    initializer = keras.initializers.RandomNormal(stddev=0.005)
    return keras.layers.Dense(
        units, activation="relu", kernel_initializer=initializer, bias_initializer="ones", name=name
    )


def _pool(x: Any, number: int, window: tuple[int, int, int], alignment: str) -> Any:
    name, padding = f"pool{number}", "same" if alignment == "caffe" else "valid"
    if alignment == "pytorch" and number == len(STAGES):
        # Behind a ReLU a zero wins over nothing: the same as padding with the smallest number.
        x = keras.layers.ZeroPadding3D((0, 1, 1), data_format="channels_last", name=f"{name}_padding")(x)
    return blocks.pool(x, keras.layers.MaxPooling3D, window, padding=padding, name=name)


# === Registered models ===

MODELS = (
    ModelInfo(
        name="c3d",
        constructor=C3D,
        arguments={},
        input_shape=(16, 112, 112, 3),
        classes=400,
        parameters=79_634_576,
        multiply_adds=38_548_602_880,
        preprocessing="mmaction2_c3d",
        source="Tran et al. 2015; as c3d-pytorch and mmaction2 C3D",
        accuracy="UCF-101, ten clips, pretrained on Sports-1M, top-1/top-5: 83.08/95.93 % (published by mmaction2)",
    ),
)
