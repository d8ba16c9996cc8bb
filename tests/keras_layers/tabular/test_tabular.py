"""The layers for tables against NumPy and their contract."""

import numpy as np
import pytest

from keras_layers import losses
from keras_layers.tabular import InverseLink, PiecewiseLinear, RandomFourierFeatures
from tests.conformance.layers import CHECKS, LayerCase, check_training, name_of

POINTS = {"x": [-1.0, 0.0, 0.5, 2.0], "y": [0.1, 0.2, 0.7, 0.9]}
FOURIER = {"features": 6, "bandwidth": 2.5, "seed": 3}
CASES = [
    LayerCase("fourier", RandomFourierFeatures, FOURIER, (3, 4), free_axes=(0,), complete=True),
    LayerCase("points", PiecewiseLinear, POINTS, (3, 4), free_axes=(0, 1), complete=True),
    LayerCase("link", InverseLink, {"loss": losses.DWDMarginLoss(2.5)}, (3, 4), free_axes=(0, 1), complete=True),
]


@pytest.mark.parametrize("check", [check for check in CHECKS if check is not check_training], ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def test_the_kernel_is_approximated():
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    features = np.asarray(RandomFourierFeatures(20_000, bandwidth=1.5)(x))
    kernel = np.exp(-((x[:, None] - x[None]) ** 2).sum(-1) / (2 * 1.5**2))
    np.testing.assert_allclose(features @ features.T, kernel, atol=0.03)
    assert RandomFourierFeatures(4)(x).numpy().std() > 0
    assert not RandomFourierFeatures(4).trainable_weights


@pytest.mark.parametrize("seed", ["a", -1, 1.5, True, None, 2**31])
def test_seeds_that_are_none(seed):
    with pytest.raises(ValueError, match=r"Expected `seed` to be an integer from 0 to 2147483647\. Received"):
        RandomFourierFeatures(4, seed=seed)


def test_every_seed_draws_its_own():
    x = np.ones((1, 3), "float32")
    drawn = [np.asarray(RandomFourierFeatures(4, seed=seed)(x)) for seed in (0, 1, np.int64(7))]
    assert all(np.abs(one - other).max() > 1e-3 for place, one in enumerate(drawn) for other in drawn[:place])
    np.testing.assert_array_equal(drawn[2], RandomFourierFeatures(4, seed=7)(x))
    assert np.isfinite(RandomFourierFeatures(4, seed=2**31 - 1)(x)).all()


def test_points_are_interpolated_as_numpy_does():
    x = np.linspace(-3, 4, 57).astype("float32")
    np.testing.assert_allclose(PiecewiseLinear(**POINTS)(x), np.interp(x, POINTS["x"], POINTS["y"]), atol=1e-6)
    np.testing.assert_allclose(PiecewiseLinear([1.0], [0.25])(x), 0.25)


@pytest.mark.parametrize(("x", "y"), [([], []), ([1, 1], [0, 1]), ([0, 1], [0]), ([0, np.nan], [0, 1])])
def test_points_that_are_none(x, y):
    with pytest.raises(ValueError, match="Expected"):
        PiecewiseLinear(x, y)


def test_the_link_of_each_proper_loss():
    scores = np.linspace(-2, 2, 9).astype("float32")
    for name in losses.names():
        loss = losses.get(name)
        if loss.properties.proper:
            np.testing.assert_allclose(InverseLink(name)(scores), loss.inverse_link(scores), rtol=1e-6)
        else:
            with pytest.raises(ValueError, match="whose scores tell the probability"):
                InverseLink(name)
