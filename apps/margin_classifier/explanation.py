"""Why a classifier answers as it does: weights, permutation importance, margins, the examples it gets most wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from apps.margin_classifier.data import Table, text_of
from apps.margin_classifier.preprocessing import feature_names
from apps.margin_classifier.recipe import check_least, check_seed
from apps.margin_classifier.runs import Run
from tools.errors import InputError

QUANTILES = (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)


def explain(
    run: Run,
    table: Table,
    labels: np.ndarray,
    *,
    repeats: int = 5,
    worst: int = 10,
    seed: int = 0,
    show: Callable[[Iterator, int], Iterator] = lambda items, total: items,
) -> tuple[dict[str, Any], np.ndarray]:
    """Weights (of a linear model), importance of the columns, agreements, and the most violated examples.

    Args:
        run: the classifier.
        table: with the columns it takes.
        labels: 0 or 1 (rows,), both classes.
        repeats: shuffles of each column.
        worst: how many of the most violated examples to list.
        seed: of the shuffles.
        show: wraps the shuffles to show progress.

    Returns:
        The explanation, and the agreements float32 (rows,). In the explanation
        "weights": [{"feature", "weight"}] of normalised features, largest first, or None for other models;
        "importance": [{"column", "auc_lost", "deviation"}], the mean fall of the AUC when the column is shuffled;
        "agreements": quantiles of label times score; "violated": rows with their number in the file from 1, class,
        score, probability and columns.

    Raises:
        InputError: if a class is absent, or `repeats`, `worst` or `seed` out of range.
    """
    from sklearn.metrics import roc_auc_score

    check_least("repeats", repeats, 1)
    check_least("worst", worst, 0)
    check_seed(seed)
    if len(np.unique(labels)) < 2:
        raise InputError(
            f"Expected both classes in column {run.schema.target!r} of {table.path}. "
            f"Received only {run.schema.classes[int(labels[0])]}."
        )
    scores, chances = run.answer(table)
    whole = float(roc_auc_score(labels, scores))
    generator = np.random.default_rng(seed)
    lost: dict[str, list[float]] = {column: [] for column in run.schema.columns}
    shuffles = [column for column in lost for _ in range(repeats)]
    for column in show(iter(shuffles), len(shuffles)):
        shuffled = {**table.columns, column: generator.permutation(table.columns[column])}
        lost[column].append(whole - float(roc_auc_score(labels, run.answer(Table(table.path, shuffled))[0])))
    importance = [
        {"column": column, "auc_lost": float(np.mean(falls)), "deviation": float(np.std(falls))}
        for column, falls in lost.items()
    ]
    agreements = np.where(labels == 1, scores, -scores)
    order = np.argsort(agreements, kind="stable")[:worst]
    document = {
        "rows": len(labels),
        "auc": whole,
        "weights": weights(run),
        "importance": sorted(importance, key=lambda entry: -entry["auc_lost"]),
        "agreements": {f"{share:g}": float(np.quantile(agreements, share)) for share in QUANTILES},
        "mistakes": float((agreements < 0).mean()),
        "within_the_margin": float(((agreements >= 0) & (agreements < 1)).mean()),
        "violated": [_example(run, table, labels, scores, chances, int(row)) for row in order],
    }
    return document, agreements


def weights(run: Run) -> list[dict[str, Any]] | None:
    """The weights of the normalised features, largest first; None where the model is not linear."""
    if run.config["training"]["model"] != "linear":
        return None
    kernel = np.asarray(run.model.get_layer("linear").get_layer("score").kernel)[:, 0]
    named = zip(feature_names(run.schema), kernel.tolist(), strict=True)
    rows = [{"feature": name, "weight": weight} for name, weight in named]
    return sorted(rows, key=lambda row: -abs(row["weight"]))


def _example(
    run: Run, table: Table, labels: np.ndarray, scores: np.ndarray, chances: np.ndarray, row: int
) -> dict[str, Any]:
    return {
        "row": int(table.row_numbers[row]),
        "class": run.schema.classes[int(labels[row])],
        "score": float(scores[row]),
        "probability": float(chances[row]),
        "columns": {name: text_of(table.columns[name][row].item()) for name in run.schema.columns},
    }
