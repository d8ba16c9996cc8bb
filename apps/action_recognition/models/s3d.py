"""S3D and S3D-G: I3D with its convolutions separated into space and time, and with gates.

Xie et al., "Rethinking Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs in Video Classification" (2018).

    Mixed:   input --> branch0 (1x1x1) --------------------------------------------------> (gate) --> concatenate
               +-----> branch1_reduce (1x1x1) --> _spatial (1x3x3) --> _temporal (3x1x1) --> (gate) ---+
               +-----> branch2_reduce (1x1x1) --> _spatial (1x3x3) --> _temporal (3x1x1) --> (gate) ---+
               +-----> max 3x3x3 --> branch3 (1x1x1) ------------------------------------> (gate) ---+

The whole network is drawn in inception.py.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import keras

from apps.action_recognition.models import blocks, inception
from apps.action_recognition.models.documentation import CUBES, documented
from keras_layers import CenteredIdentity, SelfGating, SeparableInception
from keras_layers.validation import one_of
from tools.registry import ModelInfo

# === Configuration ===


@dataclasses.dataclass(frozen=True)
class Variant:
    """In what the published implementations differ.

    Attributes:
        symmetric: see `inception.Style`.
        scale: see `inception.Style`.
        stem: kernel over time of the first convolution.
        separable_stem: whether the first convolution is separated too.
        temporal_normalization: whether the convolutions over time are normalized; otherwise they have a bias, and
            begin as the identity.
        minimum: least frames, height and width.
    """

    symmetric: bool
    scale: bool
    stem: int
    separable_stem: bool
    temporal_normalization: bool
    minimum: tuple[int, int, int]


VARIANTS = {
    "torchvision": Variant(
        symmetric=True, scale=True, stem=7, separable_stem=True, temporal_normalization=True, minimum=(5, 17, 17)
    ),
    "slim": Variant(
        symmetric=False, scale=False, stem=3, separable_stem=False, temporal_normalization=False, minimum=(1, 1, 1)
    ),
}


# === Functional graph ===


@documented(name='"s3d", with gating "s3d_g"', features=inception.FEATURES, average=CUBES)
def S3D(
    variant: str = "torchvision",
    gating: bool = False,
    width_multiplier: float = 1.0,
    input_shape: tuple[int | None, int | None, int | None, int] = (64, 224, 224, 3),
    classes: int = 400,
    dropout: float = 0.2,
    weights: str | os.PathLike | None = None,
    name: str | None = None,
    include_top: bool = True,
    pooling: str | None = "avg",
    classifier_activation: Any = "softmax",
) -> keras.Model:
    """S3D for clips, and with `gating` S3D-G.

    Args:
        variant: "torchvision" (also the first convolution separated, every convolution normalized, zeros on both
            sides) or "slim", the authors' (first convolution 3x7x7, those over time with a bias instead of a
            normalization, normalizations without scale, TensorFlow's "same" padding). Weights of the one do not fit
            the other.
        gating: whether Conv3d_2c_3x3 and all branches of the modules end in a `SelfGating`.
        width_multiplier: of the channels of every layer; none has fewer than 16. Default 1.
        input_shape: (frames, height, width, channels); all but the channels may be None. For "torchvision" at least
            (5, 17, 17, channels), where torchvision needs 13 frames of 209 pixels: its head's window of 2 x 7 x 7
            positions is here no larger than the last map.
        {head}
    """
    # Layers
    with blocks.input_errors():
        row = VARIANTS[one_of(variant, tuple(VARIANTS), "variant")]
    style = inception.Style(row.symmetric, row.scale, width_multiplier)
    head = blocks.Head(classes, dropout, include_top, pooling, classifier_activation)
    name = name or ("s3d_g" if gating else "s3d")
    clip, x = blocks.clip_input(name, input_shape, row.minimum)

    # Functional graph
    if row.separable_stem:
        x = _separable(style, row, x, 64, (row.stem, 7, 7), (2, 2, 2), "Conv3d_1a_7x7")
    else:
        x = style.unit(x, 64, (row.stem, 7, 7), (2, 2, 2), name="Conv3d_1a_7x7")
    x = style.pool(x, *inception.FIRST_POOL)
    x = style.unit(x, 64, (1, 1, 1), name="Conv3d_2b_1x1")
    x = _separable(style, row, x, 192, (3, 3, 3), (1, 1, 1), "Conv3d_2c_3x3")
    if gating:
        x = SelfGating(name="Conv3d_2c_3x3_gating")(x)
    x = style.mixed(
        x,
        SeparableInception,
        gating=bool(gating),
        temporal_normalization=row.temporal_normalization,
        temporal_initializer=_temporal_initializer(row),
    )

    # Configuration
    return blocks.finished(clip, inception.outputs(head, x), name, weights, include_top)


# === Layers ===


def _separable(
    style: inception.Style,
    row: Variant,
    x: Any,
    count: int,
    kernel_size: tuple[int, int, int],
    strides: tuple[int, int, int],
    name: str,
) -> Any:
    (time, *space), (time_stride, *space_strides) = kernel_size, strides
    x = style.unit(x, count, (1, *space), (1, *space_strides), name=f"{name}_spatial")
    return style.unit(
        x,
        count,
        (time, 1, 1),
        (time_stride, 1, 1),
        name=f"{name}_temporal",
        initializer=_temporal_initializer(row) or "he_normal",
        normalization=row.temporal_normalization,
    )


def _temporal_initializer(row: Variant) -> keras.initializers.Initializer | None:
    return None if row.temporal_normalization else CenteredIdentity()


# === Registered models ===

PAPER = "Xie et al. 2018"
MODELS = (
    ModelInfo(
        name="s3d",
        constructor=S3D,
        arguments={"variant": "torchvision"},
        input_shape=(64, 224, 224, 3),
        classes=400,
        parameters=8_320_048,
        multiply_adds=71_913_857_024,
        preprocessing="torchvision_s3d",
        frame_rate=15.0,
        source=f"{PAPER}; as torchvision s3d",
        accuracy="Kinetics-400, one clip of 128 frames, top-1/top-5: 68.368/88.05 % (published by torchvision)",
    ),
    ModelInfo(
        name="s3d_g",
        constructor=S3D,
        arguments={"variant": "slim", "gating": True},
        input_shape=(64, 224, 224, 3),
        classes=400,
        parameters=9_518_848,
        multiply_adds=64_182_352_640,
        preprocessing="deepmind_i3d",
        frame_rate=25.0,
        source=f"{PAPER}; as TensorFlow slim s3dg",
        accuracy="Kinetics-400, whole videos, top-1/top-5: 74.7/93.4 % (published by the authors)",
    ),
)
