"""Measures of a classifier from its probabilities; the figures themselves are scikit-learn's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

CONFIDENCE = 0.95


def classification_metrics(
    probabilities: np.ndarray, labels: np.ndarray, *, bootstrap: int = 0, seed: int = 0
) -> dict[str, Any]:
    """Accuracy and its kin.

    Args:
        probabilities: float (N, classes).
        labels: integer (N,), each below `classes`.
        bootstrap: resamplings of the N examples for the intervals; 0 for none.
        seed: of the resamplings.

    Returns:
        "top1" and "top5" (with more than five classes) as shares from 0 to 1, "mean_class" (mean over the classes that
        occur of the share of each that was found), "auc" (with two classes, both present; class 1 is the positive one),
        and, with bootstrap, "intervals": for each measure the (low, high) of 95 % confidence.
    """
    measures = _measures(probabilities.shape[1])
    result = {name: measure(probabilities, labels) for name, measure in measures.items()}
    result = {name: value for name, value in result.items() if value is not None}
    if bootstrap:
        result["intervals"] = _intervals(
            {name: measures[name] for name in result}, probabilities, labels, bootstrap, seed
        )
    return result


def confusion(predicted: Sequence[int], labels: Sequence[int], classes: int) -> np.ndarray:
    """Counts (classes, classes): row = true class, column = predicted class."""
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(labels, predicted, labels=np.arange(classes))


def _measures(classes: int) -> dict[str, Callable[[np.ndarray, np.ndarray], float | None]]:
    from sklearn.metrics import recall_score, roc_auc_score, top_k_accuracy_score

    def top(k: int) -> Callable[[np.ndarray, np.ndarray], float]:
        every = np.arange(classes)
        return lambda probabilities, labels: float(top_k_accuracy_score(labels, probabilities, k=k, labels=every))

    def mean_class(probabilities: np.ndarray, labels: np.ndarray) -> float:
        present = np.unique(labels)
        return float(recall_score(labels, probabilities.argmax(1), labels=present, average="macro"))

    def auc(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
        return float(roc_auc_score(labels, probabilities[:, 1])) if len(np.unique(labels)) == 2 else None

    measures = {
        "top1": lambda probabilities, labels: float(np.mean(probabilities.argmax(1) == labels)),
        "mean_class": mean_class,
    }
    if classes == 2:
        measures["auc"] = auc
    if classes > 5:
        measures["top5"] = top(5)
    return measures


def _intervals(
    measures: dict[str, Callable[[np.ndarray, np.ndarray], float | None]],
    probabilities: np.ndarray,
    labels: np.ndarray,
    bootstrap: int,
    seed: int,
) -> dict[str, tuple[float, float]]:
    generator = np.random.default_rng(seed)
    values: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(bootstrap):
        drawn = generator.integers(0, len(labels), len(labels))
        for name, measure in measures.items():
            value = measure(probabilities[drawn], labels[drawn])
            if value is not None:
                values[name].append(value)
    tail = (1 - CONFIDENCE) / 2
    return {name: tuple(np.quantile(many, [tail, 1 - tail]).tolist()) for name, many in values.items() if many}
