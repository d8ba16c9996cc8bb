"""The verbs on recordings, as a user calls them: output, exit status, one-line errors, files."""

import collections
import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

from apps.vq_vae.audio.data import check_pattern, read_wav, write_wav
from apps.vq_vae.audio.phonemes import codes_and_phonemes
from apps.vq_vae.audio.runs import load_run

VERBS = ("convert-speaker", "judge-speech", "speak-sentences", "phonemes")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(kapps, verb):
    status, out, _ = kapps(verb, "--help")
    assert status == 0 and f"example:\n  kapps vq-vae {verb}" in out


def test_the_flags_are_fields():
    from apps.vq_vae import flags
    from apps.vq_vae.audio import cli as audio_cli
    from apps.vq_vae.audio.training import TrainingConfig

    names = {flag.removeprefix("--").replace("-", "_") for flag in (*flags.TRAIN, *audio_cli.TRAIN)}
    fields = {field.name for field in dataclasses.fields(TrainingConfig)}
    assert fields <= names | {"data", "overrides"}


@pytest.mark.parametrize("medium", ["images", "audio"])
def test_the_defaults_in_the_help_are_those_of_the_configuration(medium):
    import importlib

    from apps.vq_vae import flags
    from apps.vq_vae.audio import cli as audio_cli

    config = importlib.import_module(f"apps.vq_vae.{medium}.training").TrainingConfig
    values = {field.name: field.default for field in dataclasses.fields(config)}
    told = 0
    for flag, (kind, text) in {**flags.TRAIN, **audio_cli.TRAIN}.items():
        default = re.search(r"\(default ([^ ;,)]+)(?:; of audio ([^ ,)]+))?", text)
        name = flag.removeprefix("--").replace("-", "_")
        if default is None or kind is None or name not in values or not values[name]:
            continue
        own = default[2] if medium == "audio" and default[2] else default[1]
        assert kind(own) == values[name], flag
        told += 1
    assert told == 7


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
    assert status == 0 and report["places"] > 500
    run = load_run(trained_audio)
    codes, phonemes = codes_and_phonemes(run, tmp_path / "test")
    seen: dict[int, collections.Counter] = {}
    everything = collections.Counter()
    for code, phoneme in zip(*codes_and_phonemes(run, tmp_path / "train"), strict=True):
        seen.setdefault(int(code), collections.Counter())[phoneme] += 1
        everything[phoneme] += 1
    ((prior, _),) = everything.most_common(1)
    counts = [seen.get(int(code), everything) for code in codes]
    # Two phonemes as frequent are a matter of taste.
    assert all(len(row) == 1 or row.most_common(2)[0][1] > row.most_common(2)[1][1] for row in seen.values())
    right = [row.most_common(1)[0][0] == phoneme for row, phoneme in zip(counts, phonemes, strict=True)]
    assert report["accuracy"] == pytest.approx(np.mean(right))
    assert report["prior_phoneme"] == prior
    assert report["prior_accuracy"] == pytest.approx(phonemes.count(prior) / len(phonemes))
    status, _, err = kapps("speak-sentences", tmp_path / "train")
    assert status == 1 and "not empty" in err


def test_flags_that_mean_nothing_are_refused(kapps, trained_audio, small_recordings, tmp_path):
    status, _, err = kapps("export", trained_audio, "--autoencoder", "x")
    assert (status, err) == (
        1,
        f"kapps: error: Expected --autoencoder only for a prior. Received it for {trained_audio}.\n",
    )
    for file in sorted(small_recordings.iterdir())[:3]:
        shutil.copy(file, tmp_path)
    rows = [f"{path.name},anna" for path in tmp_path.glob("*.wav")]
    (tmp_path / "manifest.csv").write_text("\n".join(["file,speaker", *rows]))
    pattern = ["--pattern", "{speaker}_{label}_{number}"]
    line = ["train", tmp_path, "--output", tmp_path / "run", "--model", "vq_vae_speech_tiny", *pattern]
    judge = ["judge-speech", trained_audio, tmp_path, "--training", tmp_path, "--output", tmp_path / "run", *pattern]
    for command in (line, judge):
        status, _, err = kapps(*command)
        assert status == 1 and f"Expected no pattern of names beside {tmp_path / 'manifest.csv'}. Received" in err
        assert not (tmp_path / "run").exists()
    # Where one of the two has a manifest, the pattern is for the other.
    check_pattern(pattern[1], tmp_path, small_recordings)
    check_pattern(pattern[1], small_recordings, None)


def test_recordings_are_never_written_over(kapps, trained_audio, small_recordings):
    before = {path: path.read_bytes() for path in small_recordings.iterdir()}
    for verb, flags in (("convert-speaker", ["--to", "low"]), ("reconstruct", ["--count", 2])):
        status, _, err = kapps(verb, trained_audio, small_recordings, "--output", small_recordings, *flags)
        assert status == 1 and "another folder to write to than that of the recordings" in err, verb
    assert {path: path.read_bytes() for path in small_recordings.iterdir()} == before
