"""What the common verbs of `kapps vq-vae` do with images: evaluate, reconstruct, export."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Callable
from typing import Any

from apps.vq_vae.flags import refuse_foreign
from tools.commands import print_result, table

DATA = "a folder of pictures, an .npy or .npz file of integers 0 to 255, or an idx3 file"


def measures_text(measures: dict[str, Any]) -> str:
    """The measures of `images.evaluation.measure` for a person."""
    numbers = {name: value for name, value in measures.items() if name not in ("images", "codes")}
    rows = [[name, f"{value:.4g}"] for name, value in numbers.items()]
    codes = f", {measures['codes']} codes" if "codes" in measures else ""
    return f"{measures['images']} images{codes}\n\n{table(rows, ['measure', 'value'])}"


def evaluate(options: argparse.Namespace, folder: pathlib.Path) -> dict[str, Any]:
    """The measures of the run of `evaluate`; code_usage.png is written into the folder."""
    from apps.vq_vae.images.evaluation import measure_and_count
    from apps.vq_vae.images.pictures import draw_code_usage
    from apps.vq_vae.images.runs import load_run

    run = load_run(options.run_folder, options.which)
    measures, counts = measure_and_count(run, run.read(options.data))
    if counts is not None:
        folder.mkdir(parents=True, exist_ok=True)
        draw_code_usage(counts, folder / "code_usage.png")
    return measures


def reconstruct(options: argparse.Namespace) -> None:
    """Writes the picture of `reconstruct` and prints where."""
    import numpy as np

    from apps.vq_vae.images.pictures import draw_reconstructions
    from apps.vq_vae.images.runs import load_run

    run = load_run(options.run_folder, options.which)
    images = run.read(options.data)
    chosen = np.sort(np.random.default_rng(options.seed).permutation(len(images))[: options.count])
    path = draw_reconstructions(run, images[chosen], options.output)
    result = {"run": str(run.path), "picture": str(path), "images": chosen.tolist()}
    print_result(options, result, f"{len(chosen)} images and their reconstructions are in {path}")


def export(options: argparse.Namespace, name: str, tell: Callable[[str], None]) -> tuple[Any, list[dict[str, Any]]]:
    """Publishes the run of `export`, and writes its halves for the edge in the precisions named."""
    refuse_foreign(options, autoencoder="a prior", seconds="audio")
    from apps.vq_vae.images.export import export, export_lite
    from apps.vq_vae.images.runs import load_run

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
