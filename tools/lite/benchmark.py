"""Latency of LiteRT files."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from tools.errors import InputError
from tools.lite.runtime import Runner


def measure(
    paths: Sequence[str | os.PathLike], *, threads: int = 1, seconds: float = 3.0, seed: int = 0
) -> list[dict[str, Any]]:
    """Times one inference of each file on standard normal inputs, one thread count, the files taking turns.

    Taking turns spreads what else the machine does over all files alike.

    Args:
        paths: LiteRT files.
        threads: CPU threads of the interpreter.
        seconds: time for each file after one inference to warm up; each runs at least three times.
        seed: of the inputs.

    Returns:
        For each file: path, size (bytes), threads, runs, and median, fastest and slowest of the latency in
        milliseconds.
    """
    if seconds <= 0:
        raise InputError(f"Expected seconds to be positive. Received {seconds}.")
    runners = [Runner(path, threads) for path in paths]
    inputs = [example(runner, seed) for runner in runners]
    times: list[list[float]] = [[] for _ in runners]
    for runner, values in zip(runners, inputs, strict=True):
        runner(values)
    while any(len(spent) < 3 or sum(spent) < seconds for spent in times):
        for runner, values, spent in zip(runners, inputs, times, strict=True):
            if len(spent) < 3 or sum(spent) < seconds:
                started = time.perf_counter()
                runner(values)
                spent.append(time.perf_counter() - started)
    return [
        {
            "file": os.fspath(path),
            "size": os.path.getsize(path),
            "threads": threads,
            "runs": len(spent),
            "median_ms": 1000 * float(np.median(spent)),
            "fastest_ms": 1000 * min(spent),
            "slowest_ms": 1000 * max(spent),
        }
        for path, spent in zip(paths, times, strict=True)
    ]


def example(runner: Runner, seed: int = 0) -> dict[str, np.ndarray]:
    """Standard normal numbers for every float input, zeros for any other, in the file's own batch."""
    generator = np.random.default_rng(seed)
    arrays = {}
    for name, detail in runner.inputs.items():
        shape = tuple(detail["shape"])
        floating = np.issubdtype(detail["dtype"], np.floating) or detail["dtype"] == np.int8
        arrays[name] = (
            generator.standard_normal(shape).astype("float32") if floating else np.zeros(shape, detail["dtype"])
        )
    return arrays
