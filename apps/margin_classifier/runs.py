"""Reading a run folder: the whole model, from the columns of a table to a probability."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from apps.margin_classifier.data import Schema, Table, model_inputs, read_table, split_target
from tools.errors import InputError
from tools.files import read_json

if TYPE_CHECKING:
    import keras

APPLICATION = "margin_classifier"
MODEL = "model.keras"
SUMMARY = "summary.json"


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
        import tensorflow as tf

        inputs = {name: tf.constant(values) for name, values in model_inputs(table, self.schema).items()}
        outputs = self.model(inputs, training=False)
        return np.asarray(outputs["score"])[:, 0], np.asarray(outputs["probability"])[:, 0]

    def read(self, path: str | os.PathLike, *, labelled: bool) -> tuple[Table, np.ndarray | None]:
        """A table as the run reads it, with labels 0 or 1 int32 (rows,) if `labelled`.

        Raises:
            InputError: if a column of the training table is missing, or its target has other classes.
        """
        reading = self.config["reading"]
        needed = list(self.schema.columns) + ([self.schema.target] if labelled else [])
        words = [name for name in reading["words"] if name in needed]
        table = read_table(
            path, header=reading["header"], drop_missing=reading["drop_missing"], words=words, needed=needed
        )
        if not labelled:
            return table, None
        target = table.columns[self.schema.target]
        from apps.margin_classifier.data import text_of

        texts = np.array([text_of(value) for value in target])
        strange = ~np.isin(texts, self.schema.classes)
        if strange.any():
            raise InputError(
                f"Expected the classes {' and '.join(self.schema.classes)} in column {self.schema.target!r} of {path}. "
                f"Received {texts[np.argmax(strange)]!r} in row {int(np.argmax(strange)) + 1}."
            )
        labels = (texts == self.schema.classes[1]).astype("int32")
        rest = {name: column for name, column in table.columns.items() if name != self.schema.target}
        return Table(table.path, rest), labels


def load_run(path: str | os.PathLike) -> Run:
    """Reads a run folder that `train` wrote.

    Raises:
        InputError: if this is no run folder, one of another application, or its training has not ended.
    """
    folder = pathlib.Path(path)
    if not folder.is_dir():
        raise InputError(f"Expected a run folder. Received {folder}: {'a file' if folder.exists() else 'not found'}.")
    config = read_json(folder / "config.json")
    if config.get("application") != APPLICATION:
        raise InputError(f"Expected a run of {APPLICATION}. Received {folder}, a run of {config.get('application')}.")
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


def read_labelled(config: Any) -> tuple[Table, str, np.ndarray, tuple[str, str]]:
    """The training table, the name of its target, labels and classes, as a configuration with reading fields says."""
    table = read_table(config.data, header=config.header, drop_missing=config.drop_missing, words=config.words)
    ignored = set(config.ignore)
    absent = sorted(ignored - set(table.columns))
    if absent:
        raise InputError(f"Expected {config.data} to have the column {absent[0]!r} to ignore. Received none.")
    table = Table(table.path, {name: column for name, column in table.columns.items() if name not in ignored})
    if not table.columns:
        raise InputError(f"Expected columns beside the ignored ones in {config.data}. Received none.")
    return split_target(table, config.target, config.positive)
