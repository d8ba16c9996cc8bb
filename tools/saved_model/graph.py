"""What stands in a saved_model.pb: its signatures, and the operations that TensorFlow Serving would not run."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING

from tools.errors import InputError
from tools.files import replacing

if TYPE_CHECKING:
    from tensorflow.core.framework.node_def_pb2 import NodeDef
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

# Each calls back into the Python process that made the graph.
PYTHON_OPERATORS = ("PyFunc", "PyFuncStateless", "EagerPyFunc")


@dataclasses.dataclass(frozen=True)
class Port:
    """An input or output of a signature: name of the tensor in the graph, DataType number, shape (-1: free)."""

    tensor: str
    dtype: int
    shape: tuple[int, ...] | None


def read(path: pathlib.Path) -> SavedModel:
    """Parses the saved_model.pb of a SavedModel directory.

    Raises:
        InputError: if there is none, or it is damaged.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    file = pathlib.Path(path) / "saved_model.pb"
    if not file.is_file():
        raise InputError(f"Expected a SavedModel directory, with a file saved_model.pb. Received {path}.")
    try:
        return SavedModel.FromString(file.read_bytes())
    except DecodeError as error:
        raise InputError(f"Expected a SavedModel in {file}. Received a damaged file ({error}).") from error


def set_methods(path: pathlib.Path, methods: dict[str, str]) -> None:
    """Says of signatures for which call of TensorFlow Serving they are; TensorFlow writes "predict" for all.

    Args:
        path: a SavedModel directory.
        methods: signature name to "predict", "classify" or "regress".
    """
    saved_model = read(path)
    for name, method in methods.items():
        saved_model.meta_graphs[0].signature_def[name].method_name = f"tensorflow/serving/{method}"
    with replacing(pathlib.Path(path) / "saved_model.pb") as partial:
        partial.write_bytes(saved_model.SerializeToString(deterministic=True))


def signatures(saved_model: SavedModel) -> dict[str, tuple[dict[str, Port], dict[str, Port]]]:
    """Name to (inputs, outputs) of every signature a client may ask."""
    return {
        name: (_ports(signature.inputs), _ports(signature.outputs))
        for name, signature in saved_model.meta_graphs[0].signature_def.items()
        if not name.startswith("__")
    }


def _ports(infos: dict) -> dict[str, Port]:
    return {
        name: Port(
            info.name,
            info.dtype,
            None if info.tensor_shape.unknown_rank else tuple(dim.size for dim in info.tensor_shape.dim),
        )
        for name, info in sorted(infos.items())
    }


def refused_operations(saved_model: SavedModel) -> list[str]:
    """One line for each thing in the graph that a stock TensorFlow Serving does not run.

    These are functions that must be compiled by XLA (Keras makes one of every grouped convolution), calls into Python,
    and operators that are not TensorFlow's own. Each line names the node; node names begin with the names of the Keras
    layers.
    """
    import tensorflow as tf

    known = set(dir(tf.raw_ops))
    lines = []
    for meta_graph in saved_model.meta_graphs:
        library = meta_graph.graph_def.library.function
        functions = {function.signature.name for function in library}
        compiled = {function.signature.name for function in library if function.attr["_XlaMustCompile"].b}
        bodies = [("graph", meta_graph.graph_def.node)]
        bodies += [(function.signature.name, function.node_def) for function in library]
        called = set()
        for body, nodes in bodies:
            for node in nodes:
                callees = _callees(node)
                called |= callees
                if (callees & compiled or node.attr["_XlaMustCompile"].b) and body not in compiled:
                    lines.append(f"{node.name!r} must be compiled by XLA (a grouped convolution?)")
                elif node.op in PYTHON_OPERATORS:
                    lines.append(f"{node.name!r} calls Python ({node.op})")
                elif node.op not in known and node.op not in functions:
                    lines.append(f"{node.name!r} is of the custom operator {node.op}")
        lines += [f"function {name!r} must be compiled by XLA" for name in sorted(compiled - called)]
    return list(dict.fromkeys(lines))


def _callees(node: NodeDef) -> set[str]:
    names = {node.op}
    for value in node.attr.values():
        names |= {value.func.name} | {function.name for function in value.list.func}
    return names
