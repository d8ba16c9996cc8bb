"""A run that is killed goes on to the same weights, bit for bit."""

import csv
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).with_name("resumable_run.py")
REPOSITORY = SCRIPT.parents[3]


def start(folder, seconds_per_step=0.0):
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), str(seconds_per_step)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def finish(process):
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    digest, resumed_from = output.split()[-2:]
    return digest, int(resumed_from)


def rows(folder):
    with open(folder / "log.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    return folder, finish(start(folder))[0]


def test_killed_at_random_moments_it_ends_with_the_same_weights(uninterrupted, tmp_path):
    folder, digest = uninterrupted
    moments = random.Random()
    # Every run of the test kills at other moments; the message of a failure names them.
    kills = [moments.uniform(0.05, 1.6) for _ in range(2)]
    for seconds in kills:
        process = start(tmp_path, 0.05)
        assert process.stdout.readline() == "training\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.returncode == -signal.SIGKILL, f"it was over before {seconds:.2f} s"
        process.stdout.close()
        if (tmp_path / "last.keras").exists():
            keras.models.load_model(tmp_path / "last.keras")
        if (tmp_path / "state.npz").exists():
            assert np.load(tmp_path / "state.npz").files
    resumed, resumed_from = finish(start(tmp_path))
    assert resumed == digest, f"killed after {kills} s, gone on after epoch {resumed_from}"
    assert rows(tmp_path) == rows(folder)
    assert not list(tmp_path.glob(".*"))


def test_a_run_has_every_file(uninterrupted):
    folder, _ = uninterrupted
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "best.keras",
        "last.keras",
        "state.npz",
        "log.csv",
        "tensorboard",
    }


def test_a_finished_run_is_left_alone(uninterrupted):
    folder, digest = uninterrupted
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert finish(start(folder)) == (digest, 5)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
