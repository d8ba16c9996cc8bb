"""The table of rules: by the registered name of a layer, how it is said without a third spatial axis."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule of rewriting.

    Attributes:
        function: `function(context, layer, *inputs)` returns what the layer makes of its inputs: a `Feature` for each
            5-D tensor, a Keras tensor otherwise.
        any_rank: whether the rule also replaces the layer on tensors of other ranks.
    """

    function: Callable[..., Any]
    any_rank: bool = False


RULES: dict[str, Rule] = {}


def rule(*names: str, any_rank: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a rule for layers by their registered names: "Conv3D", "keras_layers>Conv2Plus1D"."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        RULES.update({name: Rule(function, any_rank) for name in names})
        return function

    return register


def rule_name(operation: Any) -> str:
    """The key of an operation in the table: "Conv3D", "keras_layers>Conv2Plus1D" or "ops.Add".

    A subclass is not taken for its base, whose `call` it may have replaced.
    """
    kind = type(operation)
    if isinstance(operation, keras.layers.Layer):
        name = keras.saving.get_registered_name(kind)
        return name if ">" in name or kind.__module__.startswith("keras.") else f"{kind.__module__}.{name}"
    return f"ops.{kind.__name__}" if kind.__module__.startswith("keras.") else f"{kind.__module__}.{kind.__name__}"
