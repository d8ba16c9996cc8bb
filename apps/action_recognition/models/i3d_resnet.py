"""I3D on ResNet: a residual network of images, inflated over time in every other block.

Carreira & Zisserman, "Quo Vadis, Action Recognition?" (2017); Wang et al., "Non-local Neural Networks" (2018).

    input  ->  conv1  ->  pool1  ->  res2  ->  pool2  ->  res3  ->  res4  ->  res5  ->  global_pool  ->  classifier
    kernel     5,7,7                 3         2,1,1      3 1       3 1       1 3       7 x 7 windows
    stride     1,2,2      1,2,2      1         2,1,1      1,2,2     1,2,2     1,2,2

    The kernels of res2 to res5 are the lengths in time of the first convolution of the blocks, in turn.
"""

from __future__ import annotations

import os

import keras

from apps.action_recognition.models import blocks
from apps.action_recognition.models.documentation import WINDOWS, documented
from keras_layers.video import WindowedAveragePooling3D
from tools.registry import ModelInfo

# === Configuration ===

# Length in time of the first convolution of the blocks of res2, res3, res4 and res5, in turn, and strides.
KERNELS = ((3,), (3, 1), (3, 1), (1, 3))
STRIDES = ((1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2))
# Least frames, height and width.
MINIMUM = (2, 1, 1)


# === Functional graph ===


@documented(
    name='"i3d_resnet<depth>"',
    features="(batch, 32 * width), or (batch, frames / 2, height / 32, width / 32, 32 * width) without pooling",
    average=WINDOWS,
)
def I3DResNet(
    depth: int = 50,
    width: int = 64,
    input_shape: tuple[int | None, int | None, int | None, int] = (8, 224, 224, 3),
    classes: int = 400,
    dropout: float = 0.5,
    weights: str | os.PathLike | None = None,
    name: str | None = None,
    include_top: bool = True,
    pooling: str | None = "avg",
    classifier_activation: str | None = "softmax",
) -> keras.Model:
    """I3D on a ResNet for clips.

    Args:
        depth: 14 (one block a stage), 50 or 101.
        width: channels of conv1; those of the stages are 4, 8, 16 and 32 times as many.
        input_shape: (frames, height, width, channels), at least 2 frames; all but the channels may be None.
        {head}
    """
    # Layers
    counts = blocks.checked_bottlenecks(depth, width)
    head = blocks.Head(classes, dropout, include_top, pooling, classifier_activation)
    name = name or f"i3d_resnet{depth}"
    clip, x = blocks.clip_input(name, input_shape, MINIMUM)

    # Functional graph
    x = blocks.unit(x, width, (5, 7, 7), (1, 2, 2), name="conv1")
    x = blocks.max_pool(x, (1, 3, 3), (1, 2, 2), name="pool1")
    for stage, row in enumerate(zip(counts, KERNELS, STRIDES, strict=True), start=2):
        x = blocks.Stage(*row)(x, width * 2 ** (stage - 2), f"res{stage}")
        if stage == 2:
            x = blocks.pool(x, keras.layers.MaxPooling3D, (2, 1, 1), name="pool2")

    # Configuration
    return blocks.finished(clip, head(x, WindowedAveragePooling3D), name, weights, include_top)


# === Registered models ===

MODELS = (
    ModelInfo(
        name="i3d_resnet50",
        constructor=I3DResNet,
        arguments={"depth": 50},
        input_shape=(8, 224, 224, 3),
        classes=400,
        parameters=28_043_472,
        multiply_adds=28_407_660_544,
        preprocessing="pyslowfast",
        frame_rate=3.75,
        source="Wang et al. 2018, Carreira & Zisserman 2017; as PyTorchVideo i3d_r50",
    ),
)
