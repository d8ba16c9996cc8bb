"""Priors of audio: pieces of recordings, speakers as classes, and sounds made up from codes."""

import dataclasses
import json
import math

import numpy as np
import pytest

from apps.vq_vae.audio import generation
from apps.vq_vae.audio.codes import make_codes, pieces
from apps.vq_vae.audio.data import read_wav
from apps.vq_vae.audio.runs import load_run
from apps.vq_vae.models.audio_autoencoder import audio_encoder_of
from apps.vq_vae.prior.runs import load_prior_run
from apps.vq_vae.prior.sampling import sample_codes
from apps.vq_vae.prior.training import PriorConfig, train
from tools.errors import InputError


@pytest.fixture(scope="module")
def config(trained_audio, small_recordings):
    return PriorConfig(
        autoencoder=str(trained_audio),
        data=str(small_recordings),
        classes=True,
        window=20,
        validation_examples=9,
        model="wavenet_prior_tiny",
        overrides={"filters": 8, "layers": 2, "skip_filters": 8},
        steps=4,
        steps_per_epoch=2,
        batch_size=4,
    )


@pytest.fixture(scope="module")
def prior_of_audio(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("priors") / "tones"
    train(config, folder)
    return folder


@pytest.mark.parametrize(
    "count, window, starts", [(7, 3, [0, 3, 4]), (6, 3, [0, 3]), (3, 3, [0]), (2, 3, []), (4, 3, [0, 1])]
)
def test_pieces_cover_a_recording_and_nothing_else(count, window, starts):
    found = pieces(np.arange(count), window)
    np.testing.assert_array_equal(found, [list(range(start, start + window)) for start in starts] or np.empty((0, 3)))


def test_codes_are_those_of_the_recordings(trained_audio, small_recordings, config):
    run = load_run(trained_audio)
    recordings = run.read(small_recordings)
    examples = make_codes(run, config, str(small_recordings))
    assert examples.lengths == (20,) and examples.names == {"speaker": ("high", "low")}
    # Away from the end, where batches are padded, the codes are those of the file alone.
    codes = np.asarray(audio_encoder_of(run.model)(recordings.waveforms[0][None, :400]))[0]
    np.testing.assert_array_equal(examples.codes[examples.groups == 0][0], codes[:20])
    for number, name in enumerate(recordings.speakers):
        assert set(examples.conditions["speaker"][examples.groups == number]) == {["high", "low"].index(name)}
    total = sum(math.ceil(math.ceil(len(waveform) / 8) / 20) for waveform in recordings.waveforms)
    assert len(examples) == total


def test_without_speakers(trained_audio, small_recordings, config):
    examples = make_codes(load_run(trained_audio), dataclasses.replace(config, classes=False), str(small_recordings))
    assert examples.conditions == {} and examples.names == {}


def test_short_recordings_are_left_out_and_counted(trained_audio, small_recordings, config, capsys):
    run = load_run(trained_audio)
    examples = make_codes(run, dataclasses.replace(config, window=60), str(small_recordings))
    assert len(np.unique(examples.groups)) < 24
    assert "are shorter than 60 codes, and left out" in capsys.readouterr().err
    with pytest.raises(InputError, match="at least 1000 codes"):
        make_codes(run, dataclasses.replace(config, window=1000), str(small_recordings))
    with pytest.raises(InputError, match="no file of labels"):
        make_codes(run, config, str(small_recordings), "labels.npz")


def test_a_prior_of_speakers_is_trained_and_sampled(prior_of_audio):
    report = json.loads((prior_of_audio / "report.json").read_text())
    assert report["medium"] == "audio" and 0 < report["held_out"]["bits_per_code"] < 6
    run = load_prior_run(prior_of_audio)
    codes = sample_codes(run, [1, 2, 1], np.array([0, 1, 0], np.int32))
    assert codes.shape == (3, 20) and codes.min() >= 0 and codes.max() < 8
    np.testing.assert_array_equal(codes[0], codes[2])


def test_sample_speaks(kapps, prior_of_audio, tmp_path):
    flags = ["--label", "low", "--label", "high", "--count", 2, "--codes", tmp_path / "codes.npz", "--json"]
    status, out, _ = kapps("sample", prior_of_audio, "--output", tmp_path / "babble", *flags)
    assert status == 0 and json.loads(out)["files"] == ["low_0.wav", "low_1.wav", "high_2.wav", "high_3.wav"]
    with np.load(tmp_path / "codes.npz") as arrays:
        assert arrays["codes"].shape == (4, 20) and arrays["speakers"].tolist() == ["low"] * 2 + ["high"] * 2
    waveform, rate = read_wav(tmp_path / "babble" / "low_0.wav")
    assert rate == 4000 and len(waveform) == 160 and np.abs(waveform).max() > 0
    status, _, err = kapps("sample", prior_of_audio, "--output", tmp_path / "none", "--label", "anna")
    assert status == 1 and "Expected speaker to be one of high, low. Received 'anna'" in err
    assert not (tmp_path / "none").exists()


def test_the_prior_of_audio_is_not_published(kapps, prior_of_audio, tmp_path):
    status, _, err = kapps("export", prior_of_audio, "--base", tmp_path)
    assert status == 1 and "Expected a prior of images" in err and len(err.splitlines()[-1:]) == 1


def test_a_run_has_one_encoder_and_one_sampler(trained_audio, tmp_path, monkeypatch):
    run = load_run(trained_audio)
    assert run.encoder is run.encoder and run.sampler is run.sampler
    monkeypatch.setattr(generation, "BATCH", 2)
    spoken, sampler = [], run.sampler
    vars(run)["sampler"] = lambda codes, *others: spoken.append(len(codes)) or sampler(codes, *others)
    codes, seeds = np.arange(10).reshape(5, 2) % 8, np.arange(5)
    names = generation.speak_codes(run, codes, seeds, np.array([0, 1, 0, 1, 0]), tmp_path)
    assert spoken == [2, 2, 1] and names == ["high_0.wav", "low_1.wav", "high_2.wav", "low_3.wav", "high_4.wav"]
    alone = np.asarray(sampler(codes[3:4], seeds[3:4], np.array([1])))[0]
    np.testing.assert_allclose(read_wav(tmp_path / names[3])[0], alone, atol=1e-4)
