"""The verbs of the priors, as a user calls them."""

import dataclasses
import json

import cv2
import numpy as np
import pytest


@pytest.mark.parametrize("verb", ["train-prior", "sample"])
def test_every_verb_explains_itself_with_an_example(kapps, verb):
    status, out, _ = kapps(verb, "--help")
    assert status == 0 and f"example:\n  kapps vq-vae {verb}" in out


@pytest.mark.parametrize("line", ["train-prior", "train-prior a b --output r --set filters", "sample r", "sample"])
def test_wrong_use_is_status_2(kapps, line):
    assert kapps(*line.split())[0] == 2


def test_the_flags_are_fields():
    from apps.vq_vae.prior.cli import TRAIN_PRIOR
    from apps.vq_vae.prior.training import PriorConfig

    names = {flag.removeprefix("--").replace("-", "_") for flag in TRAIN_PRIOR}
    assert names | {"autoencoder", "data", "overrides"} == {field.name for field in dataclasses.fields(PriorConfig)}


@pytest.mark.slow
def test_train_and_resume(kapps, trained_run, labelled_file, tmp_path):
    flags = ["--classes", "--model", "pixelcnn_tiny", "--set", "filters=8", "--set", "layers=2"]
    flags += ["--steps", 2, "--steps-per-epoch", 1, "--batch-size", 8, "--validation-examples", 16]
    run = tmp_path / "run"
    status, out, err = kapps("train-prior", trained_run, labelled_file, "--output", run, *flags, "--json")
    assert status == 0 and "epoch 2/2" in err
    assert json.loads(out) == json.loads((run / "report.json").read_text())
    status, out, err = kapps("train-prior", "--output", run, "--resume")
    assert status == 0 and "finished" in err and "a uniform choice" in out and "4.000" in out
    status, _, err = kapps("train-prior", "--output", run, "--resume", "--seed", 3)
    assert status == 1 and "seed is 0 in the run and 3 now" in err


def test_flags_reach_the_configuration(kapps, trained_run, labelled_file, tmp_path, monkeypatch):
    seen = []
    report = {"held_out": {"bits_per_code": 2.5, "histogram_bits": 3.0, "uniform_bits": 4.0, "accuracy": 0.25}}
    report["held_out"] |= {"codes": 96, "examples": 16}

    def train(config, folder, resume):
        seen.append((config, folder, resume))
        return {**report, "best_epoch": 3}

    monkeypatch.setattr("apps.vq_vae.prior.training.train", train)
    flags = ["--classes", "--labels", "l.idx1", "--set", "filters=8", "--set", "dropout=0.1", "--learning-rate", "0.01"]
    status, out, _ = kapps("train-prior", trained_run, labelled_file, "--output", tmp_path / "run", *flags)
    assert status == 0 and "2.500" in out and "96 codes of 16 held out examples" in out and "25.0%" in out
    ((config, folder, resume),) = seen
    assert (config.autoencoder, config.data) == (str(trained_run), str(labelled_file))
    assert (config.classes, config.labels, config.learning_rate) == (True, "l.idx1", 0.01)
    assert config.overrides == {"filters": 8, "dropout": 0.1} and folder == tmp_path / "run" and not resume
    status, _, err = kapps("train-prior", trained_run, "--output", tmp_path / "new")
    assert status == 1 and "Expected AUTOENCODER_RUN and DATA. Received AUTOENCODER_RUN alone" in err


def test_resume_takes_the_autoencoder_anew_and_nothing_else(kapps, prior_run, monkeypatch):
    from apps.vq_vae.prior.training import config_of

    seen = []
    monkeypatch.setattr("apps.vq_vae.prior.training.train", lambda config, folder, resume: seen.append(config) or {})
    kapps("train-prior", "elsewhere", "--output", prior_run, "--resume", "--json")
    begun = config_of(json.loads((prior_run / "config.json").read_text()))
    assert seen == [dataclasses.replace(begun, autoencoder="elsewhere")]


def test_a_window_is_of_audio(kapps, trained_run, labelled_file, tmp_path):
    status, _, err = kapps("train-prior", trained_run, labelled_file, "--output", tmp_path / "run", "--window", 8)
    assert (status, err) == (1, f"kapps: error: Expected --window only for audio. Received it for {trained_run}.\n")
    assert not (tmp_path / "run").exists()


def test_sample_draws_a_row_for_each_class(kapps, prior_run, tmp_path):
    picture, codes = tmp_path / "samples.png", tmp_path / "codes.npz"
    status, out, _ = kapps("sample", prior_run, "--output", picture, "--count", 3, "--codes", codes)
    assert status == 0 and "6 samples" in out and "3 each of bright, dark" in out
    assert cv2.imread(str(picture)).shape == (2 * (8 * 5 + 4), 3 * (12 * 5 + 2) + 2, 3)
    arrays = np.load(codes)
    assert arrays["codes"].shape == (6, 2, 3) and len(set(arrays["seeds"])) == 6
    assert arrays["labels"].tolist() == ["bright"] * 3 + ["dark"] * 3
    status, out, _ = kapps("sample", prior_run, "--output", picture, "--count", 2, "--label", "dark", "--json")
    assert status == 0 and json.loads(out)["labels"] == ["dark"] and json.loads(out)["samples"] == 2


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--label", "grey"], "label to be one of bright, dark. Received 'grey'"),
        (["--temperature", "-1"], "`temperature` to be at least 0"),
        (["--top-p", "2"], "`top_p` to be more than 0 and at most 1"),
        (["--top-k", "-2"], "`top_k` to be at least 0"),
        (["--count", "0"], "--count above 0"),
        (["--codes", "codes.txt"], "--codes to end in .npz"),
        (["--which", "first"], "which to be one of"),
    ],
)
def test_bad_samples_are_one_line(kapps, prior_run, tmp_path, flags, words):
    status, out, err = kapps("sample", prior_run, "--output", tmp_path / "x.png", *flags)
    assert status == 1 and out == "" and words in err.splitlines()[-1]
    assert not (tmp_path / "x.png").exists()


def test_runs_that_do_not_fit_the_verb(kapps, prior_run, trained_run, tmp_path):
    picture = tmp_path / "x.png"
    assert "Expected a run of train-prior" in kapps("sample", trained_run, "--output", picture)[2]
    assert "ends in .png" in kapps("sample", prior_run, "--output", tmp_path / "x.gif")[2]
    assert "a run of an autoencoder of images" in kapps("evaluate", prior_run, "x.npz")[2]
    assert "neither --lite nor --data" in kapps("export", prior_run, "--lite", "float32")[2]
    assert "--seconds only for an autoencoder of audio" in kapps("export", prior_run, "--seconds", 1)[2]
    for flag, owner in (("--autoencoder", "a prior"), ("--seconds", "audio")):
        status, _, err = kapps("export", trained_run, flag, "1")
        assert (status, err) == (1, f"kapps: error: Expected {flag} only for {owner}. Received it for {trained_run}.\n")


@pytest.mark.slow
def test_export_publishes_the_sampler(kapps, prior_run, tmp_path):
    status, out, _ = kapps("export", prior_run, "--base", tmp_path, "--name", "sampler", "--json")
    document = json.loads(out)
    assert status == 0 and document["version"] == 1
    assert set(document["signatures"]["sample"]["inputs"]) == {"seed", "label", "temperature", "top_k", "top_p"}
