"""The verb `kapps action-recognition transfer`."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from apps.action_recognition.flags import COMMAND, frame_rate, pair
from tools.commands import add_command, print_result
from tools.errors import WrongUse

if TYPE_CHECKING:
    from apps.action_recognition.transfer import TransferConfig, TransferReport

# Flag -> type (None for a switch) and help; the default is that of the field of `TransferConfig` of the same name.
FLAGS: dict[str, tuple[Callable[[str], Any] | None, str]] = {
    "--teacher": (str, "a .keras file of a network of images, or vgg16_imagenet (`weights get vgg16_imagenet`)"),
    "--teacher-layer": (str, "layer of the teacher whose output are the features (default: its output)"),
    "--teacher-preset": (str, "normalisation that the teacher expects, as two_stream (default: RGB of 0 to 255)"),
    "--teacher-side": (int, "of its square frames in pixels, if it takes any size (default 112)"),
    "--teacher-frames": (int, "of a clip that it looks at (default 8)"),
    "--moments": (int, "of a video at which clips begin (default 4)"),
    "--validation": (str, "videos to measure the correspondence on: a folder or list as VIDEOS"),
    "--validation-fraction": (float, "share of the videos held out where there is no --validation (default 0.1)"),
    "--validation-blocks": (None, "hold out the last videos: where neighbours come from one recording"),
    "--root": (str, "folder to which relative paths in lists refer"),
    "--model": (str, f"the student, see `{COMMAND} models` (default t3d_121)"),
    "--frame-rate": (frame_rate, 'frames per second of a clip, or "all" for every frame (default 15)'),
    "--preset": (str, "preprocessing of the student (default: that of the model)"),
    "--dropout": (float, "before each dense layer (default 0)"),
    "--epochs": (int, "of the whole run (default 20)"),
    "--batch-size": (int, "clips a step, each in two pairs (default 8)"),
    "--optimizer": (str, "adamw or sgd (default adamw)"),
    "--learning-rate": (float, "after the warm-up (default 0.003)"),
    "--weight-decay": (float, "of kernels (default 0.01)"),
    "--patience": (int, "epochs without improvement after which to stop (default: never)"),
    "--monitor": (str, "value that decides which epoch's student is kept (default: the validation accuracy)"),
    "--seed": (int, "of everything random (default 0)"),
}


def add_transfer(verbs: argparse._SubParsersAction) -> None:
    """Adds `transfer`."""
    parser = add_command(
        verbs,
        "transfer",
        help="let a trained network of images teach a network of clips, on videos without labels",
        example=(
            f"{COMMAND} weights get vgg16_imagenet\n"
            f"  {COMMAND} transfer clips --output runs/taught --teacher vgg16_imagenet --model t3d_121\n"
            f"  {COMMAND} transfer --output runs/taught --resume\n"
            f"  {COMMAND} train clips/train --output runs/mine --model t3d_121 --weights runs/taught --fresh-classifier"
        ),
        run=run_transfer,
    )
    parser.add_argument(
        "data",
        nargs="?",
        metavar="VIDEOS",
        default=argparse.SUPPRESS,
        help="a folder, a .csv with a column path or a .txt with a path a line; labels are not read",
    )
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="RUN", help="the run folder, a new one")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in RUN, with the configuration it began with"
    )
    # Without defaults, so that a resumed run is compared by the flags that were given.
    for flag, (kind, text) in FLAGS.items():
        how = {"action": "store_true"} if kind is None else {"type": kind, "metavar": "X"}
        parser.add_argument(flag, default=argparse.SUPPRESS, help=text, **how)
    for flag, name, text in (
        ("--set", "overrides", "an argument of the student: input_shape=32,112,112,3; repeatable"),
        ("--augment", "augmentation", "an augmentation of its clips: horizontal_flip=0.5; repeatable"),
    ):
        parser.add_argument(
            flag, dest=name, action="append", type=pair, metavar="NAME=X", default=argparse.SUPPRESS, help=text
        )


def run_transfer(options: argparse.Namespace) -> None:
    """Trains the student and says where it is."""
    from apps.action_recognition.transfer import transfer

    config = _config(options)
    try:
        report = transfer(config, options.output, resume=options.resume)
    except KeyboardInterrupt:
        if (options.output / "config.json").exists():
            print(f"{options.output}: what is done is kept; --resume goes on", file=sys.stderr)
        raise
    print_result(options, report.to_dict(), lambda: _text(report, config.model))


def _config(options: argparse.Namespace) -> TransferConfig:
    from apps.action_recognition.transfer import TransferConfig, read_transfer_config

    fields = {field.name for field in dataclasses.fields(TransferConfig)}
    given = {name: item for name, item in vars(options).items() if name in fields}
    given.update({name: dict(given[name]) for name in ("overrides", "augmentation") if name in given})
    if options.resume and (options.output / "config.json").exists():
        return dataclasses.replace(read_transfer_config(options.output), **given)
    for name, word in (("data", "VIDEOS"), ("teacher", "--teacher")):
        if name not in given:
            raise WrongUse(f"Expected {word}. Received none, and no run to resume in {options.output}.")
    return TransferConfig(**given)


def _text(report: TransferReport, model: str) -> str:
    training = report.training
    lines = [
        f"best {training.monitor} {training.best:.4f} in epoch {training.best_epoch} of {len(training.history)}: "
        f"pairs of {report.validation_videos or report.videos} videos told right, of which half match "
        f"({report.seconds:.0f} s of training)"
    ]
    if report.skipped:
        lines.append(f"{len(report.skipped)} videos could not be read")
    follow = f"{COMMAND} train DATA --output RUN --model {model} --weights {report.path} --fresh-classifier"
    return "\n".join([*lines, f"the student is {report.student}", f"{follow} (with the same --set)"])
