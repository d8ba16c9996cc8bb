"""Trains a margin classifier on a table and leaves a run folder."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from apps.margin_classifier import calibration, models
from apps.margin_classifier.data import BATCH, Schema, Table, coarse_columns, make_schema
from apps.margin_classifier.evaluation import measure
from apps.margin_classifier.flags import CALIBRATIONS
from apps.margin_classifier.preprocessing import feature_model, features_of
from apps.margin_classifier.recipe import (
    RATES,
    check_least,
    check_seed,
    compile_score,
    default_batch,
    default_epochs,
    default_l2,
    make_loss,
)
from apps.margin_classifier.runs import APPLICATION, MODEL, SUMMARY, Reading, read_labelled
from tools.errors import InputError
from tools.figures import draw_curves
from tools.files import replacing, write_json
from tools.training import fit, open_run
from tools.training.run_folder import BEST, check_free


@dataclasses.dataclass(frozen=True)
class TrainingConfig(Reading):
    """Everything that decides a run: how the table is read, and

    Attributes:
        validation_fraction: share of each class held out to stop by and to calibrate with.
        model: "linear", "kernel" or "mlp".
        loss: name of a margin loss.
        gamma: of smoothed_l1_hinge.
        q: of dwd_margin.
        l2: weight of the squared weights; None for scikit-learn's C = 1 (mlp: 1e-4; perceptron's loss: 0).
        class_weight: None, or "balanced" (in inverse proportion to the class's size).
        epochs: of the whole run; None for 60 (perceptron's loss: 10).
        batch_size: rows a step; None for about a fortieth of the rows.
        learning_rate: at the start; it falls to 0 by a cosine. None for the model's: linear and kernel 0.05, mlp 0.003.
        patience: epochs without a lower validation loss after which to stop; None never stops early.
        calibration: "platt", "isotonic" or "link" (not with class weights, which move what a score tells).
        cost_false_positive: of answering the positive class wrongly.
        cost_false_negative: of answering the negative class wrongly.
        seed: of the hold-out, the weights, the order.
    """

    validation_fraction: float = 0.2
    model: str = "linear"
    loss: str = "logit_margin"
    gamma: float | None = None
    q: float | None = None
    l2: float | None = None
    class_weight: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    patience: int | None = None
    calibration: str = "platt"
    cost_false_positive: float = 1.0
    cost_false_negative: float = 1.0
    seed: int = 0


def train(config: TrainingConfig, run_folder: str | os.PathLike, resume: bool = False) -> dict[str, Any]:
    """Trains, calibrates and saves the whole model; returns the report.

    Args:
        config: the whole configuration.
        run_folder: new, or with `resume` that of a run begun with the same configuration.
        resume: go on with an interrupted run from its last whole epoch.

    Raises:
        InputError: if anything in the configuration or the table is wrong, the folder is taken, or the configuration
            of the run to resume differs.
    """
    loss = check(config)
    epochs = config.epochs or default_epochs(loss)
    if not resume:
        check_free(pathlib.Path(run_folder))
    table, target, labels, classes = read_labelled(config)
    schema = make_schema(table, target, classes)
    _tell_columns(table, schema)
    training, held_out = hold_out(labels, config.validation_fraction, config.seed)
    keras.utils.set_random_seed(config.seed)
    preprocessing = feature_model(table.take(training), schema)
    x = features_of(preprocessing, table, schema)
    l2 = default_l2(loss, config.model, len(training)) if config.l2 is None else config.l2
    core = models.create(config.model, input_shape=(schema.features,), l2=l2, seed=config.seed)
    batch = min(config.batch_size or default_batch(len(training)), len(training))
    steps = -(-len(training) // batch)
    rate = RATES[config.model] if config.learning_rate is None else config.learning_rate
    compile_score(core, loss, learning_rate=rate, steps=steps * epochs)
    folder = open_run(run_folder, describe(config, schema, labels, x), resume=resume)
    result = fit(
        core,
        batches(x[training], labels[training], batch, epochs, config.seed),
        steps_per_epoch=steps,
        epochs=epochs,
        run_folder=folder,
        validation=tf.data.Dataset.from_tensor_slices((x[held_out], labels[held_out])).batch(BATCH),
        monitor="val_loss",
        patience=config.patience,
        class_weight=class_weights(config, labels[training]),
        resume=resume,
    )
    report = finish(folder, config, schema, preprocessing, loss, x[held_out], labels[held_out])
    draw_curves(result.history, folder / "curves.png")
    seconds = sum(row["seconds"] for row in result.history)
    best = {"best_epoch": result.best_epoch, "stopped_early": result.stopped_early}
    report = {"run": str(folder), **report, **best, "epochs": len(result.history), "seconds": round(seconds, 3)}
    write_json(folder / "report.json", report)
    return report


def check(config: TrainingConfig):
    """Raises an `InputError` for values that no later step checks; returns the loss."""
    if not 0 < config.validation_fraction < 1:
        raise InputError(f"Expected validation_fraction between 0 and 1. Received {config.validation_fraction}.")
    for name in ("epochs", "batch_size", "patience"):
        check_least(name, getattr(config, name), 1)
    check_least("l2", config.l2, 0)
    if config.learning_rate is not None and not 0 < config.learning_rate < float("inf"):
        raise InputError(f"Expected learning_rate to be above 0. Received {config.learning_rate}.")
    if config.class_weight not in (None, "balanced"):
        raise InputError(f"Expected class_weight to be balanced or none. Received {config.class_weight!r}.")
    check_seed(config.seed)
    models.info(config.model)
    loss = make_loss(config.loss, config.gamma, config.q)
    calibration.threshold_of(config.cost_false_positive, config.cost_false_negative)
    if config.calibration not in CALIBRATIONS or config.calibration == "link":
        calibration.calibrate(config.calibration, loss, np.zeros(0), np.zeros(0))
    if config.calibration == "link" and config.class_weight is not None:
        raise InputError(
            "Expected calibration platt or isotonic with class_weight balanced. Received link, which would tell the "
            "probability among classes of the same size."
        )
    return loss


def _tell_columns(table: Table, schema: Schema) -> None:
    for name in schema.constant:
        print(f"column {name!r} has one value in all rows and is left out", file=sys.stderr)
    for name, (step, deviation) in coarse_columns(table, schema).items():
        print(
            f"column {name!r} varies by {deviation:.3g} where float32 has steps of {step:.3g}: much of it is lost; "
            "subtract its mean first",
            file=sys.stderr,
        )


def hold_out(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training rows and of the rows held out, each class in its proportion, at least one of each."""
    generator = np.random.default_rng(seed)
    held = []
    for label in (0, 1):
        rows = generator.permutation(np.flatnonzero(labels == label))
        held.append(rows[: min(max(round(fraction * len(rows)), 1), len(rows) - 1)])
    held_out = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out


def batches(x: np.ndarray, labels: np.ndarray, batch: int, epochs: int, seed: int) -> Callable[[int], tf.data.Dataset]:
    """The batches of all epochs from one on; the order of an epoch is a function of seed and epoch."""
    features, targets = tf.constant(x), tf.constant(labels)

    def make_dataset(done: int) -> tf.data.Dataset:
        rows = np.concatenate([order(len(x), batch, seed, epoch) for epoch in range(done, epochs)])
        chosen = tf.data.Dataset.from_tensor_slices(rows)
        return chosen.map(lambda row: (tf.gather(features, row), tf.gather(targets, row))).prefetch(8)

    return make_dataset


def order(rows: int, batch: int, seed: int, epoch: int) -> np.ndarray:
    """Indices int32 (steps, batch) of one epoch; the last batch is filled up with rows of the first."""
    steps = -(-rows // batch)
    shuffled = np.random.default_rng((seed, epoch)).permutation(rows)
    return np.resize(shuffled, (steps, batch)).astype("int32")


def class_weights(config: TrainingConfig, labels: np.ndarray) -> dict[int, float] | None:
    """The weight of each class: n / (2 n_class) for "balanced"."""
    if config.class_weight is None:
        return None
    return {label: len(labels) / (2 * int((labels == label).sum())) for label in (0, 1)}


def describe(config: TrainingConfig, schema: Schema, labels: np.ndarray, x: np.ndarray) -> dict[str, Any]:
    """The config.json of the run."""
    fields = dataclasses.asdict(config)
    reading = {field.name: fields.pop(field.name) for field in dataclasses.fields(Reading)}
    digest = hashlib.sha256(labels.tobytes() + x.tobytes()).hexdigest()
    found = {"rows": len(labels), "positive_rows": int(labels.sum()), "digest": digest}
    return {
        "application": APPLICATION,
        "reading": reading,
        "found": found,
        "schema": schema.to_dict(),
        "training": fields,
    }


def config_of(description: dict[str, Any]) -> TrainingConfig:
    """The configuration that `describe` wrote into config.json."""
    values = {**description["reading"], **description["training"]}
    values.update({name: tuple(values[name]) for name in ("words", "ignore")})
    return TrainingConfig(**values)


def finish(
    folder: pathlib.Path,
    config: TrainingConfig,
    schema: Schema,
    preprocessing: keras.Model,
    loss: Any,
    x: np.ndarray,
    labels: np.ndarray,
) -> dict[str, Any]:
    """Calibrates the best epoch's score on the rows held out, saves the whole model, and measures it on them."""
    core = keras.models.load_model(folder / BEST, compile=False)
    scores = core.predict(x, batch_size=BATCH, verbose=0)[:, 0]
    fitted = calibration.calibrate(config.calibration, loss, scores, labels)
    score = core(preprocessing.output)
    outputs = {"score": score, "probability": calibration.probability(score, fitted)}
    whole = keras.Model(preprocessing.input, outputs, name=f"margin_classifier_{config.model}")
    with replacing(folder / MODEL) as partial:
        whole.save(partial)
    costs = (config.cost_false_positive, config.cost_false_negative)
    threshold = calibration.threshold_of(*costs)
    measures = measure(calibration.probabilities(scores, fitted), labels, threshold=threshold, costs=costs)
    summary = {"calibration": fitted, "threshold": threshold, "costs": list(costs), "held_out": measures}
    write_json(folder / SUMMARY, summary)
    return {"classes": list(schema.classes), "features": schema.features, "left_out": list(schema.constant), **summary}


def predict(run: Any, table: Table) -> list[dict[str, Any]]:
    """For each row its number in the file from 1, the class, the probability of the positive class and the score."""
    scores, chances = run.answer(table)
    return [
        {
            "row": int(row),
            "class": run.schema.classes[int(chance >= run.threshold)],
            "probability": float(chance),
            "score": float(score),
        }
        for row, score, chance in zip(table.row_numbers, scores, chances, strict=True)
    ]
