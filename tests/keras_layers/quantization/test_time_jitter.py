"""TimeJitter against its contract, its probabilities, and what it leaves alone."""

import numpy as np
import pytest

from keras_layers import TimeJitter
from tests.conformance.layers import CHECKS, LayerCase, name_of

CASES = [
    LayerCase("defaults", TimeJitter, {}, (2, 9, 3), free_axes=(0, 1)),
    LayerCase(
        "every_argument", TimeJitter, {"probability": 0.5, "seed": 3}, (2, 9, 3), free_axes=(0, 1), complete=True
    ),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def test_replaces_by_either_neighbour_with_half_the_probability_each():
    times = np.tile(np.arange(1000, dtype=np.float32)[None, :, None], (50, 1, 2))
    moved = np.asarray(TimeJitter(0.3, seed=0)(times, training=True)) - times
    # A vector moves as a whole, and by one.
    np.testing.assert_array_equal(moved[..., 0], moved[..., 1])
    assert set(np.unique(moved)) == {-1.0, 0.0, 1.0}
    inner = moved[:, 1:-1, 0]
    for step in (-1, 1):
        assert (inner == step).mean() == pytest.approx(0.15, abs=0.01)
        # One time after the other by itself: what moves says nothing of the next.
        both = ((inner[:, 1:] == step) & (inner[:, :-1] == step)).mean()
        assert both == pytest.approx(0.15**2, abs=0.005)
    # The first has no earlier neighbour and the last no later one.
    assert set(np.unique(moved[:, 0])) <= {0.0, 1.0} and set(np.unique(moved[:, -1])) <= {-1.0, 0.0}


def test_is_the_identity_outside_training_and_without_probability():
    inputs = np.random.default_rng(0).standard_normal((2, 7, 3)).astype(np.float32)
    np.testing.assert_array_equal(TimeJitter(0.9)(inputs), inputs)
    np.testing.assert_array_equal(TimeJitter(0.9)(inputs, training=False), inputs)
    np.testing.assert_array_equal(TimeJitter(0.0)(inputs, training=True), inputs)


def test_draws_anew_at_every_call_and_again_with_the_seed():
    inputs = np.random.default_rng(0).standard_normal((2, 50, 3)).astype(np.float32)
    layer, again = TimeJitter(0.5, seed=4), TimeJitter(0.5, seed=4)
    first, second = (np.asarray(layer(inputs, training=True)) for _ in range(2))
    assert np.any(first != second)
    np.testing.assert_array_equal(again(inputs, training=True), first)


@pytest.mark.parametrize("probability", [-0.1, 1.0, "a", True])
def test_refuses_a_probability(probability):
    with pytest.raises(ValueError, match="Expected `probability` to be a number of at least 0 and less than 1"):
        TimeJitter(probability)


def test_refuses_an_input_of_another_rank():
    with pytest.raises(ValueError, match=r"Expected an input of shape \(batch, time, channels\). Received \(2, 3\)"):
        TimeJitter()(np.zeros((2, 3), np.float32))
