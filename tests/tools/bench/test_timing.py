"""Side-by-side timing."""

import pytest

from tools.bench import compare, report
from tools.errors import InputError


class Work:
    """Ways to work on a clock of its own: each call takes the next of its durations."""

    def __init__(self):
        self.now = 0.0
        self.calls = []

    def clock(self):
        return self.now

    def way(self, name, items, durations):
        durations = iter(durations)

        def run():
            self.calls.append(name)
            self.now += next(durations)
            return items

        return run


def test_median_of_rounds_in_turns_without_the_warm_up():
    work = Work()
    ways = {"slow": work.way("slow", 10, [100, 2, 4, 9]), "fast": work.way("fast", 10, [50, 1, 1, 5])}
    slow, fast = compare(ways, repeats=3, warm_up=1, clock=work.clock)
    assert work.calls == ["slow", "fast"] * 4
    assert (slow.seconds, slow.median, slow.per_second) == ((2, 4, 9), 4, 2.5)
    assert (fast.seconds, fast.median, fast.per_second) == ((1, 1, 5), 1, 10)
    assert slow.to_dict()["items_per_second"] == 2.5
    last = report([slow, fast], "clips").splitlines()[-1].split()
    assert last == ["fast", "10", "1.0", "1.0", "10.0", "4.0"]


def test_unequal_work_and_nothing_to_do_are_refused():
    counts = iter([3, 4])
    with pytest.raises(InputError, match=r"3 items.*Received 4"):
        compare({"changing": lambda: next(counts)}, repeats=1)
    with pytest.raises(InputError, match="repeats=0"):
        compare({"a": lambda: 1}, repeats=0)
    with pytest.raises(InputError, match="0 ways"):
        compare({})
