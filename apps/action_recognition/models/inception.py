"""What I3D and S3D share: the Inception network over time and space, stage by stage.

clip -> Conv3d_1a_7x7 -> MaxPool3d_2a_3x3 -> Conv3d_2b_1x1 -> Conv3d_2c_3x3 -> MaxPool3d_3a_3x3 -> Mixed_3b, 3c
stride  2,2,2            1,2,2                                                1,2,2                   (t, h, w)
  -> MaxPool3d_4a_3x3 -> Mixed_4b to 4f -> MaxPool3d_5a_2x2 -> Mixed_5b, 5c -> global_pool -> classifier
     2,2,2                                 2,2,2
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from apps.action_recognition.models import blocks
from keras_layers import WindowedAveragePooling3D
from keras_layers.precision import float32_variables
from keras_layers.validation import positive_number

MOMENTUM = 0.999
EPSILON = 1e-3
# No layer has fewer channels, however small the multiplier.
MINIMUM_FILTERS = 16
# Module -> channels of branch0, branch1_reduce, branch1, branch2_reduce, branch2, branch3.
MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
# Module -> the pooling before it, its window and its strides (t, h, w).
POOLS = {
    "Mixed_3b": ("MaxPool3d_3a_3x3", (1, 3, 3), (1, 2, 2)),
    "Mixed_4b": ("MaxPool3d_4a_3x3", (3, 3, 3), (2, 2, 2)),
    "Mixed_5b": ("MaxPool3d_5a_2x2", (2, 2, 2), (2, 2, 2)),
}
FIRST_POOL = ("MaxPool3d_2a_3x3", (1, 3, 3), (1, 2, 2))
# The shapes of what both put out without a classifier.
FEATURES = "(batch, 1024), or (batch, frames / 8, height / 32, width / 32, 1024) without pooling"
# Height and width, and frames, of the windows of which the head takes the mean.
HEAD_WINDOW, HEAD_FRAMES = 7, 2


@dataclasses.dataclass(frozen=True)
class Style:
    """In what the published networks differ, layer by layer.

    Attributes:
        symmetric: whether `kernel // 2` zeros lie on both sides of every axis (PyTorch), or as many as TensorFlow's
            "same" puts there.
        scale: whether batch normalizations have a scale.
        multiplier: of the channels of every layer.
    """

    symmetric: bool
    scale: bool
    multiplier: float = 1.0

    def __post_init__(self):
        with blocks.input_errors():
            positive_number(self.multiplier, "width_multiplier")

    def filters(self, count: int) -> int:
        """Channels of a layer that has `count` in the paper."""
        return max(min(count, MINIMUM_FILTERS), int(count * self.multiplier))

    def unit(
        self,
        x: Any,
        count: int,
        kernel_size: Sequence[int],
        strides: Sequence[int] = (1, 1, 1),
        *,
        name: str,
        initializer: Any = "he_normal",
        normalization: bool = True,
    ) -> Any:
        """Convolution "<name>", "<name>_normalization" and "<name>_activation"; or one with a bias and no more."""
        padding = "same"
        if self.symmetric and any(size > 1 and stride > 1 for size, stride in zip(kernel_size, strides, strict=True)):
            x = _pad(x, kernel_size, name)
            padding = "valid"
        x = keras.layers.Conv3D(
            self.filters(count),
            tuple(kernel_size),
            strides=tuple(strides),
            padding=padding,
            data_format="channels_last",
            use_bias=not normalization,
            kernel_initializer=initializer,
            name=name,
        )(x)
        if normalization:
            x = keras.layers.BatchNormalization(
                scale=self.scale,
                momentum=MOMENTUM,
                epsilon=EPSILON,
                dtype=float32_variables(keras.config.dtype_policy()),
                name=f"{name}_normalization",
            )(x)
        return keras.layers.Activation("relu", name=f"{name}_activation")(x)

    def pool(self, x: Any, name: str, window: tuple[int, int, int], strides: tuple[int, int, int]) -> Any:
        """The largest in each window, of features that are not negative: zeros around them change nothing."""
        padding = "same"
        if self.symmetric:
            # PyTorch's networks put zeros around odd windows only.
            padding = "valid"
            if max(window) % 2:
                x = _pad(x, window, name)
        return blocks.pool(x, keras.layers.MaxPooling3D, window, strides, padding, name=name)

    def mixed(self, x: Any, layer: type[keras.layers.Layer], **arguments: Any) -> Any:
        """The nine modules, from the pooling before Mixed_3b on; `layer` makes one of its channels and `arguments`."""
        for name, counts in MIXED.items():
            if name in POOLS:
                x = self.pool(x, *POOLS[name])
            x = layer([self.filters(count) for count in counts], scale=self.scale, name=name, **arguments)(x)
        return x


def _pad(x: Any, window: Sequence[int], name: str) -> Any:
    pads = tuple(size // 2 for size in window)
    return keras.layers.ZeroPadding3D(pads, data_format="channels_last", name=f"{name}_padding")(x)


def outputs(head: blocks.Head, x: Any) -> Any:
    """From the last feature map to the outputs.

    The references classify every window of 2 x 7 x 7 positions and take the mean of the answers. As the classifier is
    linear, that is its answer to the mean of the windows.
    """
    return head(x, WindowedAveragePooling3D, window=HEAD_WINDOW, temporal_window=HEAD_FRAMES)
