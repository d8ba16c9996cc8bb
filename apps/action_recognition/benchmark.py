"""Side by side, in one run: the data pipeline and plain reading, the edge rewrite and the direct conversion.

`make bench` runs it on motion clips that it makes itself.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from tools.commands import print_result, run_command, table

VIDEOS_PER_CLASS = 20
CLIPS = 4
# Way -> (precision, rewritten).
FILES = {
    "float32, rewritten": ("float32", True),
    "int8, rewritten": ("int8", True),
    "float32, direct": ("float32", False),
    "int8, direct": ("int8", False),
}


def measure_data(folder: str | None, repeats: int) -> dict[str, Any]:
    """Clips a second of the pipeline beside plain reading in one thread, of 16x112x112 clips.

    Args:
        folder: videos as `load_videos` takes them; None makes motion clips of 128 pixels.
        repeats: timed passes over the videos.
    """
    from apps.action_recognition.data import ClipSpec, benchmark, load_videos, motion_clips
    from tools import bench

    with tempfile.TemporaryDirectory() as made:
        if folder is None:
            folder = str(motion_clips.generate(pathlib.Path(made) / "clips", VIDEOS_PER_CLASS, size=128))
        videos = load_videos(folder)
        timings = benchmark.measure(videos, ClipSpec(), batch_size=8, repeats=repeats)
    return {
        "videos": len(videos),
        "ways": [timing.to_dict() for timing in timings],
        "text": bench.report(timings, "clips"),
    }


def measure_edge(name: str, threads: Sequence[int], seconds: float) -> list[dict[str, Any]]:
    """Latency of one clip of a registered model with random weights: every file of `FILES`, taking turns.

    Args:
        name: a registered model.
        threads: numbers of CPU threads.
        seconds: time for each file and number of threads.
    """
    from apps.action_recognition import models
    from tools import lite

    model = models.create(name)
    clips = np.random.default_rng(0).standard_normal((CLIPS, *model.input_shape[1:])).astype("float32")
    with tempfile.TemporaryDirectory() as folder:
        paths = {way: pathlib.Path(folder) / f"{index}.tflite" for index, way in enumerate(FILES)}
        for way, (precision, rewritten) in FILES.items():
            print(f"converting {name}: {way}", file=sys.stderr)
            lite.convert(
                model,
                paths[way],
                precision=precision,
                rewrite=rewritten,
                representative=clips,
                compare_clips=1,
                seconds=0.1,
            )
        return [
            {"way": way, **{key: value for key, value in row.items() if key != "file"}}
            for count in threads
            for way, row in zip(FILES, lite.measure(list(paths.values()), threads=count, seconds=seconds), strict=True)
        ]


def run(options: argparse.Namespace) -> None:
    """Measures and prints both tables."""
    data = measure_data(options.videos, options.repeats)
    edge = measure_edge(options.model, options.threads, options.seconds)
    columns = ["way", "threads", "median_ms", "fastest_ms", "size"]

    def text() -> str:
        rows = [
            [round(value, 1) if isinstance(value, float) else value for value in map(row.get, columns)] for row in edge
        ]
        return f"{data['text']}\n\n{options.model}, one clip\n{table(rows, columns)}"

    print_result(options, {"data": data, "edge": {"model": options.model, "files": edge}}, text)


def build_parser() -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = argparse.ArgumentParser(
        prog="python -m apps.action_recognition.benchmark",
        description=__doc__.splitlines()[0],
        epilog="example:\n  python -m apps.action_recognition.benchmark --videos clips/train --threads 1 2",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--videos", help="folder or list of videos (default: motion clips made for the purpose)")
    parser.add_argument("--repeats", type=int, default=3, help="timed passes over the videos (default 3)")
    parser.add_argument("--model", default="r2plus1d_18", help="registered model at the edge (default r2plus1d_18)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="CPU threads at the edge (default 1 2)")
    parser.add_argument("--seconds", type=float, default=10.0, help="time for each file and thread count (default 10)")
    parser.add_argument("--json", action="store_true", help="print one JSON document, for a program to read")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)
    return parser


if __name__ == "__main__":
    sys.exit(run_command(build_parser()))
