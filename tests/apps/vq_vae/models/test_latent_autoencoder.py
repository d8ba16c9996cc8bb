"""The second stage: a few codes tell a grid of codes that no prior without them could."""

import math

import keras
import numpy as np
import pytest

from apps.vq_vae import models
from apps.vq_vae.prior.evaluation import compile_prior, evaluate_prior
from tests.conformance.models import check_facts, randomise
from tools.errors import InputError
from tools.sampling import Sampler

SMALL = {
    "codes": 5,
    "heads": 3,
    "latent_codes": 16,
    "code_dimension": 4,
    "filters": 8,
    "layers": 2,
    "hidden": 16,
    "map_channels": 4,
    "input_shape": (3, 5),
}


def make(**overrides) -> keras.Model:
    keras.utils.set_random_seed(0)
    return models.create("latent_vq_vae", **{**SMALL, **overrides})


def grids(count: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 5, (count, 3, 5)).astype(np.int32)


def test_the_table_is_what_is_counted():
    check_facts(models.REGISTRY, "latent_vq_vae")


def test_each_of_the_few_codes_has_a_code_book_of_its_own():
    model = make()
    quantizer = model.get_layer("quantizer")
    assert tuple(quantizer.codebook.shape) == (3, 16, 4)
    found = np.asarray(models.latent_encoder_of(model)(grids()))
    assert found.shape == (4, 3) and found.min() >= 0 and found.max() < 16
    assert np.asarray(models.latent_encoder_of(make(heads=1))(grids())).shape == (4,)


@pytest.mark.parametrize("heads", [1, 3])
def test_the_halves_make_the_whole(heads):
    model = make(heads=heads)
    randomise(model)
    codes = grids()
    latents = models.latent_encoder_of(model)(codes)
    condition = models.condition_of(model)(latents).numpy()
    logits = model.get_layer("decoder")({"codes": codes, "condition_map": condition})
    np.testing.assert_allclose(logits, model({"codes": codes}, training=False), rtol=1e-5, atol=1e-5)


def test_a_position_depends_on_those_before_it_and_on_the_few():
    decoder = make().get_layer("decoder")
    randomise(decoder)
    codes, condition = grids(1), np.random.default_rng(1).standard_normal((1, 3, 5, 4)).astype(np.float32)
    first = np.asarray(decoder({"codes": codes, "condition_map": condition}))
    changed = codes.copy()
    changed[0, 1, 2] = (changed[0, 1, 2] + 1) % 5
    other = np.asarray(decoder({"codes": changed, "condition_map": condition}))
    differs = np.abs(other - first).max(axis=-1).reshape(-1) > 1e-6
    assert not differs[:8].any() and differs[8:].any()
    assert np.all(np.asarray(decoder({"codes": codes, "condition_map": condition + 1})) != first)


def test_grids_are_drawn_from_the_few():
    model = make()
    randomise(model)
    latents = models.latent_encoder_of(model)(grids())
    sampler = Sampler(model.get_layer("decoder"))
    drawn = sampler([1, 2, 3, 4], condition_map=models.condition_of(model)(latents))
    assert drawn.shape == (4, 3, 5)


def test_it_is_saved_with_nothing_but_the_layers(tmp_path):
    model = make()
    randomise(model)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again({"codes": grids()}), model({"codes": grids()}))


@pytest.mark.slow
def test_it_learns_what_no_prior_without_the_few_could():
    """Each row is one of 8 random ones: 9 bits an image, which a prior alone cannot go below."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 5, (3, 8, 5))
    chosen = rng.integers(0, 8, (512, 3))
    codes = rows[np.arange(3), chosen].astype(np.int32)
    model = compile_prior(make(filters=16, hidden=64), 3e-3)
    model.fit({"codes": codes}, codes, batch_size=64, epochs=40, verbose=0)
    bits = evaluate_prior(model, codes, train_codes=codes).bits_per_code * 15
    assert bits < 4.5
    latents = np.asarray(models.latent_encoder_of(model)(codes))
    told = len(np.unique(latents, axis=0))
    assert bits + math.log2(told) > 9 - 0.5, "What the few do not tell, the decoder must."


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"heads": 0}, "`heads`.* Received 0"),
        ({"quantizer": "residual"}, "`quantizer` to be one of .* Received 'residual'"),
        ({"quantizer_options": {"stages": 2}}, "`quantizer_options` .* Received 'stages'"),
        ({"input_shape": (None, 5)}, "Received None"),
        ({"classes": 3}, "`classes` to be 0"),
        ({"map_channels": 0}, "`map_channels`.* Received 0"),
    ],
)
def test_refuses_what_is_out_of_range(overrides, message):
    with pytest.raises(InputError, match=message):
        make(**overrides)
