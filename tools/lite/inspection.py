"""Reads a LiteRT file itself: its operators, and in which types its convolutions compute."""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
import os
import pathlib
from typing import Any

from tools.errors import InputError

PRECISIONS = ("float32", "float16", "dynamic", "int8")

# Operator: (position of its input, position of its filter) among its inputs.
CONVOLUTIONS = {
    "CONV_2D": (0, 1),
    "DEPTHWISE_CONV_2D": (0, 1),
    "FULLY_CONNECTED": (0, 1),
    "TRANSPOSE_CONV": (2, 1),
    "CONV_3D": (0, 1),
    "CONV_3D_TRANSPOSE": (2, 1),
}

# Types of (input, filter, output) that each precision means.
CONVOLUTION_TYPES = {
    "float32": ("FLOAT32", "FLOAT32", "FLOAT32"),
    "float16": ("FLOAT32", "FLOAT16", "FLOAT32"),
    "dynamic": ("FLOAT32", "INT8", "FLOAT32"),
    "int8": ("INT8", "INT8", "INT8"),
}

# The converter leaves filters with fewer elements in float32 under dynamic-range quantisation.
DYNAMIC_MINIMUM = 1024

# What may compute in float32 in an int8 file: the way in and out, and the probabilities at the end.
FLOAT_OPERATORS = {"QUANTIZE", "DEQUANTIZE", "SOFTMAX"}


@dataclasses.dataclass(frozen=True)
class Operator:
    """One operator: its name, and shape and type of each input and output (None where an optional input is absent)."""

    name: str
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Tensor:
    """Index in the file, name, shape and type ("FLOAT32", "INT8") of a tensor; `scales`: quantisation scales it has."""

    index: int
    name: str
    shape: tuple[int, ...]
    type: str
    scales: int


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What stands in a LiteRT file.

    Attributes:
        path: the file.
        size: bytes.
        operators: number of operators of each name.
        custom: names of custom and Flex operators, which a plain interpreter cannot run.
        convolutions: for each convolution and matrix product the operator, types of input, filter and output, shape of
            the filter, and number of scales of a quantised filter (more than 1: per channel).
        float_operators: operators with a float32 input or output that is computed, by name.
        inputs, outputs: name, shape and type of the model's inputs and outputs.
    """

    path: str
    size: int
    operators: dict[str, int]
    custom: tuple[str, ...]
    convolutions: tuple[dict[str, Any], ...]
    float_operators: dict[str, int]
    inputs: tuple[dict[str, Any], ...]
    outputs: tuple[dict[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with equal convolutions counted."""
        kinds = collections.Counter(
            (one["operator"], one["input"], one["filter"], one["output"]) for one in self.convolutions
        )
        names = ("operator", "input", "filter", "output")
        summary = [{**dict(zip(names, kind, strict=True)), "count": count} for kind, count in kinds.items()]
        return {**dataclasses.asdict(self), "convolutions": summary}


def inspect(path: str | os.PathLike) -> Inspection:
    """Reads the operators of a LiteRT file.

    Raises:
        InputError: if there is no such file or it is no LiteRT file.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        reason = "is no file" if path.exists() else "does not exist"
        raise InputError(f"Expected a LiteRT file. Received {path}, which {reason}.")
    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise InputError(f"Expected a LiteRT file. Received {path}, which does not begin as one.")
    try:
        return _inspect(path, content)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        # A cut file: the reader runs over its end, or reads what is no number of a type.
        raise InputError(f"Expected a whole LiteRT file. Received {path}, which is damaged.") from error
    except Exception as error:
        if type(error).__module__.startswith(("struct", "flatbuffers")):
            raise InputError(f"Expected a whole LiteRT file. Received {path}, which is damaged.") from error
        raise


def check(path: str | os.PathLike, precision: str) -> Inspection:
    """Inspects a file and raises unless it is what was asked for: built-in operators only, no 3-D convolution, every
    convolution in the types of the precision, and for "int8" nothing in float but the way in and out.

    Raises:
        ValueError: naming the first operator that is otherwise.
    """
    found = inspect(path)
    if found.custom:
        raise ValueError(f"Expected built-in operators only in {path}. Received {', '.join(found.custom)}.")
    for one in found.convolutions:
        operator = one["operator"]
        if operator.startswith("CONV_3D"):
            raise ValueError(f"Expected no 3-D convolution in {path}. Received {operator}, filter {one['shape']}.")
        types = (one["input"], one["filter"], one["output"])
        small = precision == "dynamic" and math.prod(one["shape"]) < DYNAMIC_MINIMUM
        if types != CONVOLUTION_TYPES["float32" if small else precision]:
            raise ValueError(
                f"Expected every convolution of {path} in {precision}, {CONVOLUTION_TYPES[precision]}. "
                f"Received {operator} in {types}, filter {one['shape']}."
            )
    others = set(found.float_operators) - FLOAT_OPERATORS
    if precision == "int8" and others:
        raise ValueError(f"Expected only int8 inside {path}. Received {', '.join(sorted(others))} in float32.")
    return found


def _inspect(path: pathlib.Path, content: bytes) -> Inspection:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(content, 0)
    custom = {
        model.OperatorCodes(index).CustomCode().decode()
        for index in range(model.OperatorCodesLength())
        if model.OperatorCodes(index).CustomCode()
    }
    graphs = [model.Subgraphs(index) for index in range(model.SubgraphsLength())]
    operators = [operator for graph in graphs for operator in _operators(schema, model, graph)]
    types = _original_types(operators)
    floats = collections.Counter(
        operator.name
        for operator in operators
        if any(tensor is not None and tensor.type == "FLOAT32" for tensor in operator.outputs)
    )
    first = _tensors(schema, graphs[0])
    return Inspection(
        path=str(path),
        size=len(content),
        operators=dict(sorted(collections.Counter(operator.name for operator in operators).items())),
        custom=tuple(sorted(custom)),
        convolutions=tuple(_convolution(one, types) for one in operators if one.name in CONVOLUTIONS),
        float_operators=dict(sorted(floats.items())),
        inputs=tuple(_plain(first(index)) for index in graphs[0].InputsAsNumpy()),
        outputs=tuple(_plain(first(index)) for index in graphs[0].OutputsAsNumpy()),
    )


def _operators(schema, model, graph) -> list[Operator]:
    tensor = _tensors(schema, graph)
    names = _names(schema.BuiltinOperator)
    operators = []
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        name = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        if code.CustomCode():
            name = code.CustomCode().decode()
        inputs, outputs = (
            tuple(tensor(place) for place in places) if operator_length else ()
            for places, operator_length in (
                (operator.InputsAsNumpy(), operator.InputsLength()),
                (operator.OutputsAsNumpy(), operator.OutputsLength()),
            )
        )
        operators.append(Operator(name, inputs, outputs))
    return operators


def _tensors(schema, graph):
    types = _names(schema.TensorType)

    @functools.cache
    def tensor(index: int) -> Tensor | None:
        if index < 0:
            return None
        entry = graph.Tensors(index)
        shape = tuple(entry.ShapeAsNumpy().tolist()) if entry.ShapeLength() else ()
        scales = entry.Quantization().ScaleLength() if entry.Quantization() else 0
        return Tensor(index, (entry.Name() or b"").decode(), shape, types[entry.Type()], scales)

    return lambda index: tensor(int(index))


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _original_types(operators: list[Operator]) -> dict[Tensor, str]:
    """The type in which a filter stands in the file, where an operator widens it to float32 before use."""
    return {
        operator.outputs[0]: operator.inputs[0].type
        for operator in operators
        if operator.name == "DEQUANTIZE" and operator.inputs[0].type == "FLOAT16"
    }


def _convolution(operator: Operator, types: dict[Tensor, str]) -> dict[str, Any]:
    source, weights = (operator.inputs[place] for place in CONVOLUTIONS[operator.name])
    return {
        "operator": operator.name,
        "input": source.type,
        "filter": types.get(weights, weights.type),
        "output": operator.outputs[0].type,
        "shape": weights.shape,
        "scales": weights.scales,
    }


def _plain(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "shape": tensor.shape, "type": tensor.type}
