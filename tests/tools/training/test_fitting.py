"""`fit` within one process: what it writes, when it stops, what it refuses."""

import csv
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tools.errors import InputError
from tools.training import fit, make_optimizer, open_run

STEPS, BATCH = 3, 4


def make_model(units=2, rate=0.1, dtype=None):
    inputs = keras.Input((5,))
    outputs = keras.layers.Dense(units, activation="softmax", dtype=dtype)(inputs)
    model = keras.Model(inputs, outputs)
    # What `compile` asks for a loss scale.
    model.dtype_policy = keras.DTypePolicy(dtype or "float32")
    model.compile(make_optimizer("sgd", rate, model), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def examples(steps):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(steps * BATCH, 5)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((x, (x[:, 0] > 0).astype("int32"))).batch(BATCH)


def run(folder, epochs=2, model=None, make_dataset=None, **options):
    open_run(folder, {"epochs": epochs}, resume=options.get("resume", False))
    return fit(
        model or make_model(),
        make_dataset or (lambda done: examples(STEPS).repeat(epochs - done)),
        steps_per_epoch=STEPS,
        epochs=epochs,
        run_folder=folder,
        **options,
    )


def test_log_and_history_say_the_same(tmp_path):
    result = run(tmp_path, validation=examples(2))
    with open(tmp_path / "log.csv", newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert rows == result.history
    assert [row["epoch"] for row in rows] == [1, 2]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"} <= set(rows[0])
    assert result.best == max(row["val_accuracy"] for row in rows)


def summaries(folder):
    return [
        (event.step, value.tag)
        for file in sorted(folder.rglob("events*"))
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
        for event in [tf.compat.v1.Event.FromString(record)]
        for value in event.summary.value
    ]


def test_a_resumed_run_has_each_epoch_once_in_every_log(tmp_path):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, epochs=3, callbacks=[Interrupt()])
    result = run(tmp_path, epochs=3, resume=True)
    assert result.resumed_from == 1
    assert [row["epoch"] for row in result.history] == [1, 2, 3]
    assert (tmp_path / "log.csv").read_text().count("\n") == 4
    assert [step for step, tag in summaries(tmp_path / "tensorboard") if tag == "epoch_loss"] == [1, 2, 3]


def test_the_best_checkpoint_is_that_of_the_best_epoch(tmp_path):
    kept = {}

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            kept[epoch + 1] = self.model.get_weights()

    result = run(
        tmp_path, epochs=5, model=make_model(rate=3.0), validation=examples(2), monitor="val_loss", callbacks=[Keep()]
    )
    assert result.best_epoch == min(result.history, key=lambda row: row["val_loss"])["epoch"]
    for name, epoch in (("best", result.best_epoch), ("last", 5)):
        model = keras.models.load_model(tmp_path / f"{name}.keras")
        assert not model.compiled
        for received, expected in zip(model.get_weights(), kept[epoch], strict=True):
            np.testing.assert_array_equal(received, expected)


def test_of_epochs_with_the_same_accuracy_the_lowest_loss_is_best(tmp_path):
    x = tf.constant([[1.0, 0, 0, 0, 0]] * BATCH)
    easy = tf.data.Dataset.from_tensors((x, tf.ones(BATCH, tf.int32)))
    model = make_model()
    # Sure of its answer whatever the kernel drawn, and not so sure that float32 loses what it learns.
    model.layers[1].bias.assign([0.0, 4.0])
    result = run(tmp_path, epochs=3, model=model, make_dataset=lambda done: easy.repeat(9), validation=easy)
    assert [row["val_accuracy"] for row in result.history] == [1.0] * 3
    assert result.history[2]["val_loss"] < result.history[0]["val_loss"]
    assert result.best_epoch == 3


def test_early_stopping_counts_the_epochs_without_improvement(tmp_path):
    model = make_model(rate=1e-12)
    # Weights that float32 cannot move by such steps: every epoch is the same.
    result = run(tmp_path, epochs=9, model=model, patience=2, monitor="accuracy")
    assert result.stopped_early
    assert [row["epoch"] for row in result.history] == [1, 2, 3]
    again = run(tmp_path, epochs=9, patience=2, monitor="accuracy", resume=True)
    assert again.history == result.history and again.stopped_early


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_good_epoch(tmp_path):
    def make_dataset(done):
        bad = examples(STEPS).map(lambda x, y: (x * float("nan"), y))
        return examples(STEPS).concatenate(bad)

    with pytest.raises(InputError, match=r"finite loss.*nan in epoch 2, step 1"):
        run(tmp_path, make_dataset=make_dataset)
    model = keras.models.load_model(tmp_path / "last.keras")
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"monitor": "val_auc"}, "monitor.*'val_auc'"),
        ({"make_dataset": lambda done: examples(STEPS)}, "to give 6 batches. Received 3"),
        ({"make_dataset": lambda done: examples(STEPS).filter(lambda x, y: True)}, "3 batches in epoch 2"),
        ({"patience": 0}, "patience"),
    ],
)
def test_wrong_use_is_refused(tmp_path, options, culprit):
    with pytest.raises(InputError, match=culprit):
        run(tmp_path, **options)


def test_a_taken_folder_is_not_overwritten(tmp_path):
    run(tmp_path, epochs=1)
    before = (tmp_path / "state.npz").read_bytes()
    with pytest.raises(InputError, match="holds a run; resume continues it"):
        run(tmp_path, epochs=1)
    assert (tmp_path / "state.npz").read_bytes() == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="other files"):
        open_run(tmp_path / "other", {})
    with pytest.raises(InputError, match="Received the file"):
        open_run(tmp_path / "log.csv", {})


def test_another_configuration_is_named(tmp_path):
    begun = {"model": {"name": "a", "overrides": {}}, "training": {"epochs": 3, "milestones": (1, 2)}}
    open_run(tmp_path, begun)
    assert open_run(tmp_path, begun, resume=True) == tmp_path
    now = {"model": {"name": "a", "overrides": {"dropout": 0.5}}, "training": {"epochs": 4, "milestones": (1, 2)}}
    with pytest.raises(InputError) as error:
        open_run(tmp_path, now, resume=True)
    assert "training.epochs is 3 in the run and 4 now" in str(error.value)
    assert "model.overrides.dropout is absent in the run and 0.5 now" in str(error.value)
    assert "name" not in str(error.value)
    assert json.loads((tmp_path / "config.json").read_text())["training"]["epochs"] == 3


def test_the_state_of_another_model_is_refused(tmp_path):
    run(tmp_path, epochs=1)
    with pytest.raises(InputError, match="shape"):
        run(tmp_path, epochs=1, model=make_model(units=3), resume=True)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"no" * 99])
def test_a_damaged_state_is_one_clear_error(tmp_path, damage):
    run(tmp_path, epochs=1)
    path = tmp_path / "state.npz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"state\.npz"):
        run(tmp_path, epochs=1, resume=True)


@pytest.mark.parametrize("dtype", ["bfloat16", "mixed_bfloat16", "mixed_float16"])
def test_every_precision_is_resumed_exactly(tmp_path, dtype):
    """float16 brings an optimizer with a loss scale, and NumPy's files do not know bfloat16."""
    model, again = make_model(dtype=dtype), make_model(dtype=dtype)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == (dtype == "mixed_float16")
    run(tmp_path, epochs=2, model=model)
    run(tmp_path, epochs=2, model=again, resume=True)
    for owner in (lambda model: model, lambda model: model.optimizer):
        for received, expected in zip(owner(again).variables, owner(model).variables, strict=True):
            np.testing.assert_array_equal(received, expected)


def test_class_weights_scale_the_loss(tmp_path):
    plain = run(tmp_path / "plain", epochs=1, model=seeded()).history[0]["loss"]
    double = run(tmp_path / "double", epochs=1, model=seeded(), class_weight={0: 2.0, 1: 2.0}).history[0]["loss"]
    np.testing.assert_allclose(double, 2 * plain, rtol=1e-5)


def seeded():
    keras.utils.set_random_seed(0)
    return make_model(rate=1e-9)


def test_something_is_shown_before_the_first_step_which_takes_longest(tmp_path, capsys):
    shown = []

    class Listener(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            shown.append(capsys.readouterr().err)

    fit(
        make_model(),
        lambda done: examples(STEPS).repeat(2),
        steps_per_epoch=STEPS,
        epochs=2,
        run_folder=open_run(tmp_path / "run", {}),
        callbacks=[Listener()],
    )
    assert shown[0].startswith(f"epoch 1/2  building step 1/{STEPS}")
    assert "building" not in "".join(shown[1:])


def test_the_checkpoints_hold_the_model_to_keep(tmp_path):
    model = make_model()
    noisy = keras.layers.GaussianNoise(0.1)(model.input)
    trained = keras.Model(model.input, model.layers[-1](noisy))
    trained.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    begun = model.get_weights()[0]
    run(tmp_path / "run", model=trained, kept=model)
    for name in ("best.keras", "last.keras"):
        found = keras.models.load_model(tmp_path / "run" / name)
        assert [type(layer) for layer in found.layers] == [type(layer) for layer in model.layers]
    np.testing.assert_array_equal(found.get_weights()[0], model.get_weights()[0])
    assert not np.array_equal(begun, model.get_weights()[0])
