"""Many models, each in a process of its own; what is finished is not done again."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from apps.action_recognition.comparison.worker import ANSWER
from tools.errors import InputError
from tools.files import read_json, write_json

REPORT = "report.json"
TIMING = "timing.json"
WORKER = "apps.action_recognition.comparison.worker"
ROOT = pathlib.Path(__file__).resolve().parents[3]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the files of a model follow from.

    Attributes:
        model: registered name.
        size: (frames, height, width) of the clip, or None for the native one.
        weights: a checkpoint or the name of published weights; None for random ones.
        compared: videos on whose central clip the answers are compared.
        calibration: videos from whose central clip int8 takes its ranges.
        seed: of random weights.
    """

    model: str
    size: tuple[int, int, int] | None
    weights: str | None
    compared: tuple[str, ...]
    calibration: tuple[str, ...]
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON reads them back."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


def compare(models: Sequence[Settings], folder: pathlib.Path) -> dict[str, str]:
    """Makes and compares the files of each model under folder/<model>, which appears whole or not at all.

    Args:
        models: to compare.
        folder: of the comparison.

    Returns:
        By model why it failed, for those that did.

    Raises:
        InputError: if a finished model was made with other settings; nothing has been done then.
    """
    for settings in models:
        _check_same(settings, folder)
    failures = {}
    for number, settings in enumerate(models, start=1):
        if (folder / settings.model / REPORT).is_file():
            continue
        _say(f"{settings.model}: model {number} of {len(models)}")
        partial = folder / f".{settings.model}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            answer = _work(partial, {"stage": "files", "settings": settings.to_dict()})
            if "error" in answer:
                failures[settings.model] = answer["error"]
                _say(f"{settings.model}: {answer['error']}")
                continue
            write_json(partial / REPORT, {"settings": settings.to_dict(), **answer})
            os.rename(partial, folder / settings.model)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return failures


def take_time(names: Sequence[str], folder: pathlib.Path, *, threads: int, repeats: int) -> dict[str, str]:
    """Times every way of each finished model that was not timed so before.

    Args:
        names: of models; those that are not finished are left out.
        folder: of the comparison.
        threads: CPU threads.
        repeats: timed turns.

    Returns:
        By model why it failed, for those that did.
    """
    failures = {}
    for name in names:
        home = folder / name
        if not (home / REPORT).is_file() or _timed(home, threads, repeats):
            continue
        report = read_json(home / REPORT)
        job = {"stage": "timing", "settings": report["settings"], "report": report}
        answer = _work(home, {**job, "threads": threads, "repeats": repeats})
        if "error" in answer:
            failures[name] = answer["error"]
            _say(f"{name}: {answer['error']}")
        else:
            write_json(home / TIMING, answer)
    return failures


def _check_same(settings: Settings, folder: pathlib.Path) -> None:
    path = folder / settings.model / REPORT
    if not path.is_file():
        return
    before, now = read_json(path).get("settings", {}), settings.to_dict()
    other = [key for key in now if before.get(key) != now[key]]
    if other:
        raise InputError(
            f"Expected {path.parent} to be of the same {', '.join(other)}. Received one of others: choose another "
            "--output, or remove it."
        )


def _timed(home: pathlib.Path, threads: int, repeats: int) -> bool:
    if not (home / TIMING).is_file():
        return False
    timing: Mapping[str, Any] = read_json(home / TIMING)
    return (timing.get("threads"), timing.get("repeats")) == (threads, repeats)


def _work(folder: pathlib.Path, job: dict[str, Any]) -> dict[str, Any]:
    """The answer of the process, or why there is none."""
    answer = folder / ANSWER
    answer.unlink(missing_ok=True)
    command = [sys.executable, "-m", WORKER]
    job = {**job, "folder": os.fspath(folder.resolve())}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.getenv("PYTHONPATH")]))}
    process = subprocess.Popen([*command, json.dumps(job)], stdin=subprocess.DEVNULL, env=environment)
    try:
        status = process.wait()
    finally:
        process.kill()
        process.wait()
    if not answer.is_file():
        ending = f"died of {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return {"error": f"its process {ending}"}
    try:
        return read_json(answer)
    finally:
        answer.unlink()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
