"""A run trained for a moment on tiny clips, which evaluation, prediction and the commands then use."""

import pytest


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
