"""The verb `kapps action-recognition expand`: X3D's search for a network on data of one's own."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from typing import TYPE_CHECKING, Any

from apps.action_recognition.flags import (
    AUGMENTATION,
    COMMAND,
    TRAIN_FLAGS,
    add_pairs,
    add_run_folder,
    given,
    resumes,
)
from tools.commands import Flags, add_command, add_flags, interruptible, print_result, table
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


SEARCH_FLAGS: Flags = {
    "--target-multiply-adds": (multiply_adds, "of one clip: 50000000, 50M or 0.6G"),
    "--growth": (float, "factor of the multiply-adds of a step (default 2)"),
    "--seeds": (int, "trainings of a candidate, whose mean accuracy decides (default 1)"),
    "--fc1-units": (int, "channels of the layer before the classifier (default 2048)"),
}


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
    add_run_folder(parser, "FOLDER", "search")
    search = parser.add_argument_group("the search")
    add_flags(search, SEARCH_FLAGS)
    search.add_argument(
        "--no-contraction",
        dest="contraction",
        action="store_false",
        default=argparse.SUPPRESS,
        help="keep the last step although it goes beyond the target",
    )
    base = parser.add_argument_group("where it begins")
    add_flags(base, {f"--base-{name.replace('_', '-')}": flag for name, flag in BASE_FLAGS.items()})
    recipe = parser.add_argument_group("the training of every candidate, as of train")
    add_flags(
        recipe,
        {
            flag: (kind, text.replace("best epoch", "axes"))
            for flag, (kind, text) in TRAIN_FLAGS.items()
            if flag not in LEFT_OUT
        },
    )
    add_pairs(recipe, "an argument of the model that no axis decides: dropout=0.2", AUGMENTATION)


def run_expand(options: argparse.Namespace) -> None:
    """Searches and prints every candidate, the path and the command that trains what was found."""
    from apps.action_recognition.expansion import expand

    config = _config(options)
    with interruptible(options.output / "config.json", "every candidate, and every whole epoch,"):
        document = expand(config, options.output, resume=options.resume)
    print_result(options, document, lambda: _text(document, options.output))


def _config(options: argparse.Namespace) -> ExpansionConfig:
    from apps.action_recognition.expansion import ExpansionConfig, Network, config_of
    from apps.action_recognition.training import TrainingConfig

    recipe = given(options, TrainingConfig)
    base = {name: getattr(options, f"base_{name}") for name in BASE_FLAGS if f"base_{name}" in options}
    search = given(options, ExpansionConfig)
    if "target_multiply_adds" in options:
        search["target"] = options.target_multiply_adds
    if resumes(options):
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
