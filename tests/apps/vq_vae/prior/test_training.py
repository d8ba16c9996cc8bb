"""A prior's run: the report against the model, resume, and everything that is refused in one line."""

import csv
import dataclasses
import json
import shutil
import types

import keras
import numpy as np
import pytest

from apps.vq_vae import models
from apps.vq_vae.images.runs import load_run
from apps.vq_vae.media import MEDIA
from apps.vq_vae.prior.evaluation import evaluate_prior
from apps.vq_vae.prior.runs import check_one_code, load_prior_run
from apps.vq_vae.prior.sampling import sample_codes
from apps.vq_vae.prior.training import config_of, read_codes, train
from tools.errors import InputError


def test_the_run_folder(prior_run, prior_config, trained_run):
    report = json.loads((prior_run / "report.json").read_text())
    run = load_prior_run(prior_run)
    assert (run.config["medium"], run.config["prior_of"], run.config["codes"]) == ("prior", "images", 16)
    assert run.names == {"label": ["bright", "dark"]} and run.sampler.lengths == (2, 3)
    for name in ("curves.png", "log.csv", "best.keras", "last.keras"):
        assert (prior_run / name).stat().st_size
    assert config_of(run.config) == dataclasses.replace(prior_config, autoencoder=str(trained_run))
    training, held_out = read_codes(config_of(run.config), MEDIA["images"], run.autoencoder)
    assert report["examples"] == len(training) == 80
    measured = evaluate_prior(
        run.model, held_out.codes, train_codes=training.codes, conditions=held_out.conditions
    ).to_dict()
    assert report["held_out"] == {"examples": 16} | {
        name: pytest.approx(value, rel=1e-5) for name, value in measured.items()
    }
    assert measured["uniform_bits"] == 4.0
    with open(prior_run / "log.csv", newline="") as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file)]
    assert report["best_epoch"] == 1 + int(np.argmin(losses))
    assert measured["bits_per_code"] == pytest.approx(min(losses) / np.log(2), rel=1e-5)


def test_validation_of_its_own_keeps_the_names(prior_config, trained_run, small_images, tmp_path):
    np.savez(tmp_path / "dark.npz", images=small_images[:20], labels=np.full(20, "dark"))
    config = dataclasses.replace(prior_config, validation=str(tmp_path / "dark.npz"))
    training, held_out = read_codes(config, MEDIA["images"], load_run(trained_run))
    assert (len(training), len(held_out)) == (96, 20) and held_out.names == training.names
    assert held_out.conditions["label"].tolist() == [1] * 20


@pytest.mark.slow
def test_without_classes(prior_config, tmp_path):
    train(dataclasses.replace(prior_config, classes=False, steps=2), tmp_path / "run")
    run = load_prior_run(tmp_path / "run", "last")
    assert run.names == {} and [tensor.name for tensor in run.model.inputs] == ["codes"]
    assert sample_codes(run, [1, 2]).shape == (2, 2, 3)
    with pytest.raises(InputError, match="labels only for a prior that knows classes"):
        sample_codes(run, [1], np.zeros(1, np.int32))


@pytest.mark.slow
def test_an_interrupted_training_ends_as_a_whole_one(prior_config, tmp_path, monkeypatch):
    config = dataclasses.replace(prior_config, overrides={**prior_config.overrides, "dropout": 0.3})
    train(config, tmp_path / "whole")

    class Stop(Exception):
        pass

    def stop(*arguments):
        raise Stop

    with monkeypatch.context() as patch:
        real = keras.Model.evaluate
        calls = []

        def evaluate(self, *arguments, **keywords):
            calls.append(1)
            return stop() if len(calls) == 2 else real(self, *arguments, **keywords)

        patch.setattr(keras.Model, "evaluate", evaluate)
        with pytest.raises(Stop):
            train(config, tmp_path / "cut")
    with pytest.raises(InputError, match="whose training has ended"):
        load_prior_run(tmp_path / "cut")
    with pytest.raises(InputError, match=r"batch_size is 8 in the run and 4 now"):
        train(dataclasses.replace(config, batch_size=4), tmp_path / "cut", resume=True)
    train(config, tmp_path / "cut", resume=True)
    whole, cut = (keras.models.load_model(tmp_path / name / "last.keras") for name in ("whole", "cut"))
    for one, other in zip(whole.get_weights(), cut.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_training_goes_on_where_the_autoencoder_has_moved(prior_config, trained_run, tmp_path):
    here, there = shutil.copytree(trained_run, tmp_path / "here"), tmp_path / "there"
    config = dataclasses.replace(prior_config, autoencoder=str(here), steps=2)
    report = train(config, tmp_path / "run")
    here.rename(there)
    moved = dataclasses.replace(config, autoencoder=str(there))
    again = train(moved, tmp_path / "run", resume=True)
    assert again["held_out"] == report["held_out"]
    # It is found from now on.
    assert load_prior_run(tmp_path / "run").autoencoder.path == there
    with pytest.raises(InputError, match=r"autoencoder_digest is .* in the run and .* now"):
        model = keras.models.load_model(there / "best.keras")
        model.get_layer("decoder").set_weights([weights + 1 for weights in model.get_layer("decoder").get_weights()])
        model.save(there / "best.keras")
        train(moved, tmp_path / "run", resume=True)


def test_the_prior_of_another_code_book_is_refused(prior_run, trained_run, tmp_path):
    other = shutil.copytree(trained_run, tmp_path / "other")
    assert load_prior_run(prior_run, autoencoder=other).autoencoder.path == other
    model = keras.models.load_model(other / "best.keras")
    quantizer = model.get_layer("quantizer")
    quantizer.set_weights([weights + 0.01 for weights in quantizer.get_weights()])
    model.save(other / "best.keras")
    with pytest.raises(InputError, match=r"that the prior .* was trained with\. Received .*, with another code book"):
        load_prior_run(prior_run, autoencoder=other)
    with pytest.raises(InputError, match=r"Received no such folder \(--autoencoder\)"):
        load_prior_run(prior_run, autoencoder=tmp_path / "none")


@pytest.mark.parametrize(
    ("quantizer", "options", "columns"),
    [("ema", {"heads": 2}, 2), ("residual", {"stages": 3}, 3), ("ema", {}, None), ("finite_scalar", {}, None)],
)
def test_several_codes_a_position_are_refused(quantizer, options, columns, small_overrides):
    model = models.create("vq_vae_tiny", **small_overrides, quantizer=quantizer, quantizer_options=options)
    autoencoder = types.SimpleNamespace(model=model)
    if columns is None:
        check_one_code(autoencoder)
        return
    with pytest.raises(InputError, match=f"one code a position, to learn a prior of. Received {columns} codes"):
        check_one_code(autoencoder)


def test_runs_that_are_none_of_a_prior(prior_run, trained_run, prior_config, tmp_path):
    with pytest.raises(InputError, match=r"a run of train-prior\. Received .*, a run of an autoencoder of images"):
        load_prior_run(trained_run)
    with pytest.raises(InputError, match=r"an autoencoder of images\. Received .*, of prior"):
        load_run(prior_run)
    with pytest.raises(InputError, match=r"an autoencoder of images or audio\. Received .*, of a prior"):
        train(dataclasses.replace(prior_config, autoencoder=str(prior_run)), tmp_path / "run")
    with pytest.raises(InputError, match="which to be one of best, last"):
        load_prior_run(prior_run, "first")
    with pytest.raises(InputError, match="holds a run; resume continues it"):
        train(prior_config, prior_run)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, "steps to be at least 1"),
        ({"steps": 7, "steps_per_epoch": 2}, "a multiple of steps_per_epoch, 2"),
        ({"learning_rate": float("nan")}, "learning_rate to be above 0"),
        ({"seed": -1}, "seed"),
        ({"validation_examples": 96}, "more examples than the 96 held out"),
        ({"model": "vq_vae_tiny"}, "a prior, a model of codes. Received 'vq_vae_tiny'"),
        ({"model": "wavenet_prior_tiny", "overrides": {}}, "`input_shape` to be (time)"),
        ({"model": "video_prior"}, "an array `clips` in"),
        ({"model": "latent_vq_vae"}, "a prior, a model of codes. Received 'latent_vq_vae'"),
        ({"model": "transformer"}, "the model name to be one of"),
        ({"overrides": {"codes": 4}}, "overrides without codes"),
        ({"overrides": {"colour": 1}}, "Received colour"),
        ({"classes": False, "labels": "labels.idx1"}, "only for a prior that knows classes"),
        ({"validation_labels": "labels.idx1"}, "validation_labels only beside validation"),
        ({"labels": "none.idx1"}, "none.idx1: no such file"),
        ({"data": "none.npz"}, "none.npz: no such file"),
        ({"autoencoder": "nowhere"}, "a run folder. Received nowhere: not found"),
    ],
)
def test_bad_configurations_are_one_line(changes, words, prior_config, tmp_path):
    with pytest.raises(InputError) as caught:
        train(dataclasses.replace(prior_config, **changes), tmp_path / "run")
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_images_of_another_size(prior_config, small_images, tmp_path):
    np.savez(tmp_path / "wide.npz", images=small_images[:, :, :8], labels=np.zeros(96, int))
    for field in ("data", "validation"):
        with pytest.raises(InputError, match=r"\(8, 12, 3\), as the model was trained on\. Received \(8, 8, 3\)"):
            train(dataclasses.replace(prior_config, **{field: str(tmp_path / "wide.npz")}), tmp_path / "run")
