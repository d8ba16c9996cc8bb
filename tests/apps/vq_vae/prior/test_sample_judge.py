"""The judge of samples: what it counts, on codes and images that are known."""

import json

import numpy as np
import pytest

from apps.vq_vae.prior import sample_judge
from apps.vq_vae.prior.runs import load_prior_run
from tools.commands import run_command
from tools.errors import InputError


class Oracle:
    """Finds an image's class by whether its first pixel is brighter than the middle grey."""

    def fit(self, images, labels, **how):
        self.trained_on = len(images)

    def predict(self, images, **how):
        return np.eye(2)[(images[:, 0, 0, 0] > 0).astype(int)]

    def count_params(self):
        return 0


def test_shares_are_those_of_the_classifier(prior_run, small_images, monkeypatch):
    from apps.vq_vae.prior.sampling import decode, sample_codes

    run = load_prior_run(prior_run)
    monkeypatch.setattr(sample_judge, "classifier", lambda shape, classes: Oracle())
    labels = np.arange(96) % 2
    result = sample_judge.judge(
        run, (small_images[:40], labels[:40]), (small_images, labels), temperatures=[0.0, 1.0], count=5, seed=3
    )
    real, _, coldest, samples = result["rows"]
    assert result["classifier"]["images"] == 40
    assert real == {
        "what": "real images",
        "images": 96,
        "accuracy": pytest.approx(((small_images[:, 0, 0, 0] > 127) == labels).mean()),
        "distinct": None,
    }
    # The likeliest codes of each of two classes, five times each.
    assert coldest["distinct"] <= 0.2
    codes = sample_codes(run, 3 + np.arange(10), np.repeat([0, 1], 5))
    right = (decode(run.autoencoder, codes)[:, 0, 0, 0] > 127) == np.repeat([0, 1], 5)
    assert samples["accuracy"] == pytest.approx(right.mean()) and samples["images"] == 10
    assert result["by_class"]["1"] == {"bright": right[:5].mean(), "dark": right[5:].mean()}


@pytest.mark.slow
def test_the_command(prior_run, labelled_file, capsys):
    flags = [str(prior_run), str(labelled_file), str(labelled_file), "--count", "2", "--epochs", "1"]
    assert run_command(sample_judge.build_parser(), [*flags, "--temperature", "0.5", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["what"] for row in rows] == ["real images", "their reconstructions", "samples, temperature 0.5"]
    assert run_command(sample_judge.build_parser(), flags) == 0
    assert "samples, temperature 0.8" in capsys.readouterr().out


def test_bad_use_is_one_line(prior_run, labelled_file, capsys):
    flags = [str(prior_run), str(labelled_file), str(labelled_file)]
    for more, words in (
        (["--count", "0"], "Expected count to be at least 1. Received 0."),
        (["--epochs", "0"], "Expected epochs to be at least 1. Received 0."),
        (["--seed", "-1"], "Expected seed to be at least 0 and less than 2^32. Received -1."),
        (["--temperature", "1", "--temperature", "-1"], "Expected temperatures of at least 0. Received -1.0."),
        (["--temperature", "nan"], "Expected temperatures of at least 0. Received nan."),
    ):
        assert run_command(sample_judge.build_parser(), [*flags, *more]) == 1
        assert capsys.readouterr().err == f"kapps: error: {words}\n"


def test_nothing_is_trained_for_a_temperature_that_is_refused(prior_run, small_images, monkeypatch):
    monkeypatch.setattr(sample_judge, "classifier", lambda *arguments: pytest.fail("trained"))
    images = small_images, np.arange(96) % 2
    with pytest.raises(InputError, match=r"temperatures of at least 0\. Received -1"):
        sample_judge.judge(load_prior_run(prior_run), images, images, temperatures=[1.0, -1])


@pytest.mark.slow
@pytest.mark.real_data
def test_a_classifier_of_real_digits_recognises_the_samples(real_data, tmp_path):
    from apps.vq_vae.images.codes import read_labels
    from apps.vq_vae.images.data import read_images
    from apps.vq_vae.images.training import TrainingConfig
    from apps.vq_vae.images.training import train as train_autoencoder
    from apps.vq_vae.prior.training import PriorConfig, train

    images = read_images(real_data / "images" / "mnist_t10k_images.idx3.gz")
    labels = read_labels("images", real_data / "images" / "mnist_t10k_labels.idx1.gz")
    np.savez(tmp_path / "train.npz", images=images[:8000], labels=labels[:8000])
    np.savez(tmp_path / "test.npz", images=images[8000:], labels=labels[8000:])
    parts = {"data": str(tmp_path / "train.npz"), "validation": str(tmp_path / "test.npz")}
    of_images = TrainingConfig(**parts, model="vq_vae_tiny", steps=800, batch_size=64, learning_rate=1e-3)
    train_autoencoder(of_images, tmp_path / "autoencoder")
    of_codes = PriorConfig(
        **parts,
        autoencoder=str(tmp_path / "autoencoder"),
        classes=True,
        overrides={"filters": 48, "layers": 5, "hidden": 96, "dropout": 0.0},
        steps=500,
        learning_rate=2e-3,
    )
    held_out = train(of_codes, tmp_path / "prior")["held_out"]
    assert held_out["bits_per_code"] < held_out["histogram_bits"] - 1 < held_out["uniform_bits"] - 1
    run = load_prior_run(tmp_path / "prior")
    training, test = (sample_judge.read_labelled(run, part, None) for part in parts.values())
    real, reconstructions, samples = sample_judge.judge(run, training, test, temperatures=[0.8], count=20, epochs=3)[
        "rows"
    ]
    assert real["accuracy"] > 0.95 and reconstructions["accuracy"] > 0.85
    assert samples["accuracy"] > 0.6 and samples["distinct"] > 0.9
