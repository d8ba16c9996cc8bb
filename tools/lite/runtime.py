"""Runs a LiteRT file on arrays, and refuses arrays it would answer wrongly."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping

import numpy as np

from tools.errors import InputError
from tools.lite.inspection import inspect
from tools.quiet import native_messages_silenced


class Runner:
    """Runs a LiteRT file with the ai-edge-litert interpreter.

    Calling it with a float32 array (batch, ...) - or a dictionary of arrays by input name - returns the output array
    (batch, ...), or a dictionary by output name where the file has several. A file for a batch of one runs once for
    every element. Inputs and outputs in int8 are quantised and dequantised here.

    Args:
        path: the file.
        threads: number of CPU threads.
        delegate: False runs the interpreter's own kernels without XNNPACK, to compare.

    Raises:
        InputError: if the file is none, or an input has another name, shape or dtype, or is not finite.
    """

    def __init__(self, path: str | os.PathLike, threads: int = 1, *, delegate: bool = True):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        if threads < 1:
            raise InputError(f"Expected threads to be at least 1. Received {threads}.")
        found = inspect(path)
        if found.custom:
            raise InputError(f"Expected built-in operators only in {path}. Received {', '.join(found.custom)}.")
        self.path = pathlib.Path(path)
        resolver = OpResolverType.AUTO if delegate else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            # LiteRT says on standard error which delegate it made; what is wrong with a file it raises.
            with native_messages_silenced():
                self._interpreter = Interpreter(
                    model_path=os.fspath(path), num_threads=threads, experimental_op_resolver_type=resolver
                )
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise InputError(f"Expected a LiteRT file that runs. Received {path}: {error}") from error
        self.inputs = self._by_name(self._interpreter.get_input_details(), "inputs")
        self.outputs = self._by_name(self._interpreter.get_output_details(), "outputs")

    def __call__(self, inputs: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray | dict[str, np.ndarray]:
        arrays = self._checked(inputs)
        batch = len(next(iter(arrays.values())))
        step = next(iter(self.inputs.values()))["shape"][0]
        if batch % step:
            raise InputError(f"Expected a batch of {step} or a multiple of it. Received {batch}.")
        parts = []
        for start in range(0, batch, step):
            for name, detail in self.inputs.items():
                self._interpreter.set_tensor(detail["index"], quantise(arrays[name][start : start + step], detail))
            self._interpreter.invoke()
            parts.append(
                {
                    name: dequantise(self._interpreter.get_tensor(detail["index"]), detail)
                    for name, detail in self.outputs.items()
                }
            )
        results = {name: np.concatenate([part[name] for part in parts]) for name in self.outputs}
        return results if len(results) > 1 else next(iter(results.values()))

    def _checked(self, inputs) -> dict[str, np.ndarray]:
        if not isinstance(inputs, Mapping):
            if len(self.inputs) != 1:
                raise InputError(f"Expected a dictionary with {', '.join(self.inputs)}. Received one array.")
            inputs = {next(iter(self.inputs)): inputs}
        if set(inputs) != set(self.inputs):
            raise InputError(f"Expected inputs {', '.join(self.inputs)}. Received {', '.join(inputs) or 'none'}.")
        arrays = {name: np.asarray(value) for name, value in inputs.items()}
        for name, array in arrays.items():
            detail = self.inputs[name]
            dtype = np.dtype(np.float32) if detail["dtype"] == np.int8 else np.dtype(detail["dtype"])
            shape = tuple(int(size) for size in detail["shape"][1:])
            if array.dtype != dtype:
                raise InputError(f"Expected input {name!r} in {dtype}. Received {array.dtype}.")
            if array.ndim != len(shape) + 1 or array.shape[1:] != shape or not len(array):
                raise InputError(f"Expected input {name!r} of shape {(None, *shape)}. Received {array.shape}.")
            if dtype.kind == "f" and not np.isfinite(array).all():
                raise InputError(f"Expected finite numbers in input {name!r}. Received NaN or infinity.")
        if len({len(array) for array in arrays.values()}) != 1:
            raise InputError("Expected inputs of one batch size. Received several.")
        return arrays

    def _by_name(self, details, kind: str) -> dict[str, dict]:
        """Details by the names of the file's signature, which the tensors' own names only resemble."""
        signatures = self._interpreter.get_signature_list()
        if "serving_default" not in signatures:
            return {detail["name"]: detail for detail in details}
        runner = self._interpreter.get_signature_runner("serving_default")
        named = runner.get_input_details() if kind == "inputs" else runner.get_output_details()
        by_index = {detail["index"]: detail for detail in details}
        return {name: by_index.get(detail["index"], detail) for name, detail in named.items()}


def quantise(array: np.ndarray, detail: dict) -> np.ndarray:
    """An array as an int8 tensor holds it; any other tensor takes it as it is."""
    if detail["dtype"] != np.int8:
        return np.ascontiguousarray(array)
    scale, zero = detail["quantization"]
    return np.clip(np.round(array / scale) + zero, -128, 127).astype(np.int8)


def dequantise(array: np.ndarray, detail: dict) -> np.ndarray:
    """The numbers an int8 tensor stands for; any other tensor as it is."""
    if detail["dtype"] != np.int8:
        return array
    scale, zero = detail["quantization"]
    return ((array.astype(np.float32) - zero) * scale).astype(np.float32)
