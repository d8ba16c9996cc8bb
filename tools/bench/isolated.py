"""Times several ways of doing one piece of work, each in a process of its own, with the memory that the process took.

Two frameworks in one process share its threads and its memory; in two processes that take turns neither sees the other.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tools.bench.timing import Timing

KIBIBYTE = 1024


@dataclasses.dataclass(frozen=True)
class Measured:
    """One way of doing the work.

    Attributes:
        timing: of all rounds.
        peak_bytes: largest resident memory of its process, in any round.
        library_bytes: of the same, what was resident once the libraries were imported and nothing yet built.
    """

    timing: Timing
    peak_bytes: int
    library_bytes: int

    @property
    def work_bytes(self) -> int:
        """What the work itself added to the memory of the libraries."""
        return self.peak_bytes - self.library_bytes

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {
            **self.timing.to_dict(),
            "peak_bytes": self.peak_bytes,
            "library_bytes": self.library_bytes,
            "work_bytes": self.work_bytes,
        }


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes. Linux only."""
    # What `resource.getrusage` says of a new process is never less than what its parent took.
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[1]) * KIBIBYTE


def work_in_turn(prepare: Callable[[], Callable[[], object]], repeats: int, warm_up: int = 1) -> None:
    """What a process that `compare_isolated` starts does after its imports: prepares, runs, prints one line of JSON.

    Args:
        prepare: builds what is to be timed and returns a function that does the work once.
        repeats: timed runs.
        warm_up: runs before them that are not timed.
    """
    library = peak_memory()
    run, seconds = prepare(), []
    for turn in range(warm_up + repeats):
        started = time.perf_counter()
        run()
        if turn >= warm_up:
            seconds.append(time.perf_counter() - started)
    print(json.dumps({"seconds": seconds, "peak_bytes": peak_memory(), "library_bytes": library}), flush=True)


def compare_isolated(ways: Mapping[str, Sequence[str]], rounds: int = 2) -> dict[str, Measured]:
    """Starts every way once a round, one after the other.

    Args:
        ways: by name, the command of a process that ends in `work_in_turn`.
        rounds: of all ways.

    Raises:
        RuntimeError: if a process fails; with its last line.
    """
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, command in ways.items():
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode:
                last = (result.stderr.strip() or "no message").splitlines()[-1]
                raise RuntimeError(f"{name}: the process ended with status {result.returncode}: {last}")
            answers[name].append(json.loads(result.stdout.splitlines()[-1]))
    return {
        name: Measured(
            Timing(name, 1, tuple(second for answer in found for second in answer["seconds"])),
            max(answer["peak_bytes"] for answer in found),
            max(answer["library_bytes"] for answer in found),
        )
        for name, found in answers.items()
    }
