"""Walks the graph of a Functional model and rebuilds it from the rules."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import keras

from tools.errors import InputError
from tools.lite.rewriting.feature import Feature
from tools.lite.rewriting.table import RULES, rule_name


def rewrite(model: keras.Model, input_shape: Any = None) -> keras.Model:
    """An equal Functional model without 3-D operations, for the edge.

    Feature maps (batch, time, height, width, channels) are carried as 4-D tensors, 3-D convolutions become 2-D ones,
    batch normalisation is folded into the convolution before it, and what only trains (dropout) is left out. The
    weights are copied, in float32; the model itself is not touched. Input names, input and output structure and
    output names stay.

    The batch axis stays free here, at no cost; `tools.lite.convert` fixes it at 1 in the file, because the
    interpreter plans memory and kernels for known sizes.

    Args:
        model: a built Functional or Sequential model.
        input_shape: input shape without the batch axis, for a model that leaves sizes open: (time, height, width,
            channels), or a dictionary of shapes by input name.

    Raises:
        InputError: if the model is no Functional model, a size stays open, or a layer that works on five axes has no
            rule.
    """
    return Rewriter().rewrite(model, input_shape)


class Rewriter:
    """One rewriting: the names in use and the layers copied so far."""

    def __init__(self):
        self._names = collections.Counter()
        self._copies: dict[int, keras.layers.Layer] = {}
        self.layer = "input"

    def rewrite(self, model: keras.Model, input_shape: Any = None) -> keras.Model:
        """See `rewrite`."""
        graph = functional(model)
        inputs = [
            keras.Input(shape, dtype=tensor.dtype, name=tensor.name)
            for tensor, shape in zip(graph.inputs, input_shapes(graph, input_shape), strict=True)
        ]
        results = self.walk(graph, [self.feature(tensor) for tensor in inputs])
        outputs = []
        for result, name in zip(results, graph.output_names, strict=True):
            tensor = result.tensor("whole") if isinstance(result, Feature) else result
            # An identity costs nothing in the file, and gives the output the name it had.
            outputs.append(keras.layers.Identity(name=self._output_name(name), dtype=tensor.dtype)(tensor))
        return keras.Model(
            keras.tree.pack_sequence_as(graph._inputs_struct, inputs),
            keras.tree.pack_sequence_as(graph._outputs_struct, outputs),
            name=model.name,
        )

    def walk(self, graph: keras.Model, values: list[Any]) -> list[Any]:
        """The outputs of a Functional graph for given inputs (features or Keras tensors)."""
        known = {id(tensor): value for tensor, value in zip(graph.inputs, values, strict=True)}
        nodes = [node for depth in sorted(graph._nodes_by_depth, reverse=True) for node in graph._nodes_by_depth[depth]]
        uses = collections.Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
        uses.update(id(tensor) for tensor in graph.outputs)
        for node in nodes:
            if node.is_input:
                continue
            arguments, keywords = node.arguments.fill_in(known)
            results = keras.tree.flatten(self.call(node.operation, *arguments, **keywords))
            for tensor, result in zip(node.outputs, results, strict=True):
                if isinstance(result, Feature):
                    result.uses = max(result.uses, uses[id(tensor)])
                known[id(tensor)] = result
        return [known[id(tensor)] for tensor in graph.outputs]

    def call(self, operation, *arguments, name: str | None = None, **keywords):
        """What an operation of the model makes of its rewritten inputs; `name` where its own says too little."""
        if isinstance(operation, keras.Model):
            graph = functional(operation)
            results = self.walk(graph, keras.tree.flatten(arguments[0]))
            return keras.tree.pack_sequence_as(graph._outputs_struct, results)
        self.layer = name or operation.name
        rule = RULES.get(rule_name(operation))
        flat = keras.tree.flatten((arguments, keywords))
        if not any(isinstance(value, Feature) for value in flat) and (rule is None or not rule.any_rank):
            target = self.copy(operation) if isinstance(operation, keras.layers.Layer) else operation
            results = target(*arguments, **keywords)
            return keras.tree.map_structure(self.feature, results)
        if rule is None:
            raise InputError(
                f"Expected layers on (batch, time, height, width, channels) to be one of {', '.join(sorted(RULES))}. "
                f"Received layer {operation.name!r} of class {type(operation).__name__}."
            )
        keywords = {key: value for key, value in keywords.items() if key not in ("training", "mask")}
        return rule.function(self, operation, *arguments, **keywords)

    def chain(self, owner: keras.layers.Layer, parts: Iterable[keras.layers.Layer | None], value):
        """What the parts of a composite layer make of a value, one after the other; None is left out."""
        for part in parts:
            if part is not None:
                value = self.call(part, value, name=f"{owner.name}_{part.name}")
        return value

    def feature(self, tensor):
        """A 5-D Keras tensor as a feature; any other tensor as it is."""
        if len(tensor.shape) != 5:
            return tensor
        if None in tensor.shape[1:]:
            raise InputError(
                "Expected input_shape to give every size of the clip (time, height, width, channels). "
                f"Received {tuple(tensor.shape[1:])} at {tensor.name!r}."
            )
        return Feature(self, tensor.shape[1:], {"whole": tensor})

    def copy(self, layer: keras.layers.Layer, **changes) -> keras.layers.Layer:
        """A layer of the same configuration, in float32; it takes over the weights once it is built."""
        if id(layer) not in self._copies:
            config = {**layer.get_config(), "dtype": "float32", "name": self.name(), **changes}
            duplicate = type(layer).from_config(config)
            self._copies[id(layer)] = _WithWeights(duplicate, layer.get_weights())
        return self._copies[id(layer)]

    def name(self, suffix: str = "") -> str:
        """A name for the next part of the layer that is being rewritten; no layer of a model has such a name."""
        base = f"{self.layer.replace('/', '_')}__{suffix or '2d'}"
        self._names[base] += 1
        return base if self._names[base] == 1 else f"{base}_{self._names[base]}"

    @contextlib.contextmanager
    def naming(self, layer: str) -> Iterator[None]:
        """Names what is built inside after a layer of the model."""
        current, self.layer = self.layer, layer
        try:
            yield
        finally:
            self.layer = current

    def named(self, tensor, suffix: str):
        """Names the operation that made a tensor: automatic names may meet those of a model loaded from a file."""
        tensor._keras_history.operation.name = self.name(suffix)
        return tensor

    def _output_name(self, name: str) -> str:
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}_{self._names[name]}"


class _WithWeights:
    """Calls a copied layer, and gives it its weights at the first call, which builds it."""

    def __init__(self, layer: keras.layers.Layer, weights):
        self.layer = layer
        self._weights = weights

    def __call__(self, *arguments, **keywords):
        results = self.layer(*arguments, **keywords)
        if self._weights is not None:
            self.layer.set_weights(self._weights)
            self._weights = None
        return results


def functional(model: keras.Model) -> keras.Model:
    """The Functional graph of a model."""
    graph = getattr(model, "_functional", None) or model
    if not hasattr(graph, "_nodes_by_depth"):
        raise InputError(
            f"Expected a built Functional or Sequential model. Received {model.name!r} of {type(model).__name__}."
        )
    return graph


def input_shapes(graph: keras.Model, input_shape: Any) -> list[tuple[int | None, ...]]:
    """Shapes of the inputs without the batch axis, open sizes filled from `input_shape`."""
    if input_shape is not None and not isinstance(input_shape, dict):
        if len(graph.inputs) != 1:
            names = ", ".join(tensor.name for tensor in graph.inputs)
            raise InputError(f"Expected input_shape to be a dictionary with {names}. Received {input_shape}.")
        input_shape = {graph.inputs[0].name: input_shape}
    shapes = []
    for tensor in graph.inputs:
        own = tuple(tensor.shape[1:])
        given = tuple((input_shape or {}).get(tensor.name, own))
        if len(given) != len(own) or any(a is not None and a != b for a, b in zip(own, given, strict=True)):
            raise InputError(f"Expected input_shape of {tensor.name!r} to fit {own}. Received {given}.")
        shapes.append(given)
    return shapes
