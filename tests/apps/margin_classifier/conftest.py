"""A small table of numbers and words, a run trained on it, and the command."""

import argparse

import numpy as np
import pytest


@pytest.fixture(scope="session")
def small_table(tmp_path_factory):
    """CSV of 120 rows: numbers "x one" and x2, words colour, a constant, the class in the column good."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(120, 2)) * [1, 100] + [0, 50]
    colour = generator.choice(["red", "green", "blue"], 120)
    good = x[:, 0] + (colour == "red") + generator.normal(0, 0.3, 120) > 0.4
    path = tmp_path_factory.mktemp("tables") / "small.csv"
    rows = [f"{a:.6g},{b:.6g},{c},7,{'yes' if y else 'no'}" for (a, b), c, y in zip(x, colour, good, strict=True)]
    path.write_text("x one,x2,colour,seven,good\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="session")
def trained_run(small_table, tmp_path_factory):
    """A run folder; tests only read it."""
    from apps.margin_classifier.training import TrainingConfig, train

    folder = tmp_path_factory.mktemp("runs") / "small"
    train(TrainingConfig(data=str(small_table), epochs=8, loss="modified_huber", cost_false_negative=3.0), folder)
    return folder


@pytest.fixture(scope="session")
def odd_table(tmp_path_factory):
    """CSV of 80 rows, the seventh without a value: names that layers have or inputs cannot, and words of digits."""
    generator = np.random.default_rng(1)
    numbers = generator.normal(size=(80, 6)).round(4).astype(str)
    words = np.resize(["007", "7", "x"], 80)
    good = numbers[:, 0].astype(float) + (words == "007") > 0.3
    numbers[6, 2] = "?"
    rows = [[*x, word, "yes" if y else "no"] for x, word, y in zip(numbers, words, good, strict=True)]
    path = tmp_path_factory.mktemp("tables") / "odd.csv"
    path.write_text(
        "\n".join(map(",".join, [["", "probability", "features", "1 %", "Class", "for", "mlp", "good"], *rows])) + "\n"
    )
    return path


@pytest.fixture(scope="session")
def odd_run(odd_table, tmp_path_factory):
    """A run folder of the table with odd names; tests only read it."""
    from apps.margin_classifier.training import TrainingConfig, train

    folder = tmp_path_factory.mktemp("runs") / "odd"
    train(TrainingConfig(data=str(odd_table), epochs=2, model="mlp", drop_missing="?"), folder)
    return folder


@pytest.fixture
def kapps(capsys):
    """Runs a verb; returns exit status, standard output and standard error."""
    from apps.margin_classifier import cli
    from tools.commands import run_command

    def call(*arguments):
        parser = argparse.ArgumentParser(prog="kapps")
        cli.add_commands(parser.add_subparsers())
        capsys.readouterr()
        try:
            status = run_command(parser, ["margin-classifier", *map(str, arguments)])
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call
