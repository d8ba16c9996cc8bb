"""Training of any Keras model: `model.fit` with checkpoints, exact resume, logs and one-line errors."""

from tools.training.fitting import Training, fit
from tools.training.optimization import SGD, WarmUp, make_learning_rate, make_optimizer
from tools.training.run_folder import check_free, open_run

__all__ = [
    "SGD",
    "Training",
    "WarmUp",
    "check_free",
    "fit",
    "make_learning_rate",
    "make_optimizer",
    "open_run",
]
