"""What every training of the application asks of its length, its rate and its seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tools.errors import InputError


def check_schedule(config: Any, counts: Sequence[str]) -> None:
    """Raises an `InputError` for numbers out of range.

    Args:
        config: with steps, steps_per_epoch, batch_size, learning_rate and seed.
        counts: further fields that are at least 1.
    """
    for name in ("steps", "steps_per_epoch", "batch_size", *counts):
        if getattr(config, name) < 1:
            raise InputError(f"Expected {name} to be at least 1. Received {getattr(config, name)}.")
    if config.steps % config.steps_per_epoch:
        raise InputError(
            f"Expected steps to be a multiple of steps_per_epoch, {config.steps_per_epoch}. Received {config.steps}."
        )
    if not 0 < config.learning_rate < float("inf"):
        raise InputError(f"Expected learning_rate to be above 0. Received {config.learning_rate}.")
    if config.seed < 0:
        raise InputError(f"Expected seed to be 0 or more. Received {config.seed}.")
