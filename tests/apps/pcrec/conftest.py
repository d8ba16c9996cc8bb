"""A small log with two tastes, prepared, runs trained on it, and the command."""

import argparse

import numpy as np
import pytest

USERS, ITEMS = 40, 30


@pytest.fixture(scope="session")
def small_log(tmp_path_factory):
    """CSV of who, what, stars, when: users "u00" .. meet items 100 .. of their half, and now and then another."""
    generator = np.random.default_rng(0)
    lines = []
    for user in range(USERS):
        own = generator.permutation(np.arange(user % 2, ITEMS, 2))[: 6 + user % 5]
        other = generator.permutation(np.arange((user + 1) % 2, ITEMS, 2))[:1]
        for place, item in enumerate(generator.permutation(np.concatenate([own, other]))):
            lines.append(f"u{user:02d},{100 + item},{generator.integers(1, 6)},{1000 * place + user}")
    path = tmp_path_factory.mktemp("logs") / "small.csv"
    path.write_text("who,what,stars,when\n" + "\n".join(generator.permutation(lines)) + "\n")
    return path


@pytest.fixture(scope="session")
def prepared(small_log, tmp_path_factory):
    """The log prepared with 9 negatives; tests only read it."""
    from apps.pcrec.data.preparing import PrepareConfig, prepare

    config = PrepareConfig(log=str(small_log), user="who", item="what", value="stars", time="when", negatives=9)
    return prepare(config, tmp_path_factory.mktemp("prepared") / "small", lambda line: None)


@pytest.fixture(scope="session")
def make_run(prepared, tmp_path_factory):
    """Trains a run on the prepared log; the same arguments give the same folder."""
    from apps.pcrec.runs import TrainingConfig
    from apps.pcrec.training import train

    made = {}

    def make(**fields):
        key = tuple(sorted(fields.items()))
        if key not in made:
            made[key] = tmp_path_factory.mktemp("runs") / fields.get("model", "mf")
            small = {
                "channels": 8,
                "batch_size": 32,
                "epochs": 6,
                "passes": 2,
                "learning_rate": 0.02,
                "monitor": "ndcg@5",
            }
            train(TrainingConfig(prepared=str(prepared.path), **{**small, **fields}), made[key])
        return made[key]

    return make


@pytest.fixture
def kapps(capsys):
    """Runs a verb; returns exit status, standard output and standard error."""
    from apps.pcrec import cli
    from tools.commands import run_command

    def call(*arguments):
        parser = argparse.ArgumentParser(prog="kapps")
        cli.add_commands(parser.add_subparsers())
        capsys.readouterr()
        try:
            status = run_command(parser, ["pcrec", *map(str, arguments)])
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call
