"""The verbs of `kapps lite`, from a .keras file to answers."""

import argparse
import json
import subprocess
import sys

import numpy as np
import pytest

from tools.commands import run_command
from tools.lite.cli import add_commands

CLIPS = np.random.default_rng(0).standard_normal((4, 4, 16, 16, 3)).astype("float32")


def kapps(*arguments):
    parser = argparse.ArgumentParser(prog="kapps")
    add_commands(parser.add_subparsers())
    return run_command(parser, ["lite", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def run_folder(graphs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    graphs.r2plus1d_like().save(folder / "best.keras")
    np.savez(folder / "representative.npz", clip=CLIPS)
    return folder


@pytest.fixture(scope="module")
def file(run_folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("lite") / "m.tflite"
    assert kapps("convert", run_folder, path, "--precision", "int8", "--seconds", "0.05") == 0
    return path


def test_a_run_folder_becomes_a_file_and_its_report(file, capsys):
    report = json.loads(file.with_name("m.tflite.json").read_text())
    assert report["precision"] == "int8"
    assert report["agreement_inputs"] == "representative"
    assert {one["filter"] for one in report["inspection"]["convolutions"]} == {"INT8"}


def test_bench_prints_a_row_for_each_file(file, capsys):
    assert kapps("bench", file, file, "--seconds", "0.05", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["file"] for row in rows] == [str(file)] * 2
    assert kapps("bench", file, "--seconds", "0.05") == 0
    assert "median_ms" in capsys.readouterr().out


def test_libraries_add_nothing_to_standard_error(file):
    # In a process of its own: LiteRT speaks once, when it makes its first delegate.
    program = (
        "import argparse, sys; from tools.commands import run_command; from tools.lite.cli import add_commands; "
        "parser = argparse.ArgumentParser(); add_commands(parser.add_subparsers()); sys.exit(run_command(parser))"
    )
    command = [sys.executable, "-c", program, "lite", "bench", str(file), "--seconds", "0.05"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == ""


def test_run_names_the_highest_classes(file, run_folder, tmp_path, capsys):
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\ne\n")
    arguments = ("run", file, run_folder / "representative.npz", "--top-k", 2)
    assert kapps(*arguments, "--labels", tmp_path / "labels.txt", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["input"] for row in rows] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert all(row["label"] == "abcde"[row["class"]] for row in rows)
    assert all(first["value"] >= second["value"] for first, second in zip(rows[::2], rows[1::2], strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("convert", "none.keras", "o.tflite"), "none.keras"),
        (("convert", "{broken}", "o.tflite"), "broken.keras"),
        (("convert", "{run}", "o.onnx"), "o.onnx"),
        (("convert", "{run}", "o.tflite", "--representative", "none.npz"), "none.npz"),
        (("convert", "{run}", "o.tflite", "--representative", "{broken}"), "broken.keras"),
        (("convert", "{run}", "o.tflite", "--input-shape", "4,x"), "--input-shape"),
        (("convert", "{run}", "o.tflite", "--input-shape", "8,16,16,3"), "to fit"),
        (("bench", "none.tflite"), "none.tflite, which does not exist"),
        (("bench", "{run}"), "which is no file"),
        (("bench", "{damaged}"), "which is damaged"),
        (("bench", "{file}", "--seconds", "0"), "seconds"),
        (("bench", "{file}", "--threads", "0"), "threads"),
        (("run", "{file}", "none.npz"), "none.npz"),
        (("run", "{file}", "{single}"), "a single array"),
        (("run", "{file}", "{run}/representative.npz", "--top-k", "0"), "--top-k"),
        (("run", "{file}", "{run}/representative.npz", "--labels", "{labels}"), "as many labels"),
        (("run", "{file}", "{run}/representative.npz", "--labels", "none.txt"), "none.txt"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_nothing(file, run_folder, tmp_path, monkeypatch, capfd, arguments, message):
    (tmp_path / "broken.keras").write_text("no model")
    (tmp_path / "labels.txt").write_text("only one\n")
    # An offset that leads far in front of the file.
    (tmp_path / "damaged.tflite").write_bytes(b"\x08\0\0\0TFL3\xff\xff\xff\x7f" + bytes(64))
    with (tmp_path / "single.npz").open("wb") as single:
        np.save(single, CLIPS)
    given = ["broken.keras", "damaged.tflite", "labels.txt", "single.npz"]
    names = {"run": run_folder, "file": file, **{name.partition(".")[0]: tmp_path / name for name in given}}
    monkeypatch.chdir(tmp_path)
    assert kapps(*(argument.format(**names) for argument in arguments)) == 1
    # Of the file descriptor, which LiteRT writes to itself.
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("kapps: error: Expected")
    assert message in error
    assert sorted(path.name for path in tmp_path.iterdir()) == given


def test_the_parser_is_built_without_frameworks():
    program = (
        "import argparse, sys; from tools.lite.cli import add_commands; "
        "add_commands(argparse.ArgumentParser().add_subparsers()); "
        "sys.exit(bool({'tensorflow', 'keras', 'numpy', 'ai_edge_litert'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
