"""VQ-VAE, VAE and VIMCO on the same images, with the same encoder and decoder, steps, batch and likelihood.

    python -m apps.vq_vae.baselines.comparison TRAINING TEST --output runs/baselines --seeds 3 --steps 1000

Every run stays as a folder of `kapps vq-vae train`; what was trained before is not trained again. The bits are upper
bounds of -log2 p(image) for each number of an image, on test images that training did not see: of the VQ-VAE the
encoder's own codes under a uniform prior, of the two others the bound of 50 samples.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
from typing import Any

import numpy as np

from tools.commands import print_result, run_command, table
from tools.errors import InputError
from tools.files import write_json

MODELS = {"VQ-VAE": "vq_vae_tiny", "VAE": "vae_tiny", "VIMCO": "vimco_tiny"}
# Bits a number of CIFAR-10 in van den Oord et al. 2017, section 4.1: published, on other data, after 250,000 steps.
PUBLISHED = {"VQ-VAE": 4.67, "VAE": 4.51, "VIMCO": 5.14}
MEASURES = (
    "bits_per_dim_upper_bound",
    "rate_bits_per_dim",
    "reconstruction_bits_per_dim",
    "single_sample_bits_per_dim_upper_bound",
)
LIKELIHOODS = ("gaussian", "logistic_mixture", "categorical")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What the three have in common.

    Attributes:
        training: images to train on; see `images.data.read_images`.
        test: images to measure on.
        output: folder of the runs.
        seeds: runs of each model, with the seeds 0, 1, ...
        steps: of each run.
        batch_size: images a step.
        learning_rate: of Adam.
        likelihood: "gaussian", "logistic_mixture" or "categorical".
        test_images: how many of the test images are measured, at even distances.
    """

    training: str
    test: str
    output: pathlib.Path
    seeds: int = 3
    steps: int = 1000
    batch_size: int = 32
    learning_rate: float = 1e-3
    likelihood: str = "gaussian"
    test_images: int = 1000


def compare(comparison: Comparison) -> dict[str, Any]:
    """Trains and measures; output/comparison.json grows by every run.

    Returns:
        "settings"; "runs", one for each model and seed; "models": by model the mean, the least and the largest value
        over the seeds of each measure.

    Raises:
        InputError: if a number is below 1, or the likelihood gives pixels no probability in training.
    """
    from apps.vq_vae.images.data import spread
    from apps.vq_vae.images.evaluation import measure
    from apps.vq_vae.images.runs import load_run
    from apps.vq_vae.images.training import train

    check(comparison)
    runs: list[dict[str, Any]] = []
    document: dict[str, Any] = {}
    for seed in range(comparison.seeds):
        for label, name in MODELS.items():
            folder = comparison.output / f"{name}_{seed}"
            train(_configuration(comparison, name, seed), folder, resume=folder.exists())
            # The same budget for all: the validation loss of VIMCO, of its most probable codes, would choose too early.
            trained = load_run(folder, "last")
            images = spread(trained.read(comparison.test), comparison.test_images)
            runs.append({"model": label, "seed": seed, **measure(trained, images)})
            settings = {key: str(value) for key, value in dataclasses.asdict(comparison).items()}
            document = {"settings": settings, "runs": runs, "models": summary(runs)}
            write_json(comparison.output / "comparison.json", document)
    return document


def check(comparison: Comparison) -> None:
    """Raises an `InputError` for what training would not refuse, or only after a while."""
    for name in ("seeds", "steps", "batch_size", "test_images"):
        if getattr(comparison, name) < 1:
            raise InputError(f"Expected {name} to be at least 1. Received {getattr(comparison, name)}.")
    if comparison.likelihood not in LIKELIHOODS:
        raise InputError(
            f"Expected likelihood to be one of {', '.join(LIKELIHOODS)}. Received {comparison.likelihood!r}."
        )


def _configuration(comparison: Comparison, name: str, seed: int) -> Any:
    from apps.vq_vae.images.training import TrainingConfig

    return TrainingConfig(
        data=comparison.training,
        validation_images=200,
        model=name,
        likelihood=comparison.likelihood,
        steps=comparison.steps,
        steps_per_epoch=next(count for count in (100, 50, 10, 1) if comparison.steps % count == 0),
        batch_size=comparison.batch_size,
        learning_rate=comparison.learning_rate,
        seed=seed,
    )


def summary(runs: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """By model and measure the "mean", "least" and "largest" value over the seeds."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for label in dict.fromkeys(row["model"] for row in runs):
        own = [row for row in runs if row["model"] == label]
        values = {name: [row[name] for row in own if name in row] for name in MEASURES}
        found[label] = {
            name: {"mean": float(np.mean(numbers)), "least": min(numbers), "largest": max(numbers)}
            for name, numbers in values.items()
            if numbers
        }
    return found


def as_text(models: dict[str, dict[str, dict[str, float]]]) -> str:
    """The summary as a table, with the paper's figures beside it."""
    rows = []
    for label, measures in models.items():
        cells = [_cell(measures[name]) if name in measures else "" for name in MEASURES]
        rows.append([label, *cells, f"{PUBLISHED[label]:.2f}"])
    columns = ["model", "bits (upper bound)", "rate", "reconstruction", "one sample", "CIFAR-10 *"]
    note = "* published, van den Oord et al. 2017: other images, a larger model, 250,000 steps"
    return f"{table(rows, columns)}\n\nmean (least to largest over the seeds)\n{note}"


def _cell(numbers: dict[str, float]) -> str:
    return f"{numbers['mean']:.3f} ({numbers['least']:.3f} to {numbers['largest']:.3f})"


def run(options: argparse.Namespace) -> None:
    """Compares, and prints the table."""
    values = {field.name: getattr(options, field.name) for field in dataclasses.fields(Comparison)}
    document = compare(Comparison(**values))
    print_result(options, document, lambda: as_text(document["models"]))


def build_parser() -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = argparse.ArgumentParser(
        prog="python -m apps.vq_vae.baselines.comparison",
        description=__doc__.splitlines()[0],
        epilog=(
            "example:\n  python -m apps.vq_vae.baselines.comparison train-images-idx3-ubyte.gz "
            "t10k-images-idx3-ubyte.gz --output runs/baselines"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("training", help="images to train on, as of `kapps vq-vae train`")
    parser.add_argument("test", help="images to measure on")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder of the runs")
    for name, kind, text in (
        ("seeds", int, "runs of each model, with the seeds 0, 1, ..."),
        ("steps", int, "of each run"),
        ("batch_size", int, "images a step"),
        ("learning_rate", float, "of Adam"),
        ("likelihood", str, f"one of {', '.join(LIKELIHOODS)}"),
        ("test_images", int, "how many of TEST are measured"),
    ):
        default = getattr(Comparison, name)
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=kind, default=default, metavar="X", help=f"{text} (default {default})")
    parser.add_argument("--json", action="store_true", help="print one JSON document, for a program to read")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)
    return parser


if __name__ == "__main__":
    sys.exit(run_command(build_parser()))
