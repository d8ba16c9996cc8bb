"""How a score is trained, in `train` and in `compare` alike: the loss, its defaults, the optimizer."""

from __future__ import annotations

import math

import keras

from keras_layers import losses
from tools.errors import InputError

# TensorFlow, scikit-learn and NumPy all take seeds up to here, and a few beyond for further repeats and layers.
LARGEST_SEED = 2**31 - 1
RATES = {"linear": 0.05, "kernel": 0.05, "mlp": 0.003}
WITHOUT_GRADIENT = "zero_one"


def trainable() -> list[str]:
    """Names of the losses that train."""
    return [name for name in losses.names() if name != WITHOUT_GRADIENT]


def check_seed(seed: int) -> None:
    """Raises an `InputError` for a seed that one of the generators does not take."""
    if not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"Expected seed to be from 0 to {LARGEST_SEED}. Received {seed}.")


def check_least(name: str, value: float | None, least: float) -> None:
    """Raises an `InputError` for a value below `least`, infinite or NaN; None is a default."""
    if value is not None and not least <= value < math.inf:
        raise InputError(f"Expected {name} to be at least {least}. Received {value}.")


def make_loss(name: str, gamma: float | None = None, q: float | None = None) -> losses.MarginLoss:
    """A margin loss to train with.

    Args:
        name: of `keras_layers.losses.names()`.
        gamma: of smoothed_l1_hinge; None for its default.
        q: of dwd_margin; None for its default.

    Raises:
        InputError: if there is no such loss, it cannot train, or a parameter is not its own or not above 0.
    """
    if name == WITHOUT_GRADIENT:
        raise InputError(
            "Expected a loss with a gradient. Received zero_one, which only measures: train with logit_margin or "
            "l1_hinge; every report has the share of mistakes."
        )
    given = {key: value for key, value in {"gamma": gamma, "q": q}.items() if value is not None}
    owner = {"gamma": "smoothed_l1_hinge", "q": "dwd_margin"}
    for key in given:
        if name != owner[key]:
            raise InputError(f"Expected {key} only with the loss {owner[key]}. Received it with {name}.")
    try:
        return losses.get(name, **given)
    except ValueError as error:
        raise InputError(str(error)) from error


def default_l2(loss: losses.MarginLoss, model: str, rows: int) -> float:
    """Weight of the squared weights in the mean loss: 1 / (2 rows), which is scikit-learn's C = 1; for the mlp 1e-4.

    0 for the perceptron's loss, which punishes no small margin: any weight of the squares makes a score of 0 the best.
    """
    if loss.name == "perceptron":
        return 0.0
    return 1e-4 if model == "mlp" else 1 / (2 * rows)


def default_epochs(loss: losses.MarginLoss) -> int:
    """60, but 10 for the perceptron's loss.

    Of the many directions that cost nothing it takes the first that it meets; in more epochs it only bends further
    around the training rows. scikit-learn's Perceptron stops early too.
    """
    return 10 if loss.name == "perceptron" else 60


def default_batch(rows: int) -> int:
    """A power of two from 16 to 1024 near a fortieth of the rows."""
    return min(1024, max(16, 2 ** round(math.log2(max(rows / 40, 1)))))


def compile_score(
    model: keras.Model, loss: losses.MarginLoss, *, learning_rate: float, steps: int, steps_per_execution: int = 1
) -> None:
    """Compiles with Adam, whose rate falls to 0 by a cosine over all `steps`."""
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    model.compile(
        keras.optimizers.Adam(schedule, clipnorm=10.0),
        loss,
        metrics=[losses.MarginMetric("zero_one", name="mistakes")],
        steps_per_execution=steps_per_execution,
        jit_compile=False,
    )
