"""The tables of a comparison: table.json for programs, table.md for a README."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from apps.action_recognition.comparison.zoo import REPORT, TIMING
from tools.files import read_json, replacing, write_json

SAVED_MODEL = "saved_model"
PRECISIONS = ("float32", "float16", "int8")
NAMES = {"keras": "Keras", SAVED_MODEL: "SavedModel", "float32": "float32", "float16": "float16", "int8": "int8"}
JSON_FILE, MARKDOWN_FILE = "table.json", "table.md"
Row = Mapping[str, Any]


def write_tables(names: Sequence[str], folder: pathlib.Path, failures: Mapping[str, str]) -> dict[str, Any]:
    """Writes folder/table.json and folder/table.md of all finished models, and of those that failed.

    Args:
        names: registered names, in the order of the rows.
        folder: of the comparison.
        failures: why a model failed, by name.

    Returns:
        What table.json holds: "models", each with "model", "error" or "settings", "ways", "direct" and "timing".
    """
    rows = []
    for name in names:
        home = folder / name
        if (home / REPORT).is_file():
            timing = read_json(home / TIMING) if (home / TIMING).is_file() else None
            late = {"timing_error": failures[name]} if name in failures else {}
            rows.append({"model": name, **read_json(home / REPORT), "timing": timing, **late})
        elif name in failures:
            rows.append({"model": name, "error": failures[name]})
    document = {"models": rows}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / JSON_FILE, document)
    with replacing(folder / MARKDOWN_FILE) as partial:
        partial.write_text(markdown(rows), encoding="utf-8")
    return document


def markdown(rows: Sequence[Row]) -> str:
    """Three tables with what they mean: agreement, size, and time where it was taken."""
    good = [row for row in rows if "error" not in row]
    parts = [_agreement(good), _sizes(good)] if good else []
    timed = [row for row in good if row["timing"]]
    if timed:
        parts.append(_times(timed))
    reasons = [line for row in rows for line in _reasons(row)]
    if reasons:
        parts.append("\n".join(["What could not be had:", "", *(f"- {reason}" for reason in reasons)]))
    return "\n\n".join(parts) + "\n"


def _agreement(rows: Sequence[Row]) -> str:
    counts = sorted({len(row["settings"]["compared"]) for row in rows})
    weights = [f"`{row['settings']['weights']}`" for row in rows if row["settings"]["weights"]]
    flow = [row["model"] for row in rows if row["model"].endswith("_flow")]
    text = (
        f"Answers on the central clips of {_either(counts)} videos against Keras' in float32; int8 took its ranges "
        "from other videos. Difference: the largest, over the largest entry of Keras' answer (probabilities of the "
        "SavedModel, logits of the LiteRT files). RMS: of the difference of the logits over that of the logits. "
        "Correlation: of the logits less their mean over the clips, which is what tells the clips apart. Same class: "
        "clips whose most probable class is Keras'. "
    )
    if weights:
        text += f"Published weights: {', '.join(weights)}; the others are random, as a new model has them. "
    else:
        text += "The weights are random, as a new model has them. "
    text += (
        "The classes of a random network lie as close together as chance has it, so whether the class is the same says "
        "little of it: RMS and correlation say more."
    )
    sizes = {row["model"]: tuple(row["settings"]["size"]) for row in rows if row["settings"]["size"]}
    for size in sorted(set(sizes.values())):
        names = ", ".join(f"`{name}`" for name in sizes if sizes[name] == size)
        text += f" Clips of {'x'.join(map(str, size))} instead of the native ones: {names}."
    if flow:
        text += f" {', '.join(f'`{name}`' for name in flow)}: optical flow of the same videos, by Farneback's method."
    head = ["model", "SavedModel", "float32", "float16", "int8", "int8 RMS", "int8 correlation"]
    head += ["same class: SavedModel", *PRECISIONS]
    lines = []
    for row in rows:
        ways = row["ways"]
        lines.append(
            [f"`{row['model']}`"]
            + [_relative(ways[way]) for way in (SAVED_MODEL, *PRECISIONS)]
            + [_part(ways["int8"], "relative_rms", "{:.1%}"), _part(ways["int8"], "correlation", "{:.4f}")]
            + [_same_class(ways[way]) for way in (SAVED_MODEL, *PRECISIONS)]
        )
    return f"{text}\n\n{_table(head, lines)}"


def _sizes(rows: Sequence[Row]) -> str:
    head = ["model", "SavedModel", *PRECISIONS, *(f"{precision}, direct" for precision in PRECISIONS)]
    lines = [
        [f"`{row['model']}`"]
        + [_megabytes(row["ways"][way]) for way in (SAVED_MODEL, *PRECISIONS)]
        + [_megabytes(row["direct"][precision]) for precision in PRECISIONS]
        for row in rows
    ]
    text = (
        "Megabytes (millions of bytes). Direct: TensorFlow's conversion of the model as it is, asked for the same "
        "precision; under int8 it leaves 3-D convolutions in float32, for which LiteRT has no integer kernel."
    )
    return f"{text}\n\n{_table(head, lines)}"


def _times(rows: Sequence[Row]) -> str:
    threads, repeats = (sorted({row["timing"][key] for row in rows}) for key in ("threads", "repeats"))
    text = (
        f"Median milliseconds of one clip on {_either(threads)} CPU thread(s), {_either(repeats)} turns, the ways of a "
        "model taking turns in one process; in brackets, how many times as fast as the direct conversion asked for the "
        "same precision, or - where that fails."
    )
    lines = []
    for row in rows:
        times = row["timing"]["milliseconds"]
        cells = [_milliseconds(times, way) for way in ("keras", SAVED_MODEL)]
        for precision in PRECISIONS:
            cells.append(_milliseconds(times, precision) + _speed_up(times, precision))
        lines.append([f"`{row['model']}`", *cells])
    return f"{text}\n\n{_table(['model', *NAMES.values()], lines)}"


def _speed_up(times: Row, precision: str) -> str:
    direct = f"{precision}_direct"
    if precision not in times:
        return ""
    if direct in times:
        return f" ({times[direct]['median'] / times[precision]['median']:.1f})"
    return " (-)"


def _reasons(row: Row) -> list[str]:
    if "error" in row:
        return [f"`{row['model']}`: {row['error']}"]
    found = [
        (f"`{row['model']}`, {NAMES[way]}", entry["error"]) for way, entry in row["ways"].items() if "error" in entry
    ]
    direct = {entry["error"]: key for key, entry in reversed(row["direct"].items()) if "error" in entry}
    found += [(f"`{row['model']}`, direct {key}", reason) for reason, key in direct.items()]
    if "timing_error" in row:
        found.append((f"`{row['model']}`, its time", row["timing_error"]))
    return [f"{place}: {reason}" for place, reason in found]


def _either(values: Sequence[int]) -> str:
    return " or ".join(map(str, values))


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *lines])


def _relative(way: Row) -> str:
    if "error" in way:
        return "-"
    found = way["difference"]
    return f"{found['max_abs_difference'] / (found['max_abs_expected'] or 1.0):.1e}"


def _part(way: Row, key: str, form: str) -> str:
    value = None if "error" in way else way["difference"][key]
    return "-" if value is None else form.format(value)


def _same_class(way: Row) -> str:
    if "error" in way:
        return "-"
    found = way["difference"]
    return f"{round(found['top1_agreement'] * found['inputs'])}/{found['inputs']}"


def _megabytes(entry: Row) -> str:
    return entry["error"].partition(":")[0] if "error" in entry else f"{entry['bytes'] / 1e6:.1f}"


def _milliseconds(times: Row, way: str) -> str:
    if way not in times:
        return "-"
    median = times[way]["median"]
    return f"{median:.1f}" if median < 100 else f"{median:.0f}"
