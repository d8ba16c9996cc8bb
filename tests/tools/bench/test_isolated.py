"""Ways timed in processes of their own."""

import sys

import pytest

from tools.bench import compare_isolated

MEGABYTE = 2**20
# Does nothing but to hold so many mebibytes for so many seconds.
PROGRAM = """
import sys, time
from tools.bench import work_in_turn
size, seconds = int(sys.argv[1]), float(sys.argv[2])
def prepare():
    held = bytearray(size * 2**20)
    for start in range(0, len(held), 4096):
        held[start] = 1
    return lambda: (time.sleep(seconds), held)
work_in_turn(prepare, repeats=2)
"""


def command(mebibytes, seconds):
    return [sys.executable, "-c", PROGRAM, str(mebibytes), str(seconds)]


def test_tells_time_and_memory_of_each_process():
    # This process holds more than either, which must not be counted as theirs.
    ballast = bytearray(300 * MEGABYTE)
    ballast[::4096] = b"1" * len(ballast[::4096])
    found = compare_isolated({"small": command(1, 0.05), "large": command(100, 0.5)}, rounds=2)
    assert len(found["small"].timing.seconds) == len(found["large"].timing.seconds) == 4
    # A busy machine makes a process slower, never faster.
    assert 0.05 <= min(found["small"].timing.seconds) < 0.5 <= min(found["large"].timing.seconds)
    assert found["small"].work_bytes < 50 * MEGABYTE
    assert 95 * MEGABYTE < found["large"].work_bytes < 150 * MEGABYTE
    assert found["large"].peak_bytes < 280 * MEGABYTE
    assert found["large"].to_dict()["work_bytes"] == found["large"].work_bytes


def test_says_why_a_process_failed():
    with pytest.raises(RuntimeError, match="broken: the process ended with status 1: ValueError: no network"):
        compare_isolated({"broken": [sys.executable, "-c", "raise ValueError('no network')"]})
