"""The measures of a classifier of two classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from apps.margin_classifier.recipe import check_seed
from tools.metrics import classification_metrics, confusion


def measure(
    probabilities: np.ndarray,
    labels: np.ndarray,
    *,
    threshold: float = 0.5,
    costs: tuple[float, float] = (1.0, 1.0),
    bootstrap: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Accuracy and balanced accuracy at a threshold, AUC, log loss, Brier score, calibration error, mean cost.

    Args:
        probabilities: of the positive class, (n,).
        labels: 0 or 1, (n,).
        threshold: from which the positive class is answered.
        costs: of a false positive and of a false negative.
        bootstrap: resamplings for 95 % intervals of accuracy (at the threshold) and AUC; 0 for none.
        seed: of the resamplings.

    Returns:
        Plain values; "auc" is None where one class is absent; "reliability" rows are (from, to, mean probability,
        share positive, rows) of ten bins; "intervals" maps "accuracy" and "auc" to (low, high).

    Raises:
        InputError: if `bootstrap` or `seed` is negative.
    """
    check_seed(seed)
    probabilities, labels = np.asarray(probabilities, "float64"), np.asarray(labels)
    predicted = (probabilities >= threshold).astype(int)
    matrix = confusion(predicted, labels, 2)
    shares = [matrix[k, k] / matrix[k].sum() for k in range(2) if matrix[k].sum()]
    two = np.stack([1 - probabilities, probabilities], axis=1)
    common = classification_metrics(two, labels, bootstrap=bootstrap, seed=seed)
    safe = np.clip(probabilities, 1e-15, 1 - 1e-15)
    bins = np.minimum((probabilities * 10).astype(int), 9)
    reliability = [
        (b / 10, (b + 1) / 10, float(probabilities[bins == b].mean()), float(labels[bins == b].mean()), int(n))
        for b, n in enumerate(np.bincount(bins, minlength=10))
        if n
    ]
    result = {
        "rows": len(labels),
        "accuracy": float((predicted == labels).mean()),
        "balanced_accuracy": float(np.mean(shares)),
        "auc": common.get("auc"),
        "log_loss": float(-np.mean(np.where(labels == 1, np.log(safe), np.log1p(-safe)))),
        "brier": float(np.mean((probabilities - labels) ** 2)),
        "calibration_error": float(sum(abs(p - y) * n for _, _, p, y, n in reliability) / len(labels)),
        "mean_cost": float((matrix[0, 1] * costs[0] + matrix[1, 0] * costs[1]) / len(labels)),
        "threshold": threshold,
        "confusion": matrix.tolist(),
        "reliability": reliability,
    }
    if bootstrap:
        right, generator = predicted == labels, np.random.default_rng(seed)
        shares = [right[generator.integers(0, len(right), len(right))].mean() for _ in range(bootstrap)]
        result["intervals"] = {"accuracy": np.quantile(shares, [0.025, 0.975]).tolist()}
        if "auc" in common["intervals"]:
            result["intervals"]["auc"] = list(common["intervals"]["auc"])
    return result
