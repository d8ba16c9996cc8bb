"""The verbs of `kapps vq-vae`: models, train, evaluate, reconstruct, export; and those of the priors."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
from typing import Any

from apps.vq_vae import cli_prior, cli_video
from apps.vq_vae.flags import COMMAND, PRECISIONS, TRAIN, precisions
from tools.commands import add_command, add_flags, add_group, pair, print_result, table
from tools.errors import InputError

DATA = "a folder of pictures, an .npy or .npz file of integers 0 to 255, or an idx3 file"


def add_commands(subparsers: argparse._SubParsersAction) -> None:
    """Adds `vq-vae` with its verbs."""
    verbs = add_group(
        subparsers,
        "vq-vae",
        help="turn images into discrete codes and back, and learn their prior",
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
    cli_prior.add_commands(verbs)
    cli_video.add_commands(verbs)


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
        help="train an autoencoder on images",
        example=(
            f"{COMMAND} train pictures/train --output runs/mine --validation pictures/test\n"
            f"  {COMMAND} train digits.npz --output runs/digits --model vq_vae_tiny --set codes=256 --steps 2000\n"
            f"  {COMMAND} train --output runs/mine --resume"
        ),
        run=run_train,
    )
    parser.add_argument("data", nargs="?", default=argparse.SUPPRESS, help=DATA)
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="RUN", help="the run folder, a new one")
    parser.add_argument("--resume", action="store_true", help="go on with the run in RUN, as it began")
    add_flags(parser, TRAIN)
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
    config = _configuration(options)
    from apps.vq_vae.image_training import train

    report = train(config, options.output, resume=options.resume)
    print_result(
        options,
        report,
        lambda: (
            f"{_measures_text(report['held_out'])}\n\nmeasured on the validation images, which also chose the epoch "
            f"({report['best_epoch']})\nthe run folder is {options.output}"
        ),
    )


def _configuration(options: argparse.Namespace) -> Any:
    """The configuration of the flags that were given; those of a run begun earlier are kept."""
    from apps.vq_vae.image_training import TrainingConfig, config_of
    from tools.files import read_json

    fields = {field.name for field in dataclasses.fields(TrainingConfig)}
    given = {name: item for name, item in vars(options).items() if name in fields}
    if "overrides" in given:
        given["overrides"] = dict(given["overrides"])
    if options.resume and (options.output / "config.json").exists():
        return dataclasses.replace(config_of(read_json(options.output / "config.json")), **given)
    if "data" not in given:
        raise InputError(f"Expected DATA, images. Received none, and nothing to resume in {options.output}.")
    return TrainingConfig(**given)


def _measures_text(measures: dict[str, Any]) -> str:
    numbers = {name: value for name, value in measures.items() if name not in ("images", "codes")}
    rows = [[name, f"{value:.4g}"] for name, value in numbers.items()]
    return f"{measures['images']} images, {measures['codes']} codes\n\n{table(rows, ['measure', 'value'])}"


# === evaluate ===


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN", type=pathlib.Path, help="a run folder that train wrote")
    parser.add_argument("--which", default="best", help="best (lowest validation loss, the default) or last epoch")


def _add_evaluate(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "evaluate",
        help="measure an autoencoder on images: errors, use of the codes, bits",
        example=f"{COMMAND} evaluate runs/mine pictures/test --json",
        run=run_evaluate,
    )
    _add_run(parser)
    parser.add_argument("data", help=DATA)
    parser.add_argument("--output", type=pathlib.Path, help="folder for evaluation.json (default RUN/evaluation)")


def run_evaluate(options: argparse.Namespace) -> None:
    """Evaluates, writes evaluation.json, and prints the measures."""
    from apps.vq_vae.image_evaluation import measure
    from apps.vq_vae.runs import load_run
    from tools.files import write_json

    run = load_run(options.run_folder, options.which)
    document = {"run": str(run.path), "data": options.data, "which": options.which}
    document.update(measure(run, run.read(options.data)))
    folder = options.output or options.run_folder / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "evaluation.json", document)
    measures = {name: value for name, value in document.items() if name not in ("run", "data", "which")}
    print_result(options, document, lambda: _measures_text(measures))


# === reconstruct ===


def _add_reconstruct(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "reconstruct",
        help="draw images, and below them what an autoencoder makes of their codes",
        example=f"{COMMAND} reconstruct runs/mine pictures/test --output reconstructions.png",
        run=run_reconstruct,
    )
    _add_run(parser)
    parser.add_argument("data", help=DATA)
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="PNG", help="the picture to write")
    parser.add_argument("--count", type=int, default=32, help="how many images (default 32)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of images (default 0)")


def run_reconstruct(options: argparse.Namespace) -> None:
    """Writes the picture and prints where."""
    import numpy as np

    from apps.vq_vae.pictures import draw_reconstructions
    from apps.vq_vae.runs import load_run

    if options.count < 1 or options.seed < 0:
        raise InputError(f"Expected --count above 0 and --seed of 0 or more. Received {options.count}, {options.seed}.")
    run = load_run(options.run_folder, options.which)
    images = run.read(options.data)
    chosen = np.sort(np.random.default_rng(options.seed).permutation(len(images))[: options.count])
    path = draw_reconstructions(run, images[chosen], options.output)
    result = {"run": str(run.path), "picture": str(path), "images": chosen.tolist()}
    print_result(options, result, f"{len(chosen)} images and their reconstructions are in {path}")


# === export ===


def _add_export(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "export",
        help="publish an autoencoder, or a prior with its own, for TensorFlow Serving and, with --lite, for the edge",
        example=f"{COMMAND} export runs/mine --name mine --lite float32\n  {COMMAND} export runs/prior --name sampler",
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
    parser.add_argument("--data", help=f"images of which int8 takes its ranges: {DATA} (default those of the training)")
    parser.add_argument("--autoencoder", metavar="RUN", help="of a prior, if it is no longer where it was")


def run_export(options: argparse.Namespace) -> None:
    """Publishes the run and prints where."""
    from apps.vq_vae.runs import medium_of

    EXPORTS.get(medium_of(options.run_folder), _export_images)(options)


def _export_images(options: argparse.Namespace) -> None:
    if options.autoencoder:
        raise InputError("Expected --autoencoder only for a prior. Received it for an autoencoder.")
    from apps.vq_vae.image_export import export, export_lite
    from apps.vq_vae.runs import load_run

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    run = load_run(options.run_folder, options.which)
    name = options.name or options.run_folder.resolve().name
    images = run.read(options.data or run.config["reading"]["data"])
    tell("publishing the SavedModel, and running it in a process of its own")
    published = export(run, images, base=options.base, name=name, version=options.version)
    files = [
        result
        for precision in options.lite
        for result in export_lite(run, images, run.path / "lite", name, precision, tell)
    ]
    result = {"path": str(published.path), "version": published.version, "lite": files, **published.report}

    def text() -> str:
        lines = [f"published {published.path}, equal to Keras within {published.report['parity']['largest']:.1e}"]
        for entry in files:
            agreement = entry["report"]["agreement"].get("codes", {}).get("equal_share")
            lines.append(f"wrote {entry['path']}" + ("" if agreement is None else f", {agreement:.1%} of codes equal"))
        return "\n".join(lines)

    print_result(options, result, text)


# Medium of a run -> what publishes it, where that is no autoencoder of images.
EXPORTS = {"prior": cli_prior.export_prior}
