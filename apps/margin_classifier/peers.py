"""scikit-learn's linear classifiers, each beside the loss that it trains with."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np

# Method -> (class and arguments, our loss that is its counterpart). SGD's alpha is set to C = 1 when fitted.
PEERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "LinearSVC": ("LinearSVC", {"max_iter": 20_000}, "l2_hinge"),
    "LinearSVC hinge": ("LinearSVC", {"loss": "hinge", "max_iter": 50_000}, "l1_hinge"),
    "LogisticRegression": ("LogisticRegression", {"max_iter": 5000}, "logit_margin"),
    "SGDClassifier modified_huber": ("SGDClassifier", {"loss": "modified_huber"}, "modified_huber"),
    "Perceptron": ("Perceptron", {}, "perceptron"),
}


def counterpart(method: str) -> str:
    """Our loss beside a method of scikit-learn."""
    return PEERS[method][2]


def peer_scores(
    method: str, x: np.ndarray, labels: np.ndarray, test: np.ndarray, seed: int
) -> tuple[float, np.ndarray, np.ndarray]:
    """Seconds of the training, and the scores of the training and of the test rows."""
    import sklearn.linear_model
    import sklearn.svm

    kind, arguments, _ = PEERS[method]
    if kind == "SGDClassifier":
        arguments = {**arguments, "alpha": 1 / len(x)}
    constructor = getattr(sklearn.svm, kind, None) or getattr(sklearn.linear_model, kind)
    estimator = constructor(random_state=seed, **arguments)
    with warnings.catch_warnings():
        # With flipped labels some do not converge within any number of steps; their result is what it is.
        warnings.simplefilter("ignore")
        started = time.perf_counter()
        estimator.fit(x.astype("float64"), labels)
        seconds = time.perf_counter() - started
    return seconds, estimator.decision_function(x), estimator.decision_function(test)
