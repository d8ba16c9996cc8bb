"""What several families of networks are built of: checked arguments, layers as PyTorch pads them, blocks and heads."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_layers import ClipCheck
from keras_layers.precision import float32_variables, pooling_policy
from keras_layers.validation import activation, fraction, one_of, positive_integer
from tools.errors import InputError

AXES = ("frames", "height", "width")
# Channels of a network -> those of a clip that does not fit it -> what would.
HINTS = {3: {1: "repeat grey frames in three channels", 2: "optical flow fits i3d_flow"}, 2: {3: "RGB fits i3d"}}
MOMENTUM = 0.9
EPSILON = 1e-5
# Blocks in res2, res3, res4 and res5 of networks of bottlenecks.
BOTTLENECKS = {14: (1, 1, 1, 1), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
POOLING = {"avg": keras.layers.GlobalAveragePooling3D, "max": keras.layers.GlobalMaxPooling3D}


# === Arguments ===


def checked_shape(
    input_shape: Any, minimum: Sequence[int] = (1, 1, 1), free: bool = True, multiple: int = 1
) -> tuple[int | None, int | None, int | None, int]:
    """`input_shape` as (frames, height, width, channels).

    Args:
        input_shape: what the constructor was given.
        minimum: least frames, height and width with which the network has a feature map at its end.
        free: whether frames, height and width may be None.
        multiple: of which the frames are one.

    Raises:
        InputError: if it is not of four such lengths, or shorter than the network needs.
    """
    if not isinstance(input_shape, tuple | list) or len(input_shape) != 4:
        raise InputError(f"Expected `input_shape` to be (frames, height, width, channels). Received {input_shape!r}.")
    with input_errors():
        positive_integer(input_shape[3], "input_shape[3] (channels)")
        for axis, length, least in zip(AXES, input_shape[:3], minimum, strict=True):
            if length is None and free:
                continue
            if positive_integer(length, f"input_shape ({axis})") < least:
                raise ValueError(f"Expected `input_shape ({axis})` to be at least {least}. Received {length}.")
        if input_shape[0] is not None and input_shape[0] % multiple:
            raise ValueError(
                f"Expected `input_shape (frames)` to be a multiple of {multiple}. Received {input_shape[0]}."
            )
    return tuple(input_shape)


def clip_input(
    network: str,
    input_shape: Any,
    minimum: Sequence[int] = (1, 1, 1),
    free: bool = True,
    multiple: int = 1,
    key: str = "clip",
) -> tuple[Any, Any]:
    """The input of a network, and what its layers see: the same clip, refused in one line if they cannot take it.

    Args:
        network: its name.
        input_shape: see `checked_shape`, as of `minimum`, `free` and `multiple`.
        minimum: see there.
        free: see there.
        multiple: see there.
        key: name of the input.

    Raises:
        InputError: as `checked_shape`.
    """
    shape = checked_shape(input_shape, minimum, free, multiple)
    clip = keras.Input(shape, name=key, dtype="float32")
    check = ClipCheck(
        minimum,
        shape=shape,
        multiple=multiple,
        hints=HINTS.get(shape[-1]),
        network=network,
        dtype="float32",
        name=f"{key}_check",
    )
    return clip, check(clip)


def checked_bottlenecks(depth: Any, width: Any, multiple: int = 1) -> tuple[int, ...]:
    """Blocks in each stage of a network of bottlenecks; checks its width too.

    Raises:
        InputError: for an unknown depth, or a width that is not a positive multiple of `multiple`.
    """
    if depth not in BOTTLENECKS:
        raise InputError(f"Expected `depth` to be one of {', '.join(map(str, BOTTLENECKS))}. Received {depth!r}.")
    with input_errors():
        if positive_integer(width, "width") % multiple:
            raise ValueError(f"Expected `width` to be a multiple of {multiple}. Received {width}.")
    return BOTTLENECKS[depth]


@contextlib.contextmanager
def input_errors() -> Iterator[None]:
    """Turns the ValueError of a validator into the error that a command prints in one line."""
    try:
        yield
    except ValueError as error:
        raise InputError(str(error)) from error


# === Layers ===


def he_normal() -> keras.initializers.Initializer:
    """He et al.'s, by the number of outputs: what the published residual networks were trained from."""
    return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal")


def normalization(name: str, epsilon: float = EPSILON, scale: str = "ones") -> keras.layers.BatchNormalization:
    """The layer "<name>_normalization", `scale` its scale at first; statistics are float32 under every policy."""
    return keras.layers.BatchNormalization(
        momentum=MOMENTUM,
        epsilon=epsilon,
        gamma_initializer=scale,
        dtype=float32_variables(keras.config.dtype_policy()),
        name=f"{name}_normalization",
    )


def convolution(
    x: Any,
    filters: int,
    kernel_size: Sequence[int],
    strides: Sequence[int] = (1, 1, 1),
    *,
    name: str,
    initializer: Any = None,
) -> Any:
    """A convolution without bias, with `kernel // 2` zeros on both sides of every axis as PyTorch's networks have."""
    padding = "same"
    # At stride 1 an odd kernel's "same" is symmetric already, and spares the copy that padding makes.
    if any(kernel > 1 and stride > 1 for kernel, stride in zip(kernel_size, strides, strict=True)):
        pads = tuple(kernel // 2 for kernel in kernel_size)
        x = keras.layers.ZeroPadding3D(pads, data_format="channels_last", name=f"{name}_padding")(x)
        padding = "valid"
    return keras.layers.Conv3D(
        filters,
        tuple(kernel_size),
        strides=tuple(strides),
        padding=padding,
        data_format="channels_last",
        use_bias=False,
        kernel_initializer=initializer or he_normal(),
        name=name,
    )(x)


def unit(
    x: Any,
    filters: int,
    kernel_size: Sequence[int],
    strides: Sequence[int] = (1, 1, 1),
    *,
    name: str,
    activation: str | None = "relu",
    epsilon: float = EPSILON,
) -> Any:
    """Convolution "<name>", batch normalization "<name>_normalization" and, unless None, "<name>_activation"."""
    x = normalization(name, epsilon)(convolution(x, filters, kernel_size, strides, name=name))
    return keras.layers.Activation(activation, name=f"{name}_activation")(x) if activation else x


def shortcut(x: Any, filters: int, strides: Sequence[int], name: str, epsilon: float = EPSILON) -> Any:
    """`x` itself, or where a block changes its shape "<name>_shortcut", 1x1x1, and its batch normalization."""
    if x.shape[-1] == filters and set(strides) == {1}:
        return x
    return unit(x, filters, (1, 1, 1), strides, name=f"{name}_shortcut", activation=None, epsilon=epsilon)


def add(x: Any, shortcut: Any, name: str) -> Any:
    """The end of a residual block: "<name>_add" and "<name>_activation"."""
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.Activation("relu", name=f"{name}_activation")(x)


def pool(
    x: Any,
    layer: type[keras.layers.Layer],
    pool_size: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str = "valid",
    *,
    name: str,
) -> Any:
    """`MaxPooling3D` or `AveragePooling3D`, in float32 where the dtype policy computes in float16."""
    return layer(
        tuple(pool_size),
        strides and tuple(strides),
        padding,
        data_format="channels_last",
        dtype=pooling_policy(keras.config.dtype_policy()),
        name=name,
    )(x)


def max_pool(x: Any, pool_size: Sequence[int], strides: Sequence[int], name: str) -> Any:
    """The largest of features that are not negative, with `pool_size // 2` zeros around them, which change nothing."""
    pads = tuple(size // 2 for size in pool_size)
    x = keras.layers.ZeroPadding3D(pads, data_format="channels_last", name=f"{name}_padding")(x)
    return pool(x, keras.layers.MaxPooling3D, pool_size, strides, name=name)


def bottleneck(
    x: Any, filters: int, temporal_kernels: tuple[int, int], strides: Sequence[int], name: str, expansion: int = 4
) -> Any:
    """A residual block of three convolutions, of which "<name>_b" takes the strides.

    ```
    input --> a (t, 1, 1) --> b (1, 3, 3) --> c (1, 1, 1) --> add --> ReLU
      |                                                        |
      +---------- (1x1x1, where the shape changes) ------------+
    ```

    Before training it is its shortcut: the scale of the normalization of c begins with 0, as in PySlowFast and
    PyTorchVideo, so that a deep network begins as a shallow one.

    Args:
        x: feature map.
        filters: channels of a and b; c has `expansion` times as many.
        temporal_kernels: length in time of a, and of b. Where that of b is more than 1, a convolution over time,
            "<name>_b_temporal", comes before b and takes the stride in time.
        strides: (t, h, w).
        name: prefix of all its layers.
        expansion: see `filters`.
    """
    first, second = temporal_kernels
    residual = shortcut(x, expansion * filters, strides, name)
    x = unit(x, filters, (first, 1, 1), name=f"{name}_a")
    if second > 1:
        x = unit(x, filters, (second, 1, 1), (strides[0], 1, 1), name=f"{name}_b_temporal")
        strides = (1, *strides[1:])
    x = unit(x, filters, (1, 3, 3), strides, name=f"{name}_b")
    x = convolution(x, expansion * filters, (1, 1, 1), name=f"{name}_c")
    x = normalization(f"{name}_c", scale="zeros")(x)
    return add(x, residual, name)


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage of bottleneck blocks: a row of a network's table.

    Attributes:
        blocks: how many.
        kernels: length in time of convolution a, block by block, from the beginning again where the blocks are more.
        strides: (t, h, w) of the first block.
        split_kernel: length in time of the convolution that goes before b; 1 for none.
    """

    blocks: int
    kernels: tuple[int, ...] = (1,)
    strides: tuple[int, int, int] = (1, 2, 2)
    split_kernel: int = 1

    def __call__(self, x: Any, filters: int, name: str) -> Any:
        """The blocks "<name>_block1", ... of `filters` channels inside."""
        for block in range(self.blocks):
            kernels = (self.kernels[block % len(self.kernels)], self.split_kernel)
            strides = self.strides if block == 0 else (1, 1, 1)
            x = bottleneck(x, filters, kernels, strides, f"{name}_block{block + 1}")
        return x


# === Head and model ===


@dataclasses.dataclass(frozen=True)
class Head:
    """What follows the last feature map: the arguments that every constructor has for it, checked, and its layers.

    Attributes:
        classes: number of classes.
        dropout: fraction of features dropped before the classifier.
        include_top: whether there is a classifier.
        pooling: "avg" or "max"; without classifier also None.
        classifier_activation: what `keras.activations.get` knows.

    Raises:
        InputError: for one out of range.
    """

    classes: int
    dropout: float
    include_top: bool
    pooling: str | None
    classifier_activation: Any

    def __post_init__(self):
        with input_errors():
            positive_integer(self.classes, "classes")
            fraction(self.dropout, "dropout")
            if not isinstance(self.include_top, bool):
                raise ValueError(f"Expected `include_top` to be True or False. Received {self.include_top!r}.")
            if self.pooling is not None or self.include_top:
                one_of(self.pooling, tuple(POOLING), "pooling")
            activation(self.classifier_activation, "classifier_activation")

    def __call__(self, x: Any, average: type[keras.layers.Layer] | None = None, **arguments: Any) -> Any:
        """From a feature map to the outputs: "global_pool" (or "features"), and what `classify` adds.

        Args:
            x: feature map.
            average: layer for `pooling="avg"`, if not the mean of all positions.
            **arguments: of that layer.
        """
        if self.pooling is None:
            return keras.layers.Activation("linear", dtype="float32", name="features")(x)
        return self.classify(self.pool(x, "global_pool", average, **arguments))

    def pool(self, x: Any, name: str, average: type[keras.layers.Layer] | None = None, **arguments: Any) -> Any:
        """The pooled features (batch, channels) in float32, by a layer of that name; see `__call__`."""
        if average is not None and self.pooling == "avg":
            return average(dtype="float32", name=name, **arguments)(x)
        return POOLING[self.pooling](data_format="channels_last", dtype="float32", name=name)(x)

    def classify(self, x: Any) -> Any:
        """From pooled features to the outputs: "dropout", "classifier" and "classifier_activation", if any."""
        if not self.include_top:
            return x
        if self.dropout:
            x = keras.layers.Dropout(self.dropout, name="dropout")(x)
        initializer = keras.initializers.RandomNormal(stddev=0.01)
        x = keras.layers.Dense(self.classes, kernel_initializer=initializer, name="classifier")(x)
        return keras.layers.Activation(self.classifier_activation, dtype="float32", name="classifier_activation")(x)


def finished(inputs: Any, outputs: Any, name: str, weights: str | os.PathLike | None, include_top: bool) -> keras.Model:
    """The Functional model, with the weights of a checkpoint if one is given.

    Raises:
        InputError: if the name is none, or the weights do not fit.
    """
    if not isinstance(name, str) or not name or "/" in name:
        raise InputError(f"Expected `name` to be None or a text without a slash. Received {name!r}.")
    model = keras.Model(inputs, outputs, name=name)
    if isinstance(inputs, keras.KerasTensor):
        # What is wrong with a clip is said by the `ClipCheck`, which knows more of it than Keras.
        model.input_spec = keras.layers.InputSpec(ndim=5, name=inputs.name)
    if weights is not None:
        # Imported here: a model without weights needs nothing that reads files.
        from apps.action_recognition import checkpoints

        checkpoints.load(model, weights, classifier=include_top)
    return model
