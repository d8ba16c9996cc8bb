"""The commands `kapps lite convert`, `kapps lite bench` and `kapps lite run`."""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import TYPE_CHECKING, Any

from tools import files
from tools.commands import add_command, add_group, print_result, table
from tools.errors import InputError

if TYPE_CHECKING:
    import keras
    import numpy as np


def add_commands(subparsers: argparse._SubParsersAction) -> None:
    """Adds `lite` with its verbs."""
    verbs = add_group(
        subparsers,
        "lite",
        help="convert a model to a LiteRT file for the edge, time it, run it",
        example="kapps lite convert runs/motion motion.tflite --precision int8",
    )

    parser = add_command(
        verbs,
        "convert",
        help="rewrite a model without 3-D operations, convert it, check the file and compare it with Keras",
        example="kapps lite convert runs/motion motion.tflite --precision int8 --compare-direct",
        run=convert,
    )
    parser.add_argument("model", help="a .keras file, or a run folder (its best.keras and representative.npz)")
    parser.add_argument("output", help="the .tflite file to write; its report goes beside it, as OUTPUT.json")
    parser.add_argument(
        "--precision", default="float32", choices=("float32", "float16", "dynamic", "int8"), help="default float32"
    )
    parser.add_argument("--representative", metavar="NPZ", help="clips as the model takes them, float32 (clips, ...)")
    parser.add_argument("--io", default="float32", choices=("float32", "int8"), help="inputs and outputs of int8 files")
    parser.add_argument("--input-shape", help="sizes without batch, where the model leaves them open: 16,112,112,3")
    parser.add_argument("--no-rewrite", action="store_true", help="convert the model as it is")
    parser.add_argument("--compare-direct", action="store_true", help="time a conversion without rewriting beside it")
    _add_timing(parser)

    parser = add_command(
        verbs,
        "bench",
        help="time LiteRT files, taking turns",
        example="kapps lite bench float32.tflite int8.tflite --threads 2",
        run=bench,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help=".tflite files")
    _add_timing(parser)

    parser = add_command(
        verbs,
        "run",
        help="run a LiteRT file on arrays",
        example="kapps lite run motion.tflite clips.npz --top-k 3 --labels labels.txt",
        run=run,
    )
    parser.add_argument("file", help="a .tflite file")
    parser.add_argument("input", help="an .npz with an array for each input (one array of any name for a sole input)")
    parser.add_argument("--top-k", type=int, default=5, help="classes to show of each answer, default 5")
    parser.add_argument("--labels", help="a text file with the name of a class on each line")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads, default 1")


def _add_timing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, default=1, help="CPU threads, default 1")
    parser.add_argument("--seconds", type=float, default=3.0, help="time to measure each file, default 3")


def convert(options: argparse.Namespace) -> None:
    """Converts a model and prints its report."""
    model_file, representative = _sources(options.model, options.representative)
    shape = _sizes(options.input_shape)
    from tools.lite.conversion import convert as convert_model
    from tools.lite.rewriting.graph import functional

    model = load_model(model_file)
    names = [tensor.name for tensor in functional(model).inputs]
    report = convert_model(
        model,
        options.output,
        precision=options.precision,
        representative=None if representative is None else read_arrays(representative, names),
        rewrite=not options.no_rewrite,
        input_shape=shape,
        io=options.io,
        compare_direct=options.compare_direct,
        threads=options.threads,
        seconds=options.seconds,
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print_result(options, report, lambda: describe(options.output, report))


def describe(path: str, report: dict[str, Any]) -> str:
    """A report for a person."""
    found, latency = report["inspection"], report["latency"]
    lines = [
        f"{path}: {report['model']} in {report['precision']}, {found['size'] / 1e6:.2f} MB, "
        f"{latency['median_ms']:.2f} ms a clip on {latency['threads']} thread(s)",
        "operators: " + ", ".join(f"{count} {name}" for name, count in found["operators"].items()),
        *(
            f"{one['count']} {one['operator']}: input {one['input']}, filter {one['filter']}, output {one['output']}"
            for one in found["convolutions"]
        ),
    ]
    lines += [
        f"{name} against Keras on {one['inputs']} {report['agreement_inputs']} inputs: largest difference "
        f"{one['max_abs_difference']:.2e}, relative RMS {one['relative_rms']:.2e}, same class "
        f"{100 * one['top1_agreement']:.1f} %"
        for name, one in report["agreement"].items()
    ]
    direct = report.get("direct", {})
    if "error" in direct:
        lines.append(f"converted without rewriting: {direct['error']}")
    elif direct:
        lines.append(
            f"converted without rewriting: {direct['size'] / 1e6:.2f} MB, {direct['median_ms']:.2f} ms; this file is "
            f"{direct['times_faster']:.1f} times faster"
        )
    return "\n".join(lines)


def bench(options: argparse.Namespace) -> None:
    """Prints the latency of files."""
    from tools.lite.benchmark import measure

    rows = measure(options.files, threads=options.threads, seconds=options.seconds)
    columns = ["file", "size", "threads", "runs", "median_ms", "fastest_ms", "slowest_ms"]
    print_result(
        options,
        rows,
        lambda: table(
            [[round(row[name], 2) if name.endswith("_ms") else row[name] for name in columns] for row in rows], columns
        ),
    )


def run(options: argparse.Namespace) -> None:
    """Runs a file on the arrays of another and prints the highest entries of each answer."""
    if options.top_k < 1:
        raise InputError(f"Expected --top-k to be at least 1. Received {options.top_k}.")
    labels = _labels(options.labels)
    from tools.lite.runtime import Runner

    runner = Runner(options.file, options.threads)
    results = runner(read_arrays(options.input, list(runner.inputs)))
    results = results if isinstance(results, dict) else {next(iter(runner.outputs)): results}
    rows = [
        {"output": name, "input": index, "class": place, "label": _label(labels, place, values), "value": value}
        for name, array in results.items()
        for index, values in enumerate(array.reshape(len(array), -1))
        for place, value in ((int(place), float(values[place])) for place in (-values).argsort()[: options.top_k])
    ]
    columns = ["output", "input", "class", "label", "value"]
    print_result(options, rows, lambda: table([[row[name] for name in columns] for row in rows], columns))


def load_model(path: str | pathlib.Path) -> keras.Model:
    """Loads a .keras file of this suite's layers, without running code from it."""
    path = pathlib.Path(path)
    if not path.is_file() or path.suffix != ".keras":
        raise InputError(f"Expected a .keras file or a run folder. Received {path}.")
    import keras

    import keras_layers  # noqa: F401 - registers the layers

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise InputError(f"Expected a whole .keras file. Received {path}: {error}") from error


def read_arrays(path: str | pathlib.Path, names: list[str]) -> dict[str, np.ndarray]:
    """The arrays of an .npz by input name; a sole array serves a sole input whatever its name."""
    arrays = files.read_arrays(path)
    if len(arrays) == 1 and len(names) == 1:
        arrays = dict(zip(names, arrays.values(), strict=True))
    if not set(names) <= set(arrays):
        raise InputError(f"Expected arrays {', '.join(names)} in {path}. Received {', '.join(arrays) or 'none'}.")
    return {name: arrays[name] for name in names}


def _sources(model: str, representative: str | None) -> tuple[pathlib.Path, str | pathlib.Path | None]:
    folder = pathlib.Path(model)
    if not folder.is_dir():
        return folder, representative
    own = folder / "representative.npz"
    return folder / "best.keras", representative or (own if own.is_file() else None)


def _sizes(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise InputError(f"Expected --input-shape to be positive integers such as 16,112,112,3. Received {text}.")
    return sizes


def _labels(path: str | None) -> list[str]:
    if path is None:
        return []
    try:
        return pathlib.Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Expected a text file of labels. Received {path}: {error}") from error


def _label(labels: list[str], place: int, values: Any) -> str:
    if labels and len(labels) != len(values):
        raise InputError(f"Expected as many labels as the output has entries, {len(values)}. Received {len(labels)}.")
    return labels[place] if labels else ""
