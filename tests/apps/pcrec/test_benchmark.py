"""The measurements run on a small log, and say what they measured."""

import json
import pathlib
import subprocess
import sys

import pytest

from apps.pcrec import benchmark
from apps.pcrec.export import export
from apps.pcrec.runs import load_run

ROOT = pathlib.Path(__file__).parents[3]


def document(*arguments) -> object:
    """The document of a measurement, in a process of its own: it sets the threads of TensorFlow."""
    command = [sys.executable, "-m", "apps.pcrec.benchmark", *map(str, arguments), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_scale(tmp_path):
    sizes = ["--users", 300, "--items", 200, "--interactions", 6000, "--batch-size", 256, "--ranked", 50]
    found = document("scale", tmp_path / "scale", *sizes)
    assert [row["stage"] for row in found["stages"]] == ["prepare", "finetune", "rank 50 users", "export"]
    assert all(row["seconds"] >= 0 and row["gib"] > 0.1 for row in found["stages"])
    assert found["report"]["users"] == 300 and found["report"]["epochs"] == 1
    assert (tmp_path / "scale" / "savedmodels" / "scale" / "1" / "saved_model.pb").is_file()


def test_serving(make_run, tmp_path):
    run = load_run(make_run(epochs=20, l2=0.001, initial_deviation=0.1))
    export(run, base=tmp_path, name="small")
    found = document("serving", tmp_path, "small", run.path, "--k", 5, "--batch-size", 16, "--seconds", 0.1)
    assert found["rows_as_numpy"] == 1.0 and (found["batch"], found["k"]) == (16, 5)
    assert set(found["users_per_second"]) == {"top_k", "serving_default"}
    assert all(speed > 0 for speed in found["users_per_second"].values())


def test_implicit_is_named_where_it_is_absent(monkeypatch, capsys):
    monkeypatch.setattr(benchmark.importlib.util, "find_spec", lambda name: None)
    assert benchmark.main(["implicit", "data/none"]) == 1
    assert "Expected the package implicit" in capsys.readouterr().err


def test_implicit(prepared):
    pytest.importorskip("implicit", reason="implicit is not installed (the extra bench)")
    rows = document("implicit", prepared.path, "--epochs", 2, "--iterations", 3)
    assert [row["library"].split()[0] for row in rows] == ["kapps", "implicit"]
    assert [row["passes"] for row in rows] == [2, 3]
    assert all(row["seconds_per_pass"] >= 0 and 0 <= row["hr@5"] <= 1 for row in rows)
