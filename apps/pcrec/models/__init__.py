"""The registry of trained recommenders.

create("mf", users=100, items=50)   a Functional keras.Model
names()                             what `create` knows
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from apps.pcrec.models.light_gcn import LightGCN
from apps.pcrec.models.matrix_factorization import MatrixFactorization
from tools.registry import ModelInfo, Registry

__all__ = ["REGISTRY", "LightGCN", "MatrixFactorization", "create", "info", "names", "table"]

# The facts are told for this many users and items, and so many interactions.
_USERS, _ITEMS, _INTERACTIONS, _CHANNELS, _DEPTH = 1000, 1000, 10_000, 64, 3
_PARAMETERS = (_USERS + _ITEMS) * _CHANNELS

REGISTRY = Registry("pcrec")
for _name, _constructor, _multiply_adds, _source in (
    ("mf", MatrixFactorization, _ITEMS * _CHANNELS, "Rendle et al. 2009: BPR-MF"),
    (
        "lightgcn",
        LightGCN,
        _DEPTH * 2 * _INTERACTIONS * _CHANNELS + _ITEMS * _CHANNELS,
        "He et al. 2020, 3 steps over 10,000 interactions",
    ),
):
    REGISTRY.add(
        ModelInfo(
            name=_name,
            constructor=_constructor,
            arguments={"users": _USERS, "items": _ITEMS},
            input_shape=(2,),
            classes=_CHANNELS,
            parameters=_PARAMETERS,
            multiply_adds=_multiply_adds,
            preprocessing="ids to indices",
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
        shown = f"{_USERS} users, {_ITEMS} items"
        constructor, shape = facts.constructor.__name__, list(facts.input_shape)
        rows.append({**fields, "constructor": constructor, "input": shown, "input_shape": shape})
    return rows
