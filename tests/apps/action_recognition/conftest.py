"""The commands, and a run trained for a moment on tiny clips, which evaluation and prediction then use."""

import argparse

import pytest


@pytest.fixture
def kapps(capsys):
    """Runs a verb of the application; returns exit status, standard output and standard error."""
    from apps.action_recognition import cli
    from tools.commands import run_command

    def call(*arguments):
        parser = argparse.ArgumentParser(prog="kapps")
        cli.add_commands(parser.add_subparsers())
        capsys.readouterr()
        try:
            status = run_command(parser, ["action-recognition", *map(str, arguments)])
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture(scope="session")
def motion_videos(tmp_path_factory):
    """Folder of three classes of four short videos."""
    from apps.action_recognition.data import motion_clips

    folder = tmp_path_factory.mktemp("motion") / "clips"
    return motion_clips.generate(folder, 4, classes=("left", "right", "up"), size=32, seconds=1.0)


@pytest.fixture(scope="session")
def tiny_config(motion_videos):
    """The configuration of `trained_run`."""
    from apps.action_recognition.training import TrainingConfig

    return TrainingConfig(
        data=str(motion_videos),
        model="r2plus1d_tiny",
        overrides={"input_shape": (8, 16, 16, 3), "widths": (4, 4, 8, 8), "dropout": 0.2},
        validation_fraction=0.25,
        epochs=2,
        batch_size=4,
        label_smoothing=0.1,
        class_weight="balanced",
        seed=5,
    )


@pytest.fixture(scope="session")
def trained_run(tiny_config, tmp_path_factory):
    """A run folder; tests only read it."""
    from apps.action_recognition.training import train

    folder = tmp_path_factory.mktemp("runs") / "tiny"
    train(tiny_config, folder)
    return folder
