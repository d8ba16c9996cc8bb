"""Mu-law against NumPy and against itself, and MuLaw against its contract."""

import keras
import numpy as np
import pytest

from keras_layers import MuLaw, mu_law_decode, mu_law_encode
from tests.conformance.layers import CHECKS, LayerCase, check_precision, name_of

CASE = LayerCase("every_argument", MuLaw, {"levels": 16}, (2, 9), free_axes=(0, 1), complete=True)
# Levels are integers under every policy.
APPLYING = [check for check in CHECKS if check is not check_precision]


@pytest.mark.parametrize("check", APPLYING, ids=name_of)
def test_conformance(check, tmp_path):
    check(CASE, tmp_path)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_levels_are_those_of_float32_under_every_policy(policy):
    waveform = np.random.default_rng(0).uniform(-1, 1, (4, 500)).astype(np.float32)
    layer = MuLaw(dtype=policy)
    np.testing.assert_array_equal(layer(waveform), MuLaw()(waveform))
    assert layer(keras.Input((500,), dtype="float32")).dtype == "int32"


@pytest.mark.parametrize("levels", [2, 16, 256])
def test_levels_equal_the_formula(levels):
    waveform = np.linspace(-1.2, 1.2, 1001).astype(np.float32)
    clipped, mu = np.clip(waveform.astype(np.float64), -1, 1), levels - 1
    compressed = np.sign(clipped) * np.log(1 + mu * np.abs(clipped)) / np.log(1 + mu)
    exact = (compressed + 1) / 2 * mu
    found = np.asarray(mu_law_encode(waveform, levels))
    assert found.dtype == np.int32 and found.min() == 0 and found.max() == mu
    assert np.abs(found - exact).max() <= 0.5 + 1e-4


def test_every_level_comes_back_and_the_error_is_a_half_step():
    levels = np.arange(256)
    waveform = np.asarray(mu_law_decode(levels))
    np.testing.assert_array_equal(mu_law_encode(waveform), levels)
    assert waveform[0] == pytest.approx(-1) and waveform[-1] == pytest.approx(1) and (np.diff(waveform) > 0).all()
    np.testing.assert_allclose(waveform, -waveform[::-1], atol=1e-6)
    sound = np.random.default_rng(0).uniform(-1, 1, 10_000).astype(np.float32)
    widest = np.diff(waveform).max()
    assert np.abs(np.asarray(mu_law_decode(mu_law_encode(sound))) - sound).max() <= widest / 2 * 1.02


@pytest.mark.parametrize("levels", [0, 1, 2.5, True])
def test_refuses_levels(levels):
    with pytest.raises(ValueError, match="Expected `levels` to be"):
        MuLaw(levels)
