"""The verbs on recordings, as a user calls them: output, exit status, one-line errors, files."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from apps.vq_vae.audio_data import read_wav, write_wav

VERBS = ("convert-speaker", "judge-speech", "speak-sentences", "phonemes")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(kapps, verb):
    status, out, _ = kapps(verb, "--help")
    assert status == 0 and f"example:\n  kapps vq-vae {verb}" in out


def test_the_flags_are_fields():
    from apps.vq_vae import cli_audio, flags
    from apps.vq_vae.audio_training import TrainingConfig

    names = {flag.removeprefix("--").replace("-", "_") for flag in (*flags.TRAIN, *cli_audio.TRAIN)}
    fields = {field.name for field in dataclasses.fields(TrainingConfig)}
    assert fields <= names | {"data", "overrides"}


@pytest.mark.slow
def test_train_and_resume(kapps, small_recordings, small_audio, tmp_path):
    flags = ["--steps", 2, "--steps-per-epoch", 1, "--batch-size", 2, "--validation-recordings", 4, "--segment", 64]
    flags += ["--model", "vq_vae_speech_tiny", "--pattern", "{label}_{speaker}_{number}"]
    for name, value in small_audio["overrides"].items():
        flags += ["--set", f"{name}={value}"]
    status, out, err = kapps("train", small_recordings, "--output", tmp_path / "run", *flags, "--json")
    assert status == 0 and "epoch 2/2" in err
    report = json.loads(out)
    assert report == json.loads((tmp_path / "run" / "report.json").read_text())
    status, out, err = kapps("train", "--output", tmp_path / "run", "--resume")
    assert status == 0 and "finished" in err and "shuffled_codes_bits_per_sample" in out
    status, _, err = kapps("train", small_recordings, "--output", tmp_path / "b", *flags, "--likelihood", "mse")
    assert status == 1 and "Expected flags of a training on audio. Received --likelihood" in err


def test_evaluate(kapps, trained_audio, small_recordings, tmp_path):
    status, out, _ = kapps("evaluate", trained_audio, small_recordings, "--output", tmp_path / "out", "--json")
    document = json.loads(out)
    assert status == 0 and document["recordings"] == 24
    assert document == json.loads((tmp_path / "out" / "evaluation.json").read_text())


def test_reconstruct(kapps, trained_audio, small_recordings, tmp_path):
    status, out, _ = kapps("reconstruct", trained_audio, small_recordings, "--output", tmp_path / "again", "--count", 2)
    files = sorted(path.name for path in (tmp_path / "again").iterdir())
    assert status == 0 and "2 recordings" in out and len(files) == 2
    for name in files:
        made, original = read_wav(tmp_path / "again" / name), read_wav(small_recordings / name)
        assert made[1] == original[1] == 4000 and made[0].shape == original[0].shape


def test_convert_speaker(kapps, trained_audio, tmp_path):
    # Of another rate, and of a name that says nothing: only the target must be known.
    (tmp_path / "in").mkdir()
    write_wav(tmp_path / "in" / "hello.wav", np.sin(np.arange(1600) / 5) * 0.4, 8000)
    line = ["convert-speaker", trained_audio, tmp_path / "in", "--to"]
    status, out, err = kapps(*line, "low", "--output", tmp_path / "low")
    assert status == 0 and "1 recordings with the voice of low" in out and "1 from 8000 Hz" in err
    low, rate = read_wav(tmp_path / "low" / "hello.wav")
    assert rate == 4000 and len(low) == 800
    assert kapps(*line, "low", "--output", tmp_path / "again")[0] == 0
    np.testing.assert_array_equal(read_wav(tmp_path / "again" / "hello.wav")[0], low)
    assert kapps(*line, "high", "--output", tmp_path / "high", "--seed", 1)[0] == 0
    assert np.any(read_wav(tmp_path / "high" / "hello.wav")[0] != low)
    for flags, words in {
        ("anna", "--output", tmp_path / "x"): "Received 'anna'",
        ("low", "--output", tmp_path / "x", "--temperature", "-1"): "a temperature of at least 0",
        ("low", "--output", tmp_path / "in" / "hello.wav"): "to be a folder",
    }.items():
        status, _, err = kapps(*line, *flags)
        assert status == 1 and words in err and not (tmp_path / "x").exists()


@pytest.mark.slow
def test_judge_speech(kapps, trained_audio, small_recordings, tmp_path):
    line = ["judge-speech", trained_audio, small_recordings, "--training", small_recordings, "--count", 4]
    status, out, _ = kapps(*line, "--output", tmp_path / "judged", "--json")
    document = json.loads(out)
    assert status == 0 and document == json.loads((tmp_path / "judged" / "judged.json").read_text())
    rows = {row["sound"]: row for row in document["rows"]}
    assert list(rows) == ["real", "mu-law", "reconstructed", "converted"]
    # Two tones an octave and more apart are no question.
    assert rows["real"]["speaker_share"] == 1.0 and rows["real"]["recordings"] == 4
    assert len(list((tmp_path / "judged" / "converted").iterdir())) == 4


@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
@pytest.mark.slow
def test_phonemes_of_spoken_sentences(kapps, trained_audio, tmp_path):
    assert kapps("speak-sentences", tmp_path / "train", "--count", 4)[0] == 0
    assert kapps("speak-sentences", tmp_path / "test", "--count", 2, "--seed", 1)[0] == 0
    status, out, _ = kapps("phonemes", trained_audio, tmp_path / "test", "--training", tmp_path / "train", "--json")
    report = json.loads(out)
    assert status == 0 and report["places"] > 500 and 0 <= report["prior_accuracy"] <= report["accuracy"] + 0.1 <= 1
    status, _, err = kapps("speak-sentences", tmp_path / "train")
    assert status == 1 and "not empty" in err


def test_recordings_are_never_written_over(kapps, trained_audio, small_recordings):
    before = {path: path.read_bytes() for path in small_recordings.iterdir()}
    for verb, flags in (("convert-speaker", ["--to", "low"]), ("reconstruct", ["--count", 2])):
        status, _, err = kapps(verb, trained_audio, small_recordings, "--output", small_recordings, *flags)
        assert status == 1 and "another folder to write to than that of the recordings" in err, verb
    assert {path: path.read_bytes() for path in small_recordings.iterdir()} == before
