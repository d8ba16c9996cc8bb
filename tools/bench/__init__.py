"""Side-by-side measurements of anything that can be called or started."""

from tools.bench.isolated import Measured, compare_isolated, peak_memory, work_in_turn
from tools.bench.timing import Timing, compare, report

__all__ = ["Measured", "Timing", "compare", "compare_isolated", "peak_memory", "report", "work_in_turn"]
