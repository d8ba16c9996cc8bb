"""Every value is right: golden numbers, identities, automatic differentiation, every precision, far out."""

import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from keras_layers import losses
from tests.keras_layers.losses.cases import CASES, TRAINABLE, golden

GOLDEN = golden()
# Largest relative error of value and derivatives in each type, at agreements the type holds exactly.
PRECISIONS = {"float32": (np.float32, 4e-7), "float16": (np.float16, 3e-3), "bfloat16": (ml_dtypes.bfloat16, 4e-2)}
GRID = np.linspace(-30, 30, 481) + 1 / 64


def three(loss, agreement):
    return [np.asarray(f(agreement)) for f in (loss.value, loss.derivative, loss.second_derivative)]


def test_the_golden_table_has_every_case():
    assert GOLDEN.keys() == CASES.keys() and {len(rows) for rows in GOLDEN.values()} == {107}


@pytest.mark.parametrize("name", CASES)
def test_golden_numbers_in_float64(name):
    agreement, *expected = GOLDEN[name].T
    for result, right in zip(three(CASES[name], agreement), expected, strict=True):
        assert result.dtype == np.float64
        np.testing.assert_allclose(result, right, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", CASES)
def test_lower_precision_keeps_its_digits(name, precision):
    kind, bound = PRECISIONS[precision]
    agreement = GOLDEN[name][:, 0].astype(kind)
    exact = three(CASES[name], agreement.astype("float64"))
    # A branch that begins at a number the type does not hold begins at its neighbour.
    edges = [*CASES[name].properties.not_twice_differentiable_at]
    inside = np.all([np.abs(agreement.astype("float64") - edge) > 1e-2 for edge in edges], axis=0) | (not edges)
    for order, (result, right) in enumerate(zip(three(CASES[name], agreement), exact, strict=True)):
        assert result.dtype == kind
        keep = inside if order == 2 else np.ones_like(inside)
        # Relative to the value where that is a normal number of the type.
        np.testing.assert_allclose(
            result.astype("float64")[keep],
            right[keep],
            rtol=bound,
            atol=bound * float(ml_dtypes.finfo(kind).tiny) * 1e4,
        )


@pytest.mark.parametrize("name", TRAINABLE)
def test_automatic_differentiation_agrees_at_the_kinks_too(name):
    loss = CASES[name]
    agreement = tf.constant(np.concatenate([GOLDEN[name][:, 0], GRID]))
    with tf.GradientTape() as outer:
        outer.watch(agreement)
        with tf.GradientTape() as inner:
            inner.watch(agreement)
            value = loss.value(agreement)
        first = inner.gradient(value, agreement)
    second = outer.gradient(first, agreement)
    np.testing.assert_allclose(first, loss.derivative(agreement), rtol=1e-10, atol=1e-12)
    smooth = np.all([np.abs(agreement - x) > 1e-9 for x in (*loss.properties.not_twice_differentiable_at, np.inf)], 0)
    second = np.zeros(len(agreement)) if second is None else second.numpy()
    np.testing.assert_allclose(second[smooth], loss.second_derivative(agreement)[smooth], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", TRAINABLE)
def test_far_out_nothing_is_nan_and_every_gradient_is_finite(name, precision):
    loss = CASES[name]
    agreement = tf.cast(tf.constant([-1e4, -700.0, -90.0, -12.0, -1e-4, 0.0, 1e-4, 12.0, 90.0, 700.0, 1e4]), precision)
    with tf.GradientTape() as tape:
        tape.watch(agreement)
        value = loss.value(agreement)
    gradient = tf.cast(tape.gradient(value, agreement), "float64").numpy()
    value, first, second = (tf.cast(x, "float64").numpy() for x in map(tf.constant, three(loss, agreement)))
    assert not np.isnan(value).any() and (value >= 0).all()
    assert np.isfinite(gradient).all() and np.isfinite(first).all() and not np.isnan(second).any()
    assert (gradient[:4] < 0).all() or name == "SigmoidLoss"
    # What no number of the type can say is infinite; of the others nothing is.
    representable = loss.value(tf.cast(agreement, "float64")).numpy() <= float(ml_dtypes.finfo(precision).max) / 2
    assert np.isfinite(value[representable]).all()


@pytest.mark.parametrize(
    ("precision", "agreement"),
    [("float16", -10.3984375), ("float16", -10.390625), ("bfloat16", -88.0), ("bfloat16", -87.5), ("float32", -88.0)],
)
def test_the_exponential_has_a_gradient_where_its_tangent_begins(precision, agreement):
    agreement = tf.constant(agreement, precision)
    with tf.GradientTape() as tape:
        tape.watch(agreement)
        value = losses.ExpLoss().value(agreement)
    gradient = float(tape.gradient(value, agreement))
    assert gradient == pytest.approx(float(losses.ExpLoss().derivative(agreement)), rel=4e-2) and gradient < -1


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "float32"])
def test_a_width_that_the_type_cannot_hold_is_the_hinge(precision):
    loss = losses.SmoothedL1HingeLoss(1e-60)
    agreement = tf.constant([-3.0, 0.0, 1.0, 2.0], precision)
    with tf.GradientTape() as tape:
        tape.watch(agreement)
        value = loss.value(agreement)
    assert value.numpy().astype("float64").tolist() == [4.0, 1.0, 0.0, 0.0]
    assert tape.gradient(value, agreement).numpy().astype("float64").tolist() == [-1.0, -1.0, 0.0, 0.0]


def test_numbers_that_naive_formulas_lose():
    assert float(losses.LogitMarginLoss().value(np.float32(-89))) == 89.0
    assert float(losses.SigmoidLoss().value(np.float32(10))) == pytest.approx(4.1223072e-9, rel=1e-6)
    assert float(losses.DWDMarginLoss(1e6).value(np.float64(1.0))) == pytest.approx(np.exp(-1) / 1e6, rel=1e-5)


def test_identities():
    a = GRID
    value = {name: np.asarray(loss.value(a)) for name, loss in CASES.items()}
    same = {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(value["ModifiedHuberLoss"], 4 * value["SmoothedL1HingeLoss(2)"], **same)
    np.testing.assert_allclose(value["PerceptronLoss"], CASES["L1HingeLoss"].value(a + 1), **same)
    np.testing.assert_allclose(value["L2HingeLoss"], value["L1HingeLoss"] ** 2, **same)
    np.testing.assert_allclose(value["SigmoidLoss"] + CASES["SigmoidLoss"].value(-a), 2, **same)
    np.testing.assert_allclose(value["LogitMarginLoss"], np.logaddexp(0, -a), **same)
    for gamma in (0.5, 1, 2):
        smoothed = value[f"SmoothedL1HingeLoss({gamma})"]
        assert (value["L1HingeLoss"] - gamma / 2 <= smoothed + 1e-12).all()
        assert (smoothed <= value["L1HingeLoss"]).all()
    for q, gap in ((0.5, 0.3849), (1, 0.25), (2, 0.1481)):
        excess = value[f"DWDMarginLoss({q})"] - value["L1HingeLoss"]
        assert (excess >= -1e-12).all() and excess.max() <= gap + 1e-4
        assert float(CASES[f"DWDMarginLoss({q})"].value(1.0)) == pytest.approx(gap, abs=1e-4)
    mistakes = value["ZeroOneLoss"]
    below = {name for name in CASES if (value[name] < mistakes - 1e-12).any()}
    assert below == {
        "PerceptronLoss",
        "SmoothedL1HingeLoss(0.5)",
        "SmoothedL1HingeLoss(1)",
        "SmoothedL1HingeLoss(2)",
        "LogitMarginLoss",
    }


@pytest.mark.parametrize("loss", [losses.SmoothedL1HingeLoss(1e-7), losses.DWDMarginLoss(1e7)], ids=["gamma", "q"])
def test_the_limits_of_gamma_and_q_are_the_hinge(loss):
    hinge = CASES["L1HingeLoss"]
    np.testing.assert_allclose(loss.value(GRID), hinge.value(GRID), rtol=0, atol=1e-7)
    np.testing.assert_allclose(loss.derivative(GRID), hinge.derivative(GRID), rtol=0, atol=1e-7)
    assert abs(float(loss.value(np.float64(1.0)))) < 1e-7


def test_labels_and_scores_give_the_same_as_keras():
    rng = np.random.default_rng(0)
    for _ in range(5):
        y, f = rng.integers(0, 2, (32, 3)), rng.normal(0, 3, (32, 3)).astype("float32")
        for ours, theirs, labels in (
            (losses.L1HingeLoss(), keras.losses.Hinge(), y),
            (losses.L2HingeLoss(), keras.losses.SquaredHinge(), y),
            (losses.LogitMarginLoss(), keras.losses.BinaryCrossentropy(from_logits=True), y),
            (losses.L2MarginLoss(), keras.losses.MeanSquaredError(), 2 * y - 1),
        ):
            assert float(ours(labels, f)) == pytest.approx(float(theirs(labels, f)), rel=1e-6)


# scikit-learn's own literal numbers (linear_model/tests/test_sgd.py): score, label, loss, derivative by the score.
SKLEARN = {
    "l1_hinge": [(1.1, 1, 0, 0), (-2, -1, 0, 0), (0.5, 1, 0.5, -1), (2, -1, 3, 1), (-0.5, -1, 0.5, 1), (0, 1, 1, -1)],
    "perceptron": [
        (1, 1, 0, 0),
        (-0.1, -1, 0, 0),
        (0.5, -1, 0.5, 1),
        (2, -1, 2, 1),
        (-0.5, 1, 0.5, -1),
        (-1, 1, 1, -1),
    ],
    "l2_hinge": [(1, 1, 0, 0), (1, -1, 4, 4), (-1, 1, 4, -4), (0.5, 1, 0.25, -1), (0.5, -1, 2.25, 3)],
    "modified_huber": [
        (2, 1, 0, 0),
        (0, 1, 1, -2),
        (-1, 1, 4, -4),
        (0.5, -1, 2.25, 3),
        (-2, 1, 8, -4),
        (-3, 1, 12, -4),
    ],
    "logit_margin": [(0, 1, np.log(2), -0.5), (0, -1, np.log(2), 0.5), (17.9, -1, 17.9, 1), (-18.1, 1, 18.1, -1)],
}


@pytest.mark.parametrize("name", SKLEARN)
def test_the_literal_numbers_of_scikit_learn(name):
    loss = losses.get(name, labels="signed")
    for score, label, value, derivative in SKLEARN[name]:
        assert float(loss.value(np.float64(score * label))) == pytest.approx(value, abs=1e-7)
        assert label * float(loss.derivative(np.float64(score * label))) == pytest.approx(derivative, abs=1e-7)


def test_the_losses_of_scikit_learns_sgd_classifier():
    private = pytest.importorskip("sklearn.linear_model._sgd_fast")
    rng = np.random.default_rng(1)
    scores, labels = rng.normal(0, 2, 50), rng.choice([-1.0, 1.0], 50)
    for ours, theirs in (
        ("l1_hinge", private.Hinge(1.0)),
        ("perceptron", private.Hinge(0.0)),
        ("l2_hinge", private.SquaredHinge(1.0)),
        ("modified_huber", private.ModifiedHuber()),
    ):
        loss = losses.get(ours)
        np.testing.assert_allclose(
            loss.value(labels * scores),
            [theirs.py_loss(score, label) for score, label in zip(scores, labels, strict=True)],
            atol=1e-12,
        )
        np.testing.assert_allclose(
            labels * np.asarray(loss.derivative(labels * scores)),
            [theirs.py_dloss(score, label) for score, label in zip(scores, labels, strict=True)],
            atol=1e-12,
        )
