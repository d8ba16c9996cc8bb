"""Transfer from images: what is paired, what is frozen, what is cached, resumed and handed on."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from apps.action_recognition import cli_transfer, models
from apps.action_recognition.checkpoints import load
from apps.action_recognition.data import ClipSpec
from apps.action_recognition.data.clips import random_clip
from apps.action_recognition.runs import load_run
from apps.action_recognition.training import TrainingConfig, train
from apps.action_recognition.transfer import (
    TransferConfig,
    config_of,
    pair_dataset,
    pair_network,
    transfer,
)
from apps.action_recognition.transfer import training as training_module
from apps.action_recognition.transfer.pairs import PLAIN
from apps.action_recognition.transfer.training import build_student, compile_network
from apps.cli import main
from tools.errors import InputError

SPEC = ClipSpec(frames=8, size=(16, 16), frame_rate=8.0)


# === Pairs ===


def features_of(videos, moments=2):
    """Features that say whose they are: (video, moment)."""
    grid = np.mgrid[: len(videos), :moments].transpose(1, 2, 0)
    return grid.astype(np.float32)


def test_pairs_are_balanced_and_of_other_videos(videos):
    features = features_of(videos)
    dataset = pair_dataset(videos, features, SPEC, 5, training=True, seed=3, epochs=2)
    batches = [(inputs["frames"].numpy(), labels.numpy()) for inputs, labels in dataset]
    assert [len(frames) for frames, _ in batches] == [5, 5, 2] * 2
    for epoch in range(2):
        frames, labels = (np.concatenate(part) for part in zip(*batches[3 * epoch : 3 * epoch + 3], strict=True))
        np.testing.assert_array_equal(labels, [[1, 0]] * 12)
        assert (frames[:, 0, 0] != frames[:, 1, 0]).all()
        # Nothing can be told from the features alone: each video's match once and mismatch once.
        for column in range(2):
            np.testing.assert_array_equal(np.sort(frames[:, column, 0]), np.arange(12))
    assert not np.array_equal(batches[0][0], batches[3][0])


def test_the_matching_features_are_of_the_clip_and_its_moment(videos):
    features = features_of(videos)
    inputs, _ = next(iter(pair_dataset(videos, features, SPEC, 24, training=False, seed=3)))
    assert len(inputs["clip"]) == 24
    for clip, (match, _) in zip(inputs["clip"].numpy(), inputs["frames"].numpy(), strict=True):
        path, moment = videos.paths[int(match[0])], (match[1] + 0.5) / 2
        np.testing.assert_array_equal(clip, random_clip(path, SPEC, PLAIN, np.random.default_rng(0), moment))
    again, _ = next(iter(pair_dataset(videos, features, SPEC, 24, training=False, seed=3)))
    np.testing.assert_array_equal(inputs["frames"], again["frames"])


def test_a_later_epoch_is_the_same_from_any_start(videos):
    features = features_of(videos)
    whole = list(pair_dataset(videos, features, SPEC, 6, training=True, seed=1, epochs=3))[4:]
    rest = list(pair_dataset(videos, features, SPEC, 6, training=True, seed=1, first_epoch=2, epochs=1))
    for (left, _), (right, _) in zip(whole, rest, strict=True):
        np.testing.assert_array_equal(left["clip"], right["clip"])
        np.testing.assert_array_equal(left["frames"], right["frames"])


def test_one_video_has_no_other(videos):
    with pytest.raises(InputError, match="at least two videos"):
        pair_dataset(videos.subset([0]), features_of(videos)[:1], SPEC, 1, training=True)


# === Network ===


def test_the_network_asks_about_either_feature_with_the_same_layers(config):
    student = build_student(config)
    network = pair_network(student, 5, 0.5)
    rng = np.random.default_rng(0)
    clip = rng.standard_normal((3, 8, 16, 16, 3)).astype(np.float32)
    frames = rng.standard_normal((3, 2, 5)).astype(np.float32)
    answers = network({"clip": clip, "frames": frames}, training=False)
    assert answers.shape == (3, 2) and np.ptp(answers) > 1e-4
    swapped = network({"clip": clip, "frames": frames[:, ::-1]}, training=False)
    np.testing.assert_allclose(swapped[:, ::-1], answers, rtol=1e-5)
    dense = [tuple(layer.kernel.shape) for layer in network.layers if isinstance(layer, keras.layers.Dense)]
    assert dense == [(13, 512), (512, 128), (128, 1)]


def small_student():
    """Far quicker to build than a registered one."""
    clip = keras.Input((8, 16, 16, 3), name="clip")
    x = keras.layers.Conv3D(8, 3, strides=4, activation="tanh")(clip)
    return keras.Model(clip, keras.layers.GlobalAveragePooling3D()(x), name="small")


def test_accuracy_counts_pairs_and_every_weight_learns(config):
    student = small_student()
    network = pair_network(student, 5, 0.0)
    compile_network(network, config, 4)
    before = [np.array(variable) for variable in network.trainable_variables]
    rng = np.random.default_rng(0)
    clip = rng.standard_normal((6, 8, 16, 16, 3)).astype(np.float32)
    inputs = {"clip": clip, "frames": rng.standard_normal((6, 2, 5)).astype(np.float32)}
    labels = np.tile(np.float32([1, 0]), (6, 1))
    told = (np.asarray(network(inputs, training=False)) > 0.5) == labels
    assert network.evaluate(inputs, labels, verbose=0, return_dict=True)["accuracy"] == pytest.approx(told.mean())
    network.fit(inputs, labels, epochs=3, verbose=0)
    still = [
        variable.path
        for variable, old in zip(network.trainable_variables, before, strict=True)
        if np.array_equal(variable, old)
    ]
    assert not still


def test_a_student_finds_the_correspondence_of_colours():
    """Clips of one colour each, and features that are the colour: what can be learned is learned."""
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    colours = rng.uniform(-1, 1, (48, 3)).astype(np.float32)
    clips = np.ascontiguousarray(np.broadcast_to(colours[:, None, None, None], (48, 8, 16, 16, 3)))
    frames = np.stack([colours, np.roll(colours, 7, axis=0)], axis=1)
    network = pair_network(small_student(), 3, 0.0)
    network.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy", jit_compile=False)
    inputs, labels = {"clip": clips, "frames": frames}, np.tile(np.float32([1, 0]), (48, 1))
    network.fit(inputs, labels, batch_size=16, epochs=60, verbose=0)
    assert ((np.asarray(network(inputs, training=False)) > 0.5) == labels).mean() > 0.85


# === Run ===


def test_a_run_reports_and_hands_on_the_student(taught, config, motion_videos, tmp_path):
    report = json.loads((taught / "report.json").read_text())
    assert report["validation_videos"] == 4 and report["videos"] == 8 and len(report["history"]) == 3
    assert {"accuracy", "val_accuracy"} <= report["history"][0].keys()
    assert config_of(json.loads((taught / "config.json").read_text())) == dataclasses.replace(
        config, overrides={key: list(value) for key, value in config.overrides.items()}
    )
    student = keras.models.load_model(taught / "student.keras")
    best = keras.models.load_model(taught / "best.keras").get_layer(student.name)
    for own, expected in zip(student.get_weights(), best.get_weights(), strict=True):
        np.testing.assert_array_equal(own, expected)

    model = models.create("r2plus1d_tiny", **config.overrides, classes=3)
    load(model, taught, classifier=False)
    trunk = keras.Model(model.input, model.get_layer("global_pool").output)
    clip = np.random.default_rng(0).standard_normal((2, 8, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(trunk(clip), student(clip), rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match="2 weights have no array"):
        load(model, taught)
    with pytest.raises(InputError, match=r"Expected a run of action_recognition\. Received .*_transfer"):
        load_run(taught)

    start = TrainingConfig(
        data=str(motion_videos),
        model="r2plus1d_tiny",
        overrides=config.overrides,
        weights=str(taught),
        fresh_classifier=True,
        validation_fraction=0.0,
        epochs=1,
        batch_size=6,
    )
    train(start, tmp_path / "run")
    again = models.create("r2plus1d_tiny", **config.overrides, classes=3)
    load(again, tmp_path / "run")


def test_a_killed_run_resumes_to_the_same_weights(taught, config, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    saved = training_module.fit

    def killed(*arguments, **keywords):
        class Kill(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 2:
                    raise KeyboardInterrupt

        return saved(*arguments, **keywords, callbacks=[Kill()])

    monkeypatch.setattr(training_module, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        transfer(config, folder)
    assert (folder / "state.npz").exists() and not (folder / "student.keras").exists()
    monkeypatch.undo()
    with pytest.raises(InputError, match="which holds a run; resume continues it"):
        transfer(config, folder)
    with pytest.raises(InputError, match=r"training\.dropout is 0.5 in the run and 0.4 now"):
        transfer(dataclasses.replace(config, dropout=0.4), folder, resume=True)
    report = transfer(config, folder, resume=True)
    assert report.training.resumed_from == 2
    own, expected = (keras.models.load_model(run / "last.keras").get_weights() for run in (folder, taught))
    for left, right in zip(own, expected, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_student_of_x3d_starts_a_classifier_with_a_layer_that_it_lacks(tmp_path):
    arguments = {"input_shape": (4, 32, 32, 3)}
    student = models.create("x3d_xs", **arguments, include_top=False)
    student.save(tmp_path / "student.keras")
    model = models.create("x3d_xs", **arguments, classes=3)
    load(model, tmp_path, classifier=False)
    np.testing.assert_array_equal(model.get_weights()[0], student.get_weights()[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "Expected epochs to be at least 1"),
        ({"optimizer": "lion"}, "Expected optimizer to be one of sgd, adamw"),
        ({"augmentation": {"rotation": 1}}, "Expected the augmentation's fields to be among"),
        ({"seed": -1}, "Expected seed to be 0 or more"),
        ({"dropout": 1.0}, "Expected dropout to lie in"),
        ({"monitor": "val_auc"}, "Expected monitor to be one of accuracy, loss, val_accuracy, val_loss"),
        ({"overrides": {"include_top": True}}, "Expected include_top to be False in a transfer"),
        ({"overrides": {"pooling": None}}, "Expected pooling to be 'avg' in a transfer"),
        ({"teacher_frames": 9}, "teacher_frames to be at most the 8 of a clip"),
        ({"teacher_preset": "imagenet"}, "Expected teacher_preset to be one of"),
        ({"validation_fraction": 0.01}, "at least two videos to train on and two to validate. Received 11 and 1"),
        ({"patience": 0}, "Expected patience to be at least 1"),
        ({"model": "i3d_flow", "overrides": {"input_shape": (16, 32, 32, 2)}}, r"\(frames, height, width, 3\)"),
        (
            {"model": "slow_r50", "overrides": {"input_shape": (None, 32, 32, 3)}},
            r"input_shape \(frames, height, width, 3\) of 'slow_r50' without None",
        ),
    ],
)
def test_wrong_configurations(config, changes, message, tmp_path):
    with pytest.raises(InputError, match=message):
        transfer(dataclasses.replace(config, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# === Command ===


def test_every_flag_is_a_field_of_the_configuration():
    names = {flag.removeprefix("--").replace("-", "_") for flag in cli_transfer.FLAGS}
    fields = {field.name for field in dataclasses.fields(TransferConfig)}
    assert names | {"data", "overrides", "augmentation"} == fields


def test_the_command_ends_and_goes_on(taught, motion_videos, tmp_path, capsys):
    command = ["action-recognition", "transfer", "--output"]
    assert main([*command, str(taught), "--resume"]) == 0
    out, err = capsys.readouterr()
    assert "nothing to do" in err and f"--weights {taught} --fresh-classifier" in out
    assert main([*command, str(tmp_path / "new"), str(motion_videos)]) == 2
    assert "Expected --teacher. Received none" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_reads_its_flags(motion_videos, teacher_file, tmp_path, capsys):
    line = ["action-recognition", "transfer", str(motion_videos), "--output", str(tmp_path / "new"), "--json"]
    line += ["--teacher", str(teacher_file)]
    line += ["--model", "r2plus1d_tiny", "--set", "input_shape=8,16,16,3", "--set", "widths=4,4,4,4"]
    line += ["--epochs", "1", "--validation", str(motion_videos), "--moments", "1", "--augment", "horizontal_flip=0.5"]
    assert main(line) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["validation_videos"] == 12 and "teaching r2plus1d_tiny by" in err
