"""A five-dimensional feature map carried as a four-dimensional tensor, and what is put off until it is used."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

Pads = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

NO_PADS: Pads = ((0, 0), (0, 0), (0, 0))


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A linear convolution not built yet, so that a batch normalisation behind it can still be folded into it.

    Attributes:
        kernel: float array (time, height, width, input channels per group, output channels).
        bias: float array (output channels,).
        build: builds the 2-D layers from a kernel and a bias; returns the form of the result and its tensor.
    """

    kernel: np.ndarray
    bias: np.ndarray
    build: Callable[[np.ndarray, np.ndarray], tuple[str, Any]]

    def scaled(self, scale: np.ndarray, shift: np.ndarray) -> Convolution:
        """The convolution followed by `y * scale + shift`, a number per output channel."""
        return dataclasses.replace(self, kernel=self.kernel * scale, bias=self.bias * scale + shift)

    def emit(self) -> tuple[str, Any]:
        """Builds the layers."""
        return self.build(self.kernel.astype("float32"), self.bias.astype("float32"))


@dataclasses.dataclass(frozen=True)
class ZeroPadding:
    """Zeros around a feature map not written yet, so that the convolution behind them can merge them with its own."""

    source: Feature
    pads: Pads

    def emit(self) -> tuple[str, Any]:
        """Builds the PAD layers."""
        padded = pad(self.source, self.pads)
        return padded.form, padded.tensor(padded.form)


class Feature:
    """A feature map (batch, time, height, width, channels) in whichever 4-D form its user asks for.

    Forms, each a free reshape of the others:
        "frames": (batch * time, height, width, channels), for work over space;
        "time": (batch, time, height * width, channels), for work over time;
        "whole": the five axes, at inputs and outputs.

    Args:
        context: names the operations.
        shape: (time, height, width, channels).
        forms: the tensors that exist, by form.
        pending: what has to be built before any tensor exists.
    """

    def __init__(self, context, shape, forms=None, pending: Convolution | ZeroPadding | None = None):
        self.context = context
        self.shape = tuple(int(size) for size in shape)
        self.pending = pending
        self.uses = 0
        self._owner = context.layer
        self._forms: dict[str, Any] = dict(forms or {})

    @property
    def form(self) -> str:
        """The form for work that suits every form."""
        self._realise()
        return next((form for form in self._forms if form != "whole"), "frames")

    def tensor(self, form: str):
        """The Keras tensor of the asked form."""
        self._realise()
        if form not in self._forms:
            time, height, width, channels = self.shape
            shapes = {
                "frames": (-1, height, width, channels),
                "time": (-1, time, height * width, channels),
                "whole": (-1, time, height, width, channels),
            }
            source = next(iter(self._forms.values()))
            with self.context.naming(self._owner):
                self._forms[form] = self.context.named(keras.ops.reshape(source, shapes[form]), f"to_{form}")
        return self._forms[form]

    def apply(self, layer, form: str | None = None, shape=None) -> Feature:
        """The feature map that a layer makes of one form; the shape stays unless given."""
        form = form or self.form
        return Feature(self.context, shape or self.shape, {form: layer(self.tensor(form))})

    def _realise(self) -> None:
        if not self._forms:
            with self.context.naming(self._owner):
                form, tensor = self.pending.emit()
            self._forms[form] = tensor
            self.pending = None


def pad(feature: Feature, pads: Pads) -> Feature:
    """Writes zeros around a feature map: over space on the frames, over time on the time form."""
    context = feature.context
    time, height, width, channels = feature.shape
    along_time, vertical, horizontal = pads
    if any(vertical + horizontal):
        height, width = height + sum(vertical), width + sum(horizontal)
        layer = keras.layers.ZeroPadding2D((vertical, horizontal), name=context.name("pad"))
        feature = feature.apply(layer, "frames", (time, height, width, channels))
    if any(along_time):
        layer = keras.layers.ZeroPadding2D((along_time, (0, 0)), name=context.name("pad"))
        feature = feature.apply(layer, "time", (time + sum(along_time), height, width, channels))
    return feature


def take_frames(feature: Feature, start: int, count: int, step: int) -> Feature:
    """Frames start, start + step, ..., `count` of them."""
    context = feature.context
    time, height, width, channels = feature.shape
    if (start, count, step) == (0, time, 1):
        return feature
    shape = (count, height, width, channels)
    if step == 1:
        tensor = feature.tensor("time")[:, start : start + count]
        return Feature(context, shape, {"time": context.named(tensor, "frames")})
    # The interpreter's fast kernels have slices without steps only: `step` frames stand side by side in one row, and
    # of each row one stretch is taken.
    rows, positions = -(-time // step), height * width
    feature = pad(feature, ((0, rows * step - time), (0, 0), (0, 0)))
    tensor = keras.ops.reshape(feature.tensor("time"), (-1, rows, step * positions, channels))
    first, place = divmod(start, step)
    tensor = context.named(tensor, "rows")[:, first : first + count, place * positions : (place + 1) * positions]
    return Feature(context, shape, {"time": context.named(tensor, "frames")})


def take_positions(feature: Feature, count: tuple[int, int], step: tuple[int, int]) -> Feature:
    """Every `step`-th row and column, `count` of each."""
    time, height, width, channels = feature.shape
    if (count, step) == ((height, width), (1, 1)):
        return feature
    rows, columns = ((number - 1) * stride + 1 for number, stride in zip(count, step, strict=True))
    tensor = feature.tensor("frames")[:, : rows : step[0], : columns : step[1]]
    tensor = feature.context.named(tensor, "positions")
    return Feature(feature.context, (time, *count, channels), {"frames": tensor})
