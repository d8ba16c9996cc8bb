"""The registry of action recognition models.

create("r2plus1d_18", classes=101, dropout=0.5)   a Functional keras.Model
names()                                           what `create` knows
info("r2plus1d_18")                               parameters, multiply-adds, published accuracy, source
clip_spec("r2plus1d_18")                          the clip that its weights expect: frames, size, rate, preprocessing
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras

from apps.action_recognition.models import c3d, densenet3d, i3d, i3d_resnet, r2plus1d, r3d, s3d, slowfast, x3d
from apps.action_recognition.models.c3d import C3D
from apps.action_recognition.models.densenet3d import DenseNet3D
from apps.action_recognition.models.i3d import I3D
from apps.action_recognition.models.i3d_resnet import I3DResNet
from apps.action_recognition.models.r2plus1d import R2Plus1D, R2Plus1DBottleneck
from apps.action_recognition.models.r3d import R3D
from apps.action_recognition.models.s3d import S3D
from apps.action_recognition.models.slowfast import Slow, SlowFast
from apps.action_recognition.models.x3d import X3D
from tools.errors import InputError
from tools.registry import ModelInfo, Registry

if TYPE_CHECKING:
    from apps.action_recognition.data import ClipSpec

__all__ = [
    "BACKBONE",
    "C3D",
    "CLASSIFIER",
    "DenseNet3D",
    "I3D",
    "I3DResNet",
    "MODEL",
    "R2Plus1D",
    "R2Plus1DBottleneck",
    "R3D",
    "REGISTRY",
    "S3D",
    "Slow",
    "SlowFast",
    "X3D",
    "clip_spec",
    "create",
    "info",
    "names",
    "rate_of",
    "require",
    "table",
]

# A frame rate: that of the model.
MODEL = "model"
# Arguments of a classifier whose outputs are probabilities, and of a backbone that answers with one vector a clip.
CLASSIFIER = {"include_top": True, "classifier_activation": "softmax"}
BACKBONE = {"include_top": False, "pooling": "avg"}

REGISTRY = Registry("action_recognition")
for _module in (r2plus1d, r3d, slowfast, i3d, i3d_resnet, s3d, c3d, densenet3d, x3d):
    for _info in _module.MODELS:
        REGISTRY.add(_info)


def create(name: str, /, **overrides: Any) -> keras.Model:
    """Builds a registered model; `overrides` replace arguments of its constructor.

    Raises:
        InputError: if there is no such model, or an argument is unknown or out of range.
    """
    return REGISTRY.create(name, **overrides)


def require(overrides: Mapping[str, Any], needed: Mapping[str, Any], purpose: str) -> None:
    """Raises an `InputError` if `overrides` say otherwise than what is needed: `CLASSIFIER` or `BACKBONE`."""
    for name, argument in needed.items():
        if overrides.get(name, argument) != argument:
            raise InputError(f"Expected {name} to be {argument!r} {purpose}. Received {overrides[name]!r}.")


def names() -> list[str]:
    """The registered names."""
    return REGISTRY.names()


def info(name: str) -> ModelInfo:
    """The facts about a model.

    Raises:
        InputError: if there is no such model.
    """
    return REGISTRY.info(name)


def clip_spec(
    name: str,
    size: tuple[int, int, int] | None = None,
    *,
    frame_rate: float | str | None = MODEL,
    preset: str | None = None,
) -> ClipSpec:
    """The clip that a registered model takes: what its weights expect, unless something else is asked for.

    Args:
        name: registered name.
        size: (frames, height, width); None for the native ones. Fewer frames at the same rate are a shorter time.
        frame_rate: of the clip, per second; "model" for that of the model, None for every frame of a file.
        preset: preprocessing; None for that of the model.

    Raises:
        InputError: if there is no such model, or a value is out of range.
    """
    # Imported here: the models themselves read no videos.
    from apps.action_recognition.data import ClipSpec

    facts = info(name)
    frames, height, width = size or facts.input_shape[:3]
    rate = rate_of(name, frame_rate)
    return ClipSpec(frames, (height, width), rate, preset or facts.preprocessing)


def rate_of(name: str, frame_rate: float | str | None = MODEL) -> float | None:
    """Frames per second: of the registered model if `frame_rate` is "model", otherwise that itself."""
    return info(name).frame_rate if frame_rate == MODEL else frame_rate


def table() -> list[dict[str, Any]]:
    """The facts about every model, as plain values."""
    return [_row(REGISTRY.info(name)) for name in REGISTRY.names()]


def _row(facts: ModelInfo) -> dict[str, Any]:
    fields = {field.name: getattr(facts, field.name) for field in dataclasses.fields(facts)}
    return {
        **fields,
        "constructor": facts.constructor.__name__,
        "input": "x".join(map(str, facts.input_shape)),
        "input_shape": list(facts.input_shape),
    }
