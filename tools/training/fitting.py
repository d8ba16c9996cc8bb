"""`fit`: `model.fit` that can be killed at any instant and goes on as if nothing had happened."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tools.errors import InputError
from tools.training.callbacks import ProgressLines, Recorder
from tools.training.run_folder import STATE
from tools.training.state import Record, load_state


@dataclasses.dataclass(frozen=True)
class Training:
    """What a run has come to.

    Attributes:
        history: one row an epoch: "epoch" (from 1), every logged value, "learning_rate" (of its first step),
            "seconds".
        monitor: logged value that decided which epoch was best.
        best: its best value.
        best_epoch: epoch of the best value, from 1.
        stopped_early: whether early stopping ended the run.
        resumed_from: epochs that were done before this call.
    """

    history: list[dict[str, float]]
    monitor: str
    best: float
    best_epoch: int
    stopped_early: bool
    resumed_from: int


def fit(
    model: keras.Model,
    make_dataset: Callable[[int], tf.data.Dataset],
    *,
    steps_per_epoch: int,
    epochs: int,
    run_folder: str | os.PathLike,
    validation: tf.data.Dataset | None = None,
    monitor: str | None = None,
    patience: int | None = None,
    class_weight: dict[int, float] | None = None,
    resume: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    kept: keras.Model | None = None,
) -> Training:
    """Trains a compiled model and keeps in the run folder everything to use it and to go on.

    After every epoch the folder holds `best.keras` and `last.keras` (without optimizer), `log.csv`, `tensorboard/` and
    `state.npz`: weights, optimizer, states of the random generators of the layers, history, early stopping. A run
    killed at any instant goes on from its last whole epoch. On the same machine the weights come out bit for bit as
    without the interruption, if `make_dataset` is a function of the epoch alone and the operations are deterministic.

    Args:
        model: compiled model of layers that draw random numbers, if any, from `SeedGenerator`s they own.
        make_dataset: called with the number of epochs done; returns the batches of all remaining epochs in one stream.
        steps_per_epoch: batches in an epoch.
        epochs: epochs of the whole run.
        run_folder: an existing folder (see `open_run`).
        validation: batches on which the model is measured after every epoch.
        monitor: logged value that decides which epoch is best: lower is better if its name ends in "loss", otherwise
            higher; of equal epochs that of the lowest loss. Default "val_accuracy" with validation, else "accuracy".
        patience: epochs without improvement after which to stop; None to go on to the end.
        class_weight: weight of the loss of each class.
        resume: go on from `state.npz` of the folder, if it is there. A finished run is returned as it is.
        callbacks: more callbacks; they must keep no state between epochs.
        kept: the model of `best.keras` and `last.keras`, where layers of `model` serve the training alone: one of the
            same layers without these. Default `model`.

    Raises:
        InputError: if the folder holds a state and `resume` is False, the state is of another model, the data end too
            early, the monitored value is not logged, or the loss is not finite.
    """
    folder = pathlib.Path(run_folder)
    monitor = monitor or ("accuracy" if validation is None else "val_accuracy")
    _check_positive(steps_per_epoch=steps_per_epoch, epochs=epochs, patience=patience)
    record = _record(folder, model, resume)
    done = record.epochs_done
    if record.finished:
        print(f"{folder}: the run is finished ({done} epochs); nothing to do", file=sys.stderr)
        return _result(record, monitor, done)
    if done:
        print(f"{folder}: going on after epoch {done} of {epochs}", file=sys.stderr)
    length = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    maximise = not monitor.endswith("loss")
    recorder = Recorder(folder, record, **length, monitor=monitor, maximise=maximise, patience=patience, kept=kept)
    model.fit(
        _remaining(make_dataset, done, **length),
        initial_epoch=done,
        **length,
        shuffle=False,
        validation_data=validation,
        class_weight=class_weight,
        callbacks=[*callbacks, ProgressLines(epochs, steps_per_epoch), recorder],
        verbose=0,
    )
    return _result(record, monitor, done)


def _check_positive(**values: int | None) -> None:
    for name, value in values.items():
        if value is not None and value < 1:
            raise InputError(f"Expected {name} to be at least 1. Received {value}.")


def _record(folder: pathlib.Path, model: keras.Model, resume: bool) -> Record:
    """What the folder remembers of the run; then the model has its weights too."""
    state = folder / STATE
    if not state.exists():
        return Record()
    if not resume:
        raise InputError(f"Expected a run folder without a state, or resume. Received {folder}.")
    return load_state(state, model)


def _remaining(
    make_dataset: Callable[[int], tf.data.Dataset], done: int, epochs: int, steps_per_epoch: int
) -> tf.data.Dataset:
    dataset = make_dataset(done)
    batches, wanted = int(dataset.cardinality()), (epochs - done) * steps_per_epoch
    # Keras begins again with a stream that ends too early, without a word.
    if 0 <= batches < wanted:
        raise InputError(f"Expected make_dataset({done}) to give {wanted} batches. Received {batches}.")
    return dataset


def _result(record: Record, monitor: str, resumed_from: int) -> Training:
    return Training(
        record.history, monitor, record.best, record.best_epoch, record.stopped_early, resumed_from=resumed_from
    )
