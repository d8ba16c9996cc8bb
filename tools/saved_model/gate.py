"""The gate of a SavedModel: another process loads it as TensorFlow Serving would, and its answers must be Keras's.

What this does not cover of the real server: its HTTP and gRPC layers, its version manager and its batching.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from tools.errors import InputError
from tools.saved_model import c_api, graph
from tools.saved_model.signatures import Signature

INVALID_ARGUMENT = 3
# Longer than any sound model needs for the few runs of the gate; a hanging process must end some time.
TIMEOUT_SECONDS = 600.0
LARGEST_PROBED_RANK = 6


class GateError(InputError):
    """The SavedModel did not do, loaded as TensorFlow Serving loads it, what Keras does."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One request of the gate: what it is, its inputs by name, and the outputs it must give (None: a refusal)."""

    label: str
    signature: str
    inputs: dict[str, c_api.RawTensor]
    expected: dict[str, np.ndarray] | None


def check(
    path: pathlib.Path, signatures: dict[str, Signature], tolerance: float, timeout: float = TIMEOUT_SECONDS
) -> dict[str, dict[str, dict[str, float]]]:
    """Loads the SavedModel in a separate process without this project and with XLA disabled, and compares.

    Every signature answers one and two examples at a time, and must refuse (INVALID_ARGUMENT) every wrong rank from 0
    to 6, every wrong size of a fixed axis, an empty batch and not-a-number.

    Args:
        path: directory of the SavedModel.
        signatures: what was published, by name.
        tolerance: largest accepted difference, relative to the largest magnitude of the output.
        timeout: seconds after which the process counts as hanging.

    Returns:
        For every signature and output: {"relative": largest difference over largest magnitude, "absolute": ...}.

    Raises:
        GateError: naming the signature and what was wrong.
    """
    ports = graph.signatures(graph.read(path))
    runs = [run for name, signature in signatures.items() for run in _runs(name, signature, ports[name][0])]
    answers = ask(path, runs, timeout)
    report: dict[str, dict[str, dict[str, float]]] = {name: {} for name in signatures}
    for run, answer in zip(runs, answers, strict=True):
        if run.expected is None:
            _check_refusal(run, answer)
            continue
        if isinstance(answer, c_api.StatusError):
            raise GateError(f"The gate: Expected an answer to {run.label}. Received {_one_line(str(answer))}")
        for name, difference in _compare(run, answer, tolerance).items():
            worst = report[run.signature].setdefault(name, difference)
            report[run.signature][name] = {key: max(worst[key], difference[key]) for key in difference}
    return report


def libraries() -> list[str]:
    """Paths of libtensorflow_framework and libtensorflow_cc of the installed wheel, found without importing it."""
    spec = importlib.util.find_spec("tensorflow")
    folder = pathlib.Path(spec.submodule_search_locations[0])
    return [str(folder / f"libtensorflow_{part}.so.2") for part in ("framework", "cc")]


def _runs(name: str, signature: Signature, ports: dict[str, graph.Port]) -> Iterator[Run]:
    for size in (1, 2):
        batch = signature.batch(size)
        inputs = {key: raw_tensor(value, ports[key].dtype) for key, value in batch.items()}
        yield Run(f"{size} example(s) to {name!r}", name, inputs, signature.answer(batch))
    right = {key: raw_tensor(value, ports[key].dtype) for key, value in signature.batch(1).items()}
    for key, port in ports.items():
        for shape in _wrong_shapes(port.shape):
            probe = _filled(port.dtype, shape)
            yield Run(f"shape {list(shape)} for {key!r} to {name!r}", name, {**right, key: probe}, None)
        if port.dtype == 1:
            probe = raw_tensor(np.full(right[key].shape, np.nan, np.float32), port.dtype)
            yield Run(f"not-a-number for {key!r} to {name!r}", name, {**right, key: probe}, None)
        if len(ports) > 1:
            probe = raw_tensor(signature.batch(2)[key], port.dtype)
            yield Run(f"another batch size for {key!r} to {name!r}", name, {**right, key: probe}, None)


def _wrong_shapes(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    for rank in range(LARGEST_PROBED_RANK + 1):
        if rank != len(shape):
            yield (1,) * rank
    yield (0, *(max(size, 1) for size in shape[1:]))
    # Free axes are kept small; a right input would do as well.
    for axis, size in enumerate(shape):
        if size > 0:
            yield tuple(max(length, 1) + (other == axis) for other, length in enumerate(shape))


def _filled(dtype: int, shape: tuple[int, ...]) -> c_api.RawTensor:
    elements = int(np.prod(shape, dtype=np.int64))
    empty = [b""] * elements if dtype == c_api.DT_STRING else bytes(elements * c_api.ELEMENT_SIZES[dtype])
    return c_api.RawTensor(dtype, shape, empty)


def raw_tensor(value: np.ndarray, dtype: int) -> c_api.RawTensor:
    """An array as the C API takes it; `dtype` is a DataType number."""
    value = np.asarray(value)
    if dtype == c_api.DT_STRING:
        strings = [text.encode() if isinstance(text, str) else bytes(text) for text in value.ravel().tolist()]
        return c_api.RawTensor(dtype, value.shape, strings)
    return c_api.RawTensor(dtype, value.shape, np.ascontiguousarray(value).tobytes())


def ask(path: pathlib.Path, runs: list[Run], timeout: float = TIMEOUT_SECONDS) -> list[Any]:
    """The answer of the separate process to every run: outputs by name, or a `c_api.StatusError`.

    Raises:
        GateError: if the SavedModel does not load, or the process crashes or hangs.
    """
    ports = graph.signatures(graph.read(path))
    with tempfile.TemporaryDirectory(prefix="gate-") as scratch:
        folder = pathlib.Path(scratch)
        request = {"libraries": libraries(), "saved_model": str(path), "runs": []}
        for number, run in enumerate(runs):
            inputs, outputs = ports[run.signature]
            feeds = {}
            for key, tensor in run.inputs.items():
                file = f"input_{number}_{key}"
                (folder / file).write_bytes(c_api.pack(tensor.data))
                feeds[inputs[key].tensor] = {"dtype": tensor.dtype, "shape": tensor.shape, "file": file}
            request["runs"].append({"feeds": feeds, "fetches": [port.tensor for port in outputs.values()]})
        (folder / "request.json").write_text(json.dumps(request))
        ending, errors = _start(folder, timeout)
        file = folder / "results.jsonl"
        results = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
        if results and results[0]["code"]:
            raise GateError(f"The gate: Expected a SavedModel that loads. Received {_one_line(results[0]['message'])}")
        if len(results) != len(runs) + 1:
            doing = runs[len(results) - 1].label if results else "loading it"
            raise GateError(f"The gate: the process that loads the SavedModel {ending} at {doing}. {errors}")
        return [
            _answer(folder, result, list(ports[run.signature][1]))
            for run, result in zip(runs, results[1:], strict=True)
        ]


def _start(folder: pathlib.Path, timeout: float) -> tuple[str, str]:
    """Runs the separate process; returns how it ended and the end of what it said."""
    command = [sys.executable, "-I", "-S", c_api.__file__, str(folder)]
    log = folder / "errors"
    with log.open("wb") as errors:
        try:
            status = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, timeout=timeout, cwd=folder
            ).returncode
            ending = f"died of {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        except subprocess.TimeoutExpired:
            ending = f"was still running after {timeout:g} s"
    return ending, _one_line(log.read_text(errors="replace")[-500:])


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _answer(folder: pathlib.Path, result: dict, names: list[str]) -> dict[str, np.ndarray] | c_api.StatusError:
    if result["code"]:
        return c_api.StatusError(result["code"], result["message"])
    return {
        name: _array(stored, (folder / stored["file"]).read_bytes())
        for name, stored in zip(names, result["outputs"], strict=True)
    }


def _array(stored: dict, data: bytes) -> np.ndarray:
    import tensorflow as tf

    if stored["dtype"] == c_api.DT_STRING:
        return np.array(c_api.unpack(c_api.DT_STRING, data), object).reshape(stored["shape"])
    return np.frombuffer(data, tf.dtypes.as_dtype(stored["dtype"]).as_numpy_dtype).reshape(stored["shape"])


def _check_refusal(run: Run, answer: dict[str, np.ndarray] | c_api.StatusError) -> None:
    if not isinstance(answer, c_api.StatusError):
        raise GateError(f"The gate: Expected {run.label} to be refused. Received an answer.")
    if answer.code != INVALID_ARGUMENT:
        raise GateError(f"The gate: Expected INVALID_ARGUMENT (3) for {run.label}. Received {_one_line(str(answer))}")


def _compare(run: Run, answer: dict[str, np.ndarray], tolerance: float) -> dict[str, dict[str, float]]:
    """Largest differences by output.

    Raises:
        GateError: if names, shapes, types or values differ.
    """
    if sorted(answer) != sorted(run.expected):
        raise GateError(
            f"The gate: Expected the outputs {sorted(run.expected)} of {run.label}. Received {sorted(answer)}."
        )
    size = next(iter(run.inputs.values())).shape[0]
    differences = {}
    for name, received in answer.items():
        expected = run.expected[name]
        where = f"output {name!r} of {run.label}"
        if received.shape != expected.shape or received.dtype != expected.dtype or received.shape[:1] != (size,):
            raise GateError(
                f"The gate: Expected {where} as {expected.dtype} {expected.shape}, batch first. "
                f"Received {received.dtype} {received.shape}."
            )
        if expected.dtype == object:
            if received.tolist() != expected.tolist():
                raise GateError(
                    f"The gate: Expected {where} as Keras. Received {received.tolist()} for {expected.tolist()}."
                )
            differences[name] = {"relative": 0.0, "absolute": 0.0}
            continue
        absolute = float(np.max(np.abs(received.astype(np.float64) - expected.astype(np.float64)), initial=0.0))
        largest = float(np.max(np.abs(expected.astype(np.float64)), initial=0.0))
        relative = absolute / largest if largest else absolute
        limit = tolerance if expected.dtype.kind == "f" else 0.0
        # Written so that not-a-number on either side fails.
        if not relative <= limit:
            raise GateError(
                f"The gate: Expected {where} within {limit:g} of Keras, relative to the largest magnitude. "
                f"Received a difference of {relative:g}."
            )
        differences[name] = {"relative": relative, "absolute": absolute}
    return differences
