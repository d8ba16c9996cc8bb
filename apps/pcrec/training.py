"""`finetune`: trains a recommender on a prepared folder and chooses it on the validation part."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from apps.pcrec import initial, models
from apps.pcrec.data.prepared import APPLICATION, Prepared, read_prepared
from apps.pcrec.evaluation.protocol import Monitor
from apps.pcrec.recommenders import Recommender
from apps.pcrec.recommenders.vectors import Vectors, popularity
from apps.pcrec.runs import BASELINES, REPORT, SUMMARY, TrainingConfig, write_catalogue
from apps.pcrec.sparse_adam import SparseAdam
from apps.pcrec.triples import Schedule, Triples, schedule
from keras_layers import losses
from tools.errors import InputError
from tools.files import read_json, write_json
from tools.training import fit, open_run
from tools.training.run_folder import BEST

# L2 and deviation of the first vectors: of MF by the validation part of Grocery, of LightGCN as published.
TRAINED = {"mf": (0.1, 0.01), "lightgcn": (1e-4, 0.1)}
# Of an epoch, where the passes are not given: with few, early stopping would judge by noise.
LEAST_STEPS = 1000


def train(config: TrainingConfig, run_folder: str | os.PathLike, *, resume: bool = False) -> dict[str, Any]:
    """Trains and writes the run folder.

    Args:
        config: what and how.
        run_folder: a new one, or with `resume` that of an interrupted run of the same configuration.
        resume: go on where it stopped.

    Returns:
        The report, which is in report.json too.

    Raises:
        InputError: if the configuration, the data or the run folder is wrong.
    """
    check(config)
    prepared = read_prepared(config.prepared)
    begin = _beginning(config, prepared)
    config = completed(config, len(prepared.train), None if begin is None else begin[0].shape[1])
    monitor = Monitor(prepared, config.monitor, config.protocol, config.validation_users, config.seed)
    described = {"application": APPLICATION, "kind": "run", "digest": prepared.digest}
    folder = open_run(run_folder, {**described, "training": dataclasses.asdict(config)}, resume=resume)
    if resume and (folder / REPORT).exists():
        print(f"{folder}: the run is finished; nothing to do", file=sys.stderr)
        return read_json(folder / REPORT)
    if config.model in BASELINES:
        recommender, found = _baseline(config, prepared, monitor)
    elif config.epochs:
        recommender, found = _fit(config, prepared, monitor, begin, folder, resume)
    else:
        recommender, found = Vectors(*begin), {"chosen": {}}
        found["validation"] = monitor(recommender)
    recommender.save(folder)
    write_catalogue(folder, prepared)
    write_json(folder / SUMMARY, {"recommender": recommender.kind, "model": config.model})
    report = {
        "run": str(folder),
        "model": config.model,
        "users": len(prepared.users),
        "items": len(prepared.items),
        "interactions": len(prepared.train),
        "monitor": f"{config.monitor}, {config.protocol}",
        **found,
    }
    write_json(folder / REPORT, report)
    return report


def completed(config: TrainingConfig, rows: int, channels: int | None) -> TrainingConfig:
    """The configuration with numbers in place of None.

    Args:
        config: as given.
        rows: of the training part.
        channels: of the initial vectors, if there are any.

    Raises:
        InputError: if the initial vectors have another length than was asked for.
    """
    if channels and config.channels not in (None, channels):
        raise InputError(f"Expected initial vectors of {config.channels} channels. Received {channels}.")
    l2, deviation = TRAINED.get(config.model, TRAINED["mf"])
    passes = -(-LEAST_STEPS * min(config.batch_size, rows) // rows)
    own = {"channels": channels or 64, "l2": l2, "initial_deviation": deviation, "passes": passes}
    return dataclasses.replace(
        config, **{name: number for name, number in own.items() if getattr(config, name) is None}
    )


def check(config: TrainingConfig) -> None:
    """Raises an `InputError` for values that no later step checks."""
    known = (*TRAINED, *BASELINES)
    if config.model not in known:
        raise InputError(f"Expected model to be one of {', '.join(known)}. Received {config.model!r}.")
    given = {name: number for name, number in dataclasses.asdict(config).items() if number is not None}
    for name in ("channels", "batch_size", "negatives", "patience", "passes", "depth"):
        if given.get(name, 1) < 1:
            raise InputError(f"Expected {name} to be at least 1. Received {given[name]}.")
    for name in ("epochs", "validation_users", "seed", "l2"):
        if not 0 <= given.get(name, 0) < float("inf"):
            raise InputError(f"Expected {name} to be 0 or more. Received {given[name]}.")
    for name in ("learning_rate", "initial_deviation"):
        if not 0 < given.get(name, 1) < float("inf"):
            raise InputError(f"Expected {name} to be above 0. Received {given[name]}.")
    for name, least in (("neighbours", 1), ("shrinkage", 0)):
        if min(getattr(config, name), default=least - 1) < least:
            raise InputError(f"Expected {name} of {least} or more. Received {getattr(config, name)}.")
    if not config.ease_l2 or not all(0 < l2 < float("inf") for l2 in config.ease_l2):
        raise InputError(f"Expected ease_l2 above 0. Received {config.ease_l2}.")
    if config.initial is None and (config.initial_form != "given" or config.initial_norm is not None):
        raise InputError("Expected a file of initial vectors (--initial) to bring into a form. Received none.")
    if config.initial is not None and config.model != "mf":
        raise InputError(f"Expected the model mf to begin with initial vectors. Received {config.model!r}.")
    if not config.epochs and config.initial is None:
        raise InputError("Expected epochs of at least 1, or initial vectors to leave as they are. Received 0 epochs.")


def _beginning(config: TrainingConfig, prepared: Prepared) -> tuple[np.ndarray, np.ndarray] | None:
    if config.initial is None:
        return None
    vectors = initial.read_vectors(config.initial, prepared)
    degrees = initial.degrees_of(prepared)
    return initial.form(*vectors, config.initial_form, config.initial_norm, config.seed, degrees)


def _baseline(config: TrainingConfig, prepared: Prepared, monitor: Monitor) -> tuple[Recommender, dict[str, Any]]:
    """Fits a baseline with each of its settings and keeps the best on the validation part."""
    matrix = prepared.matrix("train")
    if config.model == "popularity":
        settings, make = [{}], lambda: popularity(matrix)
    elif config.model == "ease":
        from apps.pcrec.recommenders.ease import EASE

        settings, make = [{"l2": l2} for l2 in config.ease_l2], lambda **one: EASE.fit(matrix, **one)
    else:
        from apps.pcrec.recommenders.item_knn import ItemKNN

        settings = [{"neighbours": k, "shrinkage": s} for k in config.neighbours for s in config.shrinkage]

        def make(**one: Any) -> Recommender:
            return ItemKNN.fit(matrix, **one)

    best: tuple[float, Recommender, dict[str, Any]] | None = None
    tried, started = [], time.perf_counter()
    for one in settings:
        begun = time.perf_counter()
        recommender = make(**one)
        seconds = time.perf_counter() - begun
        value = monitor(recommender)
        tried.append({**one, "validation": value, "seconds": round(seconds, 3)})
        if best is None or value > best[0]:
            best = value, recommender, one
    found = {
        "validation": best[0],
        "chosen": best[2],
        "tried": tried,
        "seconds": round(time.perf_counter() - started, 3),
    }
    return best[1], found


# === models that train ===


def _fit(
    config: TrainingConfig,
    prepared: Prepared,
    monitor: Monitor,
    begin: tuple[np.ndarray, np.ndarray] | None,
    folder: pathlib.Path,
    resume: bool,
) -> tuple[Recommender, dict[str, Any]]:
    keras.utils.set_random_seed(config.seed)
    plan = schedule(len(prepared.train), config.batch_size, config.passes)
    triples = Triples(prepared.train, len(prepared.items), config.negatives, plan, config.seed)
    learner = (_MatrixFactorization if config.model == "mf" else _LightGCN)(config, prepared, begin)
    learner.model.compile(
        # Without momentum: that of a row would be of steps long ago.
        optimizer=SparseAdam(config.learning_rate, beta_1=0.0),
        loss=losses.BPR(config.l2),
        steps_per_execution=plan.together,
        # Compiled by XLA, the gradient of a few rows becomes one of the whole table.
        jit_compile=False,
    )
    result = fit(
        learner.model,
        lambda done: triples.dataset(done, config.epochs).map(learner.example),
        steps_per_epoch=plan.steps,
        epochs=config.epochs,
        run_folder=folder,
        monitor=f"val_{config.monitor}",
        patience=config.patience,
        resume=resume,
        callbacks=[_Validation(learner, monitor, plan)],
    )
    learner.model.set_weights(keras.models.load_model(folder / BEST, compile=False).get_weights())
    seconds = [row["train_seconds"] for row in result.history]
    found = {
        "validation": result.best,
        "chosen": {"epoch": result.best_epoch},
        "epochs": len(result.history),
        "passes_per_epoch": config.passes,
        "stopped_early": result.stopped_early,
        "seconds_per_pass": round(float(np.median(seconds)) / config.passes, 4),
        "train_seconds": round(sum(seconds), 3),
        "validation_seconds": round(sum(row["validation_seconds"] for row in result.history), 3),
    }
    return learner.recommender(), found


class _Validation(keras.callbacks.Callback):
    """Adds the monitored measure, and the seconds of training and of measuring, to the logs of an epoch."""

    def __init__(self, learner: Any, monitor: Monitor, plan: Schedule):
        super().__init__()
        self.learner, self.monitor, self.plan = learner, monitor, plan

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._begun = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        trained = time.perf_counter()
        logs[f"val_{self.monitor.measure}"] = self.monitor(self.learner.recommender())
        logs["train_seconds"] = round(trained - self._begun, 4)
        logs["validation_seconds"] = round(time.perf_counter() - trained, 4)


class _MatrixFactorization:
    """A model, how an example becomes its input, and the vectors it has come to."""

    def __init__(self, config: TrainingConfig, prepared: Prepared, begin: tuple[np.ndarray, np.ndarray] | None):
        self.model = models.create(
            "mf",
            input_shape=(1 + config.negatives,),
            classes=config.channels,
            users=len(prepared.users),
            items=len(prepared.items),
            initial_deviation=config.initial_deviation,
            seed=config.seed,
        )
        self._tables = [self.model.get_layer(name).table for name in ("user_vectors", "item_vectors")]
        for table, values in zip(self._tables, begin or (), strict=False):
            table.assign(values)

    def example(self, user: tf.Tensor, items: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        return {"user": user, "items": items}, tf.zeros_like(user, tf.float32)

    def recommender(self) -> Vectors:
        return Vectors(*(table.numpy() for table in self._tables))


class _LightGCN:
    """The same of LightGCN."""

    def __init__(self, config: TrainingConfig, prepared: Prepared, begin: None):
        self.users, items = len(prepared.users), len(prepared.items)
        self.model = models.create(
            "lightgcn",
            input_shape=(1 + config.negatives,),
            classes=config.channels,
            users=self.users,
            items=items,
            depth=config.depth,
            initial_deviation=config.initial_deviation,
            seed=config.seed,
        )
        user, item = prepared.train.user, prepared.train.item + self.users
        edges = np.concatenate([np.stack([user, item], axis=1), np.stack([item, user], axis=1)])
        # Sums over edges whose targets are neighbours in memory take two thirds of the time.
        edges = edges[np.argsort(edges[:, 1], kind="stable")]
        self._edges, self._all = tf.constant(edges, tf.int32), tf.range(self.users + items)
        table, propagation = self.model.get_layer("nodes_table"), self.model.get_layer("propagation")
        self._propagate = tf.function(lambda: propagation([table(self._all), self._edges]), autograph=False)

    def example(self, user: tf.Tensor, items: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        nodes = tf.concat([user[:, None], items + self.users], axis=1)
        return {"nodes": nodes, "all": self._all, "edges": self._edges}, tf.zeros_like(user, tf.float32)

    def recommender(self) -> Vectors:
        vectors = self._propagate().numpy()
        return Vectors(vectors[: self.users], vectors[self.users :])
