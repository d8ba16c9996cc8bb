"""Why a classifier answers as it does: weights, permutation importance, margins, the examples it gets most wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from apps.margin_classifier.data import Table, text_of
from apps.margin_classifier.preprocessing import feature_names
from apps.margin_classifier.runs import Run

QUANTILES = (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)


def explain(
    run: Run, table: Table, labels: np.ndarray, *, repeats: int = 5, worst: int = 10, seed: int = 0
) -> dict[str, Any]:
    """Weights (of a linear model), importance of the columns, agreements, and the most violated examples.

    Args:
        run: the classifier.
        table: with the columns it takes.
        labels: 0 or 1 (rows,), both classes.
        repeats: shuffles of each column.
        worst: how many of the most violated examples to list.
        seed: of the shuffles.

    Returns:
        "weights": [{"feature", "weight"}] of normalised features, largest first, or None for other models;
        "importance": [{"column", "auc_lost", "deviation"}], the mean fall of the AUC when the column is shuffled;
        "agreements": quantiles of label times score; "violated": rows from 1 with label, score and columns.
    """
    from sklearn.metrics import roc_auc_score

    scores, chances = run.answer(table)
    whole = float(roc_auc_score(labels, scores))
    generator = np.random.default_rng(seed)
    importance = []
    for column in run.schema.columns:
        lost = []
        for _ in range(repeats):
            shuffled = dict(table.columns)
            shuffled[column] = generator.permutation(shuffled[column])
            lost.append(whole - float(roc_auc_score(labels, run.answer(Table(table.path, shuffled))[0])))
        importance.append({"column": column, "auc_lost": float(np.mean(lost)), "deviation": float(np.std(lost))})
    agreements = np.where(labels == 1, scores, -scores)
    order = np.argsort(agreements, kind="stable")[:worst]
    return {
        "rows": len(labels),
        "auc": whole,
        "weights": weights(run),
        "importance": sorted(importance, key=lambda entry: -entry["auc_lost"]),
        "agreements": {f"{share:g}": float(np.quantile(agreements, share)) for share in QUANTILES},
        "mistakes": float((agreements < 0).mean()),
        "within_the_margin": float(((agreements >= 0) & (agreements < 1)).mean()),
        "violated": [_example(run, table, labels, scores, chances, int(row)) for row in order],
    }


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
        "row": row + 1,
        "class": run.schema.classes[int(labels[row])],
        "score": float(scores[row]),
        "probability": float(chances[row]),
        "columns": {name: text_of(table.columns[name][row].item()) for name in run.schema.columns},
    }
