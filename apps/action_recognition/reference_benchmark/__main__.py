"""Our networks and the reference implementations in PyTorch, side by side in one run, each in a process of its own.

Needs the extra `[bench]`; `make bench-reference` installs it and measures everything.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from apps.action_recognition.reference_benchmark.networks import REFERENCES
from tools.commands import print_result, progress, run_command, table
from tools.errors import InputError

# What is measured -> (sides, the reference first; clips of a batch).
WORK = {"forward": (("torch", "keras", "lite"), 1), "train": (("torch", "keras"), 4)}
# (What is measured, side) -> model -> how many times as fast as the reference it is meant to be.
AIMS = {
    ("forward", "keras"): {
        "r3d_18": 1.5,
        "r2plus1d_18": 1.5,
        "s3d": 1.5,
        "x3d_m": 2.0,
        "slowfast_8x8_r50": 1.5,
        "i3d_resnet50": 1.5,
    },
    ("forward", "lite"): dict.fromkeys(
        ("r3d_18", "r2plus1d_18", "s3d", "x3d_m", "slowfast_8x8_r50", "i3d_resnet50"), 6.0
    ),
    ("train", "keras"): {"r2plus1d_18": 1.0, "x3d_s": 1.0, "s3d": 1.0},
}
SIDES = {"torch": "reference", "keras": "Keras", "lite": "LiteRT int8"}
PACKAGES = ("torch", "torchvision", "pytorchvideo")
CALIBRATION_CLIPS = 4
MEGABYTE = 1e6


def jobs(names: Sequence[str]) -> list[tuple[str, str]]:
    """(What is measured, model) of the models with an aim, in order."""
    return [(work, name) for work in WORK for name in AIMS[work, "keras"] if name in names]


def integer_file(name: str, folder: pathlib.Path) -> pathlib.Path:
    """The int8 LiteRT file of a registered model with random weights; made if the folder has none."""
    path = folder / f"{name}_int8.tflite"
    if not path.exists():
        import numpy as np

        from apps.action_recognition import models
        from tools import lite

        model = models.create(name)
        clips = np.random.default_rng(0).standard_normal((CALIBRATION_CLIPS, *model.input_shape[1:]), np.float32)
        lite.convert(model, path, precision="int8", representative=clips, compare_clips=1, seconds=0.1)
    return path


def measure(work: str, name: str, options: argparse.Namespace, files: pathlib.Path) -> list[dict[str, Any]]:
    """Every side of one job: times, memory, and how many times as fast as the reference."""
    from apps.action_recognition import models
    from tools.bench import compare_isolated

    sides, batch = WORK[work]
    commands = {}
    for side in sides:
        command = [sys.executable, "-m", "apps.action_recognition.reference_benchmark.side", side, name]
        command += ["--work", work, "--batch", str(batch), "--threads", str(options.threads)]
        command += ["--repeats", str(options.repeats), "--shape", *map(str, models.info(name).input_shape)]
        commands[side] = [*command, *(("--file", os.fspath(integer_file(name, files))) if side == "lite" else ())]
    found = compare_isolated(commands, options.rounds)
    reference = found["torch"].timing.median
    return [
        {
            "work": work,
            "model": name,
            "side": side,
            **{key: value for key, value in measured.to_dict().items() if key not in ("name", "items")},
            "speed_up": reference / measured.timing.median,
            "aim": AIMS.get((work, side), {}).get(name),
        }
        for side, measured in found.items()
    ]


def run(options: argparse.Namespace) -> None:
    """Measures and prints the table."""
    for name in ("rounds", "repeats", "threads"):
        if getattr(options, name) < 1:
            raise InputError(f"Expected --{name} to be at least 1. Received {getattr(options, name)}.")
    missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise InputError(
            f"Expected the extra [bench] (pip install -c constraints.txt -e '.[bench]'). "
            f"Received an environment without {', '.join(missing)}."
        )
    rows = []
    with tempfile.TemporaryDirectory() as made:
        files = pathlib.Path(options.files or made)
        files.mkdir(parents=True, exist_ok=True)
        todo = jobs(options.models)
        for work, name in progress(todo, len(todo), "measuring"):
            rows += measure(work, name, options, files)
    print_result(options, {"threads": options.threads, "rows": rows}, lambda: text(rows))


def text(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a table."""
    columns = [
        "",
        "network",
        "side",
        "median ms",
        "fastest ms",
        "times the reference",
        "aim",
        "peak MB",
        "of it libraries",
    ]
    return table(
        [
            [
                row["work"],
                row["model"],
                SIDES[row["side"]],
                f"{row['median_seconds'] * 1e3:.1f}",
                f"{min(row['seconds']) * 1e3:.1f}",
                f"{row['speed_up']:.2f}",
                "" if row["aim"] is None else f"{row['aim']:g}",
                round(row["peak_bytes"] / MEGABYTE),
                round(row["library_bytes"] / MEGABYTE),
            ]
            for row in rows
        ],
        columns,
    )


def build_parser() -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = argparse.ArgumentParser(
        prog="python -m apps.action_recognition.reference_benchmark",
        description=__doc__.splitlines()[0],
        epilog="example:\n  python -m apps.action_recognition.reference_benchmark --models r3d_18 x3d_m --rounds 3",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--models", nargs="+", choices=REFERENCES, default=list(REFERENCES), metavar="MODEL", help="default: all"
    )
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side, taking turns (default 3)")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each process (default 5)")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="CPU threads of every side (default: all of the machine)"
    )
    parser.add_argument("--files", help="folder of the LiteRT files, NAME_int8.tflite; made there where missing")
    parser.add_argument("--json", action="store_true", help="print one JSON document, for a program to read")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)
    return parser


if __name__ == "__main__":
    sys.exit(run_command(build_parser()))
