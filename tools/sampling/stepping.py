"""A Functional model of codes, run one position at a time from what its layers remember."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_layers import LogisticMixture
from tools.errors import InputError

# Layers that treat every position alike and by itself.
POINTWISE = (
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.Embedding,
    keras.layers.ReLU,
    LogisticMixture,
)
State = dict[str, dict[str, Any]]


class SteppedModel:
    """Runs a Functional model position by position, with the logits of the whole model.

    What depends on the codes must be made of pointwise layers and of layers with a `step` of their own
    (`keras_layers.autoregressive` says what that is). Whatever else there is, the conditions and what is made of them,
    is computed once, by any layers.

        state = stepped.initial_state(batch, lengths, conditions)
        state = stepped.row(codes_above, state, row)                      before each row of a grid
        logits, state = stepped.position(code_before, state, position)    for each position

    Args:
        model: Functional, of the inputs `codes` (batch, *lengths) and any conditions, with the output logits (batch,
            *lengths, number of codes) that depend on the codes before each position alone.
        codes: name of the input of the codes.

    Raises:
        InputError: if the model is no Functional one with such an input and one output, or has a layer on the way from
            the codes to the logits that cannot be run so.
    """

    def __init__(self, model: keras.Model, codes: str = "codes"):
        names = [tensor.name for tensor in getattr(model, "inputs", None) or ()]
        if not isinstance(model, keras.Function) or codes not in names or len(model.outputs) != 1:
            raise InputError(
                f"Expected a Functional model with an input {codes!r} and one output. "
                f"Received {getattr(model, 'name', model)!r} with inputs {names}."
            )
        self.model = model
        self.codes = codes
        self.conditions = tuple(name for name in names if name != codes)
        self.lengths = tuple(model.inputs[names.index(codes)].shape[1:])
        self._dependent: set[str] = set()
        self._classify()

    def _classify(self) -> None:
        """Finds the layers that depend on the codes, and refuses those of them that have no steps."""
        dependent, fixed = object(), object()

        def mark(operation: Any, *args: Any, **kwargs: Any) -> list[Any]:
            leaves = keras.tree.flatten([args, kwargs])
            if not any(leaf is dependent for leaf in leaves):
                return [fixed] * _output_count(operation)
            mixed = any(leaf is fixed for leaf in leaves)
            steps = hasattr(operation, "step") and hasattr(operation, "initial_state")
            if not steps and (mixed or not isinstance(operation, POINTWISE)):
                raise InputError(
                    f"Expected every layer from {self.codes!r} to the logits to be pointwise or to have a method "
                    f"'step'. Received {operation.name!r}, a {type(operation).__name__}"
                    f"{' of codes and conditions together' if mixed else ''}."
                )
            if steps and operation.name in self._dependent:
                raise InputError(f"Expected every layer that remembers to be called once. Received {operation.name!r}.")
            self._dependent.add(operation.name)
            return [dependent] * _output_count(operation)

        self._run({self.codes: dependent, **dict.fromkeys(self.conditions, fixed)}, mark)

    def _run(self, values: Mapping[str, Any], call: Callable[..., Any]) -> Any:
        # What `model(...)` itself does, with `call` in place of the call of each layer.
        return self.model._run_through_graph([values.get(tensor.name) for tensor in self.model.inputs], call_fn=call)

    def initial_state(self, batch: Any, lengths: Sequence[Any], conditions: Mapping[str, Any]) -> State:
        """What the layers remember before the first position; everything that the conditions decide is in it.

        Args:
            batch: its size.
            lengths: of the codes: (height, width) or (time,).
            conditions: tensor of each condition by the name of its input.
        """
        state: State = {}

        def start(operation: Any, *args: Any, **kwargs: Any) -> Any:
            if operation.name not in self._dependent:
                return operation(*args, **kwargs)
            if hasattr(operation, "step"):
                given = {name: value for name, value in kwargs.items() if value is not None}
                state[operation.name] = operation.initial_state(batch, lengths, **given)
            return [None] * _output_count(operation)

        self._run(conditions, start)
        return state

    def row(self, codes: Any, state: State, row: Any) -> State:
        """Prepares the positions of a row of a grid.

        Args:
            codes: integers (batch, width) of the row above; of no account for the first.
            state: from `initial_state`, or after the last position of the row above.
            row: its number, from 0.
        """
        return self._advance(codes, state, "step_row", row)[1]

    def position(self, codes: Any, state: State, position: Sequence[Any]) -> tuple[Any, State]:
        """The logits of one position, (batch, number of codes).

        Args:
            codes: integers (batch,) of the position before it in the row; of no account for the first.
            state: from `row`, or the position before.
            position: (row, column) or (time,), from 0.

        Raises:
            InputError: if the logits need the features of a whole row by another way than through a layer with both
                steps.
        """
        logits, state = self._advance(codes, state, "step", position)
        if logits is None:
            raise InputError(
                f"Expected the vertical stack of model {self.model.name!r} to reach the logits through blocks that "
                "step over rows and positions, such as GatedMaskedBlock. Received another way."
            )
        return logits, state

    def _advance(self, codes: Any, state: State, method: str, place: Any) -> tuple[Any, State]:
        after = dict(state)

        def advance(operation: Any, *args: Any, **kwargs: Any) -> Any:
            if operation.name not in self._dependent:
                return [None] * _output_count(operation)
            if operation.name in state:
                outputs, after[operation.name] = getattr(operation, method)(args[0], state[operation.name], place)
                return outputs
            if any(leaf is None for leaf in keras.tree.flatten(args)):
                return [None] * _output_count(operation)
            return operation(*args, **kwargs)

        return self._run({self.codes: codes}, advance), after


def _output_count(operation: Any) -> int:
    # `operation.output` is not told for a layer that is called more than once.
    return len(operation._inbound_nodes[0].outputs)
