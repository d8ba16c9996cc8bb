"""What all margin losses share: labels, the agreement, the mathematics, and what Keras asks of a loss."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

import keras
import numpy as np

from keras_layers import validation
from keras_layers.losses.labels import (
    CODINGS,
    aligned,
    as_arrays,
    at_hand,
    fitted_mask,
    mask_of,
    probable,
    refuse_wrong_labels,
    signed,
)

AGREEMENT_ARGUMENTS = """\
        labels: how labels are coded, each by itself and whatever else is in the batch. "auto" (default): 1 is the
            positive class, 0 and -1 the negative one. "signed": -1 and 1. "binary": 0 and 1. With these any other
            label is refused: a `ValueError` where the labels are an array, a loss of not-a-number where they are a
            tensor. "soft": probabilities y from 0 to 1, others are refused alike; the loss is
            `y psi(f) + (1 - y) psi(-f)`.
        reduction: as of every Keras loss. Default "sum_over_batch_size".
        name: default the name under which `keras_layers.losses.get` knows the loss.
        dtype: in which to compute. Default `keras.config.floatx()`.

    Input shape:
        Labels and predictions (scores, not probabilities) of one shape, (N,) or (N, ..., D), or one of them with one
        more last axis of 1. A Keras mask of the predictions has the output's shape, or one more last axis of 1; labels
        that it leaves out may be anything.

    Output shape:
        With `reduction=None` (N,) for (N,), otherwise the mean over the last axis: (N, ...).

    Raises:
        ValueError: for an argument that is not as said above, shapes that do not fit, or labels outside of the coding.

"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MarginProperties:
    """What is true of a function psi of the agreement; every entry is tested numerically.

    The defaults are what most of the losses share; a loss says what differs.

    Attributes:
        population_minimizer: the minimiser f* of eta psi(f) + (1 - eta) psi(-f) in words, for eta > 1/2; it is odd
            about eta = 1/2. `MarginLoss.population_minimizer` computes it.
        convex: psi((a + b) / 2) <= (psi(a) + psi(b)) / 2. Default True.
        strictly_convex: with < for a != b. Default False.
        strong_convexity: the largest m for which psi(a) - m a^2 / 2 is convex. Default 0.0, there is none above 0.
        lipschitz_constant: of psi on the whole line. Default None, there is none.
        smoothness_constant: Lipschitz constant of psi'. Default None, there is none.
        not_differentiable_at: agreements at which psi has no derivative. Default (), it has one everywhere.
        not_twice_differentiable_at: agreements at which psi has no second derivative. Default (), it has one
            everywhere.
        non_increasing: more agreement never costs more. Default True.
        clippable: psi(a) is nowhere less than at the nearest point of [-1, 1] (Steinwart and Christmann's clipping at
            1), so that predictions may be clipped to it. Default True.
        classification_calibrated: for every P(y = 1 | x) other than 1/2 each minimiser of the expected loss has the
            sign of Bayes' decision, and any other sign costs more (Bartlett, Jordan and McAuliffe 2006). Default True.
        fisher_consistent: for every P(y = 1 | x) other than 1/2 each minimiser of the expected loss has the sign of
            Bayes' decision (Lin 2004). Calibration asks besides that every other sign costs more by a fixed amount; of
            these eleven none is the one without the other. Default True.
        proper: the minimiser is strictly increasing in P(y = 1 | x), so that it tells it and `inverse_link` exists.
            Default True.
    """

    population_minimizer: str
    convex: bool = True
    strictly_convex: bool = False
    strong_convexity: float = 0.0
    lipschitz_constant: float | None = None
    smoothness_constant: float | None = None
    not_differentiable_at: tuple[float, ...] = ()
    not_twice_differentiable_at: tuple[float, ...] = ()
    non_increasing: bool = True
    clippable: bool = True
    classification_calibrated: bool = True
    fisher_consistent: bool = True
    proper: bool = True

    @property
    def differentiable(self) -> bool:
        """Whether psi has a derivative everywhere."""
        return not self.not_differentiable_at

    @property
    def twice_differentiable(self) -> bool:
        """Whether psi has a second derivative everywhere."""
        return not self.not_twice_differentiable_at


class MarginLoss(keras.losses.Loss, abc.ABC):
    """A loss that is a function psi of the agreement `a = y f` of a label y in {-1, 1} and a score f.

    A subclass writes psi and its two derivatives on floating tensors (`_value`, `_derivative`, `_second_derivative`),
    such that automatic differentiation of `_value` is finite wherever the derivative is, and tells its `properties`.

    At a kink every loss follows one convention, that of JuliaML's LossFunctions: the hinge's and the perceptron's
    derivative is that of the side without loss, 0; second derivatives are those of the quadratic piece, closed, but 0
    for the squared hinge at 1. Automatic differentiation agrees with `derivative` at the kinks too.
    """

    def __init__(
        self,
        labels: str = "auto",
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(name=name or registered_name(type(self)), reduction=reduction, dtype=dtype)
        self.labels = validation.one_of(labels, CODINGS, "labels")

    # --- the mathematics ---

    @property
    @abc.abstractmethod
    def properties(self) -> MarginProperties:
        """What is true of this loss with its parameters."""

    def value(self, agreement: Any) -> Any:
        """psi(agreement), elementwise, in the floating type of the agreement (integers: in that of the loss)."""
        return self._value(self._floating(agreement))

    def derivative(self, agreement: Any) -> Any:
        """psi'(agreement), elementwise; the class says which value a kink has."""
        return self._derivative(self._floating(agreement))

    def second_derivative(self, agreement: Any) -> Any:
        """psi''(agreement), elementwise; the class says which value a kink has."""
        return self._second_derivative(self._floating(agreement))

    def population_minimizer(self, probability: Any) -> Any:
        """The score that minimises the expected loss where the positive class has this probability.

        Args:
            probability: P(y = 1 | x), of any shape.

        Returns:
            Scores of that shape, odd about 1/2, where it is 0; -inf and inf where no finite score is best;
            not-a-number where the probability does not lie in [0, 1].
        """
        probability = self._floating(probability)
        side = keras.ops.sign(probability - 0.5)
        # The smaller of the two probabilities has the more digits.
        rest = keras.ops.where(side < 0, probability, 1 - probability)
        rest = keras.ops.where(rest >= 0, rest, rest * float("nan"))
        # Of the sign at 1/2, 0, and an infinite score the product would be not-a-number.
        return keras.ops.where(keras.ops.equal(side, 0), side, side * self._minimizer(rest) + 0 * rest)

    def inverse_link(self, score: Any) -> Any:
        """P(y = 1 | x) of which `score` is the population minimiser: `psi'(-f) / (psi'(f) + psi'(-f))`.

        Args:
            score: of any shape.

        Raises:
            ValueError: if the loss is not `proper`: the hinge and its kin say which class, not how probable.
        """
        if not self.properties.proper:
            raise ValueError(
                f"Expected a loss whose minimiser tells the probability. Received {self.name!r}, whose minimiser is "
                f"{self.properties.population_minimizer}: calibrate its scores on held-out data."
            )
        return self._inverse_link(self._floating(score))

    @abc.abstractmethod
    def _value(self, agreement: Any) -> Any: ...

    @abc.abstractmethod
    def _derivative(self, agreement: Any) -> Any: ...

    @abc.abstractmethod
    def _second_derivative(self, agreement: Any) -> Any: ...

    @abc.abstractmethod
    def _minimizer(self, rest: Any) -> Any:
        """The population minimiser where the positive class has the probability `1 - rest`, at least 1/2."""

    def _inverse_link(self, score: Any) -> Any:
        down, up = self._derivative(score), self._derivative(-score)
        return up / (down + up)

    def _floating(self, values: Any) -> Any:
        tensor = keras.ops.convert_to_tensor(values)
        if keras.backend.is_float_dtype(keras.backend.standardize_dtype(tensor.dtype)):
            return tensor
        return keras.ops.cast(tensor, self.dtype)

    # --- the loss ---

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        y_true, y_pred = as_arrays(y_true, y_pred)
        mask = mask_of(y_pred)
        if mask is None:
            refuse_wrong_labels(y_true, self.labels)
        else:
            y_true = self._masked_labels(y_true, keras.ops.convert_to_tensor(y_pred), mask)
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of every example, without weights and reduction."""
        y_true = aligned(y_true, y_pred)
        if self.labels == "soft":
            y_true = probable(y_true)
            values = _expected(y_true, self._value(y_pred)) + _expected(1 - y_true, self._value(-y_pred))
        else:
            values = self._value(signed(y_true, self.labels) * y_pred)
        return values if len(values.shape) < 2 else keras.ops.mean(values, axis=-1)

    def _masked_labels(self, labels: Any, scores: Any, mask: Any) -> Any:
        """The labels with 1 where the mask leaves them out, lest a mark such as -100 there becomes not-a-number."""
        mask = fitted_mask(mask, scores.shape if len(scores.shape) < 2 else scores.shape[:-1])
        if len(scores.shape) > 1:
            mask = keras.ops.expand_dims(mask, -1)
        aligned_labels = aligned(keras.ops.convert_to_tensor(labels, dtype=self.dtype), scores)
        kept = keras.ops.where(mask, aligned_labels, keras.ops.ones_like(aligned_labels))
        if isinstance(labels, np.ndarray):
            refuse_wrong_labels(at_hand(kept), self.labels)
        return kept

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "labels": self.labels, "dtype": self.dtype}


def documented(loss: type) -> type:
    """Puts the arguments that every margin loss has where the docstring of a loss says `{arguments}`, after its own."""
    heading = "    Args:\n"
    arguments = AGREEMENT_ARGUMENTS if heading in loss.__doc__ else heading + AGREEMENT_ARGUMENTS
    loss.__doc__ = loss.__doc__.replace("    {arguments}\n", arguments)
    return loss


def at_most(values: Any, limit: float) -> Any:
    """The lesser of each value and a number, in the type of the values.

    (Keras 3.15's `ops.minimum` computes float64 in float32 on PyTorch.)
    """
    return keras.ops.where(values < limit, values, keras.ops.full_like(values, limit))


def registered_name(loss: type) -> str:
    """The name of a loss class: `L1HingeLoss` is "l1_hinge"."""
    stem = loss.__name__.removesuffix("Loss")
    letters = [
        f"_{letter.lower()}" if letter.isupper() and place and not stem[place - 1].isupper() else letter.lower()
        for place, letter in enumerate(stem)
    ]
    # Of a run of capitals the last begins the next word: DWDMargin is dwd_margin, L1Hinge l1_hinge.
    for place in range(1, len(stem) - 1):
        if stem[place].isupper() and stem[place - 1].isupper() and stem[place + 1].islower():
            letters[place] = f"_{letters[place]}"
    return "".join(letters)


def _expected(probability: Any, values: Any) -> Any:
    # What has no probability counts nothing, be its loss infinite.
    return keras.ops.where(keras.ops.equal(probability, 0), keras.ops.zeros_like(values), probability * values)
