"""Small pictures, a run trained on them, and the command."""

import argparse

import numpy as np
import pytest


@pytest.fixture(scope="session")
def small_images() -> np.ndarray:
    """96 discs, uint8 (96, 8, 12, 3): one colour on another."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:8, :12]
    images = np.empty((96, 8, 12, 3), np.uint8)
    for image in images:
        row, column, radius = generator.uniform(1, 7), generator.uniform(1, 11), generator.uniform(1, 4)
        inside = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
        image[:] = np.where(inside[..., None], *generator.integers(0, 256, (2, 1, 1, 3)))
    return images


@pytest.fixture(scope="session")
def small_file(small_images, tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "discs.npz"
    np.savez(path, images=small_images)
    return path


@pytest.fixture(scope="session")
def small_overrides():
    return {"hidden_units": 8, "residual_units": 4, "residual_blocks": 1, "codes": 16, "code_dimension": 4}


@pytest.fixture(scope="session")
def trained_run(small_file, small_overrides, tmp_path_factory):
    """A run folder; tests only read it."""
    from apps.vq_vae.images.training import TrainingConfig, train

    folder = tmp_path_factory.mktemp("runs") / "small"
    train(
        TrainingConfig(
            data=str(small_file),
            model="vq_vae_tiny",
            overrides=small_overrides,
            steps=8,
            steps_per_epoch=4,
            batch_size=8,
            validation_images=16,
            learning_rate=3e-3,
        ),
        folder,
    )
    return folder


@pytest.fixture(scope="session")
def labelled_file(small_images, tmp_path_factory):
    """The discs with classes: whether the first of two colours is the brighter one."""
    path = tmp_path_factory.mktemp("labelled") / "discs.npz"
    brighter = small_images[:, 4, 6].sum(axis=-1) > small_images[:, 0, 0].sum(axis=-1)
    np.savez(path, images=small_images, labels=np.where(brighter, "bright", "dark"))
    return path


@pytest.fixture(scope="session")
def prior_config(trained_run, labelled_file):
    from apps.vq_vae.prior.training import PriorConfig

    return PriorConfig(
        autoencoder=str(trained_run),
        data=str(labelled_file),
        classes=True,
        model="pixelcnn_tiny",
        overrides={"filters": 8, "layers": 2, "hidden": 8},
        steps=6,
        steps_per_epoch=2,
        batch_size=8,
        validation_examples=16,
    )


@pytest.fixture(scope="session")
def prior_run(prior_config, tmp_path_factory):
    """The run folder of a prior of `trained_run`; tests only read it."""
    from apps.vq_vae.prior.training import train

    folder = tmp_path_factory.mktemp("priors") / "small"
    train(prior_config, folder)
    return folder


@pytest.fixture(scope="session")
def small_recordings(tmp_path_factory):
    """A folder of 24 tones of a tenth of a second at 4 kHz: two speakers, a low and a high one, of two words."""
    from apps.vq_vae.audio.data import write_wav

    folder = tmp_path_factory.mktemp("recordings")
    for number in range(24):
        speaker, word = number % 2, number // 2 % 2
        pitch = (150, 700)[speaker] * (1 + 0.3 * word)
        tone = np.sin(2 * np.pi * pitch * np.arange(400 + 8 * number) / 4000) * 0.5
        write_wav(folder / f"{('go', 'stop')[word]}_{('low', 'high')[speaker]}_{number}.wav", tone, 4000)
    return folder


@pytest.fixture(scope="session")
def small_audio(small_recordings):
    """What a training on them is configured by, but for its length."""
    sizes = {"encoder_units": 8, "downsamplings": 3, "codes": 8, "code_dimension": 4, "filters": 8, "layers": 2}
    return {
        "data": str(small_recordings),
        "pattern": "{label}_{speaker}_{number}",
        "model": "vq_vae_speech_tiny",
        "overrides": {**sizes, "skip_filters": 8, "local_units": 8},
        "segment": 64,
        "batch_size": 4,
        "validation_recordings": 6,
    }


@pytest.fixture(scope="session")
def trained_audio(small_audio, tmp_path_factory):
    """A run folder; tests only read it."""
    from apps.vq_vae.audio.training import TrainingConfig, train

    folder = tmp_path_factory.mktemp("runs") / "tones"
    train(TrainingConfig(**small_audio, steps=4, steps_per_epoch=2), folder)
    return folder


@pytest.fixture
def kapps(capsys):
    """Runs a verb; returns exit status, standard output and standard error."""
    from apps.vq_vae import cli
    from tools.commands import run_command

    def call(*arguments):
        parser = argparse.ArgumentParser(prog="kapps")
        cli.add_commands(parser.add_subparsers())
        capsys.readouterr()
        try:
            status = run_command(parser, ["vq-vae", *map(str, arguments)])
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call
