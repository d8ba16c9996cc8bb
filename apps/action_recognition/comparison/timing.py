"""The second stage for one model: the time of one clip in every way, the ways taking turns."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from apps.action_recognition.comparison import files, networks
from apps.action_recognition.comparison.tables import PRECISIONS, SAVED_MODEL
from tools.bench import compare
from tools.lite.runtime import Runner

KERAS = "keras"


def measure(
    settings: dict[str, Any],
    report: dict[str, Any],
    folder: pathlib.Path,
    *,
    threads: int,
    repeats: int,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Times Keras (a compiled graph), the SavedModel and every LiteRT file, direct ones too, on one clip of noise.

    Args:
        settings: of the comparison, see `files.make`.
        report: what `files.make` returned; ways with an error are left out.
        folder: where it wrote.
        threads: CPU threads of every way.
        repeats: timed turns.
        tell: called with a line about each stage.

    Returns:
        "threads", "repeats", and "milliseconds": by way "median", "fastest" and "slowest".
    """
    # TensorFlow takes both only before its first operation.
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tell("loading every way")
    size = settings["size"]
    # Whatever the weights are, the time is the same.
    model = networks.build(settings["model"], None if size is None else tuple(size))
    clip = np.random.default_rng(0).standard_normal((1, *model.input_shape[1:])).astype(np.float32)
    tensor = tf.constant(clip)
    function = tf.function(lambda clip: model(clip, training=False))
    ways: dict[str, Callable[[], Any]] = {KERAS: lambda: function(tensor).numpy()}
    if "error" not in report["ways"][SAVED_MODEL]:
        loaded = tf.saved_model.load(files.saved_model_path(folder))
        ways[SAVED_MODEL] = lambda: loaded.signatures["serving_default"](clip=tensor)["probabilities"].numpy()
    for direct, kept in ((False, report["ways"]), (True, report[files.DIRECT])):
        for precision in PRECISIONS:
            if "error" not in kept[precision]:
                runner = Runner(files.lite_path(folder, precision, direct=direct), threads)
                ways[f"{precision}_{files.DIRECT}" if direct else precision] = lambda runner=runner: runner(clip)

    def once(run: Callable[[], Any]) -> Callable[[], int]:
        return lambda: len(run())

    tell(f"timing {len(ways)} ways in turns")
    timings = compare({name: once(run) for name, run in ways.items()}, repeats=repeats)
    return {
        "threads": threads,
        "repeats": repeats,
        "milliseconds": {
            timing.name: {
                "median": 1000 * timing.median,
                "fastest": 1000 * min(timing.seconds),
                "slowest": 1000 * max(timing.seconds),
            }
            for timing in timings
        },
    }
