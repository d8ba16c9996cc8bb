"""What `properties` says is true, shown on grids and without reference to the formulas."""

import numpy as np
import pytest

from keras_layers import losses
from tests.keras_layers.losses.cases import CASES

GRID = np.linspace(-12, 12, 4801)
STEP = GRID[1] - GRID[0]
PROBABILITIES = (0.55, 0.6, 0.75, 0.9)
EACH = pytest.mark.parametrize("loss", CASES.values(), ids=CASES)


def value(loss, agreement):
    return np.asarray(loss.value(np.asarray(agreement, "float64")))


def slope(loss, agreement):
    return np.asarray(loss.derivative(np.asarray(agreement, "float64")))


@EACH
def test_convexity(loss):
    a, b = np.meshgrid(GRID[::40], GRID[::40])
    apart = np.abs(a - b) > 1e-9
    gap = (value(loss, a) + value(loss, b)) / 2 - value(loss, (a + b) / 2)
    size = 1e-12 * (value(loss, a) + value(loss, b) + 1e-3)
    properties = loss.properties
    assert properties.convex == bool((gap >= -size).all())
    near = apart & (np.abs(a - b) < 1)
    assert properties.strictly_convex == bool((gap[near] > size[near]).all())
    # Of a strongly convex function the gap is at least m (a - b)^2 / 8.
    modulus = (gap[apart] * 8 / (a - b)[apart] ** 2).min()
    far = (loss.value(np.float64(40.0)) + loss.value(np.float64(42.0))) / 2 - loss.value(np.float64(41.0))
    assert properties.strong_convexity == pytest.approx(max(min(modulus, float(far) * 2), 0.0), abs=1e-9)


@EACH
def test_constants(loss):
    wide = np.concatenate([np.linspace(-300, 300, 60001), GRID])
    wide.sort()
    rise = np.abs(np.diff(value(loss, wide)))
    run = np.diff(wide)
    steepest = (rise[run > 1e-9] / run[run > 1e-9]).max()
    constant = loss.properties.lipschitz_constant
    # The slope of a loss without a constant grows with the interval or, at a jump, as the step shrinks.
    if constant is None:
        assert steepest > 100
    else:
        assert steepest == pytest.approx(constant, rel=2e-3)
    bends = np.abs(np.diff(slope(loss, GRID))) / STEP
    constant = loss.properties.smoothness_constant
    jump = abs(value(loss, 1e-9) - value(loss, -1e-9)) > 0.5
    if constant is None:
        assert bends.max() > 0.9 / STEP or jump
    else:
        assert bends.max() <= constant * (1 + 1e-9)
        assert bends.max() == pytest.approx(constant, rel=6e-2)


@EACH
def test_differentiability(loss):
    h = 1e-7
    candidates = {-1.0, 0.0, 0.5, 1.0, 1 / 3, 2 / 3, -0.25, 0.8, *loss.properties.not_twice_differentiable_at}
    for point in candidates:
        left, right = ((value(loss, point + s * h) - value(loss, point)) / (s * h) for s in (-1, 1))
        assert (abs(left - right) > 1e-2) == (point in loss.properties.not_differentiable_at), point
        left, right = ((slope(loss, point + s * 2 * h) - slope(loss, point + s * h)) / (s * h) for s in (-1, 1))
        across = (slope(loss, point + h) - slope(loss, point - h)) / (2 * h)
        once = abs(left - right) < 1e-2 and abs(across - left) < 1e-2
        jump = point in loss.properties.not_differentiable_at
        assert (not once or jump) == (point in loss.properties.not_twice_differentiable_at), point
    assert loss.properties.differentiable == (not loss.properties.not_differentiable_at)
    assert loss.properties.twice_differentiable == (not loss.properties.not_twice_differentiable_at)


@EACH
def test_monotone_and_clippable(loss):
    assert loss.properties.non_increasing == bool((np.diff(value(loss, GRID)) <= 1e-15).all())
    clipped = value(loss, np.clip(GRID, -1, 1)) <= value(loss, GRID) + 1e-15
    assert loss.properties.clippable == bool(clipped.all())


@EACH
def test_calibration_and_consistency(loss):
    calibrated, consistent = True, True
    for probability in PROBABILITIES:
        for eta in (probability, 1 - probability):
            risk = eta * value(loss, GRID) + (1 - eta) * value(loss, -GRID)
            wrong = GRID * (2 * eta - 1) <= 0
            # Every score that is as good as the best says the right class.
            calibrated &= bool(risk[wrong].min() > risk.min() + 1e-9)
            consistent &= bool((GRID[risk <= risk.min() + 1e-12] * (2 * eta - 1) > 0).all())
    assert loss.properties.classification_calibrated == calibrated
    assert loss.properties.fisher_consistent == consistent


@EACH
def test_the_population_minimizer(loss):
    for eta in (0.1, 0.25, 0.4, *PROBABILITIES):
        risk = eta * value(loss, GRID) + (1 - eta) * value(loss, -GRID)
        told = float(loss.population_minimizer(np.float64(eta)))
        if np.isinf(told):
            assert np.argmin(risk) == (len(GRID) - 1 if told > 0 else 0)
        else:
            at = eta * value(loss, told) + (1 - eta) * value(loss, -told)
            assert at <= risk.min() + 1e-12
            if loss.properties.proper:
                assert GRID[np.argmin(risk)] == pytest.approx(told, abs=STEP)
        assert float(loss.population_minimizer(np.float64(1 - eta))) == pytest.approx(-told)
    assert float(loss.population_minimizer(np.float64(0.5))) == 0


@pytest.mark.parametrize("probability", [1e-12, 1e-9, 1e-6, 1e-3, 0.3])
def test_the_minimizer_keeps_the_digits_of_small_probabilities(probability):
    expected = np.log(probability / (1 - probability))
    for loss, factor in ((losses.LogitMarginLoss(), 1), (losses.ExpLoss(), 0.5)):
        assert float(loss.population_minimizer(np.float32(probability))) == pytest.approx(factor * expected, rel=1e-6)
    root = float(losses.DWDMarginLoss(1.0).population_minimizer(np.float32(probability)))
    assert root == pytest.approx(-0.5 * ((1 - probability) / probability) ** 0.5, rel=1e-6)


@EACH
def test_what_is_no_probability_has_no_minimizer(loss):
    assert np.isnan(np.asarray(loss.population_minimizer(np.array([-0.1, 1.1])))).all()
    assert not np.isnan(np.asarray(loss.population_minimizer(np.array([0.0, 1.0])))).any()


def test_minimizers_that_were_found_elsewhere():
    found = {
        "L1HingeLoss": 1.0,
        "SmoothedL1HingeLoss(0.5)": 0.84,
        "SmoothedL1HingeLoss(1)": 0.66,
        "SmoothedL1HingeLoss(2)": 0.5,
        "ModifiedHuberLoss": 0.5,
        "DWDMarginLoss(0.5)": 0.70,
        "DWDMarginLoss(1)": 0.86,
        "DWDMarginLoss(2)": 0.96,
        "L2MarginLoss": 0.5,
        "LogitMarginLoss": 1.1,
        "ExpLoss": 0.54,
    }
    for name, score in found.items():
        # A grid of steps of 0.02 found them.
        assert float(CASES[name].population_minimizer(0.75)) == pytest.approx(score, abs=0.02), name


@EACH
def test_the_link_inverts_the_minimizer(loss):
    eta = np.array([0.02, 0.3, 0.49, 0.5, 0.51, 0.7, 0.98])
    if not loss.properties.proper:
        with pytest.raises(ValueError, match="calibrate its scores on held-out data"):
            loss.inverse_link(eta)
        return
    np.testing.assert_allclose(loss.inverse_link(loss.population_minimizer(eta)), eta, atol=1e-9)
    far = np.asarray(loss.inverse_link(np.array([-1e4, 1e4])))
    np.testing.assert_allclose(far, [0, 1], atol=1e-4 if "dwd" in loss.name else 1e-9)
