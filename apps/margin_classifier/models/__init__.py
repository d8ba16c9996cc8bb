"""The registry of margin classifiers: from a row of features to one score.

create("linear", input_shape=(30,))   a Functional keras.Model
names()                               what `create` knows
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from apps.margin_classifier.models.scores import Kernel, Linear, MultiLayerPerceptron
from tools.registry import ModelInfo, Registry

__all__ = ["REGISTRY", "Kernel", "Linear", "MultiLayerPerceptron", "create", "info", "names", "table"]

# The facts are told for this many features, those of scikit-learn's breast cancer table.
_FEATURES = 30

REGISTRY = Registry("margin_classifier")
for _name, _constructor, _parameters, _multiply_adds, _source in (
    ("linear", Linear, 31, 30, "one weight a feature"),
    ("kernel", Kernel, 513, 15_872, "Rahimi and Recht 2007: 512 random Fourier features of a Gaussian kernel"),
    ("mlp", MultiLayerPerceptron, 6_209, 6_080, "two hidden layers of 64, ReLU"),
):
    REGISTRY.add(
        ModelInfo(
            name=_name,
            constructor=_constructor,
            arguments={},
            input_shape=(_FEATURES,),
            classes=2,
            parameters=_parameters,
            multiply_adds=_multiply_adds,
            preprocessing="normalised numbers, one-hot categories",
            source=_source,
        )
    )


def create(name: str, /, **overrides: Any) -> keras.Model:
    """Builds a registered model; `overrides` replace arguments of its constructor.

    Raises:
        InputError: if there is no such model, or an argument is unknown.
    """
    return REGISTRY.create(name, **overrides)


def names() -> list[str]:
    """The registered names."""
    return REGISTRY.names()


def info(name: str) -> ModelInfo:
    """The facts about a model.

    Raises:
        InputError: if there is no such model.
    """
    return REGISTRY.info(name)


def table() -> list[dict[str, Any]]:
    """The facts about every model, as plain values."""
    rows = []
    for facts in map(info, names()):
        fields = {field.name: getattr(facts, field.name) for field in dataclasses.fields(facts)}
        constructor, shape = facts.constructor.__name__, list(facts.input_shape)
        rows.append({**fields, "constructor": constructor, "input": str(shape[0]), "input_shape": shape})
    return rows
