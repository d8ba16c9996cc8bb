"""The verbs of `kapps vq-vae` that every medium has: models, train, evaluate, reconstruct, export; and those of one."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
from types import ModuleType
from typing import Any

from apps.vq_vae.audio import cli as audio_cli
from apps.vq_vae.flags import COMMAND, PRECISIONS, TRAIN, precisions
from apps.vq_vae.images import cli as images_cli
from apps.vq_vae.media import TRAINED, Medium, medium_of_run
from apps.vq_vae.prior import cli as prior_cli
from apps.vq_vae.runs import IMAGES, PRIOR, medium_of
from apps.vq_vae.videos import cli as videos_cli
from tools.commands import add_command, add_flags, add_group, interruptible, pair, print_result, seed_number, table
from tools.errors import InputError

DATA = f"{images_cli.DATA}; of audio {audio_cli.DATA}"


def add_commands(subparsers: argparse._SubParsersAction) -> None:
    """Adds `vq-vae` with its verbs."""
    verbs = add_group(
        subparsers,
        "vq-vae",
        help="turn images or audio into discrete codes and back, and learn their prior",
        example=f"{COMMAND} train pictures/train --output runs/mine",
    )
    add_command(
        verbs,
        "models",
        help="list the registered models",
        example=f"{COMMAND} models --json",
        run=run_models,
    )
    _add_train(verbs)
    _add_evaluate(verbs)
    _add_reconstruct(verbs)
    _add_export(verbs)
    prior_cli.add_commands(verbs)
    audio_cli.add_commands(verbs)
    videos_cli.add_commands(verbs)


def run_models(options: argparse.Namespace) -> None:
    """Prints parameters, multiply-adds, input and source of every registered model."""
    from apps.vq_vae import models

    rows = models.table()
    columns = ["name", "parameters", "multiply_adds", "input", "source"]
    print_result(options, rows, lambda: table([[row[column] for column in columns] for row in rows], columns))


# === train ===


def _add_train(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "train",
        help="train an autoencoder on images or audio",
        example=(
            f"{COMMAND} train pictures/train --output runs/mine --validation pictures/test\n"
            f"  {COMMAND} train digits.npz --output runs/digits --model vq_vae_tiny --set codes=256 --steps 2000\n"
            f"  {COMMAND} train recordings --output runs/speech --model vq_vae_speech_tiny "
            "--pattern '{label}_{speaker}_{index}'\n"
            f"  {COMMAND} train --output runs/mine --resume"
        ),
        run=run_train,
    )
    parser.add_argument("data", nargs="?", default=argparse.SUPPRESS, help=DATA)
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="RUN", help="the run folder, a new one")
    parser.add_argument("--resume", action="store_true", help="go on with the run in RUN, as it began")
    add_flags(parser, {**TRAIN, **audio_cli.TRAIN})
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        type=pair,
        metavar="NAME=X",
        default=argparse.SUPPRESS,
        help="an argument of the model: codes=256, quantizer=residual, quantizer_options={'stages':4}; repeatable",
    )


def run_train(options: argparse.Namespace) -> None:
    """Trains and prints the report."""
    medium = _medium_to_train(options)
    training = medium.module("training")
    with interruptible(options.output / "state.npz", "every whole epoch"):
        report = training.train(_configuration(options, training, medium.name), options.output, resume=options.resume)
    print_result(
        options,
        report,
        lambda: (
            f"{medium.module('cli').measures_text(report['held_out'])}\n\nmeasured on the validation {medium.name}, "
            f"which also chose the epoch ({report['best_epoch']})\nthe run folder is {options.output}"
        ),
    )


def _medium_to_train(options: argparse.Namespace) -> Medium:
    """That of the run to go on with, or of the model that was named."""
    from apps.vq_vae import models

    if options.resume and (options.output / "config.json").exists():
        return medium_of_run(options.output)
    if "model" not in options:
        return TRAINED[IMAGES]
    constructor = models.info(options.model).constructor.__name__
    for medium in TRAINED.values():
        if constructor in medium.constructors:
            return medium
    raise InputError(f"Expected an autoencoder of {' or '.join(TRAINED)}. Received {options.model!r}, another model.")


def _configuration(options: argparse.Namespace, training: ModuleType, medium: str) -> Any:
    """The configuration of the flags that were given; those of a run begun earlier are kept."""
    from tools.files import read_json

    fields = {field.name for field in dataclasses.fields(training.TrainingConfig)}
    flags = {flag[2:].replace("-", "_"): flag for flag in (*TRAIN, *audio_cli.TRAIN)}
    given = {name: item for name, item in vars(options).items() if name in {*flags, "data", "overrides"}}
    foreign = sorted(flags[name] for name in given if name not in fields)
    if foreign:
        raise InputError(f"Expected flags of a training on {medium}. Received {foreign[0]}.")
    if "overrides" in given:
        given["overrides"] = dict(given["overrides"])
    if options.resume and (options.output / "config.json").exists():
        return dataclasses.replace(training.config_of(read_json(options.output / "config.json")), **given)
    if "data" not in given:
        raise InputError(f"Expected DATA, {medium}. Received none, and nothing to resume in {options.output}.")
    return training.TrainingConfig(**given)


# === evaluate ===


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN", type=pathlib.Path, help="a run folder that train wrote")
    parser.add_argument("--which", default="best", help="best (lowest validation loss, the default) or last epoch")


def _verbs(options: argparse.Namespace) -> ModuleType:
    """What the common verbs do with the medium of the run folder."""
    return medium_of_run(options.run_folder).module("cli")


def _add_evaluate(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "evaluate",
        help="measure an autoencoder on images or audio: errors, use of the codes, bits",
        example=f"{COMMAND} evaluate runs/mine pictures/test --json",
        run=run_evaluate,
    )
    _add_run(parser)
    parser.add_argument("data", help=DATA)
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        help="folder for evaluation.json and, of images, code_usage.png (default RUN/evaluation)",
    )


def run_evaluate(options: argparse.Namespace) -> None:
    """Evaluates, writes evaluation.json, and prints the measures."""
    from tools.files import write_json

    verbs = _verbs(options)
    folder = options.output or options.run_folder / "evaluation"
    measures = verbs.evaluate(options, folder)
    document = {"run": str(options.run_folder), "data": options.data, "which": options.which, **measures}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "evaluation.json", document)
    print_result(options, document, lambda: verbs.measures_text(measures))


# === reconstruct ===


def _add_reconstruct(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "reconstruct",
        help="draw images, and below them what an autoencoder makes of their codes; or speak recordings anew",
        example=(
            f"{COMMAND} reconstruct runs/mine pictures/test --output reconstructions.png\n"
            f"  {COMMAND} reconstruct runs/speech recordings/test --output reconstructed --count 8"
        ),
        run=run_reconstruct,
    )
    _add_run(parser)
    parser.add_argument("data", help=DATA)
    parser.add_argument(
        "--output", required=True, type=pathlib.Path, metavar="PNG", help="the picture, or the folder of .wav files"
    )
    parser.add_argument("--count", type=int, default=32, help="how many images or recordings (default 32)")
    parser.add_argument("--seed", type=seed_number, default=0, help="of the choice, and of the sound (default 0)")


def run_reconstruct(options: argparse.Namespace) -> None:
    """Writes the picture, or the sounds, and prints where."""
    if options.count < 1 or options.seed < 0:
        raise InputError(f"Expected --count above 0 and --seed of 0 or more. Received {options.count}, {options.seed}.")
    _verbs(options).reconstruct(options)


# === export ===


def _add_export(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "export",
        help="publish an autoencoder, or a prior, for TensorFlow Serving and, with --lite, for the edge",
        example=f"{COMMAND} export runs/mine --name mine --lite float32",
        run=run_export,
    )
    _add_run(parser)
    parser.add_argument("--base", type=pathlib.Path, default=pathlib.Path("savedmodels"), help="default savedmodels")
    parser.add_argument("--name", help="of the published model (default: the name of the run folder)")
    parser.add_argument("--version", type=int, help="default: the next free one")
    parser.add_argument(
        "--lite",
        type=precisions,
        default=(),
        metavar="PRECISIONS",
        help=(
            "also write RUN/lite/NAME_encoder_PRECISION.tflite and NAME_decoder_PRECISION.tflite for each of "
            f"{','.join(PRECISIONS)} that is named"
        ),
    )
    parser.add_argument("--data", help=f"of which int8 takes its ranges: {DATA} (default those of the training)")
    parser.add_argument("--autoencoder", metavar="RUN", help="of a prior, if it is no longer where it was")
    parser.add_argument("--seconds", type=float, help="audio: what convert, decode and the .tflite take (default 1)")


def run_export(options: argparse.Namespace) -> None:
    """Publishes the run and prints where."""

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    verbs = prior_cli if medium_of(options.run_folder) == PRIOR else _verbs(options)
    published, files = verbs.export(options, options.name or options.run_folder.resolve().name, tell)
    result = {"path": str(published.path), "version": published.version, "lite": files, **published.report}

    def text() -> str:
        lines = [f"published {published.path}, equal to Keras within {published.report['parity']['largest']:.1e}"]
        for entry in files:
            agreement = entry["report"]["agreement"].get("codes", {}).get("equal_share")
            lines.append(f"wrote {entry['path']}" + ("" if agreement is None else f", {agreement:.1%} of codes equal"))
        return "\n".join(lines)

    print_result(options, result, text)
