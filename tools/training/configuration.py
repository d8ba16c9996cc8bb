"""The configuration of a run: what all recipes check, and how it lies in config.json.

A configuration is a dataclass with the fields "model" and "overrides", those about the data, and the recipe.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any, TypeVar

from tools.errors import InputError

FOUND = "found_"
MONITORS = ("accuracy", "loss")
Configuration = TypeVar("Configuration")


def check_recipe(config: Any, *, positive: Sequence[str], shares: Sequence[str], validates: bool) -> None:
    """Checks what every recipe has: "patience", "seed", "monitor", and numbers.

    Args:
        config: the configuration.
        positive: fields that are at least 1.
        shares: fields from 0 to 1 (excluded).
        validates: whether there are validation data, on whose values "monitor" may look.

    Raises:
        InputError: for a value out of range.
    """
    for name in positive:
        if getattr(config, name) < 1:
            raise InputError(f"Expected {name} to be at least 1. Received {getattr(config, name)}.")
    for name in shares:
        if not 0 <= getattr(config, name) < 1:
            raise InputError(f"Expected {name} to lie in [0, 1). Received {getattr(config, name)}.")
    if config.patience is not None and config.patience < 1:
        raise InputError(f"Expected patience to be at least 1. Received {config.patience}.")
    if config.seed < 0:
        raise InputError(f"Expected seed to be 0 or more. Received {config.seed}.")
    monitors = (*MONITORS, *(f"val_{name}" for name in MONITORS)) if validates else MONITORS
    if config.monitor not in (None, *monitors):
        raise InputError(f"Expected monitor to be one of {', '.join(monitors)}. Received {config.monitor!r}.")


def describe(config: Any, data_fields: Sequence[str], found: dict[str, Any]) -> dict[str, Any]:
    """A configuration as sections of config.json; `restore` reads them back.

    Args:
        config: the configuration.
        data_fields: those of its fields that are about the data.
        found: what was found in the data, whose change a resumed run must notice; not part of the configuration.

    Returns:
        "model" ("name" and "overrides"), "data" (with `found`) and "training".
    """
    fields = dataclasses.asdict(config)
    data = {name: fields.pop(name) for name in data_fields}
    return {
        "model": {"name": fields.pop("model"), "overrides": fields.pop("overrides")},
        "data": {**data, **{f"{FOUND}{name}": value for name, value in found.items()}},
        "training": fields,
    }


def restore(kind: type[Configuration], description: dict[str, Any], command: str) -> Configuration:
    """The configuration that `describe` wrote.

    Args:
        kind: its dataclass.
        description: a config.json.
        command: that writes such, for the message.

    Raises:
        InputError: if the fields are others.
    """
    data = {key: value for key, value in description["data"].items() if not key.startswith(FOUND)}
    model = {"model": description["model"]["name"], "overrides": description["model"]["overrides"]}
    values = {**data, **model, **description["training"]}
    wrong = sorted(set(values) ^ {field.name for field in dataclasses.fields(kind)})
    if wrong:
        raise InputError(f"Expected config.json to have the fields that {command} writes. Received other {wrong}.")
    return kind(**values)


def digest(value: Any) -> str:
    """A fingerprint of plain values."""
    return hashlib.sha256(repr(value).encode()).hexdigest()
