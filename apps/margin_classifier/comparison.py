"""All losses on one table, by repeated stratified cross-validation, with clean and with flipped labels."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from apps.margin_classifier import models
from apps.margin_classifier.calibration import platt_probabilities
from apps.margin_classifier.data import Table, make_schema
from apps.margin_classifier.peers import PEERS, peer_scores
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
    trainable,
)
from apps.margin_classifier.runs import Reading, read_labelled
from apps.margin_classifier.statistics import corrected_t, friedman, holm
from apps.margin_classifier.training import order
from keras_layers import losses
from tools.errors import InputError
from tools.files import write_json
from tools.training import open_run
from tools.training.run_folder import check_free

APPLICATION = "margin_classifier comparison"
RESULTS = "results.jsonl"
MEASURES = ("accuracy", "auc", "log_loss", "seconds")


@dataclasses.dataclass(frozen=True)
class ComparisonConfig(Reading):
    """What is compared: how the table is read, and

    Attributes:
        losses: names; empty for all that train.
        flips: shares of the training labels that are flipped.
        folds: of the cross-validation.
        repeats: of it, each with other folds.
        scikit_learn: also its linear classifiers, in the same folds, on the same features.
        model, l2, epochs, seed: as in `TrainingConfig`.
    """

    losses: tuple[str, ...] = ()
    flips: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4)
    folds: int = 5
    repeats: int = 2
    scikit_learn: bool = False
    model: str = "linear"
    l2: float | None = None
    epochs: int | None = None
    seed: int = 0


class Fitter:
    """One score model, compiled once, that is trained again and again from the same beginning.

    Args:
        model: name of the model.
        loss: a margin loss.
        features: of a row.
        rows: of a training part; decides batch, steps and the default of `l2`.
        l2: weight of the squared weights, or None.
        epochs: of a training; None for the loss's default.
        seed: of weights and order.
    """

    def __init__(
        self,
        model: str,
        loss: losses.MarginLoss,
        features: int,
        rows: int,
        l2: float | None = None,
        epochs: int | None = None,
        seed: int = 0,
    ):
        keras.utils.set_random_seed(seed)
        self.batch = min(default_batch(rows), rows)
        self.steps, self.epochs, self.seed = -(-rows // self.batch), epochs or default_epochs(loss), seed
        l2 = default_l2(loss, model, rows) if l2 is None else l2
        self.core = models.create(model, input_shape=(features,), l2=l2, seed=seed)
        compile_score(
            self.core,
            loss,
            learning_rate=RATES[model],
            steps=self.steps * self.epochs,
            steps_per_execution=self.steps,
        )
        self.core.optimizer.build(self.core.trainable_variables)
        self._variables = [*self.core.variables, *self.core.optimizer.variables]
        self._beginning = [variable.numpy() for variable in self._variables]

    def fit(self, x: np.ndarray, labels: np.ndarray) -> float:
        """Trains from the beginning; returns the seconds."""
        for variable, value in zip(self._variables, self._beginning, strict=True):
            variable.assign(value)
        orders = [order(len(x), self.batch, self.seed, epoch)[: self.steps] for epoch in range(self.epochs)]
        rows = np.concatenate([np.resize(one, (self.steps, self.batch)) for one in orders])
        features, targets = tf.constant(x), tf.constant(labels)
        dataset = tf.data.Dataset.from_tensor_slices(rows)
        dataset = dataset.map(lambda row: (tf.gather(features, row), tf.gather(targets, row))).prefetch(8)
        started = time.perf_counter()
        self.core.fit(dataset, steps_per_epoch=len(rows), epochs=1, shuffle=False, verbose=0)
        return time.perf_counter() - started

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Scores float32 (rows,)."""
        return np.asarray(self.core(x, training=False))[:, 0]


def compare(
    config: ComparisonConfig,
    folder: str | os.PathLike,
    resume: bool = False,
    show: Callable[[Iterator, int], Iterator] = lambda items, total: items,
) -> dict[str, Any]:
    """Trains every loss on every fold and flip, and tells which differences are real.

    Args:
        config: what to compare.
        folder: for config.json, results.jsonl (a line a training) and comparison.json; new, or with `resume` that of
            an interrupted comparison of the same configuration.
        resume: go on where it stopped.
        show: wraps the trainings to show progress.

    Raises:
        InputError: if the configuration or the table is wrong.
    """
    chosen = check(config)
    if not resume:
        check_free(pathlib.Path(folder))
    table, target, labels, classes = read_labelled(config)
    fewest = int(min(labels.sum(), len(labels) - labels.sum()))
    if fewest < config.folds:
        raise InputError(f"Expected at most {fewest} folds, the rows of the smaller class. Received {config.folds}.")
    schema = make_schema(table, target, classes)
    trainer = _Trainer(config, table, schema, labels)
    trainer.check()
    folder = open_run(folder, {"application": APPLICATION, **dataclasses.asdict(config)}, resume=resume)
    rows = _done(folder / RESULTS)
    known = {_key(row) for row in rows}
    methods = [*chosen, *(PEERS if config.scikit_learn else ())]
    jobs = [
        (repeat, fold, flip, method)
        for repeat in range(config.repeats)
        for fold in range(config.folds)
        for flip in config.flips
        for method in methods
    ]
    waiting = [job for job in jobs if job not in known]
    with (folder / RESULTS).open("a", buffering=1) as results:
        for job in show(iter(waiting), len(waiting)):
            row = trainer.run(*job)
            rows.append(row)
            print(json.dumps(row), file=results)
    document = summarise(rows, methods, config)
    write_json(folder / "comparison.json", document)
    return document


def check(config: ComparisonConfig) -> list[str]:
    """Raises an `InputError` for values out of range; returns the names of the losses."""
    chosen = list(config.losses) or trainable()
    for name in chosen:
        make_loss(name)
    models.info(config.model)
    check_seed(config.seed)
    check_least("l2", config.l2, 0)
    for name in ("losses", "flips"):
        if len(set(getattr(config, name))) < len(getattr(config, name)):
            raise InputError(
                f"Expected each of the {name} once. Received {', '.join(map(str, getattr(config, name)))}."
            )
    if any(not 0 <= flip < 0.5 for flip in config.flips) or not config.flips:
        raise InputError(f"Expected flips of 0 to below 0.5. Received {list(config.flips)}.")
    for name, least in (("folds", 2), ("repeats", 1), ("epochs", 1)):
        check_least(name, getattr(config, name), least)
    return chosen


def config_of(description: dict[str, Any]) -> ComparisonConfig:
    """The configuration in the config.json of a comparison."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in description.items()}
    return ComparisonConfig(**{field.name: values[field.name] for field in dataclasses.fields(ComparisonConfig)})


class _Trainer:
    """Runs one training after the other and keeps what several of them share."""

    def __init__(self, config: ComparisonConfig, table: Table, schema: Any, labels: np.ndarray):
        self.config, self.table, self.schema, self.labels = config, table, schema, labels
        self._fitters: dict[str, Fitter] = {}
        self._part: tuple[tuple[int, int], tuple] | None = None

    def check(self) -> None:
        """Raises an `InputError` if flips leave one class alone in a training part."""
        for repeat in range(self.config.repeats):
            for fold in range(self.config.folds):
                training, _ = self._split(repeat, fold)
                for flip in self.config.flips:
                    if len(np.unique(self._flipped(training, repeat, fold, flip))) < 2:
                        raise InputError(
                            f"Expected two classes in every training part. Received one in {self.table.path}, where "
                            f"{flip:.0%} of {len(training)} labels are flipped."
                        )

    def run(self, repeat: int, fold: int, flip: float, method: str) -> dict[str, Any]:
        """One training and its measures."""
        from sklearn.metrics import log_loss, roc_auc_score

        x, training, test = self._features(repeat, fold)
        y, truth = self._flipped(training, repeat, fold, flip), self.labels[test]
        if method in PEERS:
            seconds, fitted, scores = peer_scores(method, x[training], y, x[test], self.config.seed)
        else:
            fitter = self._fitter(method, len(training), x.shape[1])
            seconds = fitter.fit(x[training], y)
            fitted, scores = fitter.scores(x[training]), fitter.scores(x[test])
        # Through the scores of the training rows, as flipped: a score has no other labels to be calibrated by here.
        chances = platt_probabilities(fitted, y, scores.astype("float64"))
        return {
            "repeat": repeat,
            "fold": fold,
            "flip": flip,
            "method": method,
            "accuracy": float(((scores > 0) == truth).mean()),
            "auc": float(roc_auc_score(truth, scores)),
            "log_loss": float(log_loss(truth, np.clip(chances, 1e-15, 1 - 1e-15), labels=[0, 1])),
            "seconds": round(seconds, 4),
        }

    def _split(self, repeat: int, fold: int) -> tuple[np.ndarray, np.ndarray]:
        from sklearn.model_selection import StratifiedKFold

        splitter = StratifiedKFold(self.config.folds, shuffle=True, random_state=self.config.seed + repeat)
        return list(splitter.split(self.labels, self.labels))[fold]

    def _features(self, repeat: int, fold: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self._part is None or self._part[0] != (repeat, fold):
            training, test = self._split(repeat, fold)
            model = feature_model(self.table.take(training), self.schema)
            self._part = (repeat, fold), (features_of(model, self.table, self.schema), training, test)
        return self._part[1]

    def _flipped(self, training: np.ndarray, repeat: int, fold: int, flip: float) -> np.ndarray:
        labels = self.labels[training].copy()
        generator = np.random.default_rng((self.config.seed, repeat, fold, round(flip * 1000)))
        chosen = generator.permutation(len(labels))[: round(flip * len(labels))]
        labels[chosen] = 1 - labels[chosen]
        return labels

    def _fitter(self, name: str, rows: int, features: int) -> Fitter:
        if name not in self._fitters:
            config = self.config
            self._fitters[name] = Fitter(
                config.model, make_loss(name), features, rows, config.l2, config.epochs, config.seed
            )
            # The first training also makes the graph; its time is not that of a training.
            x, training, _ = self._part[1]
            self._fitters[name].fit(x[training], self.labels[training])
        return self._fitters[name]


def _done(path: pathlib.Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    # A line that was being written when the process was killed has no end; what follows would be written after it.
    whole = [line for line in lines if line.endswith("\n")]
    if len(whole) < len(lines):
        path.write_text("".join(whole))
    return [json.loads(line) for line in whole]


def _key(row: dict[str, Any]) -> tuple:
    return row["repeat"], row["fold"], row["flip"], row["method"]


def summarise(rows: list[dict[str, Any]], methods: Sequence[str], config: ComparisonConfig) -> dict[str, Any]:
    """Means and deviations over the folds, and the tests, for each flip."""
    document: dict[str, Any] = {"data": config.data, "model": config.model, "methods": list(methods), "flips": []}
    for flip in config.flips:
        values = {
            (row["repeat"], row["fold"], row["method"], measure): row[measure]
            for row in rows
            if row["flip"] == flip
            for measure in MEASURES
        }
        blocks = [(repeat, fold) for repeat in range(config.repeats) for fold in range(config.folds)]
        tables = {
            measure: np.array([[values[(*block, method, measure)] for method in methods] for block in blocks])
            for measure in MEASURES
        }
        entry: dict[str, Any] = {
            "flip": flip,
            "rows": [
                {"method": method}
                | {measure: float(tables[measure][:, place].mean()) for measure in MEASURES}
                | {f"{measure}_deviation": float(tables[measure][:, place].std(ddof=1)) for measure in MEASURES}
                for place, method in enumerate(methods)
            ],
        }
        entry["tests"] = {
            measure: _tests(tables[measure] * (-1 if measure == "log_loss" else 1), methods, config.folds)
            for measure in ("accuracy", "auc", "log_loss")
        }
        document["flips"].append(entry)
    return document


def _tests(scores: np.ndarray, methods: Sequence[str], folds: int) -> dict[str, Any] | None:
    if len(methods) < 3:
        return None
    found = friedman(scores)
    best = int(np.argmax(scores.mean(axis=0)))
    others = [place for place in range(len(methods)) if place != best]
    raw = np.array([corrected_t(scores[:, best] - scores[:, place], 1 / (folds - 1)) for place in others])
    adjusted = dict(zip((methods[place] for place in others), holm(raw).tolist(), strict=True))
    return {
        "friedman": found.statistic,
        "friedman_p": found.p,
        "mean_ranks": dict(zip(methods, found.ranks.tolist(), strict=True)),
        "critical_difference": found.critical_difference,
        "best": methods[best],
        "nemenyi_p_against_best": {methods[place]: float(found.pairs[best, place]) for place in others},
        "corrected_t_p_against_best": adjusted,
    }
