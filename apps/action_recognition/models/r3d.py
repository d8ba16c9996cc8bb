"""R3D and MC3: residual networks of 3-D convolutions, in all stages or in the first ones.

Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition" (2018).

    input  ->  conv1  ->  conv2_x  ->  conv3_x  ->  conv4_x  ->  conv5_x  ->  global_pool  ->  classifier
    stride     1,2,2      1            t,2,2        t,2,2        t,2,2

    t is 2 where the stage convolves over time (R3D: everywhere), 1 where it does not (MC3: from conv3_x on).
"""

from __future__ import annotations

import os
from typing import Any

import keras

from apps.action_recognition.models import blocks
from apps.action_recognition.models.documentation import documented
from keras_layers.validation import positive_integers
from tools.errors import InputError
from tools.registry import ModelInfo

# === Configuration ===

# Blocks in conv2_x, conv3_x, conv4_x and conv5_x.
DEPTHS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
SPATIAL_STRIDES = (1, 2, 2, 2)
R3D_KERNELS = (3, 3, 3, 3)
MC3_KERNELS = (3, 1, 1, 1)


# === Functional graph ===


@documented(name='"r3d_<depth>"', features="(batch, widths[3]), or the last feature map without pooling")
def R3D(
    depth: int = 18,
    temporal_kernels: tuple[int, int, int, int] = R3D_KERNELS,
    widths: tuple[int, int, int, int] = (64, 128, 256, 512),
    input_shape: tuple[int | None, int | None, int | None, int] = (16, 112, 112, 3),
    classes: int = 400,
    dropout: float = 0.0,
    weights: str | os.PathLike | None = None,
    name: str | None = None,
    include_top: bool = True,
    pooling: str | None = "avg",
    classifier_activation: str | None = "softmax",
) -> keras.Model:
    """R3D or MC3 for clips.

    Args:
        depth: 10 (one block a stage), 18 or 34.
        temporal_kernels: length in time of the convolutions of each stage, odd: (3, 3, 3, 3) is R3D, (3, 1, 1, 1) MC3.
        widths: channels of the four stages; the first is also that of conv1.
        input_shape: (frames, height, width, channels); all but the channels may be None.
        {head}
    """
    # Layers
    counts, kernels, widths = _validated(depth, temporal_kernels, widths)
    head = blocks.Head(classes, dropout, include_top, pooling, classifier_activation)
    name = name or f"r3d_{depth}"
    clip, x = blocks.clip_input(name, input_shape)

    # Functional graph
    x = blocks.unit(x, widths[0], (3, 7, 7), (1, 2, 2), name="conv1")
    rows = zip(counts, kernels, widths, SPATIAL_STRIDES, strict=True)
    for stage, (count, kernel, filters, stride) in enumerate(rows, start=2):
        for block in range(1, count + 1):
            # A stage that does not convolve over time does not shorten it either.
            strides = (stride if kernel > 1 else 1, stride, stride) if block == 1 else (1, 1, 1)
            x = _block(x, filters, kernel, strides, f"conv{stage}_block{block}")

    # Configuration
    return blocks.finished(clip, head(x), name, weights, include_top)


# === Layers ===


def _block(x: Any, filters: int, kernel: int, strides: tuple[int, int, int], name: str) -> Any:
    shortcut = blocks.shortcut(x, filters, strides, name)
    x = blocks.unit(x, filters, (kernel, 3, 3), strides, name=f"{name}_conv1")
    x = blocks.unit(x, filters, (kernel, 3, 3), name=f"{name}_conv2", activation=None)
    return blocks.add(x, shortcut, name)


def _validated(
    depth: int, temporal_kernels: Any, widths: Any
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    if depth not in DEPTHS:
        raise InputError(f"Expected `depth` to be one of {', '.join(map(str, DEPTHS))}. Received {depth!r}.")
    with blocks.input_errors():
        kernels = positive_integers(temporal_kernels, len(SPATIAL_STRIDES), "temporal_kernels")
        if any(kernel % 2 == 0 for kernel in kernels):
            raise InputError(f"Expected `temporal_kernels` to be odd. Received {temporal_kernels!r}.")
        return DEPTHS[depth], kernels, positive_integers(widths, len(SPATIAL_STRIDES), "widths")


# === Registered models ===

PAPER = "Tran et al. 2018"
MODELS = (
    ModelInfo(
        name="r3d_18",
        constructor=R3D,
        arguments={"depth": 18},
        input_shape=(16, 112, 112, 3),
        classes=400,
        parameters=33_371_472,
        multiply_adds=40_696_553_472,
        preprocessing="torchvision",
        frame_rate=15.0,
        source=f"{PAPER}; as torchvision r3d_18",
        accuracy="Kinetics-400, whole videos, top-1/top-5: 63.2/83.479 % (published by torchvision)",
    ),
    ModelInfo(
        name="r3d_34",
        constructor=R3D,
        arguments={"depth": 34},
        input_shape=(16, 112, 112, 3),
        classes=400,
        parameters=63_681_104,
        multiply_adds=75_378_204_672,
        preprocessing="torchvision",
        frame_rate=15.0,
        source=f"{PAPER}; torchvision's r3d_18 with the blocks 3, 4, 6, 3",
    ),
    ModelInfo(
        name="mc3_18",
        constructor=R3D,
        arguments={"depth": 18, "temporal_kernels": MC3_KERNELS},
        input_shape=(16, 112, 112, 3),
        classes=400,
        parameters=11_695_440,
        multiply_adds=43_342_635_008,
        preprocessing="torchvision",
        frame_rate=15.0,
        source=f"{PAPER}; as torchvision mc3_18",
        accuracy="Kinetics-400, whole videos, top-1/top-5: 63.96/84.13 % (published by torchvision)",
    ),
)
