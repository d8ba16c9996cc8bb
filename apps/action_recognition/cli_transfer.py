"""The verb `kapps action-recognition transfer`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from apps.action_recognition.flags import (
    COMMAND,
    TRAIN_FLAGS,
    add_pairs,
    add_run_folder,
    configuration,
)
from tools.commands import Flags, add_command, add_flags, interruptible, print_result

if TYPE_CHECKING:
    from apps.action_recognition.transfer import TransferReport

# The default is that of the field of `TransferConfig` of the same name.
FLAGS: Flags = {
    "--teacher": (str, "a .keras file of a network of images, or vgg16_imagenet (`weights get vgg16_imagenet`)"),
    "--teacher-layer": (str, "layer of the teacher whose output are the features (default: its output)"),
    "--teacher-preset": (str, "normalisation that the teacher expects, as two_stream (default: RGB of 0 to 255)"),
    "--teacher-side": (int, "of its square frames in pixels, if it takes any size (default 112)"),
    "--teacher-frames": (int, "of a clip that it looks at (default 8)"),
    "--moments": (int, "of a video at which clips begin (default 4)"),
    "--validation": (str, "videos to measure the correspondence on: a folder or list as VIDEOS"),
    "--validation-fraction": (float, "share of the videos held out where there is no --validation (default 0.1)"),
    "--validation-blocks": (None, "hold out the last videos: where neighbours come from one recording"),
    "--root": TRAIN_FLAGS["--root"],
    "--model": (str, f"the student, see `{COMMAND} models` (default t3d_121)"),
    "--frame-rate": TRAIN_FLAGS["--frame-rate"],
    "--preset": (str, "preprocessing of the student (default: that of the model)"),
    "--dropout": (float, "before each dense layer (default 0)"),
    "--epochs": (int, "of the whole run (default 20)"),
    "--batch-size": (int, "clips a step, each in two pairs (default 8)"),
    "--optimizer": (str, "adamw or sgd (default adamw)"),
    "--learning-rate": (float, "after the warm-up (default 0.003)"),
    "--weight-decay": (float, "of kernels (default 0.01)"),
    "--patience": TRAIN_FLAGS["--patience"],
    "--monitor": (str, "value that decides which epoch's student is kept (default: the validation accuracy)"),
    "--seed": TRAIN_FLAGS["--seed"],
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
    add_run_folder(parser, "RUN", "run")
    add_flags(parser, FLAGS)
    add_pairs(
        parser,
        "an argument of the student: input_shape=32,112,112,3",
        "an augmentation of its clips: horizontal_flip=0.5",
    )


def run_transfer(options: argparse.Namespace) -> None:
    """Trains the student and says where it is."""
    from apps.action_recognition.transfer import TransferConfig, read_transfer_config, transfer

    needed = {"data": "VIDEOS", "teacher": "--teacher"}
    config = configuration(options, TransferConfig, read_transfer_config, needed)
    with interruptible(options.output / "config.json", "what is done"):
        report = transfer(config, options.output, resume=options.resume)
    print_result(options, report.to_dict(), lambda: _text(report, config.model))


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
