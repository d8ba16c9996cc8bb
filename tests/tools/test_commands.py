"""What every command shares."""

import argparse
import json
import pathlib
import subprocess
import sys

import pytest

from tools.commands import (
    _free_cycles,
    add_command,
    add_flags,
    add_group,
    interruptible,
    pair,
    progress,
    run_command,
    seed_number,
    table,
)
from tools.errors import InputError, WrongUse

ROOT = pathlib.Path(__file__).resolve().parents[2]


def parser_of(run):
    parser = argparse.ArgumentParser(prog="kapps")
    add_command(parser.add_subparsers(), "do", help="do it", example="kapps do", run=run)
    return parser


def raising(error):
    def run(options):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("Expected a video. Received 'a.txt'."), "kapps: error: Expected a video. Received 'a.txt'.\n"),
        (InputError("Two differ:\na\nb"), "kapps: error: Two differ: (--debug shows the rest)\n"),
        (FileNotFoundError(2, "No such file or directory", "a.mp4"), "No such file or directory: 'a.mp4'\n"),
        (RuntimeError("deep inside"), "kapps: error: unexpected RuntimeError: deep inside (--debug shows where)\n"),
        (KeyboardInterrupt(), "kapps: interrupted\n"),
    ],
)
def test_an_error_is_one_line_and_status_1(error, line, capsys):
    assert run_command(parser_of(raising(error)), ["do"]) == 1
    stderr = capsys.readouterr().err
    assert stderr.endswith(line)
    assert stderr.count("\n") == 1


def test_debug_shows_the_traceback():
    with pytest.raises(InputError):
        run_command(parser_of(raising(InputError("x"))), ["do", "--debug"])


def test_status_of_the_command_is_returned():
    assert run_command(parser_of(lambda options: None), ["do"]) == 0
    assert run_command(parser_of(lambda options: 1), ["do"]) == 1
    assert run_command(parser_of(raising(WrongUse("Expected A or B. Received both."))), ["do"]) == 2


def test_without_a_command_the_help_is_shown(capsys):
    assert run_command(parser_of(lambda options: None), []) == 2
    assert "usage: kapps" in capsys.readouterr().err


def test_a_group_without_a_verb_shows_its_verbs_and_is_wrong_use(capsys):
    parser = argparse.ArgumentParser(prog="kapps")
    verbs = add_group(parser.add_subparsers(), "group", help="do things", example="kapps group do")
    add_command(verbs, "do", help="do it", example="kapps group do", run=lambda options: None)
    assert run_command(parser, ["group"]) == 2
    shown = capsys.readouterr().err
    assert "Do it" not in shown and "do it" in shown and "example:" in shown
    assert run_command(parser, ["group", "do"]) == 0


@pytest.mark.parametrize("terminal", [True, False])
def test_loading_tensorflow_is_said_once_and_on_a_terminal_only(terminal):
    code = (
        "import sys; from tools.quiet import import_tensorflow_quietly; import_tensorflow_quietly()\n"
        f"sys.stderr.isatty = lambda: {terminal}; print('before', file=sys.stderr)\n"
        "import tensorflow; import tensorflow as tf; print('after', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["before", *["kapps: loading TensorFlow"] * terminal, "after"]


def test_table_aligns_numbers_right_and_words_left():
    assert table([["a", 5], ["long", 12]], ["name", "n"]).splitlines() == [
        "name   n",
        "----  --",
        "a      5",
        "long  12",
    ]


def test_table_without_rows_is_its_header():
    assert table([], ["name"]).splitlines() == ["name", "----"]


def test_progress_passes_every_item_on(capsys):
    assert list(progress(iter(range(5)), 5, "count")) == [0, 1, 2, 3, 4]
    assert capsys.readouterr().out == ""


def test_json_has_no_bare_nan(capsys):
    from tools.commands import print_result

    options = argparse.Namespace(json=True)
    print_result(options, {"a": [1.5]}, "text")
    assert json.loads(capsys.readouterr().out) == {"a": [1.5]}
    with pytest.raises(ValueError):
        print_result(options, {"a": float("nan")}, "text")


def test_flags_have_no_defaults():
    parser = argparse.ArgumentParser()
    add_flags(parser, {"--batch-size": (int, "rows a step"), "--grey": (None, "read as grey"), "--seed": (int, "seed")})
    assert vars(parser.parse_args([])) == {}
    assert vars(parser.parse_args(["--batch-size", "3", "--grey"])) == {"batch_size": 3, "grey": True}
    with pytest.raises(SystemExit):
        parser.parse_args(["--seed", "x"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dropout=0.2", ("dropout", 0.2)),
        ("input_shape=8,56,56,3", ("input_shape", (8, 56, 56, 3))),
        ("options={'stages': 4}", ("options", {"stages": 4})),
        ("layout=paper", ("layout", "paper")),
        ("note=a=b", ("note", "a=b")),
    ],
)
def test_a_pair_holds_a_literal_or_the_text(text, expected):
    assert pair(text) == expected


@pytest.mark.parametrize("text", ["dropout", "=0.2", ""])
def test_half_a_pair_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected name=value"):
        pair(text)


def test_an_interrupted_command_ends_while_python_feeds_a_stream():
    code = """
import argparse, sys, time
from tools.commands import add_command, run_command

def run(options):
    import tensorflow as tf

    def numbers():
        while True:
            time.sleep(0.05)
            yield 1

    batches = iter(tf.data.Dataset.from_generator(numbers, output_signature=tf.TensorSpec((), tf.int32)).prefetch(1))
    kept_by_itself = [batches]
    kept_by_itself.append(kept_by_itself)
    next(batches)
    raise KeyboardInterrupt

parser = argparse.ArgumentParser(prog="kapps")
add_command(parser.add_subparsers(), "do", help="do it", example="kapps do", run=run)
sys.exit(run_command(parser, ["do"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.endswith("kapps: interrupted\n")


def test_a_seed_is_one_that_every_generator_takes(capsys):
    for text, number in (("0", 0), ("4294967295", 2**32 - 1)):
        assert seed_number(text) == number
    for text in ("-1", "4294967296", "1.5", "", "x", "٣"):
        with pytest.raises(argparse.ArgumentTypeError, match=r"from 0 to 2.32 - 1"):
            seed_number(text)


def test_an_interrupted_run_says_what_is_kept(tmp_path, capsys):
    for written, lines in ((False, 0), (True, 1)):
        if written:
            (tmp_path / "state.npz").touch()
        with pytest.raises(KeyboardInterrupt), interruptible(tmp_path / "state.npz", "every whole epoch"):
            raise KeyboardInterrupt
        err = capsys.readouterr().err
        assert err.count("every whole epoch is kept; --resume goes on") == err.count("\n") == lines


@pytest.mark.parametrize("debug", [False, True])
def test_what_complains_when_it_is_freed_is_told_with_debug_alone(debug, monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: told.append(str(one.exc_value)))

    class LeftOpen:
        def __del__(self):
            raise ValueError("left open")

    left = LeftOpen()
    left.itself = left
    del left
    _free_cycles(debug)
    assert told == ["left open"] * debug
