"""Sampling from the priors, side by side in one run: with kept activations, and with the whole model at every position.

Every position costs the naive way the same, one run of the whole model; it is timed on the first few.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from tools.commands import print_result, run_command
from tools.errors import InputError

# Model -> positions that the naive way samples.
MODELS = {"pixelcnn": 4, "wavenet_prior": 8}


def measure(name: str, batch: int, positions: int, repeats: int) -> dict[str, Any]:
    """Codes a second of both ways, from a registered model with random weights.

    Args:
        name: registered model.
        batch: samples at a time.
        positions: that the naive way samples.
        repeats: timed rounds.

    Raises:
        InputError: for more positions than the model has.
    """
    import keras
    import numpy as np

    from apps.vq_vae import models
    from tools import bench
    from tools.sampling import NaiveSampler, Sampler

    keras.utils.set_random_seed(0)
    model = models.create(name, classes=0)
    sampler = Sampler(model)
    codes = int(np.prod(sampler.lengths))
    if positions > codes:
        raise InputError(f"Expected --naive-positions of at most {codes}, the codes of {name}. Received {positions}.")
    naive = NaiveSampler(model, positions=positions)
    seeds = np.arange(batch)
    samples: dict[str, np.ndarray] = {}

    def run(way: str, sample: Any, count: int) -> int:
        samples[way] = sample(seeds).numpy().reshape(batch, -1)
        return batch * count

    timings = bench.compare(
        {
            "naive": lambda: run("naive", naive, positions),
            "cached": lambda: run("cached", sampler, codes),
        },
        repeats=repeats,
    )
    slow, fast = (timing.per_second for timing in timings)
    same = float((samples["naive"][:, :positions] == samples["cached"][:, :positions]).mean())
    return {
        "model": name,
        "parameters": model.count_params(),
        "batch": batch,
        "codes": codes,
        "naive_positions": positions,
        "ways": [timing.to_dict() for timing in timings],
        "times_faster": fast / slow,
        "same_codes": same,
        "text": bench.report(timings, "codes"),
    }


def heading(result: dict[str, Any]) -> str:
    """What was measured, in a line."""
    return (
        f"{result['model']}, {result['codes']} codes, batch {result['batch']}, naive on the first "
        f"{result['naive_positions']} positions; {result['same_codes']:.1%} of their codes the same"
    )


def run(options: argparse.Namespace) -> None:
    """Measures and prints a table for each model."""
    for name in ("batch", "naive_positions", "repeats"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"Expected --{name.replace('_', '-')} to be at least 1. Received {value}.")
    results = [
        measure(name, options.batch, options.naive_positions or MODELS[name], options.repeats)
        for name in options.models
    ]

    def text() -> str:
        return "\n\n".join(f"{heading(result)}\n{result['text']}" for result in results)

    print_result(options, results, text)


def build_parser() -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = argparse.ArgumentParser(
        prog="python -m apps.vq_vae.prior.sampling_benchmark",
        description=__doc__.splitlines()[0],
        epilog="example:\n  python -m apps.vq_vae.prior.sampling_benchmark --models pixelcnn --batch 16",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--models", nargs="+", choices=tuple(MODELS), default=list(MODELS), help="default: both")
    parser.add_argument("--batch", type=int, default=16, help="samples at a time (default 16)")
    parser.add_argument("--naive-positions", type=int, help="that the naive way samples (default 4 and 8)")
    parser.add_argument("--repeats", type=int, default=3, help="timed rounds (default 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON document, for a program to read")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)
    return parser


if __name__ == "__main__":
    sys.exit(run_command(build_parser()))
