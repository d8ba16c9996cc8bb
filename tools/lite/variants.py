"""LiteRT files of one model in several precisions, from one rewriting and one export."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import keras

from tools.errors import InputError
from tools.lite.conversion import Clips, MissingOperatorError, convert_saved, inputs_by_name, save
from tools.lite.inspection import check
from tools.lite.rewriting import rewrite as rewrite_model
from tools.lite.rewriting.graph import functional, input_shapes
from tools.lite.runtime import Runner


def write_variants(
    model: keras.Model,
    paths: Mapping[str, pathlib.Path],
    *,
    representative: Clips,
    rewrite: bool = True,
    minimum_clips: int = 1,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, str | None]:
    """Writes a file for each precision, and says of each that could not be made why.

    Unlike `tools.lite.convert` it goes on where one precision fails, neither compares nor times, and exports only once.

    Args:
        model: a built Functional or Sequential model of fixed sizes.
        paths: file to write by precision: "float32", "float16", "dynamic", "int8".
        representative: inputs as `tools.lite.convert` takes them, from which int8 takes its ranges.
        rewrite: rewrite the model without 3-D operations first, and check each file with `tools.lite.check`.
        minimum_clips: least number of representative inputs.
        tell: called with a line about each stage.

    Returns:
        By precision None, or "does not convert: ...", "is not as asked: ..." or "does not run: ...".

    Raises:
        InputError: for representative clips that do not fit, or a layer that has no rule.
        OSError: if a file cannot be written.
    """
    shapes = input_shapes(functional(model), None)
    clips = inputs_by_name(representative, functional(model), shapes, minimum_clips)
    kind = "rewritten" if rewrite else "direct"
    if rewrite:
        tell("rewriting the model")
    source = rewrite_model(model) if rewrite else model
    reasons: dict[str, str | None] = {}
    folder = next(iter(paths.values())).parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        saved_model = pathlib.Path(scratch) / "saved_model"
        save(source, shapes, saved_model)
        for precision, path in paths.items():
            tell(f"converting to {precision}, {kind}")
            try:
                reasons[precision] = _write(saved_model, path, precision, clips, rewrite)
            except MissingOperatorError as error:
                # What one precision lacks, those after it lack too.
                return {**dict.fromkeys(paths, f"does not convert: {error}"), **reasons}
    return reasons


def _write(
    saved_model: pathlib.Path, path: pathlib.Path, precision: str, clips: dict[str, Any], checked: bool
) -> str | None:
    try:
        convert_saved(saved_model, path, precision, clips if precision == "int8" else None)
    except MissingOperatorError:
        raise
    except RuntimeError as error:
        return f"does not convert: {error}"
    try:
        if checked:
            check(path, precision)
        Runner(path)
    except InputError as error:
        reason = f"does not run: {error}"
    except ValueError as error:
        reason = f"is not as asked: {error}"
    else:
        return None
    path.unlink()
    return reason
