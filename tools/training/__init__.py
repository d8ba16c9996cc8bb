"""Training of any Keras model: `model.fit` with checkpoints, exact resume, logs and one-line errors."""

from tools.training.fitting import Training, fit
from tools.training.freezing import freeze
from tools.training.normalization import set_momentum
from tools.training.optimization import SGD, Adam, WarmUp, make_learning_rate, make_optimizer
from tools.training.run_folder import check_free, open_run
from tools.training.scopes import precision, strategy

__all__ = [
    "SGD",
    "Adam",
    "Training",
    "WarmUp",
    "check_free",
    "fit",
    "freeze",
    "make_learning_rate",
    "make_optimizer",
    "open_run",
    "precision",
    "set_momentum",
    "strategy",
]
