"""The margin losses made of straight and quadratic pieces."""

from __future__ import annotations

from typing import Any

import keras

from keras_layers import validation
from keras_layers.losses.margin import MarginLoss, MarginProperties, at_most, documented

# The smallest normal number of each type.
_SMALLEST = {
    "float16": 2.0**-14,
    "bfloat16": 2.0**-126,
    "float32": 2.0**-126,
    "float64": 2.0**-1022,
}


def _indicator(condition: Any, like: Any) -> Any:
    return keras.ops.cast(condition, like.dtype)


@keras.saving.register_keras_serializable(package="keras_layers")
@documented
class ZeroOneLoss(MarginLoss):
    """The share of mistakes: `psi(a) = 1 if a < 0 else 0`, so that a score of 0 counts as right for both classes.

    To measure, not to train: its derivative is 0 wherever there is one, and asking for its gradient is an error.
    As a metric: `keras_layers.losses.MarginMetric("zero_one")`.

    {arguments}
    Example:
        >>> float(ZeroOneLoss()([1, 0, 1], [0.3, 0.2, 0.0]))
        0.3333333432674408

    Reference:
        Bartlett, Jordan and McAuliffe, "Convexity, Classification, and Risk Bounds" (2006). Because 0 is right for both
        classes here, it minimises the expected loss whatever the probability: not calibrated, unlike the loss there.
    """

    @property
    def properties(self) -> MarginProperties:
        return MarginProperties(
            population_minimizer="any score of at least 0",
            convex=False,
            not_differentiable_at=(0.0,),
            not_twice_differentiable_at=(0.0,),
            classification_calibrated=False,
            fisher_consistent=False,
            proper=False,
        )

    def _value(self, agreement: Any) -> Any:
        @keras.ops.custom_gradient
        def mistakes(agreement):
            def refuse(*arguments, upstream=None):
                raise ValueError(
                    "Expected a loss with a gradient to train with. Received ZeroOneLoss, which only measures: train "
                    'with LogitMarginLoss or L1HingeLoss and add MarginMetric("zero_one") to the metrics.'
                )

            return _indicator(agreement < 0, agreement), refuse

        return mistakes(agreement)

    def _derivative(self, agreement: Any) -> Any:
        return keras.ops.zeros_like(agreement)

    def _second_derivative(self, agreement: Any) -> Any:
        return keras.ops.zeros_like(agreement)

    def _minimizer(self, rest: Any) -> Any:
        return keras.ops.zeros_like(rest)


@keras.saving.register_keras_serializable(package="keras_layers")
@documented
class PerceptronLoss(MarginLoss):
    """Rosenblatt's: `psi(a) = max(0, -a)`, with the derivative 0 at 0.

    A score of 0 for everything costs nothing: without a bias against it (a rate that does not vanish, weights that do
    not begin at 0) there is nothing to learn.

    {arguments}
    Example:
        >>> float(PerceptronLoss()([1, 0], [-2.0, -3.0]))
        1.0

    Reference:
        Rosenblatt, "The Perceptron" (1958).
    """

    @property
    def properties(self) -> MarginProperties:
        return MarginProperties(
            population_minimizer="0, whatever the probability",
            lipschitz_constant=1.0,
            not_differentiable_at=(0.0,),
            not_twice_differentiable_at=(0.0,),
            classification_calibrated=False,
            fisher_consistent=False,
            proper=False,
        )

    def _value(self, agreement: Any) -> Any:
        return keras.ops.relu(-agreement)

    def _derivative(self, agreement: Any) -> Any:
        return -_indicator(agreement < 0, agreement)

    def _second_derivative(self, agreement: Any) -> Any:
        return keras.ops.zeros_like(agreement)

    def _minimizer(self, rest: Any) -> Any:
        return keras.ops.zeros_like(rest)


@keras.saving.register_keras_serializable(package="keras_layers")
@documented
class L1HingeLoss(MarginLoss):
    """The hinge of the support vector machine: `psi(a) = max(0, 1 - a)`, with the derivative 0 at 1.

    Equals `keras.losses.Hinge` but for the derivative at 1, which is -1 there on TensorFlow.

    {arguments}
    Example:
        >>> float(L1HingeLoss()([1, 0], [0.5, -2.0]))
        0.25

    Reference:
        Cortes and Vapnik, "Support-Vector Networks" (1995).
    """

    @property
    def properties(self) -> MarginProperties:
        return MarginProperties(
            population_minimizer="1",
            lipschitz_constant=1.0,
            not_differentiable_at=(1.0,),
            not_twice_differentiable_at=(1.0,),
            proper=False,
        )

    def _value(self, agreement: Any) -> Any:
        return keras.ops.relu(1 - agreement)

    def _derivative(self, agreement: Any) -> Any:
        return -_indicator(agreement < 1, agreement)

    def _second_derivative(self, agreement: Any) -> Any:
        return keras.ops.zeros_like(agreement)

    def _minimizer(self, rest: Any) -> Any:
        return keras.ops.ones_like(rest)


@keras.saving.register_keras_serializable(package="keras_layers")
@documented
class SmoothedL1HingeLoss(MarginLoss):
    """The hinge with its corner rounded: `max(0, 1 - a)^2 / (2 gamma)` from `1 - gamma` on, `1 - gamma / 2 - a` below.

    With z = max(0, 1 - a) and c = min(z, gamma) both pieces are `c (z - c / 2) / gamma`, which is what is computed.
    The second derivative is 1 / gamma on the closed piece [1 - gamma, 1].

    Args:
        gamma: the width of the rounded piece, a number above 0. Default 1.0 (the corner at 0); toward 0 the loss
            becomes the hinge; 2.0 is a quarter of `ModifiedHuberLoss`.
    {arguments}
    Example:
        >>> float(SmoothedL1HingeLoss(gamma=1.0)([1, 1], [0.5, -1.0]))
        0.8125

    Reference:
        Rennie and Srebro, "Loss Functions for Preference Levels" (2005); Shalev-Shwartz and Zhang, "Stochastic Dual
        Coordinate Ascent Methods for Regularized Loss Minimization" (2013), for gamma.
    """

    def __init__(self, gamma: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.gamma = validation.positive_number(gamma, "gamma")

    @property
    def properties(self) -> MarginProperties:
        return MarginProperties(
            population_minimizer="max(2 eta - 1, 1 - gamma (1 - eta) / eta)",
            lipschitz_constant=1.0,
            smoothness_constant=1 / self.gamma,
            not_twice_differentiable_at=(1 - self.gamma, 1.0),
        )

    def _value(self, agreement: Any) -> Any:
        gamma = self._width(agreement)
        distance = keras.ops.relu(1 - agreement)
        rounded = at_most(distance, gamma)
        return rounded / gamma * (distance - rounded / 2)

    def _derivative(self, agreement: Any) -> Any:
        gamma = self._width(agreement)
        return -at_most(keras.ops.relu(1 - agreement), gamma) / gamma

    def _second_derivative(self, agreement: Any) -> Any:
        gamma = self._width(agreement)
        inside = keras.ops.logical_and(agreement >= 1 - gamma, agreement <= 1)
        return _indicator(inside, agreement) / gamma

    def _width(self, agreement: Any) -> float:
        """gamma, but not less than the type can divide by."""
        return max(self.gamma, _SMALLEST[keras.backend.standardize_dtype(agreement.dtype)])

    def _minimizer(self, rest: Any) -> Any:
        near, far = 1 - 2 * rest, 1 - self.gamma * rest / (1 - rest)
        return keras.ops.where(near > far, near, far)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gamma": self.gamma}


@keras.saving.register_keras_serializable(package="keras_layers")
@documented
class ModifiedHuberLoss(MarginLoss):
    """`psi(a) = max(0, 1 - a)^2` from -1 on and `-4 a` below: quadratic near, linear far.

    Four times `SmoothedL1HingeLoss(2)`; scikit-learn's "modified_huber". The second derivative is 2 on [-1, 1], closed.

    {arguments}
    Example:
        >>> float(ModifiedHuberLoss()([1, 1], [0.5, -2.0]))
        4.125

    Reference:
        Zhang, "Solving large scale linear prediction problems using stochastic gradient descent algorithms" (2004).
    """

    @property
    def properties(self) -> MarginProperties:
        return MarginProperties(
            population_minimizer="2 eta - 1",
            lipschitz_constant=4.0,
            smoothness_constant=2.0,
            not_twice_differentiable_at=(-1.0, 1.0),
        )

    def _value(self, agreement: Any) -> Any:
        distance = keras.ops.relu(1 - agreement)
        rounded = at_most(distance, 2)
        return rounded * (2 * distance - rounded)

    def _derivative(self, agreement: Any) -> Any:
        return -2 * at_most(keras.ops.relu(1 - agreement), 2)

    def _second_derivative(self, agreement: Any) -> Any:
        return 2 * _indicator(keras.ops.abs(agreement) <= 1, agreement)

    def _minimizer(self, rest: Any) -> Any:
        return 1 - 2 * rest


@keras.saving.register_keras_serializable(package="keras_layers")
@documented
class L2MarginLoss(MarginLoss):
    """Least squares on signed labels: `psi(a) = (1 - a)^2`, which is `(y - f)^2`; agreement beyond 1 costs too.

    In float16 the value is infinite where |1 - a| > 255; the gradient is not.

    {arguments}
    Example:
        >>> float(L2MarginLoss()([1, 0], [3.0, -1.0]))
        2.0

    Reference:
        Suykens and Vandewalle, "Least Squares Support Vector Machine Classifiers" (1999).
    """

    @property
    def properties(self) -> MarginProperties:
        return MarginProperties(
            population_minimizer="2 eta - 1",
            strictly_convex=True,
            strong_convexity=2.0,
            smoothness_constant=2.0,
            non_increasing=False,
        )

    def _value(self, agreement: Any) -> Any:
        return keras.ops.square(1 - agreement)

    def _derivative(self, agreement: Any) -> Any:
        return 2 * (agreement - 1)

    def _second_derivative(self, agreement: Any) -> Any:
        return 2 * keras.ops.ones_like(agreement)

    def _minimizer(self, rest: Any) -> Any:
        return 1 - 2 * rest

    def _inverse_link(self, score: Any) -> Any:
        # No probability has a minimiser beyond 1: those scores count as the nearest that one has.
        return keras.ops.clip((score + 1) / 2, 0, 1)


@keras.saving.register_keras_serializable(package="keras_layers")
@documented
class L2HingeLoss(MarginLoss):
    """The squared hinge: `psi(a) = max(0, 1 - a)^2`, with the second derivative 0 at 1.

    Equals `keras.losses.SquaredHinge`. In float16 the value is infinite where 1 - a > 255; the gradient is not.

    {arguments}
    Example:
        >>> float(L2HingeLoss()([1, 0], [-1.0, -2.0]))
        2.0

    Reference:
        Cortes and Vapnik, "Support-Vector Networks" (1995).
    """

    @property
    def properties(self) -> MarginProperties:
        return MarginProperties(
            population_minimizer="2 eta - 1",
            smoothness_constant=2.0,
            not_twice_differentiable_at=(1.0,),
        )

    def _value(self, agreement: Any) -> Any:
        return keras.ops.square(keras.ops.relu(1 - agreement))

    def _derivative(self, agreement: Any) -> Any:
        return -2 * keras.ops.relu(1 - agreement)

    def _second_derivative(self, agreement: Any) -> Any:
        return 2 * _indicator(agreement < 1, agreement)

    def _minimizer(self, rest: Any) -> Any:
        return 1 - 2 * rest
