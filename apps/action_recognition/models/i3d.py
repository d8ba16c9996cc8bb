"""I3D: Inception's image network, inflated into time.

Carreira and Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset" (2017).

    Mixed:   input --> branch0 (1x1x1) -------------------------------> concatenate
               +-----> branch1_reduce (1x1x1) --> branch1 (3x3x3) ------+
               +-----> branch2_reduce (1x1x1) --> branch2 (3x3x3) ------+
               +-----> max 3x3x3 --> branch3 (1x1x1) -------------------+

Layers have the names of DeepMind's network, whose whole is drawn in inception.py.
"""

from __future__ import annotations

import os
from typing import Any

import keras

from apps.action_recognition.models import blocks, inception
from apps.action_recognition.models.documentation import CUBES, documented
from keras_layers import InflatedInception
from tools.registry import ModelInfo

# === Functional graph ===


@documented(name='"i3d"', features=inception.FEATURES, average=CUBES)
def I3D(
    width_multiplier: float = 1.0,
    input_shape: tuple[int | None, int | None, int | None, int] = (64, 224, 224, 3),
    classes: int = 400,
    dropout: float = 0.5,
    weights: str | os.PathLike | None = None,
    name: str | None = None,
    include_top: bool = True,
    pooling: str | None = "avg",
    classifier_activation: Any = "softmax",
) -> keras.Model:
    """I3D for clips, as DeepMind published it: batch normalizations without scale, TensorFlow's "same" padding.

    Args:
        width_multiplier: of the channels of every layer; none has fewer than 16. Default 1.
        input_shape: (frames, height, width, channels); all but the channels may be None. Three channels for RGB, two
            for optical flow (horizontal, vertical), either within -1 and 1. Any length will do, where DeepMind's
            network needs 9 frames: the head's window of two positions in time is here as short as the last map.
        {head}
    """
    # Layers
    style = inception.Style(symmetric=False, scale=False, multiplier=width_multiplier)
    head = blocks.Head(classes, dropout, include_top, pooling, classifier_activation)
    name = name or "i3d"
    clip, x = blocks.clip_input(name, input_shape)

    # Functional graph
    x = style.unit(x, 64, (7, 7, 7), (2, 2, 2), name="Conv3d_1a_7x7")
    x = style.pool(x, *inception.FIRST_POOL)
    x = style.unit(x, 64, (1, 1, 1), name="Conv3d_2b_1x1")
    x = style.unit(x, 192, (3, 3, 3), name="Conv3d_2c_3x3")
    x = style.mixed(x, InflatedInception)

    # Configuration
    return blocks.finished(clip, inception.outputs(head, x), name, weights, include_top)


# === Registered models ===

PAPER = "Carreira and Zisserman 2017"


def _accuracy(top_1: str, top_5: str) -> str:
    return f"Kinetics-400, whole videos, top-1/top-5: {top_1}/{top_5} % (published by DeepMind)"


MODELS = (
    ModelInfo(
        name="i3d",
        constructor=I3D,
        arguments={},
        input_shape=(64, 224, 224, 3),
        classes=400,
        parameters=12_689_984,
        multiply_adds=111_150_686_208,
        preprocessing="deepmind_i3d",
        frame_rate=25.0,
        source=f"{PAPER}; as kinetics-i3d, RGB",
        accuracy=_accuracy("71.1", "89.3"),
    ),
    ModelInfo(
        name="i3d_flow",
        constructor=I3D,
        arguments={},
        input_shape=(64, 224, 224, 2),
        classes=400,
        # As DeepMind's variables. A normalization with scales, as in the PyTorch port, makes them 12,675,312.
        parameters=12_668_032,
        multiply_adds=102_338_977_792,
        preprocessing="deepmind_i3d",
        frame_rate=25.0,
        source=f"{PAPER}; as kinetics-i3d, flow",
        accuracy=_accuracy("63.4", "84.9"),
    ),
)
