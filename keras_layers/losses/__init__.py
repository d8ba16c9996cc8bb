"""The margin losses: functions of the agreement of a label and a score, with their mathematics. And two others.

losses.get("l1_hinge")                      a loss by its name
losses.L1HingeLoss(labels="signed")         for `compile`, with labels -1 and 1 (default: or 0 and 1)
losses.DWDMarginLoss(q=2).derivative(a)     value, derivative, second_derivative of the agreement
losses.ExpLoss().properties                 convexity, constants, calibration, population minimiser
losses.CrammerSinger("l1_hinge")            more than two classes; also OneVersusRest
losses.MarginMetric("zero_one")             any of them as a metric

losses.InfoNCE(temperature=0.07)            find the right candidate by its similarity
losses.BPR(l2=1e-4)                         what was chosen scores above what was not
"""

from keras_layers.losses.contrastive import InfoNCE
from keras_layers.losses.hinges import (
    L1HingeLoss,
    L2HingeLoss,
    L2MarginLoss,
    ModifiedHuberLoss,
    PerceptronLoss,
    SmoothedL1HingeLoss,
    ZeroOneLoss,
)
from keras_layers.losses.margin import MarginLoss, MarginProperties
from keras_layers.losses.metrics import MarginMetric
from keras_layers.losses.multiclass import CrammerSinger, OneVersusRest
from keras_layers.losses.ranking import BPR
from keras_layers.losses.registry import MARGIN_LOSSES, get, names
from keras_layers.losses.smooth import DWDMarginLoss, ExpLoss, LogitMarginLoss, SigmoidLoss

__all__ = [
    "BPR",
    "CrammerSinger",
    "DWDMarginLoss",
    "ExpLoss",
    "InfoNCE",
    "L1HingeLoss",
    "L2HingeLoss",
    "L2MarginLoss",
    "LogitMarginLoss",
    "MARGIN_LOSSES",
    "MarginLoss",
    "MarginMetric",
    "MarginProperties",
    "ModifiedHuberLoss",
    "OneVersusRest",
    "PerceptronLoss",
    "SigmoidLoss",
    "SmoothedL1HingeLoss",
    "ZeroOneLoss",
    "get",
    "names",
]
