"""Side-by-side measurements of anything that can be called."""

from tools.bench.timing import Timing, compare, report

__all__ = ["Timing", "compare", "report"]
