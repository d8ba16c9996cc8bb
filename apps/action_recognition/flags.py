"""What the flags of `kapps action-recognition` mean: how they are read, and the table of those of `train`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from tools.commands import Flags, pair, seed_number, value
from tools.errors import WrongUse

if TYPE_CHECKING:
    from apps.action_recognition.runs import Run

COMMAND = "kapps action-recognition"
# Of `tools.lite.convert`, which is not imported for `--help`.
PRECISIONS = ("float32", "float16", "dynamic", "int8")
Configuration = TypeVar("Configuration")


def numbers(text: str) -> tuple[float, ...]:
    """Numbers separated by commas; whole ones stay whole."""
    parsed = value(f"({text},)")
    if not isinstance(parsed, tuple) or not all(type(number) in (int, float) for number in parsed):
        raise argparse.ArgumentTypeError(f"expected numbers separated by commas, received {text!r}")
    return parsed


def frame_rate(text: str) -> float | str | None:
    """A number, None for "all", or "model"."""
    return {"all": None, "model": "model"}[text] if text in ("all", "model") else float(text)


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


AUGMENTATION = "an augmentation: horizontal_flip=0.5, brightness=0.2"
# The default is that of the field of `TrainingConfig` of the same name.
TRAIN_FLAGS: Flags = {
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
    "--frame-rate": (frame_rate, 'frames per second of a clip, or "all" for every frame (default: that of the model)'),
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
    "--seed": (seed_number, "of everything random (default 0)"),
    "--mirrored": (None, "train on all GPUs of this machine"),
    "--jit": (None, "compile the step with XLA"),
}


# === Configurations that a run keeps, so that it can be resumed ===


def add_run_folder(parser: argparse.ArgumentParser, metavar: str, what: str) -> None:
    """Adds --output, the folder, and --resume."""
    parser.add_argument(
        "--output", required=True, type=pathlib.Path, metavar=metavar, help=f"the folder of the {what}, a new one"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help=f"go on with the {what} in {metavar}, with the configuration it began with",
    )


def add_pairs(parser: argparse._ActionsContainer, overrides: str, augmentation: str) -> None:
    """Adds --set and --augment, of which the texts say what they set; without defaults as `add_flags`."""
    for flag, name, text in (("--set", "overrides", overrides), ("--augment", "augmentation", augmentation)):
        parser.add_argument(
            flag,
            dest=name,
            action="append",
            type=pair,
            metavar="NAME=X",
            default=argparse.SUPPRESS,
            help=f"{text}; repeatable",
        )


def given(options: argparse.Namespace, kind: type) -> dict[str, Any]:
    """The fields of a configuration that were given, by name."""
    fields = {field.name: getattr(options, field.name) for field in dataclasses.fields(kind) if field.name in options}
    return {name: dict(item) if name in ("overrides", "augmentation") else item for name, item in fields.items()}


def resumes(options: argparse.Namespace) -> bool:
    """Whether there is something to resume."""
    return options.resume and (options.output / "config.json").exists()


def configuration(
    options: argparse.Namespace,
    kind: type[Configuration],
    read: Callable[[pathlib.Path], Configuration],
    needed: Mapping[str, str],
) -> Configuration:
    """What the flags say; with --resume what the run began with, but for the flags that were given.

    Args:
        options: parsed.
        kind: the configuration's dataclass.
        read: gives the configuration of a folder.
        needed: fields without which no run begins, and what they are called.

    Raises:
        WrongUse: if one of those is missing.
        InputError: as `read`.
    """
    fields = given(options, kind)
    if resumes(options):
        return dataclasses.replace(read(options.output), **fields)
    for name, words in needed.items():
        if name not in fields:
            raise WrongUse(f"Expected {words}. Received none, and nothing to resume in {options.output}.")
    return kind(**fields)


# === A network to ask: that of a run folder, or a registered one with weights ===


def add_network(parser: argparse.ArgumentParser, labels: bool) -> None:
    """Adds --which, --model, --weights, --set, --frame-rate and --preset, and --labels where classes are named."""
    parser.add_argument("--which", choices=("best", "last"), default="best", help="epoch of RUN to use (default best)")
    parser.add_argument("--model", help=f"instead of a run: a model (`{COMMAND} models`) with --weights")
    parser.add_argument("--weights", help=f"its weights: a checkpoint, or a name of `{COMMAND} weights list`")
    if labels:
        parser.add_argument("--labels", help="with --model, class names of a checkpoint, one a line")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        type=pair,
        default=[],
        metavar="NAME=X",
        help="with --model, an argument of it: input_shape=16,112,112,3; repeatable",
    )
    parser.add_argument(
        "--frame-rate",
        type=frame_rate,
        default=argparse.SUPPRESS,
        help='with --model, frames per second of a clip, or "all" for every frame (default: that of the model)',
    )
    parser.add_argument(
        "--preset", default=argparse.SUPPRESS, help="with --model, preprocessing (default: that of the model)"
    )


def positionals(options: argparse.Namespace, first: str, second: str, name: str) -> tuple[str | None, str]:
    """The run folder, None with --model, and what the network is asked about.

    Args:
        options: parsed; `add_network` added to the parser.
        first: attribute of the run folder, or with --model of what is asked about.
        second: attribute of what is asked about, or with --model None.
        name: what that is called.

    Raises:
        WrongUse: if the flags do not fit together.
        InputError: if published weights have not been fetched.
    """
    one, two = getattr(options, first), getattr(options, second)
    if (options.model is None) != (options.weights is None):
        raise WrongUse("Expected --model and --weights together.")
    if (options.model is None) != (two is not None):
        raise WrongUse(f"Expected RUN and {name}, or --model, --weights and {name} alone.")
    if options.model is None:
        if options.overrides or "preset" in options or "frame_rate" in options or getattr(options, "labels", None):
            raise WrongUse("Expected --labels, --set, --frame-rate and --preset with --model only.")
        return one, two
    from apps.action_recognition.published_weights import resolve

    # Before TensorFlow is imported, which takes seconds.
    resolve(options.weights)
    return None, one


def load_network(options: argparse.Namespace, folder: str | None) -> Run:
    """What `positionals` named: the model of the run folder, or the registered one.

    Raises:
        InputError: as `runs.load_run` and `published_weights.load`.
    """
    if folder is not None:
        from apps.action_recognition.runs import load_run

        return load_run(pathlib.Path(folder), options.which)
    from apps.action_recognition.published_weights import load

    return load(options.model, options.weights, options.labels, dict(options.overrides), **clip_flags(options))


def clip_flags(options: argparse.Namespace) -> dict[str, Any]:
    """--frame-rate and --preset, where they were given."""
    return {name: getattr(options, name) for name in ("frame_rate", "preset") if name in options}
