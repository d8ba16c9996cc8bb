"""The verbs of `kapps vq-vae` about priors: train-prior, sample."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from apps.vq_vae.audio import cli as audio_cli
from apps.vq_vae.flags import COMMAND, refuse_foreign
from apps.vq_vae.media import medium_of_prior
from apps.vq_vae.runs import AUDIO
from tools.commands import Flags, add_command, add_flags, interruptible, pair, print_result, seed_number, table
from tools.errors import InputError

TRAIN_PRIOR: Flags = {
    "--which": (str, "checkpoint of the autoencoder: best (default) or last"),
    "--classes": (
        None,
        "learn the codes of each class: class folders in DATA, its array `labels` (of clips `actions`, of audio the "
        "speakers), or --labels",
    ),
    "--labels": (str, "file of the classes of DATA, with --classes: idx1, .npy, or .npz with an array `labels`"),
    "--validation": (str, "further data to measure on (default: some held out of DATA)"),
    "--validation-labels": (str, "file of the classes of --validation"),
    "--validation-examples": (int, "how many are held out of DATA (default 1000)"),
    "--window": (int, "audio: codes of an example, pieces of the recordings (default 32)"),
    "--model": (
        str,
        "a prior of `kapps vq-vae models` (default pixelcnn_8x8 for images, wavenet_prior for audio; video_prior for "
        "clips)",
    ),
    "--steps": (int, "of the whole run (default 10000)"),
    "--steps-per-epoch": (int, "steps between two lines of the log (default 500)"),
    "--batch-size": (int, "examples a step (default 64)"),
    "--learning-rate": (float, "of Adam (default 0.0003)"),
    "--seed": (seed_number, "of everything random (default 0)"),
}


def add_commands(verbs: argparse._SubParsersAction) -> None:
    """Adds the verbs."""
    _add_train_prior(verbs)
    _add_sample(verbs)


# === train-prior ===


def _add_train_prior(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "train-prior",
        help="train the prior of an autoencoder's codes: what it takes to sample, and fewer bits a code",
        example=(
            f"{COMMAND} train-prior runs/digits digits --output runs/digits_prior --classes\n"
            f"  {COMMAND} train-prior runs/digits images.idx3 --classes --labels labels.idx1 --output runs/prior\n"
            f"  {COMMAND} train-prior --output runs/prior --resume"
        ),
        run=run_train_prior,
    )
    parser.add_argument(
        "autoencoder",
        nargs="?",
        default=argparse.SUPPRESS,
        metavar="AUTOENCODER_RUN",
        help="a run folder that train wrote",
    )
    parser.add_argument("data", nargs="?", default=argparse.SUPPRESS, metavar="DATA", help="as train takes them")
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="RUN", help="the run folder, a new one")
    parser.add_argument("--resume", action="store_true", help="go on with the run in RUN, as it began")
    add_flags(parser, TRAIN_PRIOR)
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        type=pair,
        metavar="NAME=X",
        default=argparse.SUPPRESS,
        help="an argument of the prior: filters=64, layers=8, dropout=0.1; repeatable",
    )


def run_train_prior(options: argparse.Namespace) -> None:
    """Trains and prints the report."""
    config = _configuration(options)
    if "window" in options and medium_of_prior(config.autoencoder, config.model).name != AUDIO:
        raise InputError(f"Expected --window only for audio. Received it for {config.autoencoder}.")
    from apps.vq_vae.prior.training import train

    with interruptible(options.output / "state.npz", "every whole epoch"):
        report = train(config, options.output, resume=options.resume)
    print_result(options, report, lambda: _report_text(report, options.output))


def _configuration(options: argparse.Namespace) -> Any:
    """The configuration of the flags that were given; those of a run begun earlier are kept."""
    from apps.vq_vae.prior.training import PriorConfig, config_of
    from tools.files import read_json

    fields = {field.name for field in dataclasses.fields(PriorConfig)}
    given = {name: item for name, item in vars(options).items() if name in fields}
    if "overrides" in given:
        given["overrides"] = dict(given["overrides"])
    if options.resume and (options.output / "config.json").exists():
        return dataclasses.replace(config_of(read_json(options.output / "config.json")), **given)
    if "data" not in given:
        received = "AUTOENCODER_RUN alone" if "autoencoder" in given else "neither"
        raise InputError(f"Expected AUTOENCODER_RUN and DATA. Received {received}, and nothing to resume.")
    return PriorConfig(**given)


def _report_text(report: dict[str, Any], run_folder: pathlib.Path) -> str:
    found = report["held_out"]
    rows = [
        ["the prior", f"{found['bits_per_code']:.3f}"],
        ["frequencies at each position", f"{found['histogram_bits']:.3f}"],
        ["a uniform choice", f"{found['uniform_bits']:.3f}"],
    ]
    return (
        f"{table(rows, ['under', 'bits a code'])}\n\nmeasured on {found['codes']} codes of {found['examples']} held "
        f"out examples, which also chose the epoch ({report['best_epoch']}); {found['accuracy']:.1%} of the codes are "
        f"the likeliest\nthe run folder is {run_folder}"
    )


# === sample ===


def _add_sample(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "sample",
        help="draw images that a prior makes up, a row for each class; or speak what it makes up",
        example=(
            f"{COMMAND} sample runs/digits_prior --output samples.png --label 3 --label 7 --temperature 0.9\n"
            f"  {COMMAND} sample runs/speech_prior --output babble --label anna --count 4"
        ),
        run=run_sample,
    )
    parser.add_argument("run_folder", metavar="PRIOR_RUN", type=pathlib.Path, help="a run folder of train-prior")
    parser.add_argument(
        "--output", required=True, type=pathlib.Path, metavar="PNG", help="the picture, or the folder of .wav files"
    )
    parser.add_argument("--which", default="best", help="best (lowest validation loss, the default) or last epoch")
    parser.add_argument(
        "--label",
        action="append",
        metavar="NAME",
        help="a class, or a speaker, repeatable (default: every one that it knows)",
    )
    parser.add_argument("--count", type=int, default=8, help="images or sounds of each class (default 8)")
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        help="below 1 the likely becomes likelier; 0 the likeliest (default 1)",
    )
    parser.add_argument("--top-k", type=int, default=0, help="only the likeliest K codes (default 0, all)")
    parser.add_argument(
        "--top-p", type=float, default=1.0, help="only the likeliest codes of this share (default 1, all)"
    )
    parser.add_argument("--seed", type=seed_number, default=0, help="of the samples (default 0)")
    parser.add_argument("--codes", type=pathlib.Path, metavar="NPZ", help="write codes and labels here too")
    parser.add_argument("--autoencoder", metavar="RUN", help="the autoencoder, if it is no longer where it was")


def run_sample(options: argparse.Namespace) -> None:
    """Writes the picture or the sounds, and the codes where they are asked for, and prints where."""
    if options.count < 1 or options.seed < 0:
        raise InputError(f"Expected --count above 0 and --seed of 0 or more. Received {options.count}, {options.seed}.")
    if options.codes is not None and options.codes.suffix != ".npz":
        raise InputError(f"Expected --codes to end in .npz. Received {options.codes}.")
    import numpy as np

    from apps.vq_vae.images.codes import shortened
    from apps.vq_vae.prior.runs import load_prior_run
    from apps.vq_vae.prior.sampling import condition_of, sample_codes
    from tools.files import replacing

    run = load_prior_run(options.run_folder, options.which, options.autoencoder)
    condition = condition_of(run)
    write = _write_picture if condition == "label" else _write_sounds
    _check_sample_output(options, run)
    wanted = options.label or list(run.names.get(condition, ()))
    classes = np.repeat(run.class_numbers(condition, wanted), options.count) if wanted else None
    random = np.random.default_rng(options.seed)
    seeds = random.integers(2**63 - 1, size=options.count * max(1, len(wanted)))
    print(f"drawing {len(seeds)} samples", file=sys.stderr, flush=True)
    codes = sample_codes(run, seeds, classes, temperature=options.temperature, top_k=options.top_k, top_p=options.top_p)
    written = write(options, run, codes, seeds, classes)
    if options.codes is not None:
        named = {} if classes is None else {f"{condition}s": np.repeat(wanted, options.count)}
        with replacing(options.codes) as partial:
            np.savez(partial, codes=codes, seeds=seeds, **named)
    result = {
        "run": str(run.path),
        **written,
        "samples": len(codes),
        f"{condition}s": wanted,
        "codes": None if options.codes is None else str(options.codes),
    }
    each = f", {options.count} each of {shortened(wanted)}" if wanted else ""
    print_result(options, result, f"{len(codes)} samples are in {options.output}{each}")


def _check_sample_output(options: argparse.Namespace, run: Any) -> None:
    """Before anything is drawn."""
    if run.config["prior_of"] == AUDIO:
        audio_cli.check_output(options.output)
        return
    from apps.vq_vae.images.pictures import check_drawable

    check_drawable(options.output, run.autoencoder.shape[-1])


def _write_picture(options: argparse.Namespace, run: Any, codes: Any, seeds: Any, classes: Any) -> dict[str, Any]:
    """A row of images for each class."""
    from apps.vq_vae.images.pictures import grid, write_png
    from apps.vq_vae.prior.sampling import decode

    write_png(grid(decode(run.autoencoder, codes)[:, None], columns=options.count), options.output)
    return {"picture": str(options.output)}


def _write_sounds(options: argparse.Namespace, run: Any, codes: Any, seeds: Any, classes: Any) -> dict[str, Any]:
    """A .wav file for each sample."""
    from apps.vq_vae.audio.generation import speak_codes

    names = speak_codes(run.autoencoder, codes, seeds, classes, options.output)
    return {"folder": str(options.output), "files": names}


# === export ===


def export(options: argparse.Namespace, name: str, tell: Callable[[str], None]) -> tuple[Any, list[dict[str, Any]]]:
    """Publishes the prior of `export` with its autoencoder; there is nothing of it for the edge."""
    if options.lite or options.data:
        raise InputError("Expected neither --lite nor --data for a prior, whose sampler is published whole.")
    refuse_foreign(options, seconds="an autoencoder of audio")
    from apps.vq_vae.prior.export import export
    from apps.vq_vae.prior.runs import load_prior_run

    run = load_prior_run(options.run_folder, options.which, options.autoencoder)
    tell("publishing the SavedModel, and running it in a process of its own")
    return export(run, base=options.base, name=name, version=options.version), []
