"""Converts a Keras model to a LiteRT file that is checked, run and compared before it appears."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np

from tools.errors import InputError
from tools.lite.benchmark import measure
from tools.lite.inspection import PRECISIONS, check, inspect
from tools.lite.rewriting import rewrite as rewrite_model
from tools.lite.rewriting.graph import functional, input_shapes
from tools.lite.runtime import Runner
from tools.lite.softmax import widen_softmax
from tools.saved_model.publishing import writing

IO_TYPES = ("float32", "int8")

# How TensorFlow's converter names an operation that it cannot translate.
MISSING = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")

# Fewer clips than this leave the ranges of an int8 model to chance.
MINIMUM_CLIPS = 4


class MissingOperatorError(RuntimeError):
    """A model has operations that no built-in operator of LiteRT computes, whatever the precision."""


Clips = np.ndarray | Mapping[str, np.ndarray] | Iterable[np.ndarray]


def convert(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    precision: str = "float32",
    representative: Clips | None = None,
    rewrite: bool = True,
    input_shape: Any = None,
    io: str = "float32",
    compare_direct: bool = False,
    compare_clips: int = 16,
    threads: int = 1,
    seconds: float = 3.0,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Writes a LiteRT file of built-in operators, and beside it `<path>.json`, the report that is returned.

    The file has one signature, "serving_default", with the model's input names and output names and a batch of 1. It
    appears only after it has been read back (operators, and the types of every convolution), run, and compared with
    Keras.

    Args:
        model: a built Functional or Sequential model.
        path: the file to write, ending in .tflite.
        precision: "float32"; "float16" (weights in float16, computed in float32); "dynamic" (weights in int8, range
            of the inputs measured in each run); "int8" (weights per channel and activations in int8).
        representative: inputs as the model takes them, preprocessed (clips, ...): an array, an iterable of
            single inputs, or a dictionary of arrays by input name. int8 takes its ranges from them (at least 4; 32
            or more real training clips are better). In every precision they are what agreement is measured on;
            without them standard normal numbers are.
        rewrite: rewrite the model without 3-D operations first (`tools.lite.rewrite`).
        input_shape: input shape without batch, for a model that leaves sizes open.
        io: type of inputs and outputs of an int8 file. With "float32" the file quantises and dequantises itself, and
            a final softmax is computed in float32, whose int8 form knows no step finer than 1/256.
        compare_direct: also convert the model as it is, in the same precision, and report its operators, size and
            latency beside the rewritten one's.
        compare_clips: at most so many representative inputs are compared with Keras.
        threads: CPU threads of the latency.
        seconds: how long each latency is measured.
        tell: called with a line about each stage that takes long.

    Raises:
        InputError: for wrong arguments or representative clips, or a layer that has no rule.
        OSError: if a file cannot be written. Neither file is there then.
        RuntimeError: if the converter fails.
        ValueError: if the file is not what was asked for.
    """
    path = pathlib.Path(path)
    _check_arguments(path, precision, io, representative)
    shapes = input_shapes(functional(model), input_shape)
    clips = inputs_by_name(representative, functional(model), shapes, MINIMUM_CLIPS)
    how = {"shapes": shapes, "precision": precision, "clips": None if representative is None else clips, "io": io}
    if rewrite:
        tell("rewriting the model")
    edge = rewrite_model(model, input_shape) if rewrite else model
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        file = pathlib.Path(folder) / "rewritten.tflite"
        tell(f"converting to {precision}")
        write_file(edge, file=file, **how)
        report = {"model": model.name, "precision": precision, "io": io if precision == "int8" else "float32"}
        report |= {"rewritten": rewrite, "inspection": _inspected(file, precision if rewrite else None, path.name)}
        tell("comparing with Keras")
        report["agreement_inputs"] = "standard normal" if representative is None else "representative"
        report["agreement"] = agreement(model, Runner(file, threads), clips, compare_clips)
        tell("measuring latency")
        report["latency"] = {**measure([file], threads=threads, seconds=seconds)[0], "file": path.name}
        if compare_direct:
            tell("converting without rewriting, to compare")
            report["direct"] = _direct(model, file, how, threads, seconds)
        _replace(path, file, report)
    return report


def _inspected(file: pathlib.Path, precision: str | None, name: str) -> dict[str, Any]:
    """What is in the file; with a precision only if it is what was asked for."""
    found = inspect(file) if precision is None else check(file, precision)
    return {**found.to_dict(), "path": name}


def _direct(
    model: keras.Model, rewritten: pathlib.Path, how: dict[str, Any], threads: int, seconds: float
) -> dict[str, Any]:
    """The model as it is, converted beside the rewritten one and compared with it."""
    direct = rewritten.with_name("direct.tflite")
    try:
        write_file(model, file=direct, **how)
        return compare_with_direct(direct, rewritten, threads, seconds)
    except RuntimeError as error:
        return {"error": str(error)}


def _replace(path: pathlib.Path, file: pathlib.Path, report: dict[str, Any]) -> None:
    """Puts the report, then the file, where they were asked for."""
    beside = file.with_name("report.json")
    beside.write_text(json.dumps(report, indent=2) + "\n")
    os.replace(beside, f"{path}.json")
    os.replace(file, path)


def write_file(
    model: keras.Model,
    shapes: list[tuple[int, ...]],
    file: pathlib.Path,
    precision: str,
    clips: dict[str, np.ndarray] | None,
    io: str = "float32",
) -> None:
    """Exports a model with a batch of 1 and named outputs, and converts it in a process of its own."""
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        saved_model = pathlib.Path(folder) / "saved_model"
        save(model, shapes, saved_model)
        convert_saved(saved_model, file, precision, clips, io)


def convert_saved(
    saved_model: pathlib.Path,
    file: pathlib.Path,
    precision: str,
    clips: dict[str, np.ndarray] | None,
    io: str = "float32",
) -> None:
    """Converts what `save` wrote, in a process of its own.

    Raises:
        MissingOperatorError: if the model has operations for which LiteRT has no built-in operator.
        OSError: if the file cannot be written.
        RuntimeError: if the converter fails otherwise.
    """
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        folder = pathlib.Path(folder)
        representative = None
        if clips is not None:
            representative = os.fspath(folder / "representative.npz")
            np.savez(representative, **clips)
        job = {
            "saved_model": os.fspath(saved_model),
            "output": os.fspath(folder / "model.tflite"),
            "precision": precision,
            "io": io,
            "representative": representative,
        }
        program = pathlib.Path(__file__).with_name("converter.py")
        result = subprocess.run(
            [sys.executable, "-P", os.fspath(program), json.dumps(job)],
            capture_output=True,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        if result.returncode:
            missing = sorted(set(MISSING.findall(result.stderr)))
            if missing:
                raise MissingOperatorError(f"Expected operations that LiteRT has. Received {', '.join(missing)}.")
            reason = last_error(result.stderr)
            # A full disk is no fault of the converter.
            kind = OSError if reason.startswith("OSError") else RuntimeError
            raise kind(f"TensorFlow's converter ended with status {result.returncode}: {reason}")
        if precision == "int8" and io == "float32":
            widen_softmax(folder / "model.tflite")
        os.replace(folder / "model.tflite", file)


def save(model: keras.Model, shapes: list[tuple[int, ...]], folder: pathlib.Path) -> None:
    """Exports a model as a SavedModel with a batch of 1 and named outputs, for `convert_saved`."""
    import tensorflow as tf

    graph = functional(model)
    inputs = {
        tensor.name: tf.TensorSpec((1, *shape), tensor.dtype, name=tensor.name)
        for tensor, shape in zip(graph.inputs, shapes, strict=True)
    }

    def serve(arrays):
        values = [arrays[tensor.name] for tensor in graph.inputs]
        results = graph(keras.tree.pack_sequence_as(graph._inputs_struct, values), training=False)
        return dict(zip(output_names(graph), keras.tree.flatten(results), strict=True))

    # Through ExportArchive, because the converter does not freeze the variables of a plain tf.Module.
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", serve, input_signature=[inputs])
    with writing(folder):
        archive.write_out(os.fspath(folder), verbose=False)


def last_error(text: str) -> str:
    """The line of a Python traceback that names the last exception."""
    lines = [line for line in text.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return (named or lines or ["no message"])[-1]


def output_names(graph: keras.Model) -> list[str]:
    """Names of the outputs; a name met again is numbered."""
    names: list[str] = []
    for name in graph.output_names:
        count = sum(known == name or known.startswith(f"{name}_") for known in names)
        names.append(name if name not in names else f"{name}_{count + 1}")
    return names


def agreement(model: keras.Model, runner: Runner, clips: dict[str, np.ndarray], count: int) -> dict[str, Any]:
    """How near a file comes to Keras: for each output the largest difference, the root mean square of the difference
    over that of Keras' output, and how often the largest entry of the last axis is the same one; for an output of
    integers also "equal_share", the share of them that are equal."""
    graph = functional(model)
    clips = {name: array[:count] for name, array in clips.items()}
    results: dict[str, list[np.ndarray]] = {name: [] for name in output_names(graph)}
    for index in range(len(next(iter(clips.values())))):
        one = [clips[tensor.name][index : index + 1] for tensor in graph.inputs]
        outputs = graph(keras.tree.pack_sequence_as(graph._inputs_struct, one), training=False)
        for name, value in zip(results, keras.tree.flatten(outputs), strict=True):
            results[name].append(keras.ops.convert_to_numpy(value).astype("float64"))
    answers = runner(clips)
    answers = answers if isinstance(answers, dict) else {next(iter(results)): answers}
    report = {}
    for name, parts in results.items():
        expected, received = np.concatenate(parts), answers[name]
        report[name] = difference(expected, received)
        if np.issubdtype(received.dtype, np.integer):
            report[name]["equal_share"] = float((received == expected).mean())
    return report


def difference(expected: np.ndarray, received: np.ndarray) -> dict[str, Any]:
    """How far answers (inputs, ..., entries) are from the right ones.

    Returns:
        "inputs": how many; "max_abs_difference", and "max_abs_expected", the largest right entry; "relative_rms": root
        mean square of the difference over that of the right answers; "correlation" of what tells the inputs apart
        (each entry less its mean over the inputs; None where nothing does); "top1_agreement": share of the places
        where the largest entry of the last axis is the same one.
    """
    expected, received = expected.astype("float64"), received.astype("float64")
    error = received - expected
    deviations = [(array - array.mean(axis=0)).ravel() for array in (expected, received)]
    norm = np.sqrt(np.prod([array @ array for array in deviations]))
    return {
        "inputs": len(expected),
        "max_abs_difference": float(np.abs(error).max()),
        "max_abs_expected": float(np.abs(expected).max()),
        "relative_rms": float(np.sqrt((error**2).mean() / max((expected**2).mean(), 1e-30))),
        "correlation": float(deviations[0] @ deviations[1] / norm) if norm else None,
        "top1_agreement": float((received.argmax(-1) == expected.argmax(-1)).mean()),
    }


def compare_with_direct(direct: pathlib.Path, file: pathlib.Path, threads: int, seconds: float) -> dict[str, Any]:
    """Size, operators and latency of the model converted as it is, both files timed in turns."""
    found = inspect(direct).to_dict()
    report = {name: found[name] for name in ("size", "operators", "convolutions")}
    try:
        ours, theirs = measure([file, direct], threads=threads, seconds=seconds)
    except InputError as error:
        return {**report, "error": str(error)}
    return {
        **report,
        "median_ms": theirs["median_ms"],
        "fastest_ms": theirs["fastest_ms"],
        "rewritten_median_ms": ours["median_ms"],
        "rewritten_fastest_ms": ours["fastest_ms"],
        "times_faster": theirs["median_ms"] / ours["median_ms"],
        "threads": threads,
    }


def _check_arguments(path: pathlib.Path, precision: str, io: str, representative: Any) -> None:
    if path.suffix != ".tflite":
        raise InputError(f"Expected a path that ends in .tflite. Received {path}.")
    if precision not in PRECISIONS:
        raise InputError(f"Expected precision to be one of {', '.join(PRECISIONS)}. Received {precision!r}.")
    if io not in IO_TYPES:
        raise InputError(f"Expected io to be one of {', '.join(IO_TYPES)}. Received {io!r}.")
    if io == "int8" and precision != "int8":
        raise InputError(f"Expected precision 'int8' with io 'int8'. Received {precision!r}.")
    if precision == "int8" and representative is None:
        raise InputError("Expected representative clips for precision 'int8'. Received none.")


def inputs_by_name(
    representative: Clips | None, graph: keras.Model, shapes: list[tuple[int, ...]], minimum: int
) -> dict[str, np.ndarray]:
    """Checked inputs of a graph by name, (clips, ...) in the types of its inputs; where none are given, standard
    normal numbers, and zeros for integers."""
    dtypes = {tensor.name: tensor.dtype for tensor in graph.inputs}
    shapes = dict(zip(dtypes, shapes, strict=True))
    if any(None in shape for shape in shapes.values()):
        raise InputError(f"Expected input_shape to give every size of the input. Received {shapes}.")
    if representative is None:
        generator = np.random.default_rng(0)
        return {
            name: generator.standard_normal((minimum, *shape)).astype("float32")
            if dtypes[name] == "float32"
            else np.zeros((minimum, *shape), dtypes[name])
            for name, shape in shapes.items()
        }
    if not isinstance(representative, Mapping):
        if len(shapes) != 1:
            raise InputError(f"Expected representative to be a dictionary with {', '.join(shapes)}.")
        representative = {next(iter(shapes)): representative}
    if set(representative) != set(shapes):
        raise InputError(
            f"Expected representative inputs {', '.join(shapes)}. Received {', '.join(representative) or 'none'}."
        )
    arrays = {name: _stacked(name, value, shapes[name], dtypes[name]) for name, value in representative.items()}
    counts = {len(array) for array in arrays.values()}
    if len(counts) != 1 or min(counts) < minimum:
        raise InputError(
            f"Expected at least {minimum} representative inputs, as many of each. Received {sorted(counts)}."
        )
    return arrays


def _stacked(name: str, values: Any, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    if not isinstance(values, np.ndarray):
        parts = [np.asarray(value) for value in values]
        if len({part.shape for part in parts}) > 1:
            raise InputError(f"Expected representative {name!r} of one shape. Received several.")
        values = np.stack(parts) if parts else np.empty((0, *shape), dtype)
    if values.dtype != dtype:
        raise InputError(
            f"Expected representative {name!r} in {dtype}, preprocessed as in training. Received {values.dtype}."
        )
    if values.shape[1:] != tuple(shape):
        raise InputError(f"Expected representative {name!r} of shape (clips, {shape}). Received {values.shape}.")
    if not np.isfinite(values).all():
        raise InputError(f"Expected finite numbers in representative {name!r}. Received NaN or infinity.")
    return values
