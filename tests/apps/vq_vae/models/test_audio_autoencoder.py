"""The autoencoder of audio against its table and its contract: causal, conditioned, sampled as it predicts, saved."""

import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.vq_vae import models
from apps.vq_vae.audio.generation import WaveformSampler
from apps.vq_vae.models import audio_autoencoder
from apps.vq_vae.models.audio_autoencoder import audio_encoder_of, factor_of, reach_of
from keras_layers import mu_law_encode
from tests.conformance.models import RESTORE, ROOT, check_facts, randomise
from tools.errors import InputError
from tools.sampling import Sampler, uniforms

SMALL = {
    "encoder_units": 8,
    "downsamplings": 2,
    "codes": 6,
    "code_dimension": 4,
    "filters": 8,
    "loops": 2,
    "layers": 3,
    "kernel_size": 2,
    "skip_filters": 12,
    "local_units": 6,
    "classes": 3,
}


def make(**overrides) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = models.create("vq_vae_speech_tiny", **{**SMALL, "input_shape": (None,), **overrides})
    randomise(model)
    return model


def inputs_of(batch: int = 2, time: int = 32) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "speaker": rng.integers(0, 3, batch).astype(np.int32),
        "waveform": rng.uniform(-1, 1, (batch, time)).astype(np.float32),
    }


@pytest.mark.parametrize("name", [info.name for info in audio_autoencoder.MODELS])
def test_parameters_and_multiply_adds_are_those_of_the_table(name):
    check_facts(models.REGISTRY, name)


def test_codes_and_logits_have_the_shapes_that_are_told():
    model = make(downsamplings=3)
    assert factor_of(model) == 8
    inputs = inputs_of()
    codes = audio_encoder_of(model)(inputs["waveform"])
    assert codes.shape == (2, 4) and codes.dtype == tf.int32
    logits = model(inputs)
    assert logits.shape == (2, 32, 256) and logits.dtype == tf.float32
    assert audio_encoder_of(make(quantizer="residual"))(inputs["waveform"]).shape == (2, 8, 2)


def test_logits_see_the_samples_before_and_no_other():
    model = make()
    decoder, reach = model.get_layer("decoder"), 2 + 2 * (2**3 - 1)
    assert reach_of(model) == reach
    rng = np.random.default_rng(1)
    inputs = {
        "code_vectors": rng.standard_normal((1, 8, 4)).astype(np.float32),
        "samples": rng.integers(0, 256, (1, 32)).astype(np.int32),
        "speaker": np.zeros(1, np.int32),
    }
    before = np.asarray(decoder(inputs))[0]
    for place in range(32):
        changed = inputs["samples"].copy()
        changed[0, place] = (changed[0, place] + 100) % 256
        moved = np.abs(np.asarray(decoder({**inputs, "samples": changed}))[0] - before).max(axis=1) > 1e-6
        assert set(np.flatnonzero(moved)) == set(range(place + 1, min(32, place + 1 + reach)))


def test_codes_and_speaker_reach_every_sample():
    decoder = make().get_layer("decoder")
    rng = np.random.default_rng(1)
    inputs = {
        "code_vectors": rng.standard_normal((1, 8, 4)).astype(np.float32),
        "samples": rng.integers(0, 256, (1, 32)).astype(np.int32),
        "speaker": np.zeros(1, np.int32),
    }
    before = np.asarray(decoder(inputs))[0]
    other = np.asarray(decoder({**inputs, "speaker": np.ones(1, np.int32)}))[0]
    assert (np.abs(other - before).max(axis=1) > 1e-6).all()
    vectors = inputs["code_vectors"].copy()
    vectors[0, 4] += 1
    moved = np.flatnonzero(
        np.abs(np.asarray(decoder({**inputs, "code_vectors": vectors}))[0] - before).max(axis=1) > 1e-6
    )
    # The convolution over codes sees one neighbour on either side.
    assert moved.min() == 3 * 4 and set(range(12, 24)) <= set(moved)


@pytest.mark.parametrize("likelihood", audio_autoencoder.LIKELIHOODS)
def test_sampling_with_kept_activations_has_the_logits_of_the_whole_model(likelihood):
    model, inputs = make(likelihood=likelihood), inputs_of(3)
    samples = np.asarray(mu_law_encode(inputs["waveform"]))
    vectors = model.get_layer("quantizer").lookup(audio_encoder_of(model)(inputs["waveform"]))
    sampler = Sampler(model.get_layer("decoder"), (32,), codes="samples")
    found = sampler.logits(samples, code_vectors=vectors, speaker=inputs["speaker"])
    np.testing.assert_allclose(found, model(inputs), rtol=1e-4, atol=1e-4)


def test_a_waveform_depends_on_its_own_seed_codes_and_speaker():
    model = make()
    sampler = WaveformSampler(model)
    codes = np.array([[0, 1, 2], [3, 4, 5], [0, 1, 2]], np.int32)
    waveforms = np.asarray(sampler(codes, [7, 8, 7], [0, 1, 0]))
    assert waveforms.shape == (3, 12) and np.abs(waveforms).max() <= 1
    # The levels: decoded beside others, a sample may differ in the last digit of a float.
    np.testing.assert_array_equal(mu_law_encode(waveforms[0]), mu_law_encode(waveforms[2]))
    np.testing.assert_allclose(np.asarray(sampler(codes[1:2], [8], [1]))[0], waveforms[1], atol=1e-6)
    assert np.any(np.asarray(sampler(codes[:1], [9], [0]))[0] != waveforms[0])


def test_sound_is_drawn_by_other_numbers_than_codes_of_the_same_seeds():
    model, seeds = make(), [7, 8]
    layer = model.get_layer("decoder").get_layer("logits")
    layer.set_weights([np.zeros_like(weights) for weights in layer.get_weights()])
    waveforms = WaveformSampler(model)(np.zeros((2, 8), np.int32), seeds, [0, 1])
    # Of 256 levels alike, that is drawn in whose part of the unit the number lies.
    drawn = np.asarray(mu_law_encode(waveforms)) / 256
    own, of_codes = (np.asarray(uniforms(tf.constant(seeds), 32, stream)) for stream in (1, 0))
    assert np.abs(drawn - own).max() < 0.01 and np.abs(drawn - of_codes).mean() > 0.2


@pytest.mark.parametrize("likelihood", audio_autoencoder.LIKELIHOODS)
def test_every_weight_learns(likelihood):
    model = make(quantizer="gradient", likelihood=likelihood)
    inputs = inputs_of(4, 64)
    with tf.GradientTape() as tape:
        logits = model(inputs, training=True)
        levels = mu_law_encode(inputs["waveform"])
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(levels, logits, from_logits=True))
        loss += tf.add_n(model.losses)
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    without = [
        weight.path
        for weight, gradient in zip(model.trainable_weights, gradients, strict=True)
        if gradient is None or not np.any(tf.convert_to_tensor(gradient))
    ]
    assert not without


@pytest.mark.parametrize("likelihood", audio_autoencoder.LIKELIHOODS)
def test_learns_a_tone_by_heart(likelihood):
    keras.utils.set_random_seed(0)
    overrides = {"input_shape": (None,), "classes": 0, "filters": 16, "likelihood": likelihood}
    model = models.create("vq_vae_speech_tiny", **{**SMALL, **overrides})
    waveform = (np.sin(np.arange(128) / 3) * 0.5).astype(np.float32)[None]
    model.compile(keras.optimizers.Adam(0.003), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    levels = np.asarray(mu_law_encode(waveform))
    losses = [model.train_on_batch({"waveform": waveform}, levels, return_dict=True)["loss"] for _ in range(80)]
    assert losses[-1] < 0.6 * losses[0]


def test_loads_in_a_new_process_with_keras_layers_alone(tmp_path):
    model = make(classes=0)
    model.save(tmp_path / "model.keras")
    waveform = inputs_of()["waveform"]
    np.save(tmp_path / "inputs.npy", waveform)
    files = [str(tmp_path / name) for name in ("model.keras", "inputs.npy", "outputs.npy")]
    subprocess.run([sys.executable, "-c", RESTORE, *files], cwd=ROOT, check=True, timeout=300)
    np.testing.assert_allclose(np.load(tmp_path / "outputs.npy"), model(waveform), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_float16", 0.005), ("mixed_bfloat16", 0.04)])
def test_logits_are_float32_under_a_mixed_policy(policy, tolerance):
    model, inputs = make(), inputs_of()
    # The codes are given: one for a latent between two may be another in half precision, and is another sound.
    vectors = model.get_layer("quantizer").lookup(audio_encoder_of(model)(inputs["waveform"]))
    given = {"samples": mu_law_encode(inputs["waveform"]), "code_vectors": vectors}
    given["speaker"] = tf.constant(inputs["speaker"])
    expected = np.asarray(model.get_layer("decoder")(given))
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(policy)
        half = make()
        half.set_weights(model.get_weights())
        whole, logits = half(inputs), half.get_layer("decoder")(given)
    finally:
        keras.config.set_dtype_policy(before)
    assert whole.dtype == logits.dtype == tf.float32 and np.isfinite(whole).all()
    assert np.abs(np.asarray(logits) - expected).max() < tolerance * np.abs(expected).max()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"downsamplings": 0}, "`downsamplings` to be a positive integer"),
        ({"jitter": 1.0}, "`jitter` to be a number of at least 0 and less than 1"),
        ({"input_shape": (31,)}, "a time that is a multiple of 4.* Received 31"),
        ({"input_shape": (32, 1)}, r"`input_shape` to be \(time\)"),
        ({"quantizer": "none"}, "`quantizer` to be one of"),
        ({"classes": -1}, "`classes` to be an integer of at least 0"),
        ({"filters": 0}, "`filters` to be a positive integer"),
        ({"likelihood": "mse"}, "`likelihood` to be one of"),
        ({"components": 0}, "`components` to be a positive integer"),
    ],
)
def test_refuses_in_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        models.create("vq_vae_speech_tiny", **{**SMALL, **arguments})
    assert "\n" not in str(caught.value)


def test_the_readme_shows_what_the_table_says():
    readme = (pathlib.Path(ROOT) / "apps" / "vq_vae" / "README.md").read_text(encoding="utf-8")
    for info in audio_autoencoder.MODELS:
        figures = rf"{info.input_shape[0]} \| {info.parameters:,} \| {info.multiply_adds:,} \|"
        assert re.search(rf"\| `{info.name}` \| .* \| {figures}", readme)
