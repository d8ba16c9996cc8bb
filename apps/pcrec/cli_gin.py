"""The verb `kapps pcrec gin`: graph classification by the official folds and protocol."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

from tools.commands import add_command, interruptible, print_result, seed_number, table
from tools.errors import InputError

COMMAND = "kapps pcrec gin"


def folds(text: str) -> tuple[int, ...]:
    """Numbers separated by commas, or a range: "1,2" or "1-10"."""
    try:
        first, dash, last = text.partition("-")
        if dash:
            return tuple(range(int(first), int(last) + 1))
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers as 1,2 or 1-10, received {text!r}") from None


# Flag -> type and help. None for a switch; the field of `CrossValidationConfig` has the flag's name.
FLAGS: dict[str, tuple[Callable[[str], Any] | None, str]] = {
    "--features": (str, "tags or degrees of the nodes (default tags, or degrees where all tags are one)"),
    "--folds": (folds, "which of the ten, as 1,2 or 1-10 (default 1-10)"),
    "--epochs": (int, "of each fold (default 350)"),
    "--iterations": (int, "batches in an epoch (default 50)"),
    "--batch-size": (int, "graphs in a batch (default 32)"),
    "--units": (int, "width of the dense layers (default 64)"),
    "--convolutions": (int, "how many (default 4)"),
    "--dropout": (float, "of the scores (default 0.5)"),
    "--aggregation": (str, "of neighbours: sum, mean or max (default sum)"),
    "--pooling": (str, "of nodes: sum, mean or max (default sum)"),
    "--learn-epsilon": (None, "train the weight of a node's own features (default: it is 1)"),
    "--learning-rate": (float, "of Adam at the start, halved every 50 epochs (default 0.01)"),
    "--seed": (seed_number, "of weights, dropout and batches (default 0)"),
}


def add_gin(verbs: argparse._SubParsersAction) -> None:
    """Adds the verb `gin`."""
    parser = add_command(
        verbs,
        "gin",
        help="classify whole graphs with GIN, by ten official folds",
        example=(f"{COMMAND} graphs/MUTAG --output runs/mutag --units 32\n  {COMMAND} --output runs/mutag --resume"),
        run=run_gin,
    )
    parser.add_argument(
        "data", nargs="?", default=argparse.SUPPRESS, help="folder of one set: NAME/NAME.txt and NAME/10fold_idx/"
    )
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="RUN", help="the run folder, a new one")
    parser.add_argument("--resume", action="store_true", help="go on with the run in RUN behind its last whole fold")
    for flag, (kind, text) in FLAGS.items():
        how = {"action": "store_true"} if kind is None else {"type": kind, "metavar": "X"}
        parser.add_argument(flag, default=argparse.SUPPRESS, help=text, **how)


def run_gin(options: argparse.Namespace) -> None:
    """Cross-validates, writes report.json and curves.png, and prints the accuracy of each fold."""
    from apps.pcrec.graph_classification.training import CrossValidationConfig, cross_validate
    from tools.files import read_json

    fields = {field.name for field in dataclasses.fields(CrossValidationConfig)}
    given = {name: value for name, value in vars(options).items() if name in fields}
    if options.resume and (options.output / "config.json").exists():
        begun = {name: value for name, value in read_json(options.output / "config.json").items() if name in fields}
        given = {**begun, "folds": tuple(begun["folds"]), **given}
    if "data" not in given:
        raise InputError(
            f"Expected DATA, the folder of a set. Received none, and nothing to resume in {options.output}."
        )
    with interruptible(options.output / "config.json", "every whole fold"):
        report = cross_validate(CrossValidationConfig(**given), options.output, options.resume)
    print_result(options, report, lambda: _text(report, options.output))


def _text(report: dict[str, Any], folder: pathlib.Path) -> str:
    rows = [[int(fold), round(100 * accuracy, 1)] for fold, accuracy in report["folds"].items()]
    return (
        f"{table(rows, ['fold', 'accuracy %'])}\n\n"
        f"{report['data']['name']}: {100 * report['accuracy']:.1f} ± {100 * report['deviation']:.1f} % at epoch "
        f"{report['epoch']}, chosen on the mean curve of these folds; at the last epoch "
        f"{100 * report['last_epoch_accuracy']:.1f} ± {100 * report['last_epoch_deviation']:.1f} %\n"
        f"the curves are in {folder}"
    )
