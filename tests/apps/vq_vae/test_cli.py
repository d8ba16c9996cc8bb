"""The verbs, as a user calls them: output, exit status, one-line errors, files."""

import dataclasses
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

VERBS = ("models", "train", "evaluate", "reconstruct", "export")


@pytest.mark.slow
def test_the_parser_imports_no_framework():
    code = (
        "import argparse, sys; from apps.vq_vae import cli;"
        "cli.add_commands(argparse.ArgumentParser().add_subparsers());"
        "print(sorted({'tensorflow', 'keras', 'cv2', 'numpy', 'tf_keras'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(kapps, verb):
    status, out, _ = kapps(verb, "--help")
    assert status == 0 and f"example:\n  kapps vq-vae {verb}" in out


@pytest.mark.parametrize(
    "line",
    [
        "",
        "dance",
        "train",
        "train t.npz",
        "train t.npz --output r --steps many",
        "train t.npz --output r --set codes",
        "export r --lite float8",
        "reconstruct r t.npz",
    ],
)
def test_wrong_use_is_status_2(kapps, line):
    assert kapps(*line.split())[0] == 2


def test_the_flags_are_fields():
    from apps.vq_vae.flags import TRAIN
    from apps.vq_vae.images.training import TrainingConfig

    names = {flag.removeprefix("--").replace("-", "_") for flag in TRAIN}
    assert names | {"data", "overrides"} == {field.name for field in dataclasses.fields(TrainingConfig)}


def test_models(kapps):
    status, out, _ = kapps("models", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert status == 0 and rows["vq_vae_cifar10"]["parameters"] == 662_723
    assert "vq_vae_tiny" in kapps("models")[1]


def test_train_and_resume(kapps, small_file, tmp_path):
    flags = ["--steps", 2, "--steps-per-epoch", 1, "--batch-size", 4, "--validation-images", 8]
    flags += ["--model", "vq_vae_tiny", "--likelihood", "gaussian", "--set", "hidden_units=8", "--set", "codes=16"]
    status, out, err = kapps("train", small_file, "--output", tmp_path / "run", *flags, "--json")
    assert status == 0 and "epoch 2/2" in err
    report = json.loads(out)
    assert report == json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["held_out"]["codes"] == 16
    status, out, err = kapps("train", "--output", tmp_path / "run", "--resume")
    assert status == 0 and "finished" in err and "bits_per_dim_upper_bound" in out
    status, _, err = kapps("train", "--output", tmp_path / "run", "--resume", "--seed", 3)
    assert status == 1 and "seed is 0 in the run and 3 now" in err
    assert kapps("train", "--output", tmp_path / "new", "--resume")[0] == 1


@pytest.mark.slow
def test_training_stops_at_a_vector_that_is_not_finite(kapps, small_file, tmp_path):
    flags = ["--steps", 2, "--validation-images", 8, "--steps-per-epoch", 1, "--learning-rate", "1e30"]
    flags += ["--model", "vq_vae_tiny", "--set", "hidden_units=8"]
    status, _, err = kapps("train", small_file, "--output", tmp_path / "run", *flags)
    last = err.splitlines()[-1]
    assert status == 1 and last.startswith("kapps: error: Expected") and "finite" in last and "epoch" in last


def test_evaluate(kapps, trained_run, small_file, tmp_path):
    status, out, _ = kapps("evaluate", trained_run, small_file, "--output", tmp_path / "out", "--json")
    document = json.loads(out)
    assert status == 0 and document["images"] == 96
    assert document == json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert cv2.imread(str(tmp_path / "out" / "code_usage.png")).std() > 0
    status, out, _ = kapps("evaluate", trained_run, small_file, "--which", "last", "--output", tmp_path / "out")
    assert status == 0 and "96 images, 16 codes" in out and "normalised_error" in out


def test_reconstruct(kapps, trained_run, small_file, tmp_path):
    picture = tmp_path / "new" / "picture.png"
    status, out, _ = kapps("reconstruct", trained_run, small_file, "--output", picture, "--count", 3)
    assert status == 0 and "3 images" in out
    assert cv2.imread(str(picture)).shape == (2 * (8 * 5 + 2) + 2, 3 * (12 * 5 + 2) + 2, 3)
    assert kapps("reconstruct", trained_run, small_file, "--output", tmp_path / "picture.txt")[0] == 1
    assert kapps("reconstruct", trained_run, small_file, "--output", picture, "--count", 0)[0] == 1


def test_bad_images_and_runs_are_one_line(kapps, trained_run, small_images, tmp_path):
    np.savez(tmp_path / "wide.npz", images=small_images[:, :, :8])
    np.savez(tmp_path / "float.npz", images=small_images / 255)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"application": "margin_classifier"}')
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.json").write_text('{"application": "vq_vae"}')
    cases = {
        (trained_run, "wide.npz"): "(8, 12, 3), as the model was trained on. Received (8, 8, 3)",
        (trained_run, "float.npz"): "integer pixels",
        (tmp_path / "none", "wide.npz"): "not found",
        (tmp_path / "other", "wide.npz"): "a run of margin_classifier",
        (tmp_path / "begun", "wide.npz"): "whose training has ended",
    }
    for (run, images), words in cases.items():
        status, out, err = kapps("evaluate", run, tmp_path / images)
        assert status == 1 and out == "" and words in err and len(err.splitlines()) == 1, words
    assert kapps("evaluate", trained_run, tmp_path / "wide.npz", "--which", "first")[0] == 1


@pytest.mark.slow
def test_export(kapps, trained_run, tmp_path):
    status, out, _ = kapps("export", trained_run, "--base", tmp_path, "--name", "discs", "--lite", "float32")
    assert status == 0 and "100.0% of codes equal" in out
    assert (tmp_path / "discs" / "1" / "saved_model.pb").is_file()
    assert (trained_run / "lite" / "discs_decoder_float32.tflite").is_file()
