"""The measures of a run against counts by hand, the bits, pictures, and a training that is interrupted."""

import dataclasses
import json
import math

import keras
import numpy as np
import pytest

from apps.vq_vae.images.data import read_images, scaled
from apps.vq_vae.images.evaluation import measure, perplexity, reconstruct
from apps.vq_vae.images.pictures import grid, write_png
from apps.vq_vae.images.runs import load_run
from apps.vq_vae.images.training import TrainingConfig, config_of, train
from apps.vq_vae.models import encoder_of
from tools.errors import InputError


def test_measures_by_hand(trained_run, small_images):
    run = load_run(trained_run)
    measures = measure(run, small_images, batch=40)
    codes = np.asarray(encoder_of(run.model)(scaled(small_images)))
    shares = np.bincount(codes.ravel(), minlength=16) / codes.size
    positive = shares[shares > 0]
    error = np.square(np.asarray(run.model(scaled(small_images))) - scaled(small_images)).mean()
    assert measures["mean_squared_error"] == pytest.approx(error, rel=1e-4)
    assert measures["normalised_error"] == pytest.approx(error / run.summary["variance"], rel=1e-4)
    assert measures["psnr"] == pytest.approx(10 * math.log10(1 / error), rel=1e-4)
    assert measures["perplexity"] == pytest.approx(np.exp(-(positive * np.log(positive)).sum()))
    assert measures["codes_used"] == len(positive) / 16 and measures["images"] == 96
    assert measures["rate_bits_per_dim"] == 2 * 3 * 4 / (8 * 12 * 3)
    assert measures["bits_per_dim_upper_bound"] == (
        measures["rate_bits_per_dim"] + measures["reconstruction_bits_per_dim"]
    )
    given = -np.asarray(run.likelihood.log_probability(scaled(small_images), run.model(scaled(small_images))))
    assert measures["reconstruction_bits_per_dim"] == pytest.approx(given.mean() / math.log(2) / 288, rel=1e-4)
    assert measures == measure(run, small_images, batch=96) | {
        name: pytest.approx(value) for name, value in measures.items()
    }


def test_perplexity():
    assert perplexity(np.array([0, 5, 5, 5, 5])) == pytest.approx(4)
    assert perplexity(np.array([0, 7])) == 1


def test_the_run_folder(trained_run):
    report = json.loads((trained_run / "report.json").read_text())
    config = json.loads((trained_run / "config.json").read_text())
    assert config["found"]["images"] == 80 and config["found"]["validation_images"] == 16
    assert report["held_out"]["images"] == 16 and report["best_epoch"] in (1, 2)
    assert set(report["last_epoch"]) >= {"loss", "normalised_error", "quantizer_perplexity", "val_loss"}
    header = (trained_run / "log.csv").read_text().splitlines()[0].split(",")
    assert {"quantizer_usage", "val_loss"} <= set(header)
    # The quantiser counts in training alone: the columns would be 0.
    assert not [name for name in header if name.startswith("val_quantizer")]
    for name in ("curves.png", "reconstructions.png", "log.csv", "best.keras", "last.keras"):
        assert (trained_run / name).stat().st_size
    run = load_run(trained_run)
    held_out = measure(run, read_images(config["reading"]["data"]))
    assert 0 < held_out["normalised_error"] < 2 and run.summary["sigma"] > 0
    assert dataclasses.asdict(config_of(config))["overrides"] == config["model"]["overrides"]


def test_reconstructions_are_whole_pixels(trained_run, small_images):
    run = load_run(trained_run)
    found = reconstruct(run, small_images[:3])
    expected = 255 * (np.asarray(run.model(scaled(small_images[:3]))) + 0.5)
    assert found.dtype == np.uint8 and np.abs(found - np.clip(expected, 0, 255)).max() <= 0.5001


def test_a_grid_holds_every_image():
    groups = np.arange(3 * 2 * 8 * 12 * 1, dtype=np.uint32).reshape(3, 2, 8, 12, 1).astype(np.uint8)
    picture = grid(groups, columns=2)
    factor = 64 // 12
    top, left = 2, 2 + 12 * factor + 2
    found = picture[top : top + 8 * factor : factor, left : left + 12 * factor : factor]
    np.testing.assert_array_equal(found, groups[1, 0])
    below = top + 8 * factor + 2
    np.testing.assert_array_equal(
        picture[below : below + 8 * factor : factor, 2 : 2 + 12 * factor : factor], groups[0, 1]
    )
    with pytest.raises(InputError, match=r"ends in \.png"):
        write_png(picture, "picture.gif")
    with pytest.raises(InputError, match="1 or 3 channels"):
        write_png(np.zeros((2, 2, 2), np.uint8), "picture.png")


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", ["ema", "gradient"])
def test_an_interrupted_training_ends_as_a_whole_one(quantizer, small_file, small_overrides, tmp_path):
    config = TrainingConfig(
        data=str(small_file),
        model="vq_vae_tiny",
        overrides={**small_overrides, "quantizer": quantizer},
        steps=6,
        steps_per_epoch=2,
        batch_size=8,
        validation_images=16,
    )
    train(config, tmp_path / "whole")

    class Stop(Exception):
        pass

    def stop(self, epoch, logs=None):
        if epoch == 1:
            raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_layers.CodebookGuard.on_epoch_begin", stop)
        with pytest.raises(Stop):
            train(config, tmp_path / "cut")
    with pytest.raises(InputError, match="resume continues it"):
        train(config, tmp_path / "cut")
    with pytest.raises(InputError, match=r"learning_rate is 0\.0003 in the run and 0\.1 now"):
        train(dataclasses.replace(config, learning_rate=0.1), tmp_path / "cut", resume=True)
    train(config, tmp_path / "cut", resume=True)
    whole, cut = (keras.models.load_model(tmp_path / name / "last.keras") for name in ("whole", "cut"))
    for one, other in zip(whole.get_weights(), cut.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_images_of_two_channels(small_images, small_overrides, tmp_path):
    np.save(tmp_path / "two.npy", small_images[..., :2])
    config = TrainingConfig(
        data=str(tmp_path / "two.npy"),
        model="vq_vae_tiny",
        overrides=small_overrides,
        steps=1,
        steps_per_epoch=1,
        validation_images=16,
    )
    assert train(config, tmp_path / "run")["held_out"]["images"] == 16
    assert not (tmp_path / "run" / "reconstructions.png").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, "steps to be at least 1"),
        ({"steps": 7, "steps_per_epoch": 2}, "a multiple of steps_per_epoch, 2"),
        ({"batch_size": -1}, "batch_size"),
        ({"learning_rate": 0.0}, "learning_rate to be above 0"),
        ({"seed": -1}, "seed"),
        ({"likelihood": "poisson"}, "`likelihood` to be one of"),
        ({"validation_images": 96}, "more images"),
        ({"model": "pixelcnn_tiny"}, "an autoencoder of images"),
        ({"model": "vae"}, "the model name to be one of"),
        ({"overrides": {"likelihood": "mse"}}, "overrides without likelihood"),
        ({"overrides": {"codes": 0}}, "`codes` to be a positive integer"),
        ({"overrides": {"strides": (3,)}}, "multiples of 3"),
        ({"overrides": {"colour": 1}}, "quantizer_options, likelihood, input_shape, classes, name. Received colour"),
    ],
)
def test_bad_configurations_are_one_line(changes, words, small_file, tmp_path):
    config = TrainingConfig(**{"data": str(small_file), "validation_images": 16, "model": "vq_vae_tiny", **changes})
    with pytest.raises(InputError) as caught:
        train(config, tmp_path / "run")
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.real_data
def test_the_start_of_the_curve_of_sonnet(real_data, tmp_path):
    """Sonnet's CIFAR-10 example has a normalised error of 0.147 and perplexity 34.3 after 500 steps."""
    import tarfile

    with tarfile.open(real_data / "images" / "cifar10_jpeg.tar.xz") as archive:
        archive.extractall(tmp_path / "cifar10", filter="data")
    config = TrainingConfig(
        data=str(tmp_path / "cifar10" / "train"), validation=str(tmp_path / "cifar10" / "test"), steps=500
    )
    last = train(config, tmp_path / "run")["last_epoch"]
    assert 0.12 < last["normalised_error"] < 0.18
    assert 20 < last["quantizer_perplexity"] < 50


@pytest.mark.parametrize("model, overrides", [("vae_tiny", {}), ("vimco_tiny", {"codes": 8, "samples": 4})])
def test_baselines_train_and_are_measured(small_file, tmp_path, model, overrides):
    config = TrainingConfig(
        data=str(small_file),
        model=model,
        overrides={"hidden_units": 8, "residual_units": 4, **overrides},
        likelihood="gaussian",
        steps=60,
        steps_per_epoch=30,
        batch_size=8,
        validation_images=8,
        learning_rate=3e-3,
    )
    report = train(config, tmp_path / "run")
    rows = (tmp_path / "run" / "log.csv").read_text().splitlines()
    columns = [dict(zip(rows[0].split(","), row.split(","), strict=True)) for row in rows[1:]]
    losses = [float(row["loss"]) for row in columns]
    assert losses[1] < losses[0]
    held_out = report["held_out"]
    assert held_out["samples"] == 50
    assert 0 < held_out["bits_per_dim_upper_bound"] <= held_out["single_sample_bits_per_dim_upper_bound"] + 1e-3
    assert (tmp_path / "run" / "reconstructions.png").is_file()
    assert "bound" not in [layer.name for layer in load_run(tmp_path / "run").model.layers]


def test_a_baseline_needs_a_likelihood(small_file, tmp_path):
    with pytest.raises(InputError, match="probability in training"):
        train(TrainingConfig(data=str(small_file), model="vae_tiny", validation_images=8), tmp_path / "run")
