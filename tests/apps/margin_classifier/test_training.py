"""From a table to a run, and from a run to answers."""

import json

import keras
import numpy as np
import pytest

from apps.margin_classifier import calibration, models
from apps.margin_classifier.evaluation import measure
from apps.margin_classifier.recipe import default_batch, default_l2, make_loss
from apps.margin_classifier.runs import load_run
from apps.margin_classifier.training import TrainingConfig, class_weights, hold_out, order, predict, train
from keras_layers import losses
from tools.errors import InputError
from tools.profile import profile


@pytest.mark.parametrize("name", models.names())
def test_the_registry_states_what_the_models_have(name):
    model, facts = models.create(name), models.info(name)
    counted = profile(model)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == facts.parameters
    assert counted.multiply_adds == facts.multiply_adds
    assert model.output_shape == (None, 1)
    with pytest.raises(InputError, match="Expected two classes"):
        models.create(name, classes=3)
    with pytest.raises(InputError, match="l2 to be 0 or more"):
        models.create(name, l2=-1.0)


def test_a_run_is_loaded_whole(trained_run, small_table):
    run = load_run(trained_run)
    rows, labels = run.read(small_table, labelled=True)
    answers = predict(run, rows)
    assert np.mean([(answer["score"] > 0) == y for answer, y in zip(answers, labels, strict=True)]) > 0.85
    assert run.threshold == 0.25
    chances = np.array([answer["probability"] for answer in answers])
    assert [answer["class"] == "yes" for answer in answers] == (chances >= 0.25).tolist()
    # The core that was trained, on features made by hand, gives the same scores.
    core = keras.models.load_model(trained_run / "best.keras", compile=False)
    prepared = run.model.get_layer("normalization")
    numbers = np.stack([rows.columns["x one"], rows.columns["x2"]], axis=1)
    numbers = (numbers - np.ravel(prepared.mean)) / np.sqrt(np.ravel(prepared.variance))
    words = np.stack([rows.columns["colour"] == word for word in ("blue", "green", "red")], axis=1)
    scores = np.asarray(core(np.hstack([numbers, words]).astype("float32")))[:, 0]
    np.testing.assert_allclose([answer["score"] for answer in answers], scores, rtol=1e-4, atol=1e-5)
    summary = json.loads((trained_run / "summary.json").read_text())
    np.testing.assert_allclose(calibration.probabilities(scores, summary["calibration"]), chances, atol=1e-5)


def test_an_interrupted_run_goes_on_to_the_same_weights(small_table, trained_run, tmp_path, monkeypatch):
    from apps.margin_classifier import training

    config = TrainingConfig(data=str(small_table), epochs=8, loss="modified_huber", cost_false_negative=3.0)
    whole = training.fit

    def killed(model, *arguments, **options):
        class Kill(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 4:
                    raise KeyboardInterrupt

        return whole(model, *arguments, **options, callbacks=[Kill()])

    monkeypatch.setattr(training, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run")
    with pytest.raises(InputError, match="training has ended"):
        load_run(tmp_path / "run")
    monkeypatch.setattr(training, "fit", whole)
    train(config, tmp_path / "run", resume=True)
    again, before = load_run(tmp_path / "run"), load_run(trained_run)
    for one, other in zip(again.model.get_weights(), before.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": "zero_one"}, "only measures: train with logit_margin or l1_hinge"),
        ({"loss": "hinge"}, "Expected a loss of"),
        ({"loss": "dwd_margin", "q": 0.0}, "`q` to be a number greater than 0"),
        ({"loss": "smoothed_l1_hinge", "gamma": -1.0}, "`gamma` to be a number greater than 0"),
        ({"gamma": 1.0}, "gamma only with the loss smoothed_l1_hinge"),
        ({"model": "forest"}, "model name to be one of linear, kernel, mlp"),
        ({"calibration": "link", "loss": "sigmoid"}, "platt or isotonic takes it"),
        ({"calibration": "beta"}, "calibration to be one of platt"),
        ({"class_weight": "equal"}, "class_weight to be balanced"),
        ({"cost_false_positive": 0.0}, "--cost-false-positive to be above 0"),
        ({"validation_fraction": 0.0}, "validation_fraction between 0 and 1"),
        ({"learning_rate": 0.0}, "learning_rate to be above 0"),
        ({"epochs": 0}, "epochs to be at least 1"),
        ({"seed": -1}, "seed to be from 0 to 2147483647"),
        ({"seed": 2**32}, "seed to be from 0 to 2147483647"),
        ({"l2": float("nan")}, "l2 to be at least 0"),
        ({"calibration": "link", "class_weight": "balanced"}, "platt or isotonic with class_weight balanced"),
        ({"ignore": ("nothing",)}, "the column 'nothing' to ignore"),
        ({"words": ("nothing",)}, "a column 'nothing'"),
    ],
)
def test_configurations_that_are_refused(small_table, tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        train(TrainingConfig(data=str(small_table), **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "kernel", "loss": "sigmoid", "calibration": "isotonic", "class_weight": "balanced"},
        pytest.param(
            {"model": "mlp", "loss": "dwd_margin", "q": 2.0, "calibration": "link", "patience": 1},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_models_calibrations_and_losses_go_together(small_table, tmp_path, changes):
    report = train(TrainingConfig(data=str(small_table), epochs=6, **changes), tmp_path / "run")
    assert report["held_out"]["auc"] > 0.8 and report["left_out"] == ["seven"]
    run = load_run(tmp_path / "run")
    assert run.config["training"]["loss"] == changes["loss"]


def test_class_weights_move_the_score_and_not_the_probability(tmp_path):
    generator = np.random.default_rng(0)
    x = generator.normal(size=600)
    rare = x + generator.normal(0, 1, 600) > 2.2
    rows = [f"{value:.5f},{int(label)}" for value, label in zip(x, rare, strict=True)]
    (tmp_path / "rare.csv").write_text("x,rare\n" + "\n".join(rows) + "\n")
    train(TrainingConfig(data=str(tmp_path / "rare.csv"), epochs=8, class_weight="balanced"), tmp_path / "run")
    run = load_run(tmp_path / "run")
    scores, chances = run.answer(run.read(tmp_path / "rare.csv", labelled=True)[0])
    # Without weights the score of most rows of the rare class is below 0.
    assert (scores[rare] > 0).mean() > 0.7 and rare.mean() < 0.06
    assert chances.mean() == pytest.approx(rare.mean(), abs=0.03)
    assert class_weights(TrainingConfig("", class_weight="balanced"), np.array([0, 0, 0, 1])) == {0: 2 / 3, 1: 2.0}


def test_training_stops_early_where_nothing_can_be_learnt(tmp_path):
    generator = np.random.default_rng(0)
    rows = [f"{x:.4f},{y}" for x, y in zip(generator.normal(size=60), generator.integers(0, 2, 60), strict=True)]
    (tmp_path / "noise.csv").write_text("x,y\n" + "\n".join(rows) + "\n")
    config = TrainingConfig(
        data=str(tmp_path / "noise.csv"), model="mlp", learning_rate=0.1, epochs=60, patience=1, l2=0.0
    )
    report = train(config, tmp_path / "run")
    assert report["stopped_early"] and report["epochs"] < 60 and report["best_epoch"] < report["epochs"]


def test_the_held_out_rows_are_in_proportion():
    labels = np.array([0] * 90 + [1] * 10)
    training, held = hold_out(labels, 0.2, 3)
    assert labels[held].sum() == 2 and len(held) == 20 and not set(training) & set(held)
    training, held = hold_out(np.array([0, 0, 1, 1]), 0.01, 0)
    assert len(held) == 2


def test_every_row_is_in_every_epoch():
    for epoch in range(3):
        rows = order(50, 16, 0, epoch)
        assert rows.shape == (4, 16) and set(rows.ravel()) == set(range(50))
    assert (order(50, 16, 0, 0) != order(50, 16, 0, 1)).any()
    assert default_batch(10) == 16 and default_batch(10**7) == 1024
    assert default_l2(losses.get("l1_hinge"), "linear", 100) == 1 / 200
    assert default_l2(losses.get("perceptron"), "linear", 100) == 0
    assert make_loss("dwd_margin", q=3).q == 3


def test_calibration_finds_the_probabilities():
    generator = np.random.default_rng(0)
    scores = generator.normal(0, 2, 20_000)
    truth = 1 / (1 + np.exp(-(1.7 * scores - 0.6)))
    labels = (generator.random(20_000) < truth).astype(int)
    platt = calibration.calibrate("platt", losses.get("l1_hinge"), scores, labels)
    assert platt["slope"] == pytest.approx(1.7, rel=0.05) and platt["offset"] == pytest.approx(-0.6, abs=0.05)
    isotonic = calibration.calibrate("isotonic", losses.get("l1_hinge"), scores, labels)
    for fitted in (platt, isotonic):
        chances = calibration.probabilities(scores, fitted)
        assert np.abs(chances - truth).mean() < 0.02 and (chances > 0).all() and (chances < 1).all()
        measures = measure(chances, labels)
        assert measures["calibration_error"] < 0.02
    link = calibration.calibrate("link", losses.LogitMarginLoss(), scores, labels)
    np.testing.assert_allclose(calibration.probabilities(scores, link), 1 / (1 + np.exp(-scores)), atol=1e-5)
    huge = calibration.calibrate("platt", losses.get("l1_hinge"), scores * 1e6, labels)
    assert huge["slope"] == pytest.approx(1.7e-6, rel=0.05)


@pytest.mark.parametrize("score", [0.0, 3.0])
def test_the_line_of_scores_that_are_all_the_same_tells_the_share(score):
    fitted = calibration.calibrate("platt", losses.get("l1_hinge"), np.full(1000, score), np.arange(1000) < 250)
    assert fitted["slope"] == 0
    np.testing.assert_allclose(calibration.probabilities(np.array([score, 50.0]), fitted), 0.25, atol=1e-3)


def test_measures():
    chances, labels = np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])
    found = measure(chances, labels, threshold=0.375, costs=(1.0, 5.0), bootstrap=20)
    assert found["confusion"] == [[1, 1], [1, 1]] and found["accuracy"] == 0.5 and found["auc"] == 0.75
    assert found["mean_cost"] == 6 / 4 and found["brier"] == pytest.approx(np.mean((chances - labels) ** 2))
    assert measure(chances[:2], labels[:2])["auc"] is None
