"""Publishes a margin classifier for TensorFlow Serving: named columns, or tf.Example for Classify and Regress.

    signature         input                                            output
    serving_default   each column: float32 or string (B,)              probabilities float32 (B, 2), score float32 (B,),
                                                                       class int32 (B,): 0 or 1, by the cost's threshold
    classify          inputs: string (B,), serialised tf.Example       classes string (B, 2), scores float32 (B, 2)
    regress           inputs: string (B,), serialised tf.Example       outputs float32 (B,), the score

An Example has a float_list of one number or a bytes_list of one word for each column. What lacks one, or has a number
that is not finite, ends as INVALID_ARGUMENT; a category that the training table did not have counts as none of them.
In JSON, TensorFlow Serving makes an int64_list of 1 and a float_list of 1.0: a number needs its point there.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from apps.margin_classifier import calibration
from apps.margin_classifier.data import Table, model_inputs
from apps.margin_classifier.flags import LITE_PRECISIONS
from apps.margin_classifier.preprocessing import feature_names, statistics
from apps.margin_classifier.runs import APPLICATION, Run
from tools.errors import InputError
from tools.files import write_json
from tools.saved_model import Published, Signature, publish


def export(run: Run, *, base: str | os.PathLike, name: str, version: int | None = None) -> Published:
    """Publishes the run under base/name/version with the three signatures of this module.

    Raises:
        InputError: if the version exists, or the gate refuses the result.
    """
    return publish(
        run.model,
        signatures(run),
        base=base,
        name=name,
        version=version,
        labels=run.schema.classes,
        card=_card(run),
    )


def signatures(run: Run) -> dict[str, Signature]:
    """The three signatures, each with two example rows."""
    columns, specs = _example_columns(run), _specs(run)
    examples = np.array([_serialised(columns, row) for row in range(2)], object)

    @tf.function(input_signature=[specs], autograph=False)
    def forward(values: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        outputs = run.model({key: value[:, None] for key, value in values.items()}, training=False)
        chance = outputs["probability"]
        return {
            "probabilities": tf.concat([1 - chance, chance], axis=1),
            "score": outputs["score"][:, 0],
            "class": tf.cast(chance[:, 0] >= run.threshold, tf.int32),
        }

    def parsed(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        features = {key: tf.io.FixedLenFeature((), spec.dtype) for key, spec in specs.items()}
        values = tf.io.parse_example(inputs, features)
        return {
            key: tf.debugging.check_numerics(value, f"Expected finite values in {key!r}.")
            if value.dtype.is_floating
            else value
            for key, value in values.items()
        }

    def classify(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = forward(parsed(inputs))["probabilities"]
        return {"classes": tf.repeat(tf.constant([run.schema.classes]), tf.shape(scores)[0], axis=0), "scores": scores}

    def regress(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": forward(parsed(inputs))["score"]}

    inputs = {"inputs": tf.TensorSpec((None,), tf.string)}
    return {
        "serving_default": Signature(lambda **values: forward(values), specs, columns),
        "classify": Signature(classify, inputs, {"inputs": examples}, method="classify"),
        "regress": Signature(regress, inputs, {"inputs": examples}, method="regress"),
    }


def serialised_examples(run: Run, table: Table) -> list[bytes]:
    """A tf.Example for each row of a table, as `classify` and `regress` take them."""
    columns = {name: values[:, 0] for name, values in model_inputs(table, run.schema).items()}
    return [_serialised(columns, row) for row in range(len(table))]


def _specs(run: Run) -> dict[str, tf.TensorSpec]:
    kinds = {column: tf.float32 if column in run.schema.numeric else tf.string for column in run.schema.columns}
    return {run.schema.inputs[column]: tf.TensorSpec((None,), kind) for column, kind in kinds.items()}


def _example_columns(run: Run) -> dict[str, np.ndarray]:
    """Two rows: the mean and a deviation beyond it, the first and the last category."""
    names, columns = run.schema.inputs, {}
    if run.schema.numeric:
        for column, mean, deviation in zip(run.schema.numeric, *statistics(run.model, run.schema), strict=True):
            columns[names[column]] = np.array([mean, mean + deviation], np.float32)
    for column, words in run.schema.categorical.items():
        columns[names[column]] = np.array([words[0], words[-1]], object)
    return columns


def _serialised(columns: dict[str, np.ndarray], row: int) -> bytes:
    features = {}
    for name, values in columns.items():
        value = values[row]
        if isinstance(value, str):
            features[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        else:
            features[name] = tf.train.Feature(float_list=tf.train.FloatList(value=[float(value)]))
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def _card(run: Run) -> dict[str, Any]:
    training = run.config["training"]
    return {
        "application": APPLICATION,
        "model": run.model.name,
        "source": f"{training['model']} model, loss {training['loss']}",
        "parameters": run.model.count_params(),
        "input": {run.schema.inputs[column]: column for column in run.schema.columns},
        "preprocessing": "normalised numbers, one-hot categories, in the graph",
        "threshold": run.threshold,
        "calibration": run.summary["calibration"]["method"],
    }


# === LiteRT ===


def lite_model(run: Run) -> keras.Model:
    """The classifier on one row of numbers, for devices without words: numbers as they are, categories as 0 and 1."""
    schema = run.schema
    row = keras.Input((schema.features,), name="row")
    mean, deviation = np.zeros(schema.features), np.ones(schema.features)
    if schema.numeric:
        numbers = slice(len(schema.numeric))
        mean[numbers], deviation[numbers] = statistics(run.model, schema)
    core = run.model.get_layer(run.config["training"]["model"])
    # Of one multiplication and one addition, operations of every runtime.
    x = keras.layers.Rescaling((1 / deviation).tolist(), (-mean / deviation).tolist(), name="normalization")(row)
    return keras.Model(row, calibration.probability(core(x), run.summary["calibration"]), name="margin_classifier")


def export_lite(
    run: Run, folder: pathlib.Path, name: str, precision: str, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Writes folder/name_precision.tflite, its report, and the names of the numbers it takes.

    Raises:
        InputError: for another precision.
    """
    from tools.lite import convert

    if precision not in LITE_PRECISIONS:
        raise InputError(f"Expected a precision of {', '.join(LITE_PRECISIONS)}. Received {precision!r}.")
    columns = _example_columns(run)
    rows = np.zeros((2, run.schema.features), np.float32)
    for place, column in enumerate(run.schema.numeric):
        rows[:, place] = columns[run.schema.inputs[column]]
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}_{precision}.tflite"
    report = convert(
        lite_model(run), path, precision=precision, representative=np.repeat(rows, 2, axis=0), rewrite=False, tell=tell
    )
    write_json(folder / f"{name}_row.json", {"row": feature_names(run.schema), "classes": list(run.schema.classes)})
    return {"path": str(path), "report": report}
