"""Preprocessing inside the model: each column an input, normalised or one-hot, one row of features after the other."""

from __future__ import annotations

import keras
import numpy as np

from apps.margin_classifier.data import Schema, Table, model_inputs

# Keras divides by no deviation below 1e-7.
NARROW = 1e-6


def feature_model(table: Table, schema: Schema) -> keras.Model:
    """A model from the columns to "features", float32 (batch, features), with the statistics of a training table.

    Numbers are normalised to mean 0 and deviation 1; a category is 1 in its place and 0 elsewhere, and one that the
    training table did not have 0 in all of them. The units, only where a column needs others, make deviations of 1 of
    those that Keras would take for 0.

        column (batch, 1) ... -> Concatenate (-> units) -> Normalization --+
        column (batch, 1) ----> StringLookup, one-hot --------------------+-> features
    """
    inputs, parts = {}, []
    names = schema.inputs
    for column in schema.columns:
        kind = "float32" if column in schema.numeric else "string"
        inputs[names[column]] = keras.Input((1,), name=names[column], dtype=kind)
    if schema.numeric:
        values = np.stack([table.columns[column] for column in schema.numeric], axis=1)
        deviation = values.std(axis=0)
        # Of a column that varies in the whole table but not in this part of it.
        deviation[deviation == 0] = 1.0
        numbers = [inputs[names[column]] for column in schema.numeric]
        joined = keras.layers.Concatenate(name="numbers")(numbers) if len(numbers) > 1 else numbers[0]
        narrow = deviation < NARROW
        if narrow.any():
            units = np.where(narrow, 1 / deviation, 1.0)
            values, deviation = values * units, deviation * units
            joined = keras.layers.Rescaling(units.tolist(), name="units")(joined)
        normalise = keras.layers.Normalization(
            axis=-1, mean=values.mean(axis=0).tolist(), variance=(deviation**2).tolist(), name="normalization"
        )
        parts.append(normalise(joined))
    for column, words in schema.categorical.items():
        lookup = keras.layers.StringLookup(
            vocabulary=list(words), num_oov_indices=1, output_mode="one_hot", name=f"categories.{names[column]}"
        )
        # With a point, which no input has in its name.
        known = keras.layers.Cropping1D((1, 0), name=f"known.{names[column]}")
        one_hot = keras.layers.Reshape((len(words) + 1, 1), name=f"row.{names[column]}")(lookup(inputs[names[column]]))
        parts.append(keras.layers.Flatten(name=f"flat.{names[column]}")(known(one_hot)))
    features = keras.layers.Concatenate(name="features")(parts) if len(parts) > 1 else parts[0]
    return keras.Model(inputs, features, name="preprocessing")


def features_of(model: keras.Model, table: Table, schema: Schema) -> np.ndarray:
    """The features float32 (rows, features) of a table."""
    import tensorflow as tf

    inputs = {name: tf.constant(values) for name, values in model_inputs(table, schema).items()}
    return np.asarray(model(inputs, training=False), "float32")


def statistics(model: keras.Model, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each column of numbers in a whole model, each float64 (numeric columns,)."""
    layers = {layer.name: layer for layer in model.layers}
    normalise, units = layers["normalization"], layers.get("units")
    scale = np.ones(len(schema.numeric)) if units is None else np.asarray(units.scale)
    return np.ravel(normalise.mean) / scale, np.sqrt(np.ravel(normalise.variance)) / scale


def feature_names(schema: Schema) -> list[str]:
    """A name for each feature, in their order."""
    return [*schema.numeric, *(f"{column}={word}" for column, words in schema.categorical.items() for word in words)]
