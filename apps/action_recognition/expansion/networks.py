"""A network as a point of the six axes of X3D, its steps along them, and what it costs.

The values lie on a grid, on which X2D and all published X3D networks lie: whole frames, sides of multiples of 8 pixels,
widths of multiples of 4 channels, bottlenecks of multiples of 0.25 and depths of multiples of 0.2.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from apps.action_recognition.models.x3d import FC1_UNITS, WIDTHS, X2D_DEPTHS, X2D_SIDE
from tools.errors import InputError

# Axis -> field that it changes first, the field's grid, and the factor that costs about twice as much to begin with.
AXES: dict[str, tuple[str, float, float]] = {
    "frame rate": ("frames", 1, 2.0),
    "duration": ("frames", 1, 2.0),
    "resolution": ("side", 8, math.sqrt(2)),
    "width": ("width", 4, 1.5),
    "bottleneck": ("bottleneck", 0.25, 2.25),
    "depth": ("depth", 0.2, 2.2),
}
# The network that takes these arguments; the size of its name is replaced by them.
MODEL = "x3d_m"
MOST_TRIALS = 6
# Frame rates are kept to a hundredth, as a folder's name shows them.
RATE_DIGITS, RATE_GRID = 2, 0.01


@dataclasses.dataclass(frozen=True)
class Network:
    """A point of the six axes. The defaults are X2D's.

    Attributes:
        frames: of a clip, T.
        frame_rate: of a clip, per second; T / frame_rate is its duration in seconds.
        side: height and width of a clip in pixels, a multiple of 8.
        width: channels of res2, a multiple of 4; res3 to res5 have 2, 4 and 8 times as many.
        bottleneck: channels inside a block over those of its stage, a multiple of 0.25.
        depth: a multiple of 0.2; the stages have ceil(depth * (1, 2, 5, 3)) blocks.

    Raises:
        InputError: if a value is not on its grid.
    """

    frames: int = 1
    frame_rate: float = 1.0
    side: int = X2D_SIDE
    width: int = WIDTHS[0]
    bottleneck: float = 1.0
    depth: float = 1.0

    def __post_init__(self):
        for field, grid in {field: grid for field, grid, _ in AXES.values()}.items():
            value = getattr(self, field)
            if not value > 0 or not math.isclose(value / grid, round(value / grid), abs_tol=1e-6):
                raise InputError(f"Expected {field} to be a positive multiple of {grid}. Received {value}.")
        if not RATE_GRID <= self.frame_rate < math.inf:
            raise InputError(f"Expected frame_rate to be at least {RATE_GRID} a second. Received {self.frame_rate}.")

    @property
    def name(self) -> str:
        """Fit for a folder: 4f_2.83hz_48px_w8_b1_d0.4."""
        numbers = (self.frames, self.frame_rate, self.side, self.width, self.bottleneck, self.depth)
        return "{}f_{:g}hz_{}px_w{}_b{:g}_d{:g}".format(*numbers)

    def arguments(self, fc1_units: int = FC1_UNITS) -> dict[str, Any]:
        """What `models.create(MODEL, ...)` builds it from; all but the frame rate, which is the data's."""
        return {
            "depths": tuple(math.ceil(round(self.depth * count, 6)) for count in X2D_DEPTHS),
            "widths": tuple(self.width * width // WIDTHS[0] for width in WIDTHS),
            "bottleneck": self.bottleneck,
            "fc1_units": fc1_units,
            "input_shape": (self.frames, self.side, self.side, 3),
        }

    def moved(self, axis: str, value: float) -> Network:
        """The network with another value on one axis.

        "frame rate" and "duration" both change the number of frames. The former keeps the clip's duration, so the rate
        grows as the frames do; the latter makes the clip longer and its rate higher, each by the square root.

        Args:
            axis: key in `AXES`.
            value: of the axis' field; brought to the grid.
        """
        field, grid, _ = AXES[axis]
        steps = max(round(value / grid), 1)
        moved: dict[str, Any] = {field: steps * grid if isinstance(grid, int) else round(steps * grid, 6)}
        if field == "frames":
            growth = moved["frames"] / self.frames
            share = 1.0 if axis == "frame rate" else 0.5
            moved["frame_rate"] = round(self.frame_rate * growth**share, RATE_DIGITS)
        return dataclasses.replace(self, **moved)


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a network holds and computes: trainable parameters, and multiply-adds of one clip."""

    parameters: int
    multiply_adds: int


class Profiler:
    """Counts networks of some number of classes, each but once."""

    def __init__(self, classes: int, fc1_units: int):
        self.classes = classes
        self.fc1_units = fc1_units
        self._known: dict[str, Cost] = {}

    def __call__(self, network: Network) -> Cost:
        import keras

        from apps.action_recognition import models
        from tools.profile import profile

        arguments = network.arguments(self.fc1_units)
        if repr(arguments) not in self._known:
            counted = profile(models.create(MODEL, **arguments, classes=self.classes))
            self._known[repr(arguments)] = Cost(counted.trainable_parameters, counted.multiply_adds)
            # A search builds hundreds of networks.
            keras.backend.clear_session()
        return self._known[repr(arguments)]


def expanded(network: Network, axis: str, growth: float, cost: Callable[[Network], Cost]) -> Network:
    """The network that differs on one axis alone and computes most nearly `growth` times as much.

    Between two trials, and beyond the last of them, compute is taken for a power of the axis' value.

    Args:
        network: where the step begins.
        axis: key in `AXES`.
        growth: factor of the multiply-adds, above 1.
        cost: what a network computes.
    """
    field, grid, factor = AXES[axis]
    base, goal = cost(network).multiply_adds, math.log(growth)
    begin = round(getattr(network, field) / grid)
    # Steps on the grid -> logarithm of the growth there.
    tried = {begin: 0.0}
    steps = max(round(begin * factor ** math.log2(growth)), begin + 1)
    while steps not in tried and len(tried) <= MOST_TRIALS:
        tried[steps] = math.log(cost(network.moved(axis, steps * grid)).multiply_adds / base)
        steps = max(_next_trial(tried, goal), begin + 1)
    del tried[begin]
    best = min(tried, key=lambda steps: (abs(tried[steps] - goal), steps))
    return network.moved(axis, best * grid)


def _next_trial(tried: dict[int, float], goal: float) -> int:
    """The step of the goal on a line, in logarithms, through the two trials next to it; at most twice the last."""
    below = sorted(steps for steps, growth in tried.items() if growth <= goal)
    above = sorted(set(tried) - set(below))
    if not above and len(below) < 2:
        return 2 * below[-1]
    low, high = (below[-1], above[0]) if above else below[-2:]
    slope = (tried[high] - tried[low]) / math.log(high / low)
    if slope <= 0:
        return 2 * high
    return min(round(low * math.exp(min((goal - tried[low]) / slope, 50))), 2 * high)


def contracted(before: Network, axis: str, after: Network, target: int, cost: Callable[[Network], Cost]) -> Network:
    """The last step taken back as far as needed: the longest step that computes no more than the target.

    Args:
        before: the network before the step, at most at the target.
        axis: of the step.
        after: the network after it, above the target.
        target: multiply-adds.
        cost: what a network computes.

    Returns:
        A network between the two, or `before` itself where the grid has none.
    """
    field, grid, _ = AXES[axis]
    low, high = (round(getattr(network, field) / grid) for network in (before, after))
    while high - low > 1:
        middle = (low + high) // 2
        fits = cost(before.moved(axis, middle * grid)).multiply_adds <= target
        low, high = (middle, high) if fits else (low, middle)
    found = before.moved(axis, low * grid)
    return before if getattr(found, field) == getattr(before, field) else found
