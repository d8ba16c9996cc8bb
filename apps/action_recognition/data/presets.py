"""What each source of weights expects of its input: range, channel order, mean, deviation, resize rule and crop.

Wrong preprocessing is the most frequent cause of a wrong accuracy, so it is stated here once, as data.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tools.errors import InputError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
KINETICS_MEAN = (0.43216, 0.394666, 0.37645)
KINETICS_DEVIATION = (0.22803, 0.22145, 0.216989)


@dataclasses.dataclass(frozen=True)
class Preset:
    """Preprocessing of one source of weights: `(frames / 255 * (high - low) + low - mean) / deviation`.

    Attributes:
        name: key in `PRESETS`.
        source: whose weights expect it.
        value_range: range of a pixel before mean and deviation, for instance (0, 1).
        channel_order: "RGB" or "BGR".
        mean: per channel in that order, in units of `value_range`.
        deviation: per channel in that order, in units of `value_range`.
        resize: an integer is the length of the shorter side and keeps the aspect ratio; (height, width) ignores it.
        crop: native side of the square crop.
        frames: native number of frames, or None where it depends on the model.
        frame_rate: native frames per second, or None where frames are counted and not timed.
    """

    name: str
    source: str
    value_range: tuple[float, float]
    channel_order: str
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    resize: int | tuple[int, int]
    crop: int
    frames: int | None = None
    frame_rate: float | None = None

    @property
    def multiplier(self) -> np.ndarray:
        """float32 (3,): `frames * multiplier + offset` normalises frames of 0..255 in this preset's channel order."""
        low, high = self.value_range
        return ((high - low) / 255.0 / np.array(self.deviation)).astype(np.float32)

    @property
    def offset(self) -> np.ndarray:
        """float32 (3,): see `multiplier`."""
        return ((self.value_range[0] - np.array(self.mean)) / np.array(self.deviation)).astype(np.float32)

    def resized(self, height: int, width: int, size: tuple[int, int], scale: float = 1.0) -> tuple[int, int]:
        """Height and width to which a frame is resized before a crop of `size` is taken.

        The rule is scaled in proportion to `size`: 128x171 before a crop of 112 is 64x86 before a crop of 56.

        Args:
            height: of the frame.
            width: of the frame.
            size: (height, width) of the crop.
            scale: further factor, for scale jitter. The result is never smaller than the crop.
        """
        if isinstance(self.resize, tuple):
            wanted = [_round(side * scale * part / self.crop) for side, part in zip(self.resize, size, strict=True)]
        else:
            short = max(_round(self.resize * scale * max(size) / self.crop), max(size))
            wanted = [short * side // min(height, width) for side in (height, width)]
        return max(wanted[0], size[0]), max(wanted[1], size[1])

    def normalise(self, frames: np.ndarray) -> np.ndarray:
        """RGB frames (..., width, 3) of 0..255 to float32 in this preset's range and channel order."""
        if self.channel_order == "BGR":
            frames = frames[..., ::-1]
        # Whole rows at a time: NumPy is several times slower where the innermost axis has only the three channels.
        width = frames.shape[-2]
        rows = frames.astype(np.float32, order="C").reshape(-1, 3 * width)
        rows *= np.tile(self.multiplier, width)
        rows += np.tile(self.offset, width)
        return rows.reshape(frames.shape)


def _round(value: float) -> int:
    return math.floor(value + 0.5)


def _same(value: float) -> tuple[float, float, float]:
    return (value, value, value)


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        InputError: if there is none.
    """
    if name not in PRESETS:
        raise InputError(f"Expected the preset to be one of {', '.join(PRESETS)}. Received {name!r}.")
    return PRESETS[name]


PRESETS: dict[str, Preset] = {
    entry.name: entry
    for entry in (
        # name, source, value_range, channel_order, mean, deviation, resize, crop, frames, frame_rate
        Preset(
            "torchvision",
            "torchvision r3d_18, mc3_18, r2plus1d_18",
            (0.0, 1.0),
            "RGB",
            KINETICS_MEAN,
            KINETICS_DEVIATION,
            (128, 171),
            112,
            16,
            15.0,
        ),
        Preset(
            "torchvision_s3d",
            "torchvision s3d",
            (0.0, 1.0),
            "RGB",
            KINETICS_MEAN,
            KINETICS_DEVIATION,
            256,
            224,
            128,
            15.0,
        ),
        Preset(
            "pyslowfast",
            "PySlowFast and PyTorchVideo",
            (0.0, 1.0),
            "RGB",
            _same(0.45),
            _same(0.225),
            256,
            224,
        ),
        Preset(
            "pyslowfast_256",
            "PySlowFast and PyTorchVideo, tested on crops as large as the shorter side",
            (0.0, 1.0),
            "RGB",
            _same(0.45),
            _same(0.225),
            256,
            256,
        ),
        Preset(
            "mmaction2",
            "mmaction2 SlowFast and TSN ResNet-50",
            (0.0, 255.0),
            "RGB",
            (123.675, 116.28, 103.53),
            (58.395, 57.12, 57.375),
            256,
            224,
        ),
        Preset("mmaction2_x3d", "mmaction2 X3D", (0.0, 255.0), "RGB", _same(114.75), _same(57.38), 256, 224),
        Preset(
            "mmaction2_c3d",
            "mmaction2 C3D",
            (0.0, 255.0),
            "RGB",
            (104.0, 117.0, 128.0),
            _same(1.0),
            (128, 171),
            112,
            16,
        ),
        Preset(
            "caffe_tsn",
            "Caffe TSN",
            (0.0, 255.0),
            "BGR",
            (104.0, 117.0, 123.0),
            _same(1.0),
            (256, 340),
            224,
        ),
        Preset(
            "hidden_two_stream",
            "Hidden two-stream (Caffe)",
            (0.0, 255.0),
            "BGR",
            (104.0, 117.0, 123.0),
            _same(255.0),
            (256, 340),
            224,
        ),
        Preset(
            "deepmind_i3d",
            "DeepMind I3D",
            (-1.0, 1.0),
            "RGB",
            _same(0.0),
            _same(1.0),
            256,
            224,
            64,
            25.0,
        ),
        Preset(
            "deepmind_i3d_square",
            "DeepMind I3D, where the aspect ratio of a file must not tell its class",
            (-1.0, 1.0),
            "RGB",
            _same(0.0),
            _same(1.0),
            (256, 256),
            224,
            64,
            25.0,
        ),
        Preset(
            "kylemin_s3d",
            "kylemin S3D: (2x - 255) / 255",
            (-1.0, 1.0),
            "RGB",
            _same(0.0),
            _same(1.0),
            256,
            224,
            64,
        ),
        Preset(
            "howto100m_s3d",
            "HowTo100M S3D-G (crops of 200 to 256 are in use)",
            (0.0, 1.0),
            "RGB",
            _same(0.0),
            _same(1.0),
            256,
            224,
            32,
        ),
        Preset(
            "two_stream",
            "two-stream-pytorch, RGB stream",
            (0.0, 1.0),
            "RGB",
            IMAGENET_MEAN,
            IMAGENET_DEVIATION,
            (256, 340),
            224,
            1,
        ),
        Preset(
            "two_stream_flow",
            "two-stream-pytorch, flow stream (flow stored as images of 0..255)",
            (0.0, 1.0),
            "RGB",
            _same(0.5),
            _same(0.226),
            (256, 340),
            224,
            10,
        ),
    )
}
