"""From scores to probabilities: Platt's line, isotonic steps, or the link of the loss itself; and what to decide."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from apps.margin_classifier.data import BATCH
from apps.margin_classifier.flags import CALIBRATIONS
from keras_layers import InverseLink, PiecewiseLinear, losses
from tools.errors import InputError


def calibrate(method: str, loss: losses.MarginLoss, scores: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """What turns scores into probabilities, as plain values.

    Args:
        method: "platt" (Platt 1999, with his smoothed targets), "isotonic" (steps made lines; kept off 0 and 1 by
            1 / (n + 2)) or "link" (`loss.inverse_link`, which needs no data).
        loss: with which the scores were trained.
        scores: (n,) of examples that were not trained on.
        labels: 0 or 1, (n,).

    Raises:
        InputError: for another method, or "link" of a loss that has none.
    """
    if method == "platt":
        slope, offset = _platt(np.asarray(scores, "float64"), np.asarray(labels))
        return {"method": method, "slope": slope, "offset": offset}
    if method == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        fitted = IsotonicRegression(out_of_bounds="clip").fit(np.asarray(scores, "float64"), labels)
        x, places = np.unique(fitted.X_thresholds_.astype("float32"), return_index=True)
        margin = 1 / (len(labels) + 2)
        y = np.clip(fitted.y_thresholds_[places], margin, 1 - margin)
        return {"method": method, "x": x.tolist(), "y": y.tolist()}
    if method == "link":
        if not loss.properties.proper:
            raise InputError(
                f"Expected a loss whose scores tell the probability with calibration link. Received {loss.name}: "
                "platt or isotonic takes it."
            )
        return {"method": method, "loss": keras.saving.serialize_keras_object(loss)}
    raise InputError(f"Expected calibration to be one of {', '.join(CALIBRATIONS)}. Received {method!r}.")


def probability(score: Any, calibration: dict[str, Any]) -> Any:
    """The layers of a calibration on a symbolic score (batch, 1)."""
    if calibration["method"] == "platt":
        line = keras.layers.Rescaling(calibration["slope"], calibration["offset"], name="platt")(score)
        return keras.layers.Activation("sigmoid", name="probability")(line)
    if calibration["method"] == "isotonic":
        return PiecewiseLinear(calibration["x"], calibration["y"], name="probability")(score)
    return InverseLink(calibration["loss"], name="probability")(score)


def probabilities(scores: np.ndarray, calibration: dict[str, Any]) -> np.ndarray:
    """The probabilities of an array of scores."""
    inputs = keras.Input((1,))
    model = keras.Model(inputs, probability(inputs, calibration))
    return model.predict(np.asarray(scores, "float32")[:, None], batch_size=BATCH, verbose=0)[:, 0]


def platt_probabilities(scores: np.ndarray, labels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Platt's probabilities of the scores `wanted`, by the line through `scores` and `labels`."""
    slope, offset = _platt(np.asarray(scores, "float64"), labels)
    return 1 / (1 + np.exp(-np.clip(slope * wanted + offset, -500, 500)))


def _platt(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    from scipy.optimize import minimize

    positive = int(labels.sum())
    negative = len(labels) - positive
    targets = np.where(labels == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))
    if not np.ptp(scores):
        # Of a model that tells nothing apart: any slope fits, and only the share of the classes is known.
        share = targets.mean()
        return 0.0, float(np.log(share / (1 - share)))
    # Of scores of size 1 the search begins and ends well.
    scale = max(float(np.abs(scores).max(initial=0)), 1e-12)

    def loss(line):
        logits = line[0] * scores / scale + line[1]
        gradient = 1 / (1 + np.exp(-np.clip(logits, -500, 500))) - targets
        value = np.mean(np.logaddexp(0, logits) - targets * logits)
        return value, np.array([np.mean(gradient * scores / scale), np.mean(gradient)])

    found = minimize(loss, np.array([1.0, np.log((positive + 1) / (negative + 1))]), jac=True, method="L-BFGS-B")
    return float(found.x[0] / scale), float(found.x[1])


def threshold_of(cost_false_positive: float, cost_false_negative: float) -> float:
    """The probability from which the positive class costs less: false positive / (false positive + false negative).

    Raises:
        InputError: if a cost is not above 0.
    """
    for name, cost in (("false-positive", cost_false_positive), ("false-negative", cost_false_negative)):
        if not 0 < cost < float("inf"):
            raise InputError(f"Expected --cost-{name} to be above 0. Received {cost}.")
    return cost_false_positive / (cost_false_positive + cost_false_negative)
