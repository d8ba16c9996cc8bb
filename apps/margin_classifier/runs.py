"""Reading a run folder: the whole model, from the columns of a table to a probability."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from apps.margin_classifier.data import BATCH, Schema, Table, model_inputs, read_table, split_target, text_of
from tools.errors import InputError
from tools.files import read_json
from tools.training.run_folder import CONFIGURATION

if TYPE_CHECKING:
    import keras

APPLICATION = "margin_classifier"
MODEL = "model.keras"
SUMMARY = "summary.json"


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a table is read.

    Attributes:
        data: a .csv or .parquet file.
        target: its target column; None for the last.
        header: whether the first line of a CSV names the columns.
        positive: value of the positive class; None for the larger one.
        words: columns of numbers that are categories.
        ignore: columns to leave out.
        drop_missing: text of a missing value; rows with one are left out. None: a missing value is an error.
    """

    data: str
    target: str | None = None
    header: bool = True
    positive: str | None = None
    words: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    drop_missing: str | None = None


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained classifier.

    Attributes:
        path: the run folder.
        model: columns (batch, 1) by name -> {"score", "probability"}, each (batch, 1).
        schema: the columns and classes.
        config: config.json.
        summary: what training found: calibration, threshold, features, measures.
    """

    path: pathlib.Path
    model: keras.Model
    schema: Schema
    config: dict[str, Any]
    summary: dict[str, Any]

    @property
    def threshold(self) -> float:
        """The probability from which the positive class is answered."""
        return self.summary["threshold"]

    def answer(self, table: Table) -> tuple[np.ndarray, np.ndarray]:
        """Scores and probabilities of the positive class, each float32 (rows,)."""
        inputs = model_inputs(table, self.schema)
        parts = [
            self._forward({name: values[start : start + BATCH] for name, values in inputs.items()})
            for start in range(0, len(table), BATCH)
        ]
        scores, chances = (np.concatenate([part[key] for part in parts])[:, 0] for key in ("score", "probability"))
        return scores, chances

    @functools.cached_property
    def _forward(self) -> Callable[[dict[str, np.ndarray]], dict[str, Any]]:
        import tensorflow as tf

        specs = {tensor.name: tf.TensorSpec((None, 1), tensor.dtype) for tensor in self.model.inputs}
        traced = tf.function(
            lambda values: self.model(values, training=False), input_signature=[specs], autograph=False
        )
        return lambda values: traced({name: tf.constant(column) for name, column in values.items()})

    def read(self, path: str | os.PathLike, *, labelled: bool) -> tuple[Table, np.ndarray | None]:
        """A table as the run reads it, with labels 0 or 1 int32 (rows,) if `labelled`.

        Raises:
            InputError: if a column of the training table is missing, or its target has other classes.
        """
        reading = self.config["reading"]
        needed = [*self.schema.columns, *([self.schema.target] if labelled else [])]
        # Words stay words, where this table has none but such as 007.
        words = [*self.schema.categorical, *([self.schema.target] if labelled and self._target_is_words else [])]
        table = read_table(
            path, header=reading["header"], drop_missing=reading["drop_missing"], words=words, needed=needed
        )
        if not labelled:
            return table, None
        texts = np.array([text_of(value) for value in table.columns[self.schema.target]])
        strange = ~np.isin(texts, self.schema.classes)
        if strange.any():
            raise InputError(
                f"Expected the classes {' and '.join(self.schema.classes)} in column {self.schema.target!r} of {path}. "
                f"Received {str(texts[np.argmax(strange)])!r} in row {table.row_numbers[np.argmax(strange)]}."
            )
        return table.without([self.schema.target]), (texts == self.schema.classes[1]).astype("int32")

    @property
    def _target_is_words(self) -> bool:
        try:
            return any(text_of(float(name)) != name for name in self.schema.classes)
        except ValueError:
            return True


def load_run(path: str | os.PathLike) -> Run:
    """Reads a run folder that `train` wrote.

    Raises:
        InputError: if this is no run folder, one of another application, or its training has not ended.
    """
    folder = pathlib.Path(path)
    if not folder.is_dir():
        raise InputError(f"Expected a run folder. Received {folder}: {'a file' if folder.exists() else 'not found'}.")
    config = read_config(folder, APPLICATION)
    file = folder / MODEL
    if not file.exists():
        raise InputError(f"Expected a run whose training has ended. Received {folder}: no {MODEL} (--resume goes on).")
    if not zipfile.is_zipfile(file):
        raise InputError(f"Expected {file} to be a whole Keras file. Received one that is cut off or another.")

    import keras

    import keras_layers  # noqa: F401 (registers the layers)

    try:
        model = keras.models.load_model(file, compile=False)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise InputError(f"Expected {file} to be a model of this suite. Received: {error}") from error
    return Run(folder, model, Schema.from_dict(config["schema"]), config, read_json(folder / SUMMARY))


def read_config(folder: pathlib.Path, application: str) -> dict[str, Any]:
    """The config.json of a folder.

    Raises:
        InputError: if there is none, or it is that of something else than `application`.
    """
    config = read_json(folder / CONFIGURATION)
    if config.get("application") != application:
        raise InputError(f"Expected a run of {application}. Received {folder}, a run of {config.get('application')}.")
    return config


def read_labelled(config: Reading) -> tuple[Table, str, np.ndarray, tuple[str, str]]:
    """The training table without its target, the target's name, labels 0 or 1 int32 (rows,) and the two classes.

    Raises:
        InputError: if the table or its target is not as `Reading` says.
    """
    table = read_table(config.data, header=config.header, drop_missing=config.drop_missing, words=config.words)
    absent = sorted(set(config.ignore) - set(table.columns))
    if absent:
        raise InputError(f"Expected {config.data} to have the column {absent[0]!r} to ignore. Received none.")
    table = table.without(config.ignore)
    if not table.columns:
        raise InputError(f"Expected columns beside the ignored ones in {config.data}. Received none.")
    return split_target(table, config.target, config.positive)
