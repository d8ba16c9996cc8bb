"""Optimizers and learning-rate schedules of the published recipes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from tools.errors import InputError

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("step", "cosine", "linear", "constant")


@keras.saving.register_keras_serializable(package="kapps")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule after a linear warm-up.

    rate(step) = after(0) (start + (1 - start) step / steps)  for step < steps, and after(step - steps) from there on.

    Args:
        after: schedule that follows the warm-up.
        steps: length of the warm-up in steps; 0 for none.
        start: rate at step 0 as a share of `after(0)`, 0 to 1.
    """

    def __init__(self, after: keras.optimizers.schedules.LearningRateSchedule, steps: int, start: float = 0.0):
        super().__init__()
        self.after, self.steps, self.start = after, steps, start

    def __call__(self, step):
        if not self.steps:
            return self.after(step)
        step = keras.ops.cast(step, "float32")
        share = self.start + (1.0 - self.start) * step / self.steps
        later = self.after(keras.ops.maximum(step - self.steps, 0.0))
        return keras.ops.where(step < self.steps, self.after(keras.ops.zeros_like(step)) * share, later)

    def get_config(self) -> dict[str, Any]:
        return {
            "after": keras.saving.serialize_keras_object(self.after),
            "steps": self.steps,
            "start": self.start,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WarmUp:
        return cls(**{**config, "after": keras.saving.deserialize_keras_object(config["after"])})


@keras.saving.register_keras_serializable(package="kapps")
class SGD(keras.optimizers.SGD):
    """SGD whose weight decay passes through the momentum, as in the papers and in PyTorch.

    m <- momentum m - rate (gradient + l2 w);  w <- w + m

    `weight_decay` of the optimizers of Keras is decoupled: w <- w - rate weight_decay w beside the momentum, which
    with momentum 0.9 decays ten times slower than a recipe's figure means.

    Args:
        l2: factor of the weights in the gradient.
        **kwargs: as of `keras.optimizers.SGD`; `exclude_from_weight_decay` holds for `l2`.
    """

    def __init__(self, learning_rate=0.01, l2: float = 0.0, name: str = "SGD", **kwargs: Any):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(_with_decay(self, gradient, variable), variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "l2": self.l2}


@keras.saving.register_keras_serializable(package="kapps")
class Adam(keras.optimizers.Adam):
    """Adam whose weight decay passes through the moments, as `weight_decay` of PyTorch's Adam does.

    The moments are those of `gradient + l2 w`; a gradient is clipped before.

    Args:
        l2: factor of the weights in the gradient.
        **kwargs: as of `keras.optimizers.Adam`; `exclude_from_weight_decay` holds for `l2`.
    """

    def __init__(self, learning_rate=0.001, l2: float = 0.0, name: str = "adam", **kwargs: Any):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(_with_decay(self, gradient, variable), variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "l2": self.l2}


def _with_decay(optimizer: SGD | Adam, gradient: Any, variable: Any) -> Any:
    if not optimizer.l2 or not optimizer._use_weight_decay(variable):
        return gradient
    # Also of an embedding, whose gradient is rows: the weights of all rows decay.
    gradient = keras.ops.cast(keras.ops.convert_to_tensor(gradient), variable.dtype)
    return gradient + keras.ops.cast(optimizer.l2, variable.dtype) * variable


def make_learning_rate(
    peak: float,
    *,
    steps_per_epoch: int,
    epochs: int,
    schedule: str = "step",
    milestones: Sequence[float] = (),
    factor: float = 0.1,
    warm_up_epochs: float = 0.0,
    warm_up_start: float = 0.0,
) -> WarmUp:
    """The learning rate as a function of the step.

    Args:
        peak: rate after the warm-up.
        steps_per_epoch: optimizer steps in an epoch.
        epochs: epochs of the whole run, warm-up included.
        schedule: "step" (times `factor` at each milestone), "cosine" or "linear" (to 0 at the end), or "constant".
        milestones: epochs, counted from the begin of the run, at which "step" lowers the rate.
        factor: what a milestone multiplies the rate with.
        warm_up_epochs: epochs over which the rate rises linearly to `peak`.
        warm_up_start: share of `peak` at step 0.

    Raises:
        InputError: if the schedule is unknown or its figures do not fit together.
    """
    if schedule not in SCHEDULES:
        raise InputError(f"Expected schedule to be one of {', '.join(SCHEDULES)}. Received {schedule!r}.")
    if not 0 < peak < math.inf:
        raise InputError(f"Expected the learning rate to be positive. Received {peak}.")
    if not 0 < factor <= 1:
        raise InputError(f"Expected decay_factor to be above 0 and at most 1. Received {factor}.")
    if not 0 <= warm_up_start <= 1:
        raise InputError(f"Expected warm_up_start to lie between 0 and 1. Received {warm_up_start}.")
    if not 0 <= warm_up_epochs <= epochs:
        raise InputError(f"Expected warm_up_epochs to lie between 0 and epochs ({epochs}). Received {warm_up_epochs}.")
    warm_up = round(warm_up_epochs * steps_per_epoch)
    remaining = max(1, epochs * steps_per_epoch - warm_up)
    if schedule == "cosine":
        return WarmUp(keras.optimizers.schedules.CosineDecay(peak, remaining), warm_up, warm_up_start)
    if schedule == "linear":
        after = keras.optimizers.schedules.PolynomialDecay(peak, remaining, end_learning_rate=0.0)
        return WarmUp(after, warm_up, warm_up_start)
    milestones = sorted(milestones) if schedule == "step" else []
    if milestones and milestones[0] < warm_up_epochs:
        raise InputError(f"Expected milestones after the warm-up ({warm_up_epochs} epochs). Received {milestones}.")
    # PiecewiseConstantDecay keeps the old rate at the boundary itself; a milestone is the first step of the new rate.
    boundaries = [float(round(milestone * steps_per_epoch) - warm_up - 1) for milestone in milestones]
    values = [peak * factor**power for power in range(len(boundaries) + 1)]
    after = keras.optimizers.schedules.PiecewiseConstantDecay(boundaries or [0.0], values if boundaries else [peak] * 2)
    return WarmUp(after, warm_up, warm_up_start)


def make_optimizer(
    name: str,
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    model: keras.Model,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    decay_vectors: bool = False,
    clip_norm: float | None = None,
) -> keras.optimizers.Optimizer:
    """An optimizer for a model.

    Args:
        name: "sgd" (with momentum and L2 weight decay) or "adamw".
        learning_rate: a rate or a schedule.
        model: the model to train, which says what is left out of the decay.
        momentum: of "sgd".
        weight_decay: L2 factor of "sgd", decoupled decay of "adamw".
        decay_vectors: also decay the vectors: biases, scales and offsets of the normalisations.
        clip_norm: largest norm of all gradients together; None for no limit.

    Raises:
        InputError: if there is no such optimizer or a value is out of range.
    """
    if name not in OPTIMIZERS:
        raise InputError(f"Expected optimizer to be one of {', '.join(OPTIMIZERS)}. Received {name!r}.")
    if not 0 <= weight_decay < math.inf:
        raise InputError(f"Expected weight_decay to be 0 or more. Received {weight_decay}.")
    if not 0 <= momentum < 1:
        raise InputError(f"Expected momentum to lie in [0, 1). Received {momentum}.")
    if clip_norm is not None and not clip_norm > 0:
        raise InputError(f"Expected clip_norm to be positive. Received {clip_norm}.")
    if name == "sgd":
        optimizer = SGD(learning_rate, momentum=momentum, l2=weight_decay, global_clipnorm=clip_norm)
    else:
        optimizer = keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay, global_clipnorm=clip_norm)
    if not decay_vectors:
        optimizer.exclude_from_weight_decay([v for v in model.trainable_variables if len(v.shape) < 2])
    return optimizer
