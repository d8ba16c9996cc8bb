"""Times several ways of doing one piece of work, in turns, so that a busy moment of the machine hits them alike."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tools.commands import table
from tools.errors import InputError


@dataclasses.dataclass(frozen=True)
class Timing:
    """How long one way of doing the work took.

    Attributes:
        name: of the way.
        items: how many items one run handles.
        seconds: of each run, in order.
    """

    name: str
    items: int
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds of the middle run."""
        return statistics.median(self.seconds)

    @property
    def per_second(self) -> float:
        """Items a second, of the middle run."""
        return self.items / self.median

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {
            "name": self.name,
            "items": self.items,
            "seconds": list(self.seconds),
            "median_seconds": self.median,
            "items_per_second": self.per_second,
        }


def compare(
    ways: Mapping[str, Callable[[], int]],
    *,
    repeats: int = 3,
    warm_up: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Timing]:
    """Runs every way once a round and times it.

    Args:
        ways: by name; each does the whole work and returns how many items it handled.
        repeats: timed rounds, at least 1.
        warm_up: rounds before them that are not timed.
        clock: seconds, monotonic.

    Raises:
        InputError: if there is nothing to run, or a way handles another number of items the next time.
    """
    if not ways or repeats < 1 or warm_up < 0:
        raise InputError(
            f"Expected something to time, repeats of at least 1 and warm_up of at least 0. "
            f"Received {len(ways)} ways, repeats={repeats}, warm_up={warm_up}."
        )
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    items: dict[str, int] = {}
    for turn in range(warm_up + repeats):
        for name, run in ways.items():
            started = clock()
            count = run()
            elapsed = clock() - started
            if items.setdefault(name, count) != count:
                raise InputError(f"Expected {name!r} to handle {items[name]} items each time. Received {count}.")
            if turn >= warm_up:
                seconds[name].append(elapsed)
    return [Timing(name, items[name], tuple(seconds[name])) for name in ways]


def report(timings: Sequence[Timing], unit: str = "items") -> str:
    """A table in plain text; the last column compares with the first way."""
    rows = [
        [
            timing.name,
            timing.items,
            round(timing.median, 3),
            round(min(timing.seconds), 3),
            round(timing.per_second, 1),
            round(timing.per_second / timings[0].per_second, 2),
        ]
        for timing in timings
    ]
    return table(rows, ["", unit, "median s", "best s", f"{unit} / s", "times the first"])
