"""From a decoded frame to the network's input; augmentation is the same for all frames of a clip."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from apps.action_recognition.data.presets import Preset
from apps.action_recognition.data.sampling import crop_offsets
from apps.action_recognition.data.spec import ClipSpec
from tools.errors import InputError

# ITU-R BT.601, as in OpenCV and in torchvision's adjust_saturation.
LUMA = np.array([0.299, 0.587, 0.114])


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What varies between two readings of one video in training.

    Attributes:
        scale: range of the factor by which the preset's resized side is multiplied; (1, 1.25) is the usual jitter of
            256 to 320 pixels.
        random_crop: crop anywhere, or in the centre.
        horizontal_flip: probability of a mirror image. 0 by default, because it changes the label where a class is a
            direction ("move left"); 0.5 is usual where it does not, as in Kinetics, UCF101 and HMDB51.
        brightness: b multiplies all values by a factor from [1 - b, 1 + b].
        contrast: c moves all values away from or towards the clip's mean grey by a factor from [1 - c, 1 + c].
        saturation: s moves all values away from or towards their own grey by a factor from [1 - s, 1 + s].

    Raises:
        InputError: if a value is out of range.
    """

    scale: tuple[float, float] = (1.0, 1.25)
    random_crop: bool = True
    horizontal_flip: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def __post_init__(self):
        scale = tuple(self.scale) if isinstance(self.scale, list | tuple) else ()
        if len(scale) != 2 or not all(_number(part) for part in scale) or not 0 < scale[0] <= scale[1]:
            raise InputError(f"Expected scale to be (low, high) with 0 < low <= high. Received {self.scale!r}.")
        object.__setattr__(self, "scale", scale)
        for name in ("horizontal_flip", "brightness", "contrast", "saturation"):
            value = getattr(self, name)
            if not _number(value) or not 0 <= value <= 1:
                raise InputError(f"Expected {name} to be a number from 0 to 1. Received {value!r}.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON; `from_dict` reads them back."""
        return {**dataclasses.asdict(self), "scale": list(self.scale)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Augmentation:
        """Reads what `to_dict` wrote.

        Raises:
            InputError: if a field is unknown or out of range.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(
                f"Expected the augmentation's fields to be among {', '.join(sorted(known))}. Received {unknown}."
            )
        return cls(**values)


@dataclasses.dataclass(frozen=True)
class Draw:
    """One outcome of an `Augmentation`; the values here change nothing and crop the centre."""

    scale: float = 1.0
    crop: tuple[float, float] | None = None
    flip: bool = False
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0

    @property
    def colours(self) -> bool:
        """Whether any colour changes."""
        return (self.brightness, self.contrast, self.saturation) != (1.0, 1.0, 1.0)


def draw(augmentation: Augmentation, generator: np.random.Generator) -> Draw:
    """Draws one outcome; always the same number of random values, so that one setting does not move another."""
    scale, top, left, flip, *colour = generator.random(7)
    low, high = augmentation.scale
    strengths = (augmentation.brightness, augmentation.contrast, augmentation.saturation)
    factors = [1.0 + strength * (2.0 * value - 1.0) for strength, value in zip(strengths, colour, strict=True)]
    return Draw(
        low + (high - low) * scale,
        (top, left) if augmentation.random_crop else None,
        bool(flip < augmentation.horizontal_flip),
        *factors,
    )


def resize(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 frame (H, W, 3) resized: bilinear, half-pixel centres, no antialiasing, rounded to whole levels.

    The weights are whole multiples of 1/256, so that every machine, and the graph of a served model, gives the very
    same levels; they differ from the rounded exact interpolation by at most one level, without bias.
    """
    import cv2

    if frame.shape[:2] == (height, width):
        return frame
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)


def crop_frame(frame: np.ndarray, rules: Preset, size: tuple[int, int], outcome: Draw) -> np.ndarray:
    """uint8 frame of any size to the crop (H, W, 3) that `outcome` says."""
    height, width = rules.resized(*frame.shape[:2], size, outcome.scale)
    if outcome.crop is None:
        top, left = crop_offsets((height, width), size)[0]
    else:
        top = math.floor(outcome.crop[0] * (height - size[0] + 1))
        left = math.floor(outcome.crop[1] * (width - size[1] + 1))
    return resize(frame, height, width)[top : top + size[0], left : left + size[1]]


def finish(frames: np.ndarray, rules: Preset, outcome: Draw) -> np.ndarray:
    """Cropped uint8 frames (T, H, W, 3) to float32: flip, colour, normalisation, one outcome for the whole clip."""
    import cv2

    if outcome.flip or outcome.colours:
        lines = frames.reshape(-1, *frames.shape[2:])
        if outcome.flip:
            lines = cv2.flip(lines, 1)
        if outcome.colours:
            lines = _colour(lines.astype(np.float32), outcome)
        frames = lines.reshape(frames.shape)
    return rules.normalise(frames)


def _colour(pixels: np.ndarray, outcome: Draw) -> np.ndarray:
    """Changes float32 pixels (rows, columns, 3) in place where it can, and returns them."""
    import cv2

    pixels *= np.float32(outcome.brightness)
    np.clip(pixels, 0.0, 255.0, out=pixels)
    mean = float(np.dot(cv2.mean(pixels)[:3], LUMA))
    pixels *= np.float32(outcome.contrast)
    pixels += np.float32((1.0 - outcome.contrast) * mean)
    np.clip(pixels, 0.0, 255.0, out=pixels)
    pixels = cv2.transform(pixels, outcome.saturation * np.eye(3) + (1.0 - outcome.saturation) * LUMA)
    return np.clip(pixels, 0.0, 255.0, out=pixels)


def preprocess(frames: np.ndarray, spec: ClipSpec) -> np.ndarray:
    """Decoded frames to the network's input: resized, cropped in the centre, normalised.

    Args:
        frames: uint8 (T, H, W, 3) RGB with T = `spec.frames`, of any height and width.
        spec: what a clip is.

    Returns:
        float32 (T, height, width, 3) in the preset's range and channel order.

    Raises:
        InputError: if dtype or shape are not those.
    """
    frames = np.asarray(frames)
    if frames.dtype != np.uint8:
        raise InputError(f"Expected frames of dtype uint8, levels 0 to 255. Received dtype {frames.dtype}.")
    if frames.ndim != 4 or frames.shape[0] != spec.frames or frames.shape[3] != 3 or 0 in frames.shape:
        raise InputError(f"Expected frames of shape ({spec.frames}, height, width, 3). Received shape {frames.shape}.")
    outcome = Draw()
    cropped = np.stack([crop_frame(frame, spec.rules, spec.size, outcome) for frame in frames])
    return finish(cropped, spec.rules, outcome)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
