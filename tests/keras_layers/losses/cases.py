"""The 15 configured losses of tests/reference/margin_golden.csv, and the golden numbers."""

import csv
import pathlib

import numpy as np

from keras_layers import losses

CASES = {
    "ZeroOneLoss": losses.ZeroOneLoss(),
    "PerceptronLoss": losses.PerceptronLoss(),
    "L1HingeLoss": losses.L1HingeLoss(),
    "SmoothedL1HingeLoss(0.5)": losses.SmoothedL1HingeLoss(0.5),
    "SmoothedL1HingeLoss(1)": losses.SmoothedL1HingeLoss(1),
    "SmoothedL1HingeLoss(2)": losses.SmoothedL1HingeLoss(2),
    "ModifiedHuberLoss": losses.ModifiedHuberLoss(),
    "DWDMarginLoss(0.5)": losses.DWDMarginLoss(0.5),
    "DWDMarginLoss(1)": losses.DWDMarginLoss(1),
    "DWDMarginLoss(2)": losses.DWDMarginLoss(2),
    "L2MarginLoss": losses.L2MarginLoss(),
    "L2HingeLoss": losses.L2HingeLoss(),
    "SigmoidLoss": losses.SigmoidLoss(),
    "LogitMarginLoss": losses.LogitMarginLoss(),
    "ExpLoss": losses.ExpLoss(),
}
# All but the one that has no gradient.
TRAINABLE = [name for name in CASES if name != "ZeroOneLoss"]


def golden():
    """Name -> columns agreement, value, derivative, second derivative, float64 (107, 4)."""
    path = pathlib.Path(__file__).parents[2] / "reference" / "margin_golden.csv"
    tables = {}
    with path.open() as file:
        for row in csv.DictReader(file):
            numbers = [float(row[key]) for key in ("agreement", "value", "deriv", "deriv2")]
            tables.setdefault(row["loss"], []).append(numbers)
    return {name: np.array(rows) for name, rows in tables.items()}
