"""Measures of a classifier from its probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tools.errors import InputError

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
        and, with bootstrap, "intervals": for each measure the (low, high) of 95 % confidence; a measure that no
        resampling defines (the AUC, where all drew one class) has none.

    Raises:
        InputError: if `bootstrap` is negative, or a probability is not a finite number.
    """
    if bootstrap < 0:
        raise InputError(f"Expected bootstrap to be 0 or more. Received {bootstrap}.")
    labels = np.asarray(labels)
    probabilities = np.asarray(probabilities)
    bad = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if len(bad):
        # Sorted as they are, they would count as answers for the first class.
        raise InputError(f"Expected probabilities that are finite. Received {probabilities[bad[0]]} at index {bad[0]}.")
    measures = _measures(probabilities, labels)
    everything = np.arange(len(labels))
    result: dict[str, Any] = {name: measure(everything) for name, measure in measures.items()}
    if bootstrap:
        generator = np.random.default_rng(seed)
        draws = [generator.integers(0, len(labels), len(labels)) for _ in range(bootstrap)]
        tail = (1 - CONFIDENCE) / 2
        values = {name: np.array([measure(drawn) for drawn in draws]) for name, measure in measures.items()}
        result["intervals"] = {
            name: tuple(np.nanquantile(drawn, [tail, 1 - tail]).tolist())
            for name, drawn in values.items()
            if not np.isnan(drawn).all()
        }
    return result


def confusion(predicted: Sequence[int], labels: Sequence[int], classes: int) -> np.ndarray:
    """Counts (classes, classes): row = true class, column = predicted class."""
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(labels, predicted, labels=np.arange(classes))


def _measures(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Callable[[np.ndarray], float]]:
    """Each measure as a function of the indices of the examples to count; NaN where it is not defined."""
    from sklearn.metrics import roc_auc_score

    classes = probabilities.shape[1]
    order = np.argsort(-probabilities, axis=1, kind="stable")
    right = order == labels[:, None]

    def top(k: int) -> Callable[[np.ndarray], float]:
        hits = right[:, :k].any(axis=1)
        return lambda indices: float(hits[indices].mean())

    def mean_class(indices: np.ndarray) -> float:
        found = np.bincount(labels[indices], weights=right[indices, 0], minlength=classes)
        counts = np.bincount(labels[indices], minlength=classes)
        return float((found[counts > 0] / counts[counts > 0]).mean())

    def auc(indices: np.ndarray) -> float:
        both = len(np.unique(labels[indices])) == 2
        return float(roc_auc_score(labels[indices], probabilities[indices, 1])) if both else float("nan")

    measures = {"top1": top(1), "mean_class": mean_class}
    if classes > 5:
        measures["top5"] = top(5)
    if classes == 2 and len(np.unique(labels)) == 2:
        measures["auc"] = auc
    return measures
