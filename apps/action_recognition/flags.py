"""What the flags of `kapps action-recognition` mean: how they are read, and the table of those of `train`."""

from __future__ import annotations

import argparse
import ast
import json
from collections.abc import Callable
from typing import Any

COMMAND = "kapps action-recognition"
# Of `tools.lite.convert`, which is not imported for `--help`.
PRECISIONS = ("float32", "float16", "dynamic", "int8")


def value(text: str) -> Any:
    """A Python literal, or the text itself where it is none: 0.5, 8,56,56,3, max."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def pair(text: str) -> tuple[str, Any]:
    """`name=value`."""
    name, equals, literal = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"expected name=value, received {text!r}")
    return name, value(literal)


def numbers(text: str) -> tuple[float, ...]:
    """Numbers separated by commas; whole ones stay whole."""
    parsed = value(f"({text},)")
    if not isinstance(parsed, tuple) or not all(type(number) in (int, float) for number in parsed):
        raise argparse.ArgumentTypeError(f"expected numbers separated by commas, received {text!r}")
    return parsed


def frame_rate(text: str) -> float | None:
    """A number, or None for "all"."""
    return None if text == "all" else float(text)


def class_weight(text: str) -> str | dict[str, float]:
    """ "balanced", or a JSON object of weights by class name."""
    if text == "balanced":
        return text
    try:
        weights = json.loads(text)
        return {name: float(weight) for name, weight in weights.items()}
    except (ValueError, AttributeError, TypeError):
        raise argparse.ArgumentTypeError(f"expected balanced or a JSON object of weights, received {text!r}") from None


def precisions(text: str) -> list[str]:
    """Precisions of LiteRT files separated by commas."""
    names = text.split(",")
    if not set(names) <= set(PRECISIONS):
        raise argparse.ArgumentTypeError(f"expected some of {','.join(PRECISIONS)}, received {text!r}")
    return names


# Flag -> type (None for a switch) and help; the default is that of the field of `TrainingConfig` of the same name.
TRAIN_FLAGS: dict[str, tuple[Callable[[str], Any] | None, str]] = {
    "--validation": (str, "videos to choose the best epoch by: a folder or list as DATA"),
    "--validation-fraction": (float, "share of each class held out where there is no --validation (default 0.1)"),
    "--validation-blocks": (None, "hold out the last videos of each class: where neighbours come from one recording"),
    "--split": (int, "split of HMDB51: DATA is the folder of its split files, --root that of the videos"),
    "--root": (str, "folder to which relative paths in lists refer"),
    "--model": (str, f"see `{COMMAND} models` (default r2plus1d_18)"),
    "--weights": (str, "checkpoint to begin with"),
    "--fresh-classifier": (None, "leave the classifier of --weights out, for other classes"),
    "--freeze": (str, "last layer of --weights to keep as it is, with all before it, such as Mixed_4f of i3d"),
    "--normalization-momentum": (float, "of the batch normalizations; less for short trainings (default: the model's)"),
    "--frame-rate": (frame_rate, 'frames per second of a clip, or "all" for every frame (default 15)'),
    "--preset": (str, "preprocessing (default: that of the model)"),
    "--epochs": (int, "of the whole run (default 45)"),
    "--batch-size": (int, "clips a step (default 24)"),
    "--optimizer": (str, "sgd or adamw (default sgd)"),
    "--learning-rate": (float, "after the warm-up (default 0.01)"),
    "--momentum": (float, "of sgd (default 0.9)"),
    "--weight-decay": (float, "default 0.0001; not of biases and normalisations"),
    "--decay-vectors": (None, "decay biases and normalisations too"),
    "--schedule": (str, "step, cosine or constant (default step)"),
    "--milestones": (numbers, "epochs at which step lowers the rate (default 20,30,40 of 45, in proportion)"),
    "--decay-factor": (float, "by which it is lowered (default 0.1)"),
    "--warm-up-epochs": (float, "of linear warm-up (default 10 of 45, in proportion)"),
    "--warm-up-start": (float, "share of the rate at the first step (default 0.001)"),
    "--clip-norm": (float, "largest norm of the gradients (default: no limit)"),
    "--label-smoothing": (float, "share of the label spread over all classes (default 0)"),
    "--class-weight": (class_weight, 'balanced, or {"class": weight, ...} (default: all the same)'),
    "--precision": (str, "float32, mixed_bfloat16 or mixed_float16 (default float32)"),
    "--patience": (int, "epochs without improvement after which to stop (default: never)"),
    "--monitor": (str, "value that decides which epoch is best (default: the validation accuracy)"),
    "--seed": (int, "of everything random (default 0)"),
    "--mirrored": (None, "train on all GPUs of this machine"),
    "--jit": (None, "compile the step with XLA"),
}
