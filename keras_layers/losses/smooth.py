"""The margin losses that never quite reach 0."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from keras_layers import validation
from keras_layers.losses.margin import MarginLoss, MarginProperties, at_most, documented

# Half of the largest number of each type, so that the sum of two does not overflow at once.
_LARGEST_EXPONENT = {
    "float16": math.log(65504 / 2),
    "bfloat16": math.log(3.3895313892515355e38 / 2),
    "float32": math.log(float(np.finfo("float32").max) / 2),
    "float64": math.log(float(np.finfo("float64").max) / 2),
}


# Powers up to this one are products.
_LARGEST_PRODUCT = 8


@keras.saving.register_keras_serializable(package="keras_layers")
@documented
class DWDMarginLoss(MarginLoss):
    """Distance-weighted discrimination: `1 - a` up to `k = q / (q + 1)`, then `(a / k)^-q / (q + 1)`.

    The derivative at the knot k is -1, the second derivative there 0 (it jumps to (q + 1)^2 / q). The second piece is
    written with a / k so that no q overflows: it is Wang and Zou's `q^q / (q + 1)^(q + 1) a^-q`.

    Args:
        q: a number above 0. Default 1.0, the classical discrimination; toward infinity the loss becomes the hinge.
    {arguments}
    Example:
        >>> float(DWDMarginLoss(q=1.0)([1, 1], [0.0, 1.0]))
        0.625

    Reference:
        Marron, Todd and Ahn, "Distance-Weighted Discrimination" (2007); Wang and Zou, "Another look at
        distance-weighted discrimination" (2018), for q.
    """

    def __init__(self, q: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.q = validation.positive_number(q, "q")
        self._knot = self.q / (self.q + 1)

    @property
    def properties(self) -> MarginProperties:
        return MarginProperties(
            population_minimizer="q / (q + 1) (eta / (1 - eta))^(1 / (q + 1))",
            lipschitz_constant=1.0,
            smoothness_constant=(self.q + 1) ** 2 / self.q,
            not_twice_differentiable_at=(self._knot,),
            clippable=False,
        )

    def _value(self, agreement: Any) -> Any:
        near, power = self._pieces(agreement, -self.q)
        return keras.ops.where(near, 1 - agreement, power / (self.q + 1))

    def _derivative(self, agreement: Any) -> Any:
        near, power = self._pieces(agreement, -(self.q + 1))
        return keras.ops.where(near, -keras.ops.ones_like(agreement), -power)

    def _second_derivative(self, agreement: Any) -> Any:
        near, power = self._pieces(agreement, -(self.q + 2))
        return keras.ops.where(near, keras.ops.zeros_like(agreement), (self.q + 1) / self._knot * power)

    def _pieces(self, agreement: Any, exponent: float) -> tuple[Any, Any]:
        near = agreement <= self._knot
        # A power of a negative number is not-a-number, and its gradient too, also where it is not selected.
        ratio = keras.ops.where(near, keras.ops.ones_like(agreement), agreement / self._knot)
        if exponent != round(exponent) or exponent < -_LARGEST_PRODUCT:
            return near, keras.ops.power(ratio, keras.ops.full_like(ratio, exponent))
        # A compiled power of any exponent takes several times as long as the whole rest of the loss.
        power = inverse = 1 / ratio
        for _ in range(-round(exponent) - 1):
            power = power * inverse
        return near, power

    def _minimizer(self, rest: Any) -> Any:
        return self._knot * keras.ops.power((1 - rest) / rest, 1 / (self.q + 1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "q": self.q}


@keras.saving.register_keras_serializable(package="keras_layers")
@documented
class SigmoidLoss(MarginLoss):
    """`psi(a) = 1 - tanh(a)`, from 2 to 0: no example, however wrong, costs more than 2.

    Computed as `2 sigmoid(-2 a)`, which keeps its digits where 1 - tanh(a) has none left. Not convex. Because
    psi(a) + psi(-a) = 2, labels flipped at random scale and shift the expected loss and leave its minimiser in place
    (Ghosh, Kumar and Sastry 2017). This is neither the logistic function itself nor the pairwise loss of SigLIP, which
    is `LogitMarginLoss`.

    {arguments}
    Example:
        >>> float(SigmoidLoss()([1, 0], [0.0, 0.0]))
        1.0

    Reference:
        Mason et al., "Boosting Algorithms as Gradient Descent" (1999); Ghosh, Kumar and Sastry, "Robust Loss Functions
        under Label Noise for Deep Neural Networks" (2017).
    """

    @property
    def properties(self) -> MarginProperties:
        return MarginProperties(
            population_minimizer="infinity",
            convex=False,
            lipschitz_constant=1.0,
            smoothness_constant=4 / (3 * math.sqrt(3)),
            clippable=False,
            proper=False,
        )

    def _value(self, agreement: Any) -> Any:
        return 2 * keras.ops.sigmoid(-2 * agreement)

    def _derivative(self, agreement: Any) -> Any:
        return -4 * keras.ops.sigmoid(2 * agreement) * keras.ops.sigmoid(-2 * agreement)

    def _second_derivative(self, agreement: Any) -> Any:
        return -2 * keras.ops.tanh(agreement) * self._derivative(agreement)

    def _minimizer(self, rest: Any) -> Any:
        return keras.ops.full_like(rest, float("inf"))


@keras.saving.register_keras_serializable(package="keras_layers")
@documented
class LogitMarginLoss(MarginLoss):
    """Logistic regression's: `psi(a) = ln(1 + e^-a)`.

    Equals `keras.losses.BinaryCrossentropy(from_logits=True)` on labels 0 and 1, and PyTorch's `SoftMarginLoss`.

    {arguments}
    Example:
        >>> float(LogitMarginLoss()([1, 0], [0.0, 0.0]))
        0.6931471824645996

    Reference:
        Cox, "The Regression Analysis of Binary Sequences" (1958).
    """

    @property
    def properties(self) -> MarginProperties:
        return MarginProperties(
            population_minimizer="ln(eta / (1 - eta))",
            strictly_convex=True,
            lipschitz_constant=1.0,
            smoothness_constant=0.25,
            clippable=False,
        )

    def _value(self, agreement: Any) -> Any:
        # Of pieces that are differentiable where they are chosen: with |a| the gradient at 0 would be 0.
        wrong = agreement < 0
        size = keras.ops.where(wrong, -agreement, agreement)
        return keras.ops.where(wrong, size, keras.ops.zeros_like(size)) + keras.ops.log1p(keras.ops.exp(-size))

    def _derivative(self, agreement: Any) -> Any:
        return -keras.ops.sigmoid(-agreement)

    def _second_derivative(self, agreement: Any) -> Any:
        return keras.ops.sigmoid(agreement) * keras.ops.sigmoid(-agreement)

    def _minimizer(self, rest: Any) -> Any:
        return keras.ops.log1p(-rest) - keras.ops.log(rest)

    def _inverse_link(self, score: Any) -> Any:
        return keras.ops.sigmoid(score)


@keras.saving.register_keras_serializable(package="keras_layers")
@documented
class ExpLoss(MarginLoss):
    """AdaBoost's: `psi(a) = e^-a`.

    Below -L, where e^L is half of the largest number of the type (L is 10.4 in float16, 88.0 in float32), psi goes on
    along its tangent: the derivative stays finite, so a gradient is never infinite times 0.

    {arguments}
    Example:
        >>> float(ExpLoss()([1, 0], [0.0, 0.0]))
        1.0

    Reference:
        Freund and Schapire, "A Decision-Theoretic Generalization of On-Line Learning and an Application to Boosting"
        (1997); Friedman, Hastie and Tibshirani, "Additive Logistic Regression" (2000).
    """

    @property
    def properties(self) -> MarginProperties:
        return MarginProperties(population_minimizer="ln(eta / (1 - eta)) / 2", strictly_convex=True, clippable=False)

    def _value(self, agreement: Any) -> Any:
        limit = self._limit(agreement)
        # At the limit itself the power is a constant, and the tangent alone has a gradient.
        beyond = keras.ops.where(-agreement >= limit, -agreement - limit, keras.ops.zeros_like(agreement))
        return keras.ops.exp(at_most(-agreement, limit)) + math.exp(limit) * beyond

    def _derivative(self, agreement: Any) -> Any:
        return -keras.ops.exp(at_most(-agreement, self._limit(agreement)))

    def _second_derivative(self, agreement: Any) -> Any:
        limit = self._limit(agreement)
        straight = -agreement > limit
        power = keras.ops.exp(at_most(-agreement, limit))
        return keras.ops.where(straight, keras.ops.zeros_like(agreement), power)

    def _limit(self, agreement: Any) -> float:
        return _LARGEST_EXPONENT[keras.backend.standardize_dtype(agreement.dtype)]

    def _minimizer(self, rest: Any) -> Any:
        return (keras.ops.log1p(-rest) - keras.ops.log(rest)) / 2

    def _inverse_link(self, score: Any) -> Any:
        return keras.ops.sigmoid(2 * score)
