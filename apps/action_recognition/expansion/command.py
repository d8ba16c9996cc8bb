"""A training as the command that does it."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping
from typing import Any

from apps.action_recognition.flags import COMMAND, TRAIN_FLAGS
from apps.action_recognition.training import TrainingConfig

OUTPUT = "runs/expanded"


def train_command(config: TrainingConfig) -> str:
    """The line that trains by a configuration; what `train` does by default is left out."""
    words = [*COMMAND.split(), "train", config.data, "--output", OUTPUT]
    defaults = {field.name: field.default for field in dataclasses.fields(TrainingConfig)}
    for flag in TRAIN_FLAGS:
        name = flag.removeprefix("--").replace("-", "_")
        setting = getattr(config, name)
        if setting != defaults[name]:
            words += [flag] if setting is True else [flag, _text(setting)]
    for flag, pairs in (("--set", config.overrides), ("--augment", config.augmentation)):
        for name, setting in pairs.items():
            words += [flag, f"{name}={_text(setting)}"]
    return " ".join(shlex.quote(str(word)) for word in words)


def _text(setting: Any) -> str:
    """As the flags read it. A rate of None is every frame's."""
    if setting is None:
        return "all"
    if isinstance(setting, Mapping):
        return json.dumps(setting)
    if isinstance(setting, list | tuple):
        return ",".join(map(str, setting))
    return str(setting)
