"""The verb `kapps action-recognition expand`: X3D's search for a network on data of one's own."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
from typing import TYPE_CHECKING, Any

from apps.action_recognition.flags import COMMAND, TRAIN_FLAGS, pair
from tools.commands import add_command, print_result, table
from tools.errors import WrongUse

if TYPE_CHECKING:
    from apps.action_recognition.expansion import ExpansionConfig

# Of `train`: what decides the model is searched, and no weights fit a network that nobody has trained.
LEFT_OUT = {"--model", "--weights", "--fresh-classifier", "--freeze", "--frame-rate", "--monitor", "--patience"}
# Field of the base network -> type and help; the defaults are X2D's.
BASE_FLAGS = {
    "frames": (int, "frames of a clip (default 1)"),
    "frame_rate": (float, "frames per second of a clip (default 1)"),
    "side": (int, "height and width in pixels, a multiple of 8 (default 112)"),
    "width": (int, "channels of the first stage, a multiple of 4 (default 24)"),
    "bottleneck": (float, "channels inside a block over those outside, a multiple of 0.25 (default 1)"),
    "depth": (float, "a multiple of 0.2; the stages have ceil(depth * 1, 2, 5, 3) blocks (default 1)"),
}


def multiply_adds(text: str) -> int:
    """A number, with M for millions or G for billions."""
    units = {"M": 10**6, "G": 10**9}
    try:
        number = round(float(text.rstrip("MG")) * units.get(text[-1:], 1))
    except (ValueError, OverflowError):
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number such as 50000000, 50M or 0.6G, received {text!r}")
    return number


def add_expand(verbs: argparse._SubParsersAction) -> None:
    """Adds `expand`."""
    parser = add_command(
        verbs,
        "expand",
        help="grow a network for your videos, one axis at a time, to a target of compute (X3D's expansion)",
        example=(
            f"{COMMAND} expand clips/train --validation clips/test --output expansion --target-multiply-adds 600M\n"
            f"  {COMMAND} expand --output expansion --resume"
        ),
        run=run_expand,
    )
    parser.add_argument(
        "data", nargs="?", default=argparse.SUPPRESS, help="a folder of class folders, a .csv or a UCF101 split .txt"
    )
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="FOLDER", help="of the search, a new one")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the search in FOLDER, with the configuration it began with"
    )
    search = parser.add_argument_group("the search")
    for flag, kind, text in (
        ("--target-multiply-adds", multiply_adds, "of one clip: 50000000, 50M or 0.6G"),
        ("--growth", float, "factor of the multiply-adds of a step (default 2)"),
        ("--seeds", int, "trainings of a candidate, whose mean accuracy decides (default 1)"),
        ("--fc1-units", int, "channels of the layer before the classifier (default 2048)"),
    ):
        search.add_argument(flag, type=kind, metavar="X", default=argparse.SUPPRESS, help=text)
    search.add_argument(
        "--no-contraction",
        dest="contraction",
        action="store_false",
        default=argparse.SUPPRESS,
        help="keep the last step although it goes beyond the target",
    )
    base = parser.add_argument_group("where it begins")
    for name, (kind, text) in BASE_FLAGS.items():
        flag = f"--base-{name.replace('_', '-')}"
        base.add_argument(flag, type=kind, metavar="X", default=argparse.SUPPRESS, help=text)
    recipe = parser.add_argument_group("the training of every candidate, as of train")
    # Without defaults, so that a resumed search is compared by the flags that were given.
    for flag, (kind, text) in TRAIN_FLAGS.items():
        if flag not in LEFT_OUT:
            how: dict[str, Any] = {"action": "store_true"} if kind is None else {"type": kind, "metavar": "X"}
            recipe.add_argument(flag, default=argparse.SUPPRESS, help=text.replace("best epoch", "axes"), **how)
    for flag, name, text in (
        ("--set", "overrides", "an argument of the model that no axis decides: dropout=0.2; repeatable"),
        ("--augment", "augmentation", "an augmentation: horizontal_flip=0.5, brightness=0.2; repeatable"),
    ):
        recipe.add_argument(
            flag, dest=name, action="append", type=pair, metavar="NAME=X", default=argparse.SUPPRESS, help=text
        )


def run_expand(options: argparse.Namespace) -> None:
    """Searches and prints every candidate, the path and the command that trains what was found."""
    from apps.action_recognition.expansion import expand

    config = _config(options)
    try:
        document = expand(config, options.output, resume=options.resume)
    except KeyboardInterrupt:
        if (options.output / "config.json").exists():
            print(
                f"{options.output}: every candidate is kept, and every whole epoch; --resume goes on", file=sys.stderr
            )
        raise
    print_result(options, document, lambda: _text(document, options.output))


def _config(options: argparse.Namespace) -> ExpansionConfig:
    from apps.action_recognition.expansion import ExpansionConfig, Network, config_of
    from apps.action_recognition.training import TrainingConfig

    given = vars(options)
    recipe = {field.name: given[field.name] for field in dataclasses.fields(TrainingConfig) if field.name in given}
    recipe.update({name: dict(recipe[name]) for name in ("overrides", "augmentation") if name in recipe})
    base = {name: given[f"base_{name}"] for name in BASE_FLAGS if f"base_{name}" in given}
    search = {name: given[name] for name in ("growth", "seeds", "fc1_units", "contraction") if name in given}
    if "target_multiply_adds" in given:
        search["target"] = given["target_multiply_adds"]
    if options.resume and (options.output / "config.json").exists():
        begun = config_of(options.output)
        training = dataclasses.replace(begun.training, **recipe)
        return dataclasses.replace(begun, training=training, base=dataclasses.replace(begun.base, **base), **search)
    needed = {"DATA, the training videos": "data" in recipe, "--target-multiply-adds": "target" in search}
    for name, present in needed.items():
        if not present:
            raise WrongUse(f"Expected {name}. Received none, and no search to resume in {options.output}.")
    return ExpansionConfig(TrainingConfig(**recipe), base=Network(**base), **search)


def _text(document: dict[str, Any], folder: pathlib.Path) -> str:
    chosen = set(document["path"])
    columns = ["step", "axis", "network", "multiply-adds", "parameters", "accuracy", "chosen"]
    rows = [
        [
            row["step"],
            row["label"],
            row["name"],
            row["multiply_adds"],
            row["parameters"],
            round(row["accuracy"], 4),
            "yes" if row["name"] in chosen else "",
        ]
        for row in document["candidates"]
    ]
    found = document["found"]
    better = [
        row
        for row in document["candidates"]
        if row["accuracy"] > found["accuracy"] and row["multiply_adds"] <= found["multiply_adds"]
    ]
    doubt = ""
    if better:
        best = max(better, key=lambda row: row["accuracy"])
        doubt = (
            f"{best['name']} computes no more and reached {best['accuracy']:.4f}: such differences may be chance, of "
            "which more --seeds or --epochs leave less\n"
        )
    return (
        f"{table(rows, columns)}\n\n"
        f"found {found['name']}: {found['multiply_adds']:,} multiply-adds, {found['parameters']:,} parameters, "
        f"accuracy {found['accuracy']:.4f} on {document['validation_videos']} videos, which also chose the axes\n"
        f"{doubt}{found['train']}\n\nthe candidates, expansion.json and expansion.png are in {folder}"
    )
