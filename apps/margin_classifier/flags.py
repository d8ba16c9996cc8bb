"""What the flags of `kapps margin-classifier` mean, as a table for each verb."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from tools.commands import Flags, add_flags, seed_number

COMMAND = "kapps margin-classifier"
# As literals, so that --help needs no framework; a test holds them to the registries.
MODELS = ("linear", "kernel", "mlp")
LOSSES = (
    "zero_one",
    "perceptron",
    "l1_hinge",
    "smoothed_l1_hinge",
    "modified_huber",
    "dwd_margin",
    "l2_margin",
    "l2_hinge",
    "sigmoid",
    "logit_margin",
    "exp",
)
CALIBRATIONS = ("platt", "isotonic", "link")
LITE_PRECISIONS = ("float32", "float16", "dynamic")


def names(text: str) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(name for name in text.split(",") if name)


def one_of(*choices: str) -> Callable[[str], str]:
    """One of some words."""

    def choose(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"expected one of {', '.join(choices)}, received {text!r}")
        return text

    return choose


def some_of(*choices: str) -> Callable[[str], tuple[str, ...]]:
    """Some of some words, separated by commas, each once."""

    def choose(text: str) -> tuple[str, ...]:
        chosen = tuple(map(one_of(*choices), names(text)))
        if len(set(chosen)) < len(chosen) or not chosen:
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(choices)}, each once, received {text!r}")
        return chosen

    return choose


def numbers(text: str) -> tuple[float, ...]:
    """Numbers separated by commas."""
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers separated by commas, received {text!r}") from None


READING: Flags = {
    "--target": (str, "the target column (default the last)"),
    "--positive": (str, "value of the positive class (default the larger one)"),
    "--words": (names, "columns of numbers that are categories, separated by commas"),
    "--ignore": (names, "columns to leave out, separated by commas"),
    "--drop-missing": (str, "leave out rows with this text or an empty cell (default: they are an error)"),
}
TRAIN: Flags = {
    "--validation-fraction": (float, "share of each class held out to stop by and to calibrate with (default 0.2)"),
    "--model": (one_of(*MODELS), "linear, kernel or mlp (default linear)"),
    "--loss": (one_of(*LOSSES), "a margin loss: l1_hinge, sigmoid, ... (default logit_margin)"),
    "--gamma": (float, "of smoothed_l1_hinge, above 0 (default 1)"),
    "--q": (float, "of dwd_margin, above 0 (default 1)"),
    "--l2": (float, "weight of the squared weights (default 1 / (2 rows), scikit-learn's C = 1; mlp 0.0001)"),
    "--class-weight": (one_of("balanced"), "balanced (default: all rows the same)"),
    "--epochs": (int, "of the whole run (default 60; with the perceptron's loss 10)"),
    "--batch-size": (int, "rows a step (default: about a fortieth of the rows)"),
    "--learning-rate": (float, "at the start (default linear and kernel 0.05, mlp 0.003)"),
    "--patience": (int, "epochs without a lower validation loss after which to stop (default: never)"),
    "--calibration": (one_of(*CALIBRATIONS), "platt, isotonic or link, the loss's own (default platt)"),
    "--cost-false-positive": (float, "of answering the positive class wrongly (default 1)"),
    "--cost-false-negative": (float, "of answering the negative class wrongly (default 1)"),
    "--seed": (seed_number, "of everything random (default 0)"),
}
COMPARE: Flags = {
    "--losses": (some_of(*LOSSES), "some of the losses, separated by commas (default all that train)"),
    "--flips": (numbers, "shares of the training labels to flip (default 0,0.1,0.2,0.3,0.4)"),
    "--folds": (int, "of the cross-validation (default 5)"),
    "--repeats": (int, "of the cross-validation, each with other folds (default 2)"),
    "--scikit-learn": (None, "also scikit-learn's linear classifiers, in the same folds"),
    "--model": (one_of(*MODELS), "linear, kernel or mlp (default linear)"),
    "--l2": (float, "weight of the squared weights (default as in train)"),
    "--epochs": (int, "of each training (default as in train)"),
    "--seed": (seed_number, "of folds, flips, weights and order (default 0)"),
}


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Adds how to read a table: `READING`, and --no-header."""
    add_flags(parser, READING)
    parser.add_argument(
        "--no-header",
        dest="header",
        action="store_false",
        default=argparse.SUPPRESS,
        help="the first line of the CSV is a row: columns are x1, x2, ...",
    )
