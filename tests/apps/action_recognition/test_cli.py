"""The verbs, as a user calls them: output, exit status, one-line errors."""

import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from apps.action_recognition import flags, prediction
from apps.action_recognition.runs import load_run
from tools.errors import InputError


def test_the_parser_imports_no_framework():
    code = (
        "import argparse, sys; from apps.action_recognition import cli;"
        "cli.add_commands(argparse.ArgumentParser().add_subparsers());"
        "print(sorted({'tensorflow', 'keras', 'cv2', 'numpy', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("verb", ["models", "train", "evaluate", "predict", "features", "export"])
def test_every_verb_explains_itself_with_an_example(kapps, verb):
    status, out, _ = kapps(verb, "--help")
    assert status == 0 and f"example:\n  kapps action-recognition {verb}" in out


@pytest.mark.parametrize(
    "line",
    [
        "",
        "dance",
        "train",
        "train --output x --no-such-flag",
        "train a --output b --set c",
        "train a --output b --epochs many",
        "train a --output b --class-weight equal",
        "train a --output b --milestones soon",
        "evaluate run",
        "predict run",
        "export run --lite float31",
    ],
)
def test_wrong_use_is_status_2(kapps, line):
    assert kapps(*line.split())[0] == 2


def test_every_flag_of_train_is_a_field_of_the_configuration():
    import dataclasses

    from apps.action_recognition.training import TrainingConfig

    names = {flag.removeprefix("--").replace("-", "_") for flag in flags.TRAIN_FLAGS}
    fields = {field.name for field in dataclasses.fields(TrainingConfig)}
    assert names | {"data", "overrides", "augmentation"} == fields


def test_the_precisions_are_those_of_the_converter():
    from tools.lite import inspection

    assert flags.PRECISIONS == inspection.PRECISIONS


def test_models(kapps):
    status, out, _ = kapps("models", "--json")
    assert status == 0
    assert {row["name"]: row["parameters"] for row in json.loads(out)}["r2plus1d_18"] == 31_505_325
    assert "31505325" in kapps("models")[1]


def test_train_reads_its_flags(kapps, motion_videos, tmp_path):
    status, out, err = kapps(
        *("train", motion_videos, "--output", tmp_path / "run", "--model", "r2plus1d_tiny", "--json"),
        *("--set", "input_shape=8,16,16,3", "--set", "widths=4,4,4,4", "--augment", "brightness=0.1"),
        *("--epochs", 1, "--batch-size", 6, "--milestones", "1", "--warm-up-epochs", 0, "--frame-rate", "all"),
        *("--class-weight", '{"left": 1, "right": 1, "up": 2}', "--validation", motion_videos, "--seed", 3),
    )
    assert status == 0
    assert "epoch 1/1  done" in err
    assert len(json.loads(out)["history"]) == 1
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["clip"]["frame_rate"] is None and config["clip"]["frames"] == 8
    assert config["model"]["overrides"] == {"input_shape": [8, 16, 16, 3], "widths": [4, 4, 4, 4]}
    assert config["training"]["class_weight"] == {"left": 1.0, "right": 1.0, "up": 2.0}
    assert config["training"]["augmentation"] == {"brightness": 0.1}
    status, out, err = kapps("train", "--output", tmp_path / "run", "--resume")
    assert status == 0 and "finished" in err and "best val_accuracy" in out


def test_resume_without_a_folder_or_with_other_flags(kapps, trained_run, tmp_path):
    assert kapps("train", "--output", tmp_path / "new", "--resume")[0] == 2
    status, out, err = kapps("train", "--output", trained_run, "--resume", "--epochs", 9)
    assert status == 1 and out == "" and "training.epochs is 2 in the run and 9 now" in err.splitlines()[-1]


def test_ctrl_c_says_how_to_go_on(kapps, monkeypatch, trained_run):
    from apps.action_recognition import training

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", interrupted)
    status, _, err = kapps("train", "--output", trained_run, "--resume")
    assert status == 1 and "--resume goes on" in err


def test_evaluate(kapps, trained_run, motion_videos, tmp_path):
    arguments = ("evaluate", trained_run, motion_videos, "--clips", 2, "--crops", 1, "--output", tmp_path / "out")
    status, out, _ = kapps(*arguments, "--json")
    document = json.loads(out)
    assert status == 0 and document["videos"] == 12
    assert document == json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert cv2.imread(str(tmp_path / "out" / "confusion.png")) is not None
    status, out, _ = kapps(*arguments)
    assert status == 0 and f"top1        {document['video']['top1']:.4f}" in out


def test_predict_a_file(kapps, trained_run, motion_videos):
    path = motion_videos / "up" / "000.mp4"
    status, out, _ = kapps("predict", trained_run, path, "--json", "--top", 2)
    document = json.loads(out)
    assert status == 0 and document["path"] == str(path) and len(document["top"]) == 2
    status, out, _ = kapps("predict", trained_run, path, "--step", 0.25)
    assert status == 0 and " to " in out.splitlines()[1]


def test_predict_a_folder_with_a_bad_file(kapps, trained_run, motion_videos, tmp_path):
    shutil.copy(motion_videos / "up" / "000.mp4", tmp_path / "good.mp4")
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    status, out, err = kapps("predict", trained_run, tmp_path, "--json")
    first, second = json.loads(out)
    assert status == 0 and "bad.mp4" in first["error"] and "bad.mp4" in err and second["top"]
    status, out, err = kapps("predict", trained_run, tmp_path / "bad.mp4")
    assert status == 1 and out == "" and "bad.mp4" in err
    (tmp_path / "good.mp4").unlink()
    assert kapps("predict", trained_run, tmp_path)[0] == 1


def test_predict_a_camera(kapps, trained_run, monkeypatch):
    def windows(source, spec, step):
        yield 0.0, 0.5, np.zeros(spec.shape, "float32")
        raise KeyboardInterrupt

    monkeypatch.setattr(prediction, "iter_windows", windows)
    status, out, err = kapps("predict", trained_run, "0", "--json")
    assert status == 0 and json.loads(out)["end"] == 0.5 and "closed" in err


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (("predict", "{run}", "nowhere.mp4"), "nowhere.mp4"),
        (("predict", "{run}", "{videos}", "--top", "0"), "top"),
        (("predict", "{run}", "{videos}/up/000.mp4", "--step", "0"), "step"),
        (("predict", "nowhere", "{videos}"), "nowhere"),
        (("evaluate", "{run}", "nowhere"), "nowhere"),
        (("evaluate", "{run}", "{videos}", "--clips", "0"), "clips"),
        (("evaluate", "{run}", "{videos}", "--batch", "0"), "batch"),
        (("train", "nowhere", "--output", "{tmp}/run"), "nowhere"),
        (("train", "{videos}", "--output", "{run}"), "resume"),
        (("export", "nowhere"), "nowhere"),
    ],
)
def test_errors_are_one_line_that_names_the_culprit(kapps, trained_run, motion_videos, tmp_path, arguments, culprit):
    places = {"run": trained_run, "videos": motion_videos, "tmp": tmp_path}
    status, out, err = kapps(*(argument.format(**places) for argument in arguments))
    assert status == 1 and out == ""
    last = err.splitlines()[-1]
    assert last.startswith("kapps: error: ") and culprit in last and "unexpected" not in last


@pytest.mark.slow
def test_export_publishes_and_converts(kapps, trained_run, tmp_path):
    run = shutil.copytree(trained_run, tmp_path / "motion")
    status, out, _ = kapps("export", run, "--base", tmp_path / "published", "--lite", "float32", "--json")
    document = json.loads(out)
    assert status == 0 and document["version"] == 1
    assert (tmp_path / "published" / "motion" / "1" / "saved_model.pb").exists()
    assert (run / "lite" / "motion_float32.tflite").exists()
    assert document["lite"]["float32"]["path"] == str(run / "lite" / "motion_float32.tflite")
    assert kapps("export", run, "--base", tmp_path / "published", "--version", 1)[0] == 1


def damage_json(run):
    (run / "config.json").write_text("{")


def remove_checkpoint(run):
    (run / "best.keras").unlink()


def cut_checkpoint(run):
    (run / "best.keras").write_bytes((run / "best.keras").read_bytes()[:1000])


def change_classes(run):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "classes": ["a"]}))


def change_application(run):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "application": "vq_vae"}))


def change_clip(run, **values):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "clip": {**config["clip"], **values}}))


def change_frames(run):
    change_clip(run, frames=9)


def change_preset(run):
    change_clip(run, preset="imagenot")


def remove_clip(run):
    config = json.loads((run / "config.json").read_text())
    del config["clip"]
    (run / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("damage", "culprit"),
    [
        (damage_json, "JSON"),
        (remove_checkpoint, "best.keras"),
        (cut_checkpoint, r"best\.keras to be a whole"),
        (change_classes, "classes"),
        (change_application, "vq_vae"),
        (remove_clip, "clip"),
        (change_frames, r"best\.keras.*\(9, 16, 16, 3\).*\(8, 16, 16, 3\)"),
        (change_preset, r"config\.json.*imagenot"),
        (shutil.rmtree, "not found"),
    ],
)
def test_a_broken_run_is_named(trained_run, tmp_path, damage, culprit):
    run = shutil.copytree(trained_run, tmp_path / "run")
    damage(run)
    with pytest.raises(InputError, match=culprit) as error:
        load_run(run)
    assert str(run) in str(error.value)


def test_load_run_knows_best_and_last(trained_run):
    assert load_run(trained_run, "last").model.name == "r2plus1d_tiny"
    with pytest.raises(InputError, match="best, last"):
        load_run(trained_run, "worst")
