"""The verbs of `kapps vq-vae` that every medium has: models, train, evaluate, reconstruct, export."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from apps.vq_vae import cli_audio
from apps.vq_vae.flags import COMMAND, PRECISIONS, TRAIN, add_flags, pair, precisions
from tools.commands import add_command, add_group, print_result, table
from tools.errors import InputError

DATA = "a folder of pictures, an .npy or .npz file of integers 0 to 255, or an idx3 file"
EITHER = f"{DATA}; of audio {cli_audio.DATA}"
# Medium -> constructor of its autoencoders, the module that trains them, what prints the measures.
MEDIA = {
    "images": ("ImageVQVAE", "apps.vq_vae.image_training"),
    "audio": ("AudioVQVAE", "apps.vq_vae.audio_training"),
}


def add_commands(subparsers: argparse._SubParsersAction) -> None:
    """Adds `vq-vae` with its verbs."""
    verbs = add_group(
        subparsers,
        "vq-vae",
        help="turn images or audio into discrete codes and back: models, train, evaluate, reconstruct, export",
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
    cli_audio.add_commands(verbs)


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
    parser.add_argument("data", nargs="?", default=argparse.SUPPRESS, help=EITHER)
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="RUN", help="the run folder, a new one")
    parser.add_argument("--resume", action="store_true", help="go on with the run in RUN, as it began")
    add_flags(parser, {**TRAIN, **cli_audio.TRAIN})
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
    module = importlib.import_module(MEDIA[medium][1])
    report = module.train(_configuration(options, module, medium), options.output, resume=options.resume)
    print_result(
        options,
        report,
        lambda: (
            f"{_text(medium, report['held_out'])}\n\nmeasured on the validation {medium}, which also chose the epoch "
            f"({report['best_epoch']})\nthe run folder is {options.output}"
        ),
    )


def _medium_to_train(options: argparse.Namespace) -> str:
    """That of the run to go on with, or of the model that was named."""
    from apps.vq_vae import models
    from apps.vq_vae.runs import medium_of
    from tools.files import read_json

    if options.resume and (options.output / "config.json").exists():
        return medium_of(read_json(options.output / "config.json"))
    if "model" not in options:
        return "images"
    constructor = models.info(options.model).constructor.__name__
    for medium, (name, _) in MEDIA.items():
        if constructor == name:
            return medium
    raise InputError(f"Expected an autoencoder. Received {options.model!r}, a prior.")


def _configuration(options: argparse.Namespace, module: Any, medium: str) -> Any:
    """The configuration of the flags that were given; those of a run begun earlier are kept."""
    from tools.files import read_json

    fields = {field.name for field in dataclasses.fields(module.TrainingConfig)}
    flags = {flag[2:].replace("-", "_"): flag for flag in (*TRAIN, *cli_audio.TRAIN)}
    given = {name: item for name, item in vars(options).items() if name in {*flags, "data", "overrides"}}
    foreign = sorted(flags[name] for name in given if name not in fields)
    if foreign:
        raise InputError(f"Expected flags of a training on {medium}. Received {foreign[0]}.")
    if "overrides" in given:
        given["overrides"] = dict(given["overrides"])
    if options.resume and (options.output / "config.json").exists():
        return dataclasses.replace(module.config_of(read_json(options.output / "config.json")), **given)
    if "data" not in given:
        raise InputError(f"Expected DATA, {medium}. Received none, and nothing to resume in {options.output}.")
    return module.TrainingConfig(**given)


def _text(medium: str, measures: dict[str, Any]) -> str:
    return cli_audio.measures_text(measures) if medium == "audio" else _measures_text(measures)


def _medium(options: argparse.Namespace) -> str:
    """The medium of the run folder."""
    from apps.vq_vae.runs import medium_of, read_config

    return medium_of(read_config(options.run_folder))


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
        help="measure an autoencoder on images or audio: errors, use of the codes, bits",
        example=f"{COMMAND} evaluate runs/mine pictures/test --json",
        run=run_evaluate,
    )
    _add_run(parser)
    parser.add_argument("data", help=EITHER)
    parser.add_argument("--output", type=pathlib.Path, help="folder for evaluation.json (default RUN/evaluation)")


def run_evaluate(options: argparse.Namespace) -> None:
    """Evaluates, writes evaluation.json, and prints the measures."""
    from tools.files import write_json

    medium = _medium(options)
    path, measures = cli_audio.evaluate(options) if medium == "audio" else _evaluate_images(options)
    document = {"run": str(path), "data": options.data, "which": options.which, **measures}
    folder = options.output or options.run_folder / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "evaluation.json", document)
    print_result(options, document, lambda: _text(medium, measures))


def _evaluate_images(options: argparse.Namespace) -> tuple[pathlib.Path, dict[str, Any]]:
    from apps.vq_vae.image_evaluation import measure
    from apps.vq_vae.runs import load_run

    run = load_run(options.run_folder, options.which)
    return run.path, measure(run, run.read(options.data))


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
    parser.add_argument("data", help=EITHER)
    parser.add_argument(
        "--output", required=True, type=pathlib.Path, metavar="PNG", help="the picture, or the folder of .wav files"
    )
    parser.add_argument("--count", type=int, default=32, help="how many images or recordings (default 32)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice, and of the sound (default 0)")


def run_reconstruct(options: argparse.Namespace) -> None:
    """Writes the picture and prints where."""
    import numpy as np

    from apps.vq_vae.pictures import draw_reconstructions
    from apps.vq_vae.runs import load_run

    if options.count < 1 or options.seed < 0:
        raise InputError(f"Expected --count above 0 and --seed of 0 or more. Received {options.count}, {options.seed}.")
    if _medium(options) == "audio":
        cli_audio.reconstruct(options)
        return
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
        help="publish an autoencoder for TensorFlow Serving and, with --lite, for the edge",
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
    parser.add_argument("--data", help=f"of which int8 takes its ranges: {EITHER} (default those of the training)")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="audio: what convert, decode and the .tflite take (default 1)"
    )


def run_export(options: argparse.Namespace) -> None:
    """Publishes the run and prints where."""

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    name = options.name or options.run_folder.resolve().name
    publish = cli_audio.export if _medium(options) == "audio" else _export_images
    published, files = publish(options, name, tell)
    result = {"path": str(published.path), "version": published.version, "lite": files, **published.report}

    def text() -> str:
        lines = [f"published {published.path}, equal to Keras within {published.report['parity']['largest']:.1e}"]
        for entry in files:
            agreement = entry["report"]["agreement"].get("codes", {}).get("equal_share")
            lines.append(f"wrote {entry['path']}" + ("" if agreement is None else f", {agreement:.1%} of codes equal"))
        return "\n".join(lines)

    print_result(options, result, text)


def _export_images(
    options: argparse.Namespace, name: str, tell: Callable[[str], None]
) -> tuple[Any, list[dict[str, Any]]]:
    from apps.vq_vae.image_export import export, export_lite
    from apps.vq_vae.runs import load_run

    run = load_run(options.run_folder, options.which)
    images = run.read(options.data or run.config["reading"]["data"])
    tell("publishing the SavedModel, and running it in a process of its own")
    published = export(run, images, base=options.base, name=name, version=options.version)
    files = [
        result
        for precision in options.lite
        for result in export_lite(run, images, run.path / "lite", name, precision, tell)
    ]
    return published, files
