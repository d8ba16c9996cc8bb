"""What the flags of `kapps vq-vae` mean, as a table for each verb."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Callable
from typing import Any

COMMAND = "kapps vq-vae"
# Of `tools.lite.convert`, which is not imported for `--help`.
PRECISIONS = ("float32", "float16", "dynamic", "int8")

# Flag -> type and help. None for a switch; the field of the configuration has the flag's name.
Flags = dict[str, tuple[Callable[[str], Any] | None, str]]

TRAIN: Flags = {
    "--validation": (str, "further images to measure on (default: images held out of DATA)"),
    "--validation-images": (int, "how many are measured after every epoch (default 1000)"),
    "--grey": (None, "read pictures as grey"),
    "--model": (str, "an autoencoder of `kapps vq-vae models` (default vq_vae_cifar10)"),
    "--likelihood": (str, "mse, gaussian, logistic_mixture or categorical (default mse)"),
    "--steps": (int, "of the whole run (default 10000)"),
    "--steps-per-epoch": (int, "steps between two lines of the log (default 100)"),
    "--batch-size": (int, "images a step (default 32)"),
    "--learning-rate": (float, "of Adam (default 0.0003)"),
    "--seed": (int, "of everything random (default 0)"),
}


def precisions(text: str) -> tuple[str, ...]:
    """Precisions of LiteRT files, separated by commas."""
    names = tuple(name for name in text.split(",") if name)
    wrong = [name for name in names if name not in PRECISIONS]
    if wrong or not names:
        raise argparse.ArgumentTypeError(f"expected some of {','.join(PRECISIONS)}, received {text!r}")
    return names


def pair(text: str) -> tuple[str, Any]:
    """`name=value`, the value a Python literal, or the text itself where it is none."""
    name, equals, literal = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"expected name=value, received {text!r}")
    try:
        return name, ast.literal_eval(literal)
    except (ValueError, SyntaxError):
        return name, literal


def add_flags(parser: argparse.ArgumentParser, flags: Flags) -> None:
    """Adds flags without defaults, so that a resumed run is compared by those that were given."""
    for flag, (kind, text) in flags.items():
        how = {"action": "store_true"} if kind is None else {"type": kind, "metavar": "X"}
        parser.add_argument(flag, default=argparse.SUPPRESS, help=text, **how)
