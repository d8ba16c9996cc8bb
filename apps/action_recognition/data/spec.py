"""`ClipSpec`: what a clip is, in one small value that travels from training to the served model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from apps.action_recognition.data.presets import Preset, preset
from tools.errors import InputError


@dataclasses.dataclass(frozen=True)
class ClipSpec:
    """How a clip is cut out of a video and preprocessed.

    Attributes:
        frames: number of frames T, at least 1.
        size: (height, width) of the clip in pixels, each at least 1.
        frame_rate: frames per second of the clip, whatever the file's own rate is; None takes every frame in turn.
        preset: key in `PRESETS`; its resize rule is scaled to `size`.

    Raises:
        InputError: if a value is out of range.
    """

    frames: int = 16
    size: tuple[int, int] = (112, 112)
    frame_rate: float | None = 15.0
    preset: str = "torchvision"

    def __post_init__(self):
        size = tuple(self.size) if isinstance(self.size, list | tuple) else self.size
        if not isinstance(size, tuple) or len(size) != 2 or not all(_positive_integer(side) for side in size):
            raise InputError(f"Expected size to be two positive integers (height, width). Received {self.size!r}.")
        if not _positive_integer(self.frames):
            raise InputError(f"Expected frames to be a positive integer. Received {self.frames!r}.")
        if self.frame_rate is not None and not _positive_number(self.frame_rate):
            raise InputError(f"Expected frame_rate to be a positive number or None. Received {self.frame_rate!r}.")
        preset(self.preset)
        object.__setattr__(self, "size", size)

    @property
    def rules(self) -> Preset:
        """The preset itself."""
        return preset(self.preset)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, H, W, 3) of one clip."""
        return (self.frames, *self.size, 3)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON; `from_dict` reads them back."""
        return {**dataclasses.asdict(self), "size": list(self.size)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClipSpec:
        """Reads what `to_dict` wrote.

        Raises:
            InputError: if a field is unknown or out of range.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(f"Expected the clip's fields to be among {', '.join(sorted(known))}. Received {unknown}.")
        return cls(**values)


def video_shape(model: str, input_shape: Sequence[int | None]) -> tuple[int, int, int]:
    """Frames, height and width of the clips of a model that is to see videos.

    Args:
        model: its name, for messages.
        input_shape: (frames, height, width, channels) of its input.

    Raises:
        InputError: if a length is free, the channels are not those of RGB, or it has several inputs.
    """
    if not all(length is None or isinstance(length, int) for length in input_shape):
        raise InputError(f"Expected a model of one input, the clip. Received {model!r} of several: set inputs=clip.")
    *lengths, channels = input_shape
    if channels != 3:
        kind = f"{channels} channels"
        if channels == 2:
            kind = f"optical flow; only a network of RGB, such as {model.removesuffix('_flow')}, sees them"
        raise InputError(
            f"Expected a model that takes RGB, input_shape (frames, height, width, 3). Received {model!r} of "
            f"{tuple(input_shape)}: videos are not turned into {kind}."
        )
    if None in lengths:
        raise InputError(
            f"Expected input_shape (frames, height, width, 3) of {model!r} without None. Received {tuple(input_shape)}."
        )
    return tuple(lengths)


def _positive_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _positive_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
