"""The published autoencoder of audio: the signatures in a process of its own, and the encoder on LiteRT."""

import json

import numpy as np
import pytest
import tensorflow as tf

from apps.vq_vae.audio.evaluation import encode
from apps.vq_vae.audio.export import LevelsOfPCM, export, export_lite, lite_encoder, pcm_of, samples_of, signatures
from apps.vq_vae.audio.generation import WaveformSampler
from apps.vq_vae.audio.runs import load_run
from keras_layers import mu_law_encode
from tools.errors import InputError
from tools.saved_model.signatures import serving_function


@pytest.fixture(scope="module")
def run(trained_audio):
    return load_run(trained_audio)


@pytest.fixture(scope="module")
def published(run, small_recordings, tmp_path_factory):
    recordings = run.read(small_recordings)
    return export(run, recordings, seconds=0.03, base=tmp_path_factory.mktemp("models"), name="tones")


@pytest.mark.slow
def test_signatures_speak_as_keras_does(run, published, small_recordings):
    loaded = tf.saved_model.load(str(published.path))
    waveform = run.read(small_recordings).waveforms[0][None, :120]
    codes = loaded.signatures["encode"](waveform=tf.constant(waveform[:, :117]))["codes"]
    padded = np.pad(waveform[:, :117], ((0, 0), (0, 3)))
    np.testing.assert_array_equal(codes, encode(run, padded))
    others = {"seed": tf.constant([5]), "temperature": tf.constant([0.8]), "speaker": tf.constant([1])}
    decoded = loaded.signatures["decode"](codes=tf.constant(encode(run, waveform)), **others)["waveform"]
    converted = loaded.signatures["convert"](waveform=tf.constant(waveform), **others)["waveform"]
    expected = WaveformSampler(run.model)(encode(run, waveform), [5], [1], [0.8])
    np.testing.assert_allclose(decoded, expected, atol=1e-6)
    np.testing.assert_allclose(converted, expected, atol=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected speakers of at least 0 and less than 2"):
        loaded.signatures["convert"](waveform=tf.constant(waveform), **{**others, "speaker": tf.constant([2])})
    for wrong in (np.nan, np.inf, -np.inf):
        broken = waveform.copy()
        broken[0, 7] = wrong
        for name, given in (("encode", {}), ("convert", others)):
            with pytest.raises(tf.errors.InvalidArgumentError, match="Expected finite values in 'waveform'"):
                loaded.signatures[name](waveform=tf.constant(broken), **given)
    card = json.loads((published.path / "assets.extra" / "model.json").read_text())
    assert card["rate"] == 4000 and card["speakers"] == ["high", "low"] and card["samples"] == 120


def test_a_waveform_that_is_not_finite_has_no_codes(run):
    serve = serving_function(signatures(run, np.zeros((2, 16), np.float32))["encode"])
    sound = np.sin(np.arange(16, dtype=np.float32))[None]
    np.testing.assert_array_equal(serve({"waveform": tf.constant(sound)})["codes"], encode(run, sound))
    for wrong in (np.nan, np.inf):
        sound[0, 3] = wrong
        with pytest.raises(tf.errors.InvalidArgumentError, match="Expected finite values in 'waveform'"):
            serve({"waveform": tf.constant(sound)})


def test_the_table_of_16_bit_samples_is_exact(run):
    pcm = np.arange(-(2**15), 2**15, dtype="int32")
    np.testing.assert_array_equal(LevelsOfPCM()(pcm), mu_law_encode(pcm.astype("float32") / 2**15))
    waveform = np.array([-1.0, -0.5, 0.0, 0.25, 1.0], "float32")
    assert pcm_of(waveform).tolist() == [-32768, -16384, 0, 8192, 32767]
    sound = np.round(2**14 * np.sin(np.arange(16))).astype("int32")[None]
    codes = lite_encoder(run, 16)(sound)["codes"]
    np.testing.assert_array_equal(codes, encode(run, sound.astype("float32") / 2**15))


@pytest.mark.slow
def test_the_encoder_runs_on_litert_with_the_codes_of_keras(run, small_recordings, tmp_path):
    recordings = run.read(small_recordings)
    result = export_lite(run, recordings, tmp_path, "tones", "float32", 0.05, lambda line: None)
    assert result["report"]["agreement"]["codes"]["equal_share"] == 1.0
    assert (tmp_path / "tones_encoder_float32.tflite").is_file()


def test_seconds_are_whole_codes(run):
    assert (samples_of(run, 0.03), samples_of(run, 0.0301), samples_of(run, 1e-6)) == (120, 120, 8)
    with pytest.raises(InputError, match=r"Expected seconds above 0\. Received 0"):
        samples_of(run, 0)
