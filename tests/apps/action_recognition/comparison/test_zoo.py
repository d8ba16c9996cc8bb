"""A model is finished or not there, is done once, and takes no other with it when it dies."""

import json

import pytest

from apps.action_recognition.comparison import tables, zoo
from tools.errors import InputError

FOUND = {
    "inputs": 4,
    "max_abs_difference": 0.5,
    "max_abs_expected": 2.0,
    "relative_rms": 0.034,
    "correlation": 0.99,
    "top1_agreement": 0.75,
}
WAY = {"of": "logits", "difference": FOUND, "bytes": 2_500_000}
ANSWER = {
    "ways": {way: WAY for way in ("saved_model", "float32", "float16", "int8")},
    "direct": {
        "float32": {"bytes": 4_000_000},
        "float16": {"error": "does not convert: MaxPool3D"},
        "int8": {"bytes": 4_000_000},
    },
}
TIMES = {
    "threads": 1,
    "repeats": 3,
    "milliseconds": {
        way: {"median": median, "fastest": median, "slowest": median}
        for way, median in (
            ("keras", 40.0),
            ("saved_model", 38.0),
            ("float32", 20.0),
            ("float16", 21.0),
            ("int8", 5.0),
            ("float32_direct", 30.0),
            ("int8_direct", 31.0),
        )
    },
}


def settings(model="r2plus1d_tiny", **changes):
    given = {"size": (8, 32, 32), "weights": None, "compared": ("a", "b"), "calibration": ("c",), "seed": 0}
    return zoo.Settings(model, **{**given, **changes})


@pytest.fixture
def work(monkeypatch):
    """Replaces the process of a model; holds the jobs, and the answers by model and stage."""

    class Work:
        def __init__(self):
            self.jobs, self.answers = [], {}

        def __call__(self, folder, job):
            name = job["settings"]["model"]
            self.jobs.append((job["stage"], name))
            (folder / "made").write_text(name)
            answer = self.answers.get((job["stage"], name), ANSWER if job["stage"] == "files" else TIMES)
            if isinstance(answer, BaseException):
                raise answer
            return answer

    work = Work()
    monkeypatch.setattr(zoo, "_work", work)
    return work


def test_a_finished_model_is_not_done_again_and_a_failed_one_is(work, tmp_path):
    work.answers["files", "x3d_xs"] = {"error": "Expected more. Received less."}
    models = [settings("x3d_xs"), settings()]
    assert zoo.compare(models, tmp_path) == {"x3d_xs": "Expected more. Received less."}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r2plus1d_tiny"]
    assert (tmp_path / "r2plus1d_tiny" / "made").read_text() == "r2plus1d_tiny"
    del work.answers["files", "x3d_xs"]
    assert zoo.compare(models, tmp_path) == {}
    assert [name for _, name in work.jobs] == ["x3d_xs", "r2plus1d_tiny", "x3d_xs"]


def test_interrupted_nothing_half_written_is_left(work, tmp_path):
    work.answers["files", "r2plus1d_tiny"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        zoo.compare([settings()], tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("changes", [{"seed": 1}, {"size": None}, {"weights": "w"}, {"compared": ("a", "d")}])
def test_files_of_other_settings_are_neither_mixed_nor_overwritten(work, tmp_path, changes):
    zoo.compare([settings()], tmp_path)
    with pytest.raises(InputError, match=f"of the same {next(iter(changes))}"):
        zoo.compare([settings("x3d_xs"), settings(**changes)], tmp_path)
    assert [name for _, name in work.jobs] == ["r2plus1d_tiny"]


def test_what_is_timed_is_not_timed_again(work, tmp_path):
    zoo.compare([settings()], tmp_path)
    names = ["x3d_xs", "r2plus1d_tiny"]
    for repeats in (3, 3, 5):
        assert zoo.take_time(names, tmp_path, threads=1, repeats=repeats) == {}
    assert [job for job in work.jobs if job[0] == "timing"] == [("timing", "r2plus1d_tiny")] * 2


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "its process died of SIGKILL"),
        ("raise SystemExit(3)", "its process ended with status 3"),
    ],
)
def test_a_process_that_dies_is_a_row_of_the_table(tmp_path, monkeypatch, program, message):
    (tmp_path / "dying.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(zoo, "WORKER", "dying")
    folder = tmp_path / "out"
    failures = zoo.compare([settings()], folder)
    assert failures == {"r2plus1d_tiny": message}
    document = tables.write_tables(["r2plus1d_tiny"], folder, failures)
    assert document == {"models": [{"model": "r2plus1d_tiny", "error": message}]}
    assert f"- `r2plus1d_tiny`: {message}" in (folder / "table.md").read_text()


def test_the_tables(work, tmp_path):
    zoo.compare([settings(), settings("i3d", weights="i3d_kinetics400"), settings("x3d_xs")], tmp_path)
    zoo.take_time(["i3d"], tmp_path, threads=1, repeats=3)
    document = tables.write_tables(["i3d", "r2plus1d_tiny", "c3d"], tmp_path, {"c3d": "its process died of SIGKILL"})
    assert json.loads((tmp_path / "table.json").read_text()) == document
    assert [row["model"] for row in document["models"]] == ["i3d", "r2plus1d_tiny", "c3d"]
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert [line for line in lines if line.startswith("| `i3d`")] == [
        "| `i3d` | 2.5e-01 | 2.5e-01 | 2.5e-01 | 2.5e-01 | 3.4% | 0.9900 | 3/4 | 3/4 | 3/4 | 3/4 |",
        "| `i3d` | 2.5 | 2.5 | 2.5 | 2.5 | 4.0 | does not convert | 4.0 |",
        "| `i3d` | 40.0 | 38.0 | 20.0 (1.5) | 21.0 (-) | 5.0 (6.2) |",
    ]
    assert len([line for line in lines if line.startswith("| `r2plus1d_tiny`")]) == 2
    assert "- `i3d`, direct float16: does not convert: MaxPool3D" in lines
    assert "- `c3d`: its process died of SIGKILL" in lines
    assert "`i3d_kinetics400`; the others are random" in lines[0]
    assert "Clips of 8x32x32 instead of the native ones: `i3d`, `r2plus1d_tiny`." in lines[0]
