"""The registry of action recognition models.

create("r2plus1d_18", classes=101, dropout=0.5)   a Functional keras.Model
names()                                           what `create` knows
info("r2plus1d_18")                               parameters, multiply-adds, published accuracy, source
"""

from __future__ import annotations

import dataclasses
from typing import Any

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
from tools.registry import ModelInfo, Registry

__all__ = [
    "C3D",
    "DenseNet3D",
    "I3D",
    "I3DResNet",
    "R2Plus1D",
    "R2Plus1DBottleneck",
    "R3D",
    "REGISTRY",
    "S3D",
    "Slow",
    "SlowFast",
    "X3D",
    "create",
    "info",
    "names",
    "table",
]

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


def names() -> list[str]:
    """The registered names."""
    return REGISTRY.names()


def info(name: str) -> ModelInfo:
    """The facts about a model.

    Raises:
        InputError: if there is no such model.
    """
    return REGISTRY.info(name)


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
