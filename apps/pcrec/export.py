"""Publishes a recommender for TensorFlow Serving, and writes its LiteRT file."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from apps.pcrec.data.prepared import APPLICATION
from apps.pcrec.runs import Run
from apps.pcrec.scorers import scorer_of
from apps.pcrec.serving import Service, lite_model
from tools.errors import InputError
from tools.files import replacing
from tools.saved_model import Published, publish

LITE_PRECISIONS = ("float32", "float16", "dynamic")


def export(
    run: Run,
    *,
    base: str | os.PathLike,
    name: str,
    version: int | None = None,
    prepared: str | os.PathLike | None = None,
) -> Published:
    """Publishes the run under base/name/version with the signatures of `apps.pcrec.serving`.

    Args:
        run: a trained recommender.
        base: folder of published models.
        name: of the model.
        version: of it; None (default) for the one after the highest.
        prepared: where the prepared folder of an ease or item_knn is now, if it has moved.

    Raises:
        InputError: if the version exists, there are too many items for weights between them, or the gate refuses the
            result.
    """
    scorer = scorer_of(run, run.recommender(run.prepared(prepared) if prepared else None))
    service = Service(run, scorer)
    card = {
        "application": APPLICATION,
        "model": run.config.model,
        "source": f"{run.config.model}, {scorer.description}",
        "parameters": scorer.parameters,
        "users": len(run.users),
        "items": len(run.items),
        "none": service.none,
        "preprocessing": "ids to indices in the graph",
        "masked": "what a user met in training, validation and test",
        "ties": "of equal scores the item first in the order of the ids",
        "unknown_users": "the most popular items; the output `source` says popularity",
    }
    return publish(service.model, service.signatures(), base=base, name=name, version=version, card=card)


def check_lite(run: Run, precision: str, k: int, exclude: int) -> None:
    """Raises an `InputError` for what `export_lite` cannot write."""
    if run.kind != "vectors":
        raise InputError(
            f"Expected a run of mf, lightgcn or popularity for a LiteRT file. Received {run.config.model}, whose "
            "weights between items are too large for a device."
        )
    if precision not in LITE_PRECISIONS:
        raise InputError(f"Expected a precision of {', '.join(LITE_PRECISIONS)}. Received {precision!r}.")
    if not 1 <= k <= len(run.items) or exclude < 1:
        raise InputError(f"Expected k from 1 to {len(run.items)} and exclude from 1. Received {k} and {exclude}.")


def export_lite(
    run: Run, folder: pathlib.Path, name: str, precision: str, k: int, exclude: int, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Writes folder/name_precision.tflite, its report, and name_ids.npz: the ids in the order of the indices.

    Args:
        run: a run of vectors.
        folder: where to.
        name: of the files.
        precision: float32, float16 or dynamic.
        k: items of an answer.
        exclude: indices that a request can leave out.
        tell: called with a line about each stage.

    Raises:
        InputError: for a run without vectors, another precision, or a k beyond the catalogue.
    """
    from tools.lite import convert

    check_lite(run, precision, k, exclude)
    users = np.arange(min(16, len(run.users)), dtype="int32")
    users = np.resize(users, max(4, len(users)))
    left_out = np.full((len(users), exclude), -1, "int32")
    for row, user in enumerate(users):
        met = run.items_of(int(user))[:exclude]
        left_out[row, : len(met)] = met
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}_{precision}.tflite"
    model = lite_model(run.recommender(), k, exclude)
    examples = {"user": users, "exclude": left_out}
    report = convert(model, path, precision=precision, representative=examples, rewrite=False, seconds=1.0, tell=tell)
    with replacing(folder / f"{name}_ids.npz") as partial:
        np.savez(partial, users=run.users, items=run.items)
    return {"path": str(path), "report": report}
