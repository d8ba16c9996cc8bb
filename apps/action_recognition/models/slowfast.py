"""SlowFast, and its slow pathway alone.

Feichtenhofer et al., "SlowFast Networks for Video Recognition" (2019).

    clip --> 1 frame in `rate` --> slow: conv1, pool1 --> res2 --> res3 --> res4 --> res5 --> slow_pool --+
      |                                           ^         ^        ^        ^                           |
      |                                        lateral   lateral  lateral  lateral                  global_pool
      |                                           |         |        |        |                           |
      +--------------------------> fast: conv1, pool1 --> res2 --> res3 --> res4 --> res5 --> fast_pool --+

Neither pathway has a stride in time; the lateral connections go from the one frame rate to the other.
"""

from __future__ import annotations

import os
from typing import Any

import keras

from apps.action_recognition.models import blocks
from apps.action_recognition.models.blocks import Stage
from apps.action_recognition.models.documentation import WINDOWS, documented
from keras_layers.validation import one_of, positive_integer
from keras_layers.video import FrameRateResampling, LateralConnection, WindowedAveragePooling3D
from tools.errors import InputError
from tools.registry import ModelInfo

# === Configuration ===

# Length in time of conv1 and of the first convolution of the blocks of res2, res3, res4 and res5.
SLOW_STEM, SLOW_KERNELS = 1, (1, 1, 3, 3)
FAST_STEM, FAST_KERNELS = 5, (3, 3, 3, 3)
STRIDES = ((1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2))
# Channels of the slow pathway for one of the fast pathway, and of a lateral connection for one of the fast pathway.
REDUCTION = 8
LATERAL_RATIO = 2
INPUTS = ("clip", "pathways")


# === Functional graph ===


@documented(
    name='"slow_r<depth>"',
    features="(batch, 32 * width), or (batch, frames, height / 32, width / 32, 32 * width) without pooling",
    average=WINDOWS,
)
def Slow(
    depth: int = 50,
    width: int = 64,
    input_shape: tuple[int | None, int | None, int | None, int] = (8, 256, 256, 3),
    classes: int = 400,
    dropout: float = 0.5,
    weights: str | os.PathLike | None = None,
    name: str | None = None,
    include_top: bool = True,
    pooling: str | None = "avg",
    classifier_activation: str | None = "softmax",
) -> keras.Model:
    """The slow pathway of SlowFast as a network of its own.

    Args:
        depth: 14 (one block a stage), 50 or 101.
        width: channels of conv1; those of the stages are 4, 8, 16 and 32 times as many.
        input_shape: (frames, height, width, channels); all but the channels may be None.
        {head}
    """
    # Layers
    counts = blocks.checked_bottlenecks(depth, width)
    head = blocks.Head(classes, dropout, include_top, pooling, classifier_activation)
    name = name or f"slow_r{depth}"
    clip, x = blocks.clip_input(name, input_shape)

    # Functional graph
    x = _stem(x, width, SLOW_STEM, "")
    for stage, (count, kernel, strides) in enumerate(zip(counts, SLOW_KERNELS, STRIDES, strict=True), start=2):
        x = Stage(count, (kernel,), strides)(x, width * 2 ** (stage - 2), f"res{stage}")

    # Configuration
    return blocks.finished(clip, head(x, WindowedAveragePooling3D), name, weights, include_top)


@documented(
    name='"slowfast_r<depth>"',
    features='(batch, 36 * width), or without pooling a dictionary of the maps "slow" and "fast"',
    average=WINDOWS.replace("map", "maps"),
)
def SlowFast(
    depth: int = 50,
    rate: int = 4,
    lateral_kernel: int = 7,
    temporal_res4_blocks: int | None = None,
    width: int = 64,
    input_shape: tuple[int | None, int | None, int | None, int] = (32, 256, 256, 3),
    classes: int = 400,
    dropout: float = 0.5,
    weights: str | os.PathLike | None = None,
    name: str | None = None,
    include_top: bool = True,
    pooling: str | None = "avg",
    classifier_activation: str | None = "softmax",
    inputs: str = "clip",
) -> keras.Model:
    """SlowFast for clips.

    Args:
        depth: 14 (one block a stage), 50 or 101.
        rate: frames of the fast pathway for one of the slow; "alpha" in the paper.
        lateral_kernel: length in time of the lateral connections, odd: 5 in the paper, 7 in the published 8x8 R50.
        temporal_res4_blocks: number of blocks in res4 of both pathways that convolve over time, the first ones.
            Default None: all. 6 is the variant "R101_50_50".
        width: channels of the slow conv1. Those of the slow stages are 4, 8, 16 and 32 times as many, those of the fast
            pathway an eighth.
        input_shape: (frames, height, width, channels) of the clip, which the fast pathway sees whole; the frames must
            be a multiple of `rate`. All but the channels may be None.
        {head}
        inputs: "clip" for one input, of which the slow pathway sees one frame in `rate` (`FrameRateResampling`), or
            "pathways" for two, "slow" with frames / rate frames and "fast". The weights are the same.
    """
    # Layers
    counts = blocks.checked_bottlenecks(depth, width, multiple=REDUCTION)
    shape = _validated_shape(input_shape, rate, lateral_kernel, temporal_res4_blocks, inputs)
    head = blocks.Head(classes, dropout, include_top, pooling, classifier_activation)
    # Functional graph
    name = name or f"slowfast_r{depth}"
    tensors, slow, fast = _pathways(name, shape, rate, inputs)
    slow, fast = _stem(slow, width, SLOW_STEM, "slow_"), _stem(fast, width // REDUCTION, FAST_STEM, "fast_")
    slow = _join(slow, fast, lateral_kernel, rate, "pool1")
    for stage, (count, strides) in enumerate(zip(counts, STRIDES, strict=True), start=2):
        filters = width * 2 ** (stage - 2)
        temporal = temporal_res4_blocks if stage == 4 and temporal_res4_blocks else count
        slow_kernels, fast_kernels = (
            (kernels[stage - 2],) * temporal + (1,) * (count - temporal) for kernels in (SLOW_KERNELS, FAST_KERNELS)
        )
        slow = Stage(count, slow_kernels, strides)(slow, filters, f"slow_res{stage}")
        fast = Stage(count, fast_kernels, strides)(fast, filters // REDUCTION, f"fast_res{stage}")
        if stage < 5:
            slow = _join(slow, fast, lateral_kernel, rate, f"res{stage}")

    # Configuration
    return blocks.finished(tensors, _outputs(slow, fast, head), name, weights, include_top)


# === Layers ===


def _pathways(name: str, shape: tuple[int | None, ...], rate: int, inputs: str) -> tuple[Any, Any, Any]:
    """The model's inputs, and what the two pathways see."""
    if inputs == "clip":
        clip, checked = blocks.clip_input(name, shape, (rate, 1, 1), multiple=rate)
        return clip, FrameRateResampling(rate, name="slow")(checked), checked
    frames, *rest = shape
    slow = blocks.clip_input(name, (None if frames is None else frames // rate, *rest), key="slow")
    fast = blocks.clip_input(name, shape, (rate, 1, 1), multiple=rate, key="fast")
    return [slow[0], fast[0]], slow[1], fast[1]


def _stem(x: Any, filters: int, kernel: int, prefix: str) -> Any:
    x = blocks.unit(x, filters, (kernel, 7, 7), (1, 2, 2), name=f"{prefix}conv1")
    return blocks.max_pool(x, (1, 3, 3), (1, 2, 2), name=f"{prefix}pool1")


def _join(slow: Any, fast: Any, kernel: int, rate: int, name: str) -> Any:
    lateral = LateralConnection(
        LATERAL_RATIO * fast.shape[-1],
        kernel,
        rate,
        momentum=blocks.MOMENTUM,
        epsilon=blocks.EPSILON,
        kernel_initializer=blocks.he_normal(),
        name=f"{name}_lateral",
    )(fast)
    return keras.layers.Concatenate(name=f"{name}_joined")([slow, lateral])


def _outputs(slow: Any, fast: Any, head: blocks.Head) -> Any:
    if head.pooling is None:
        return {
            name: keras.layers.Activation("linear", dtype="float32", name=f"{name}_features")(x)
            for name, x in (("slow", slow), ("fast", fast))
        }
    pooled = [head.pool(x, f"{name}_pool", WindowedAveragePooling3D) for name, x in (("slow", slow), ("fast", fast))]
    return head.classify(keras.layers.Concatenate(dtype="float32", name="global_pool")(pooled))


def _validated_shape(
    input_shape: Any, rate: Any, lateral_kernel: Any, temporal_res4_blocks: Any, inputs: Any
) -> tuple[int | None, ...]:
    with blocks.input_errors():
        one_of(inputs, INPUTS, "inputs")
        positive_integer(rate, "rate")
        if temporal_res4_blocks is not None:
            positive_integer(temporal_res4_blocks, "temporal_res4_blocks")
        if positive_integer(lateral_kernel, "lateral_kernel") % 2 == 0:
            raise InputError(f"Expected `lateral_kernel` to be odd. Received {lateral_kernel}.")
    return blocks.checked_shape(input_shape, (rate, 1, 1), multiple=rate)


# === Registered models ===

PAPER = "Feichtenhofer et al. 2019"


def _accuracy(top_1: str, top_5: str, publisher: str = "PyTorchVideo") -> str:
    return f"Kinetics-400, 10 clips x 3 crops, top-1/top-5: {top_1}/{top_5} % (published by {publisher})"


MODELS = (
    ModelInfo(
        name="slow_r50",
        constructor=Slow,
        arguments={"depth": 50},
        input_shape=(8, 256, 256, 3),
        classes=400,
        parameters=32_454_096,
        multiply_adds=54_518_382_592,
        preprocessing="pyslowfast_256",
        frame_rate=3.75,
        source=f"{PAPER}; as PyTorchVideo slow_r50 (8x8)",
        accuracy=_accuracy("74.8", "91.6", "PySlowFast"),
    ),
    ModelInfo(
        name="slowfast_4x16_r50",
        constructor=SlowFast,
        arguments={"depth": 50, "rate": 8, "lateral_kernel": 5},
        input_shape=(32, 256, 256, 3),
        classes=400,
        parameters=34_480_216,
        multiply_adds=36_099_198_976,
        preprocessing="pyslowfast_256",
        frame_rate=15.0,
        source=f"{PAPER}; as PySlowFast SLOWFAST_4x16_R50",
        accuracy=_accuracy("75.34", "91.89"),
    ),
    ModelInfo(
        name="slowfast_8x8_r50",
        constructor=SlowFast,
        arguments={"depth": 50, "rate": 4, "lateral_kernel": 7},
        input_shape=(32, 256, 256, 3),
        classes=400,
        parameters=34_566_488,
        multiply_adds=65_708_888_064,
        preprocessing="pyslowfast_256",
        frame_rate=15.0,
        source=f"{PAPER}; as PyTorchVideo slowfast_r50",
        accuracy=_accuracy("76.94", "92.69"),
    ),
    ModelInfo(
        name="slowfast_8x8_r101",
        constructor=SlowFast,
        arguments={"depth": 101, "rate": 4, "lateral_kernel": 5},
        input_shape=(32, 256, 256, 3),
        classes=400,
        parameters=62_826_968,
        multiply_adds=125_905_539_072,
        preprocessing="pyslowfast_256",
        frame_rate=15.0,
        source=f"{PAPER}; as PyTorchVideo slowfast_r101",
        accuracy=_accuracy("77.90", "93.27"),
    ),
    ModelInfo(
        name="slowfast_16x8_r101_50_50",
        constructor=SlowFast,
        arguments={"depth": 101, "rate": 4, "lateral_kernel": 5, "temporal_res4_blocks": 6},
        input_shape=(64, 256, 256, 3),
        classes=400,
        parameters=53_774_808,
        multiply_adds=213_021_233_152,
        preprocessing="pyslowfast_256",
        frame_rate=15.0,
        source=f"{PAPER}; as PySlowFast SLOWFAST_16x8_R101_50_50",
        accuracy=_accuracy("78.70", "93.61"),
    ),
)
