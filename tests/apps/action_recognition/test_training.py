"""From video files to a run folder."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.action_recognition import training
from apps.action_recognition.data import ClipSpec, load_videos, read_clip
from apps.action_recognition.losses import SmoothedCrossentropy, class_weights
from apps.action_recognition.runs import load_run, read_config
from apps.action_recognition.training import TrainingConfig, config_of, train
from tools.errors import InputError


def test_the_run_folder_keeps_its_contract(trained_run):
    assert {path.name for path in trained_run.iterdir()} == {
        *("config.json", "best.keras", "last.keras", "state.npz", "representative.npz", "log.csv"),
        *("tensorboard", "curves.png", "confusion.png", "report.json"),
    }
    config = json.loads((trained_run / "config.json").read_text())
    assert set(config) == {"application", "model", "clip", "classes", "data", "training"}
    assert config["model"]["name"] == "r2plus1d_tiny"
    assert config["classes"] == ["left", "right", "up"]
    assert ClipSpec.from_dict(config["clip"]) == ClipSpec(8, (16, 16), 15.0, "torchvision")


def test_the_representative_clips_are_those_the_model_sees(trained_run, motion_videos):
    clips = np.load(trained_run / "representative.npz")["clip"]
    assert clips.shape == (9, 8, 16, 16, 3) and clips.dtype == np.float32
    spec = load_run(trained_run).spec
    originals = [read_clip(path, spec) for path in load_videos(motion_videos).paths]
    for clip in clips:
        assert any(np.array_equal(clip, original) for original in originals)


def test_the_report_counts_the_held_out_videos(trained_run):
    report = json.loads((trained_run / "report.json").read_text())
    best = report["history"][report["best_epoch"] - 1]
    assert report["validation"]["videos"] == 3 == np.sum(report["validation"]["confusion"])
    # The same model on the same clips: once measured by Keras during training, once by the evaluation at its end.
    assert report["validation"]["video"]["top1"] == pytest.approx(best["val_accuracy"])


def test_the_same_seed_gives_the_same_weights_and_resuming_does_not_change_them(tiny_config, trained_run, tmp_path):
    folder = tmp_path / "again"

    class Killed(Exception):
        pass

    def die(*arguments, **options):
        raise Killed

    # Dies in the second epoch, before its state is written.
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        saved = []
        from tools.training import callbacks

        save = callbacks.save_state
        patch.setattr(callbacks, "save_state", lambda *given: saved.append(save(*given)) if not saved else die())
        train(tiny_config, folder)
    report = train(tiny_config, folder, resume=True)
    assert report.training.resumed_from == 1
    first, again = (np.load(path / "state.npz") for path in (trained_run, folder))
    for name in first.files:
        if name != "record":
            np.testing.assert_array_equal(first[name], again[name])


def test_a_finished_run_is_not_trained_further(tiny_config, trained_run, capsys):
    before = (trained_run / "state.npz").stat().st_mtime_ns
    report = train(tiny_config, trained_run, resume=True)
    assert (trained_run / "state.npz").stat().st_mtime_ns == before
    assert "finished (2 epochs)" in capsys.readouterr().err
    assert len(report.training.history) == 2


def test_config_of_reads_what_describe_wrote(tiny_config, trained_run):
    read = config_of(json.loads((trained_run / "config.json").read_text()))
    # The rate is that of the model, as a number.
    resolved = dataclasses.replace(tiny_config, frame_rate=15.0)
    assert json.dumps(dataclasses.asdict(read)) == json.dumps(dataclasses.asdict(resolved))


def test_a_config_json_with_other_fields_is_refused(trained_run):
    description = read_config(trained_run)
    del description["training"]["epochs"]
    description["training"]["epocs"] = 2
    with pytest.raises(InputError, match=r"config\.json.*\['epochs', 'epocs'\]"):
        config_of(description)


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        ({"data": "nowhere"}, "nowhere"),
        ({"model": "r3d_999"}, "r3d_999"),
        ({"overrides": {"colour": 1}}, "colour"),
        ({"overrides": {"input_shape": (None, 16, 16, 3)}}, "input_shape"),
        ({"overrides": {"input_shape": (8, 16, 16, 1)}}, "input_shape"),
        ({"overrides": {"classes": 7}}, "classes"),
        ({"augmentation": {"spin": 1}}, "spin"),
        ({"precision": "float8"}, "precision"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"class_weight": {"left": 1.0}}, "class_weight"),
        ({"class_weight": "balancd"}, "class_weight"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 999}, "999"),
        ({"epochs": 0}, "epochs"),
        ({"seed": -1}, "seed"),
        ({"weights": "nowhere.keras"}, r"nowhere\.keras"),
        ({"freeze": "group2_block1"}, "weights"),
        ({"preset": "imagenot"}, "imagenot"),
        ({"monitor": "val_auc"}, "val_auc"),
        ({"monitor": "val_loss", "validation_fraction": 0.0}, "monitor"),
        ({"patience": 0}, "patience"),
        ({"overrides": {"include_top": False}}, "include_top"),
        ({"overrides": {"classifier_activation": None}}, "classifier_activation"),
        ({"weight_decay": float("nan")}, "weight_decay"),
    ],
)
def test_a_wrong_configuration_is_named_and_leaves_no_run_behind(tiny_config, tmp_path, change, culprit):
    with pytest.raises(InputError, match=culprit):
        train(dataclasses.replace(tiny_config, **change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_configuration_is_not_resumed(tiny_config, trained_run):
    with pytest.raises(InputError, match=r"training\.learning_rate is 0\.01 in the run and 0\.5 now"):
        train(dataclasses.replace(tiny_config, learning_rate=0.5), trained_run, resume=True)


def test_fine_tuning_begins_with_the_weights(tiny_config, trained_run):
    model = load_run(trained_run).model
    tuned = training.build(
        dataclasses.replace(tiny_config, weights=str(trained_run / "best.keras")), ("left", "right", "up")
    )
    for received, expected in zip(tuned.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(received, expected)
    other = dataclasses.replace(tiny_config, weights=str(trained_run / "best.keras"), fresh_classifier=True)
    fresh = training.build(other, ("a", "b", "c", "d", "e"))
    assert fresh.output_shape == (None, 5)
    for layer in fresh.layers:
        if layer.name != "classifier":
            for received, expected in zip(layer.get_weights(), model.get_layer(layer.name).get_weights(), strict=True):
                np.testing.assert_array_equal(received, expected)
    with pytest.raises(InputError):
        training.build(dataclasses.replace(other, fresh_classifier=False), ("a", "b", "c", "d", "e"))


@pytest.fixture
def frozen_config(tiny_config, trained_run):
    """Fine-tuning of the run's network from conv4 on."""
    weights = str(trained_run / "last.keras")
    return dataclasses.replace(tiny_config, weights=weights, freeze="conv3_block1_activation", validation_fraction=0.0)


def test_frozen_layers_stay_as_they_are_through_resume_and_file(frozen_config, trained_run, tmp_path):
    kept = ("conv1", "conv2", "conv3")
    before = {weight.path: np.array(weight) for weight in load_run(trained_run, "last").model.weights}

    def differences(run):
        model = load_run(run, "last").model
        assert [layer.name for layer in model.layers if not layer.trainable][-1] == "conv3_block1_activation"
        return {weight.path for weight in model.weights if np.any(np.array(weight) != before[weight.path])}

    train(frozen_config, tmp_path / "whole")
    changed = differences(tmp_path / "whole")
    assert changed and not [path for path in changed if path.startswith(kept)]
    assert changed >= {path for path in before if path.startswith(("conv4_block1_conv2", "conv5", "classifier"))}

    class Killed(Exception):
        pass

    from tools.training import callbacks

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        begun = []

        def killed_in_the_second_epoch(*arguments):
            if begun:
                raise Killed
            begun.append(save(*arguments))

        save = callbacks.save_state
        patch.setattr(callbacks, "save_state", killed_in_the_second_epoch)
        train(frozen_config, tmp_path / "killed")
    assert train(frozen_config, tmp_path / "killed", resume=True).training.resumed_from == 1
    whole, killed = (load_run(tmp_path / name, "last").model.get_weights() for name in ("whole", "killed"))
    for first, second in zip(whole, killed, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_a_fine_tuned_model_is_published_as_it_answers(frozen_config, tmp_path):

    from apps.action_recognition.export import export

    train(frozen_config, tmp_path / "run")
    run = load_run(tmp_path / "run", "last")
    published = export(run.model, run.spec, run.classes, base=tmp_path, name="tuned")
    clips = np.random.default_rng(0).normal(size=(2, *run.spec.shape)).astype("float32")
    answer = tf.saved_model.load(str(published.path)).signatures["serving_default"](clip=tf.constant(clips))
    np.testing.assert_allclose(answer["probabilities"], run.model(clips, training=False), atol=1e-5)


def test_blocks_hold_out_the_last_videos(tiny_config):
    kept, held = training.load_data(dataclasses.replace(tiny_config, validation_blocks=True))
    assert [path[-7:] for path in held.paths] == ["003.mp4"] * 3
    assert len(kept) == 9


def test_a_split_of_hmdb51_trains_on_its_training_part(motion_videos, tmp_path):
    for name in ("left", "right", "up"):
        lines = [f"{number:03d}.mp4 {code}\n" for number, code in enumerate((1, 1, 2, 0))]
        (tmp_path / f"{name}_test_split2.txt").write_text("".join(lines))
    config = TrainingConfig(data=str(tmp_path), root=str(motion_videos), split=2, validation_fraction=0.0)
    videos, _ = training.load_data(config)
    assert [path[-7:] for path in videos.paths] == ["000.mp4", "001.mp4"] * 3


def test_balanced_weights_give_every_class_the_same_sum(motion_videos):
    videos = load_videos(motion_videos).subset([0, 1, 2, 3, 4, 8, 9])
    weights = class_weights("balanced", videos)
    sums = np.bincount(videos.labels, weights=[weights[label] for label in videos.labels])
    np.testing.assert_allclose(sums, 7 / 3)


def test_smoothed_crossentropy_is_that_of_the_smoothed_label():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]], "float32")
    labels = np.array([0, 2])
    target = 0.8 * np.eye(3)[labels] + 0.2 / 3
    expected = -(target * np.log(probabilities)).sum(1).mean()
    assert float(SmoothedCrossentropy(0.2)(labels, probabilities)) == pytest.approx(expected, rel=1e-5)
    plain = keras.losses.SparseCategoricalCrossentropy()(labels, probabilities)
    assert float(SmoothedCrossentropy()(labels, probabilities)) == pytest.approx(float(plain), rel=1e-5)


def test_the_recipe_is_scaled_with_the_epochs():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    training.compile_model(model, TrainingConfig(data="", epochs=9), steps_per_epoch=10)
    rate = []
    for step in (20, 39, 40, 60, 80):
        model.optimizer.iterations.assign(step)
        rate.append(float(model.optimizer.learning_rate))
    np.testing.assert_allclose(rate, [1e-2, 1e-2, 1e-3, 1e-4, 1e-5], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_resumes(tiny_config, tmp_path, precision):
    if precision == "mixed_bfloat16" and not tf.config.list_physical_devices("GPU"):
        pytest.skip("train refuses bfloat16 without a GPU")
    config = dataclasses.replace(tiny_config, precision=precision, epochs=1, optimizer="adamw", validation_fraction=0.0)
    report = train(config, tmp_path / "run")
    assert np.isfinite(report.training.history[0]["loss"]) and report.validation is None
    assert train(config, tmp_path / "run", resume=True).training.history == report.training.history
    model = load_run(tmp_path / "run").model
    assert model.get_layer("classifier").compute_dtype == precision.removeprefix("mixed_")
    assert keras.config.dtype_policy().name == "float32"
