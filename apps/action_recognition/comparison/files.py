"""The first stage for one model: makes its SavedModel and its LiteRT files, and compares their answers with Keras'."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from apps.action_recognition import models, published_weights
from apps.action_recognition.comparison import clips, networks
from apps.action_recognition.comparison.tables import PRECISIONS, SAVED_MODEL
from apps.action_recognition.export import export
from tools.lite.conversion import difference
from tools.lite.runtime import Runner
from tools.lite.variants import write_variants
from tools.saved_model import GateError, gate, graph

DIRECT = "direct"
# Ranges decide how well an int8 file answers, not how fast; the direct file is only timed.
DIRECT_CLIPS = 1
THREADS = 2

Tell = Callable[[str], None]


def make(settings: dict[str, Any], folder: pathlib.Path, tell: Tell) -> dict[str, Any]:
    """Writes into `folder` the SavedModel and the LiteRT files of one model, and compares them.

    Args:
        settings: "model", "size", "weights", "compared" and "calibration" (paths of videos) and "seed"; see
            `apps.action_recognition.comparison.zoo.Settings`.
        folder: exists, and is empty.
        tell: called with a line about each stage.

    Returns:
        "ways": by way "difference" (see `tools.lite.conversion.difference`), "of" ("probabilities" or "logits") and
        "bytes", or "error"; "direct": by precision "bytes" or "error".

    Raises:
        InputError: if the model cannot be built as asked, or a video cannot be read.
    """
    name, size, seed = settings["model"], settings["size"], settings["seed"]
    size = None if size is None else tuple(size)
    model = networks.build(name, size, settings["weights"], seed)
    spec = models.clip_spec(name, size)
    tell("reading the videos")
    calibration, compared = (
        clips.read(settings[which], spec, model.input_shape[-1]) for which in ("calibration", "compared")
    )
    tell("asking Keras")
    logits = networks.logits(model)
    expected = _answers(keras.Model(model.input, {"probabilities": model.output, "logits": logits}), compared)

    report: dict[str, Any] = {"ways": {}, DIRECT: {}}
    tell("publishing through the gate")
    report["ways"][SAVED_MODEL] = _saved_model(model, spec, settings["weights"], folder, compared, expected)
    # Of logits, because probabilities of many classes are small numbers that agree whatever the network says.
    network = keras.Model(model.input, {"logits": logits}, name=name)
    paths = {precision: lite_path(folder, precision) for precision in PRECISIONS}
    reasons = write_variants(network, paths, representative=calibration, tell=tell)
    for precision, reason in reasons.items():
        tell(f"comparing {precision} with Keras")
        report["ways"][precision] = {"error": reason} if reason else _lite(paths[precision], compared, expected)
    paths = {precision: lite_path(folder, precision, direct=True) for precision in PRECISIONS}
    reasons = write_variants(network, paths, representative=calibration[:DIRECT_CLIPS], rewrite=False, tell=tell)
    for precision, reason in reasons.items():
        report[DIRECT][precision] = {"error": reason} if reason else {"bytes": paths[precision].stat().st_size}
    return report


def lite_path(folder: pathlib.Path, precision: str, *, direct: bool = False) -> pathlib.Path:
    """Where a LiteRT file of the comparison is kept."""
    return folder / f"{precision}{'_direct' if direct else ''}.tflite"


def saved_model_path(folder: pathlib.Path) -> pathlib.Path:
    """Where the SavedModel of the comparison is kept."""
    return folder / SAVED_MODEL / "1"


def _answers(both: keras.Model, compared: np.ndarray) -> dict[str, np.ndarray]:
    ask = tf.function(lambda clip: both(clip, training=False))
    parts = [ask(tf.constant(clip[None])) for clip in compared]
    return {key: np.concatenate([part[key].numpy() for part in parts]) for key in parts[0]}


def _saved_model(
    model: keras.Model,
    spec: Any,
    weights: str | None,
    folder: pathlib.Path,
    compared: np.ndarray,
    expected: dict[str, np.ndarray],
) -> dict[str, Any]:
    entry = published_weights.PUBLISHED.get(str(weights))
    classes = entry.classes() if entry else [f"class {index}" for index in range(model.output_shape[-1])]
    try:
        published = export(model, spec, classes, base=folder, name=SAVED_MODEL)
        ports = graph.signatures(graph.read(published.path))["serving_default"][0]
        runs = [
            gate.Run("a clip", "serving_default", {"clip": gate.raw_tensor(clip[None], ports["clip"].dtype)}, None)
            for clip in compared
        ]
        answers = gate.ask(published.path, runs)
    except GateError as error:
        return {"error": str(error)}
    received = np.concatenate([answer["probabilities"] for answer in answers])
    return {
        "of": "probabilities",
        "difference": difference(expected["probabilities"], received),
        "bytes": published.report["bytes"],
    }


def _lite(path: pathlib.Path, compared: np.ndarray, expected: dict[str, np.ndarray]) -> dict[str, Any]:
    received = Runner(path, THREADS)(compared)
    return {"of": "logits", "difference": difference(expected["logits"], received), "bytes": path.stat().st_size}
