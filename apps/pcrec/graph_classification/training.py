"""Cross-validation of the GIN classifier by the protocol of its authors.

Every fold trains on nine tenths and is measured on the last tenth after every epoch. The ten curves are averaged, one
epoch is chosen on the average, and its mean and deviation over the folds are the result. There is no test set beside:
the epoch is chosen on the graphs that it is measured on, as in the published figures.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from apps.pcrec.graph_classification.data import FOLDS, GraphSet, read_fold, read_graphs
from apps.pcrec.models.gin import GINClassifier
from tools.errors import InputError
from tools.figures import draw_curves
from tools.files import read_json, write_json
from tools.training import make_learning_rate, open_run

# The learning rate halves so often.
DECAY_EPOCHS = 50


@dataclasses.dataclass(frozen=True)
class CrossValidationConfig:
    """Everything that decides a cross-validation.

    Attributes:
        data: folder of one set: <name>.txt and 10fold_idx/.
        features: "tags" or "degrees"; None for tags, or for degrees where all tags are one.
        folds: which of the ten.
        epochs: of each fold.
        iterations: batches in an epoch.
        batch_size: graphs in a batch, drawn anew each time.
        units: width of the dense layers.
        convolutions: how many.
        dropout: of the scores.
        aggregation: of neighbours: "sum", "mean" or "max".
        pooling: of nodes: "sum", "mean" or "max".
        learn_epsilon: whether epsilon is trained.
        learning_rate: of Adam at the start; it halves every 50 epochs.
        seed: of weights, dropout and batches.
    """

    data: str
    features: str | None = None
    folds: tuple[int, ...] = tuple(range(1, FOLDS + 1))
    epochs: int = 350
    iterations: int = 50
    batch_size: int = 32
    units: int = 64
    convolutions: int = 4
    dropout: float = 0.5
    aggregation: str = "sum"
    pooling: str = "sum"
    learn_epsilon: bool = False
    learning_rate: float = 0.01
    seed: int = 0


def cross_validate(
    config: CrossValidationConfig, run_folder: str | os.PathLike, resume: bool = False
) -> dict[str, Any]:
    """Trains the folds one after the other, keeps each as it ends, and returns the report.

    Args:
        config: the whole configuration.
        run_folder: new, or with `resume` that of a run begun with the same configuration.
        resume: go on behind the last whole fold.

    Raises:
        InputError: if anything in the configuration or the files is wrong, or the folder is taken.
    """
    _check(config)
    graphs = read_graphs(config.data, config.features)
    divisions = {fold: read_fold(config.data, fold, len(graphs)) for fold in config.folds}
    description = {"application": "pcrec", "task": "gin", **dataclasses.asdict(config), "found": graphs.facts()}
    folder = open_run(run_folder, description, resume=resume)
    curves = {}
    for fold, (training, test) in divisions.items():
        path = folder / f"fold_{fold}.json"
        if not path.exists():
            write_json(path, train_fold(config, graphs, fold, training, test))
        curves[fold] = read_json(path)
    report = {"run": str(folder), "data": graphs.facts(), **summarise(curves)}
    write_json(folder / "report.json", report)
    _draw(curves, folder / "curves.png")
    return report


def train_fold(
    config: CrossValidationConfig, graphs: GraphSet, fold: int, training: np.ndarray, test: np.ndarray
) -> dict[str, Any]:
    """The curves of one fold: loss and accuracy of training and the accuracy on the tenth left out, each epoch."""
    started = time.monotonic()
    keras.utils.set_random_seed(config.seed + fold)
    model = GINClassifier(
        input_shape=(graphs.channels,),
        classes=graphs.classes,
        units=config.units,
        convolutions=config.convolutions,
        aggregation=config.aggregation,
        pooling=config.pooling,
        learn_epsilon=config.learn_epsilon,
        dropout=config.dropout,
    )
    rate = make_learning_rate(
        config.learning_rate,
        steps_per_epoch=config.iterations,
        epochs=config.epochs,
        milestones=range(DECAY_EPOCHS, config.epochs, DECAY_EPOCHS),
        factor=0.5,
    )
    model.compile(
        keras.optimizers.Adam(rate, epsilon=1e-8),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        # A step is small beside what Keras does between two of them.
        steps_per_execution=config.iterations,
    )
    history = model.fit(
        training_batches(config, graphs, fold, training),
        epochs=config.epochs,
        steps_per_epoch=config.iterations,
        validation_data=tf.data.Dataset.from_tensors(graphs.batch(test)),
        shuffle=False,
        verbose=0,
        callbacks=[_Progress(fold, config.epochs)],
    ).history
    seconds = round(time.monotonic() - started, 1)
    return {
        "fold": fold,
        "graphs": len(test),
        "loss": history["loss"],
        "accuracy": history["accuracy"],
        "test_accuracy": history["val_accuracy"],
        "seconds": seconds,
    }


def training_batches(
    config: CrossValidationConfig, graphs: GraphSet, fold: int, training: np.ndarray
) -> tf.data.Dataset:
    """All batches of a fold: each is drawn from the whole, without repetitions within it."""
    size = min(config.batch_size, len(training))

    def make(step: int) -> list[np.ndarray]:
        rng = np.random.default_rng((config.seed, fold, step))
        inputs, labels = graphs.batch(training[rng.permutation(len(training))[:size]])
        return [inputs["features"], inputs["edges"], inputs["graphs"], labels]

    def of_step(step: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        arrays = tf.numpy_function(make, [step], [tf.float32, tf.int32, tf.int32, tf.int32])
        for array, shape in zip(arrays, ((None, graphs.channels), (None, 2), (None,), (size,)), strict=True):
            array.set_shape(shape)
        return dict(zip(("features", "edges", "graphs"), arrays, strict=False)), arrays[-1]

    return tf.data.Dataset.range(config.epochs * config.iterations).map(of_step).prefetch(16)


def summarise(curves: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """The epoch whose accuracy, averaged over the folds, is best, and the accuracies there.

    Args:
        curves: what `train_fold` returned, by fold.
    """
    accuracies = np.array([curve["test_accuracy"] for curve in curves.values()])
    epoch = int(accuracies.mean(axis=0).argmax())
    chosen, last = accuracies[:, epoch], accuracies[:, -1]
    return {
        "folds": {str(fold): round(float(value), 4) for fold, value in zip(curves, chosen, strict=True)},
        "epoch": epoch + 1,
        "accuracy": round(float(chosen.mean()), 4),
        "deviation": round(float(chosen.std()), 4),
        "last_epoch_accuracy": round(float(last.mean()), 4),
        "last_epoch_deviation": round(float(last.std()), 4),
        "training_accuracy": round(float(np.mean([curve["accuracy"][epoch] for curve in curves.values()])), 4),
        "seconds": round(sum(curve["seconds"] for curve in curves.values()), 1),
    }


def _draw(curves: dict[int, dict[str, Any]], path: pathlib.Path) -> None:
    means = {
        name: np.mean([curve[name] for curve in curves.values()], axis=0) for name in ("accuracy", "test_accuracy")
    }
    history = [
        {"epoch": epoch, "accuracy": float(own), "val_accuracy": float(other)}
        for epoch, (own, other) in enumerate(zip(means["accuracy"], means["test_accuracy"], strict=True), start=1)
    ]
    draw_curves(history, path)


def _check(config: CrossValidationConfig) -> None:
    for name in ("epochs", "iterations", "batch_size", "units", "convolutions"):
        if getattr(config, name) < 1:
            raise InputError(f"Expected {name} to be at least 1. Received {getattr(config, name)}.")
    if not 0 <= config.dropout < 1:
        raise InputError(f"Expected dropout from 0 to below 1. Received {config.dropout}.")
    if not 0 < config.learning_rate < float("inf"):
        raise InputError(f"Expected learning_rate to be above 0. Received {config.learning_rate}.")
    if config.seed < 0:
        raise InputError(f"Expected seed to be 0 or more. Received {config.seed}.")
    for name in ("aggregation", "pooling"):
        if getattr(config, name) not in ("sum", "mean", "max"):
            raise InputError(f"Expected {name} to be one of sum, mean, max. Received {getattr(config, name)!r}.")
    _check_folds(config.folds)


def _check_folds(folds: Sequence[int]) -> None:
    if not folds or len(set(folds)) != len(folds) or not set(folds) <= set(range(1, FOLDS + 1)):
        raise InputError(f"Expected folds from 1 to {FOLDS}, each once. Received {list(folds)}.")


class _Progress(keras.callbacks.Callback):
    """A line on standard error every ten seconds, or in place on a terminal."""

    def __init__(self, fold: int, epochs: int):
        super().__init__()
        self.fold, self.epochs = fold, epochs
        self.terminal = sys.stderr.isatty()
        self.shown = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        now, last = time.monotonic(), epoch + 1 == self.epochs
        if last or now - self.shown >= (0.5 if self.terminal else 10.0):
            self.shown = now
            values = "  ".join(f"{name} {value:.4g}" for name, value in (logs or {}).items())
            line = f"fold {self.fold}  epoch {epoch + 1}/{self.epochs}  {values}"
            end = "\n" if last or not self.terminal else ""
            print(f"\r{line.ljust(79)}" if self.terminal else line, end=end, file=sys.stderr, flush=True)
