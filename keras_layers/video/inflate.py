"""Making a network for clips of a network for images, with its weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_layers import validation
from keras_layers.video.channelwise_conv3d import ChannelwiseConv3D
from keras_layers.video.frame_padding import FramePadding

RULES = ("mean", "center")
PADDINGS = ("repeat", "zeros")
# Layers that compute the same on (batch, frames, height, width, channels), but for the number of an axis.
UNCHANGED = (
    "Activation",
    "Add",
    "AlphaDropout",
    "Average",
    "BatchNormalization",
    "Concatenate",
    "Dense",
    "Dropout",
    "ELU",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "LayerNormalization",
    "LayerScale",
    "LeakyReLU",
    "Maximum",
    "Minimum",
    "Multiply",
    "Normalization",
    "ReLU",
    "Rescaling",
    "Softmax",
    "StochasticDepth",
    "Subtract",
)
POOLS = {"MaxPooling2D": keras.layers.MaxPooling3D, "AveragePooling2D": keras.layers.AveragePooling3D}
GLOBAL_POOLS = {
    "GlobalMaxPooling2D": keras.layers.GlobalMaxPooling3D,
    "GlobalAveragePooling2D": keras.layers.GlobalAveragePooling3D,
}
Length = int | None | Mapping[str, int] | Callable[[keras.layers.Layer], int]


def inflate_kernel(kernel: Any, length: int, rule: str = "mean") -> np.ndarray:
    """A 3-D kernel that answers to a clip without movement as a 2-D kernel does to its frame.

    Args:
        kernel: array (height, width, in, out).
        length: temporal taps.
        rule: "mean" for `kernel / length` at every tap, or "center" for `kernel` at tap `(length - 1) // 2` and zeros
            at the others.

    Returns:
        Array (length, height, width, in, out), of the kernel's type.

    Raises:
        ValueError: for a kernel that is not of rank 4, a length that is not positive, or another rule.
    """
    kernel = np.asarray(kernel)
    if kernel.ndim != 4:
        raise ValueError(f"Expected a kernel of shape (height, width, in, out). Received shape {kernel.shape}.")
    validation.positive_integer(length, "length")
    if validation.one_of(rule, RULES, "rule") == "mean":
        return np.repeat(kernel[None] / np.asarray(length, kernel.dtype), length, axis=0)
    inflated = np.zeros((length, *kernel.shape), kernel.dtype)
    inflated[(length - 1) // 2] = kernel
    return inflated


def inflate(
    model: keras.Model,
    temporal_size: Length = None,
    temporal_strides: Length = 1,
    rule: str = "mean",
    padding: str = "repeat",
    frames: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """The 3-D twin of a network for images: every convolution and pooling gets a temporal axis.

    Shown a clip in which nothing moves, the twin answers as the network does to the frame. Layers keep their names
    and weights; those without a twin work on every frame alone. Where the network leaves space (by a global pooling),
    the twin leaves time too; where it flattens, the answers to all frames are averaged at the end.

    Args:
        model: a built Functional model with one input (height, width, channels), channels last.
        temporal_size: length in time of the kernels of convolutions: an integer for all kernels larger than 1x1, a
            dictionary by layer name (1 for others), or a function of the 2-D layer. Default None: as long as high, so
            that N x N becomes N x N x N.
        temporal_strides: stride in time of convolutions and of poolings, which then take as many frames together, in
            the same ways; an integer stands for all layers whose stride in space is more than 1. Default 1: all
            frames remain.
        rule: see `inflate_kernel`. With "center" the twin begins as the network on every frame alone.
        padding: "repeat" (default) to repeat the first and the last frame for kernels that reach beyond, or "zeros",
            as I3D pads; then frames near the ends answer otherwise under the rule "mean".
        frames: of the input clip. Default None: any number.
        name: of the twin. Default "<name of the network>_3d".

    Returns:
        A Functional model with the input "clip", (batch, frames, height, width, channels).

    Raises:
        ValueError: for an argument out of range, or a network that cannot be inflated.

    Example:
        >>> image = keras.Input((32, 32, 3))
        >>> x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(image)
        >>> network = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
        >>> twin = inflate(network)
        >>> frame = np.random.default_rng(0).random((1, 32, 32, 3), dtype=np.float32)
        >>> clip = np.repeat(frame[:, None], 5, axis=1)
        >>> bool(np.allclose(twin(clip), network(frame), atol=1e-5))
        True

    Reference:
        Carreira and Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset" (2017), section
        2.3, "Bootstrapping 3D filters from 2D filters".
    """
    validation.one_of(rule, RULES, "rule")
    validation.one_of(padding, PADDINGS, "padding")
    if frames is not None:
        validation.positive_integer(frames, "frames")
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        received = ", ".join(str(tuple(tensor.shape)) for tensor in inputs) or "a model that is not built"
        raise ValueError(
            f"Expected a built model with one input (batch, height, width, channels). Received {received}."
        )
    clip = keras.Input((frames, *inputs[0].shape[1:]), name="clip", dtype=inputs[0].dtype)
    inflation = _Inflation(temporal_size, temporal_strides, rule, padding)
    results = inflation.walk(model, clip)
    answers = keras.tree.map_structure(inflation.answer, results)
    return keras.Model(clip, answers, name=name or f"{model.name}_3d")


@dataclasses.dataclass
class _Twin:
    """What stands in the place of a 2-D layer.

    Attributes:
        parts: layers that follow each other.
        weights: of the last part, until it has taken them.
        framed: whether the results, one by one, have frames as their second axis.
    """

    parts: list[keras.layers.Layer]
    weights: list[np.ndarray] | None = None
    framed: tuple[bool, ...] = (True,)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        first, *others = self.parts
        results = first(*arguments, **keywords)
        for part in others:
            results = part(results)
        if self.weights is not None:
            self.parts[-1].set_weights(self.weights)
            self.weights = None
        return results


class _Inflation:
    """The twins of the layers made so far, and how they are made."""

    def __init__(self, temporal_size: Length, temporal_strides: Length, rule: str, padding: str):
        self.temporal_size, self.temporal_strides = temporal_size, temporal_strides
        self.rule, self.padding = rule, padding
        # By id of the 2-D layer, and of the tensors that have frames as their second axis.
        self._twins: dict[int, _Twin] = {}
        self._framed: dict[int, Any] = {}

    def walk(self, model: keras.Model, clip: Any) -> Any:
        """What the twin of a network answers to a symbolic clip."""
        self._framed[id(clip)] = clip
        graph = getattr(model, "_functional", None) or model
        inputs = keras.tree.pack_sequence_as(graph.input, [clip])
        return keras.models.clone_model(
            graph, inputs, clone_function=lambda layer: layer, call_function=self.call
        ).output

    def answer(self, tensor: Any) -> Any:
        """The mean over frames of what the network answers without positions."""
        if self._has_frames(tensor) and len(tensor.shape) == 3:
            return keras.layers.GlobalAveragePooling1D(data_format="channels_last")(tensor)
        return tensor

    def call(self, layer: Any, *arguments: Any, **keywords: Any) -> Any:
        """What the twin of a layer, or an operation as it is, makes of its inputs."""
        keywords.pop("mask", None)
        framed = [value for value in keras.tree.flatten((arguments, keywords)) if self._has_frames(value)]
        if not isinstance(layer, keras.layers.Layer):
            return self._operation(layer, framed, arguments, keywords)
        if id(layer) not in self._twins:
            self._twins[id(layer)] = self._twin(layer, framed[0]) if framed else _copy(layer, framed=False)
        twin = self._twins[id(layer)]
        results = twin(*arguments, **keywords)
        for result, has_frames in zip(keras.tree.flatten(results), twin.framed, strict=True):
            if has_frames:
                self._framed[id(result)] = result
        return results

    def _has_frames(self, value: Any) -> bool:
        return id(value) in self._framed

    def _operation(self, operation: Any, framed: list[Any], arguments: Any, keywords: Any) -> Any:
        result = operation(*arguments, **keywords)
        if framed:
            if any(tuple(result.shape) != tuple(tensor.shape) for tensor in framed):
                raise ValueError(
                    "Expected operations outside of layers to work on every position alone. Received "
                    f"{operation.name!r} of {type(operation).__name__}."
                )
            self._framed[id(result)] = result
        return result

    def _twin(self, layer: keras.layers.Layer, tensor: Any) -> _Twin:
        """The twin of a layer for a tensor with frames."""
        if getattr(layer, "data_format", "channels_last") != "channels_last":
            raise ValueError(f"Expected layer {layer.name!r} to have its channels last. Received 'channels_first'.")
        if isinstance(layer, keras.Model):
            return self._model(layer, tensor)
        kind = type(layer).__name__ if type(layer).__module__.startswith("keras.") else ""
        if kind in UNCHANGED:
            return _copy(layer, framed=True, rank=len(tensor.shape) - 1)
        if len(tensor.shape) == 5:
            if kind == "Conv2D":
                return self._convolution(layer, tensor)
            if kind == "DepthwiseConv2D" and _is_plain(layer):
                return self._channelwise_convolution(layer, tensor)
            if kind in POOLS:
                return self._pool(layer)
            if kind in GLOBAL_POOLS:
                return _Twin([_from(GLOBAL_POOLS[kind], layer)], framed=(layer.keepdims,))
            if kind in ("ZeroPadding2D", "Cropping2D"):
                argument = "padding" if kind == "ZeroPadding2D" else "cropping"
                twin = getattr(keras.layers, kind.replace("2D", "3D"))
                return _Twin([_from(twin, layer, **{argument: ((0, 0), *getattr(layer, argument))})])
            if kind == "UpSampling2D" and layer.interpolation == "nearest":
                return _Twin([keras.layers.UpSampling3D((1, *layer.size), dtype=layer.dtype_policy, name=layer.name)])
        alone = _copy(layer, framed=True)
        return _Twin([keras.layers.TimeDistributed(alone.parts[0], name=f"{layer.name}_frames")], alone.weights)

    def _model(self, model: keras.Model, tensor: Any) -> _Twin:
        if len(model.inputs) != 1:
            raise ValueError(f"Expected models inside to have one input. Received {model.name!r}.")
        clip = keras.Input(tensor.shape[1:], dtype=tensor.dtype)
        results = self.walk(model, clip)
        framed = tuple(self._has_frames(result) for result in keras.tree.flatten(results))
        return _Twin([keras.Model(clip, results, name=model.name)], framed=framed)

    def _convolution(self, layer: keras.layers.Conv2D, tensor: Any) -> _Twin:
        kernel, *others = layer.get_weights()
        size, stride = self._size(layer), self._stride(layer)
        parts, padding = self._padding(layer, size, layer.dilation_rate, tensor)
        twin = _from(
            keras.layers.Conv3D,
            layer,
            kernel_size=(size, *layer.kernel_size),
            strides=(stride, *layer.strides),
            dilation_rate=(1, *layer.dilation_rate),
            padding=padding,
        )
        return _Twin([*parts, twin], [inflate_kernel(kernel, size, self.rule), *others])

    def _channelwise_convolution(self, layer: keras.layers.DepthwiseConv2D, tensor: Any) -> _Twin:
        kernel, *others = layer.get_weights()
        size, stride = self._size(layer), self._stride(layer)
        parts, padding = self._padding(layer, size, layer.dilation_rate, tensor)
        twin = ChannelwiseConv3D(
            (size, *layer.kernel_size),
            (stride, *layer.strides),
            padding,
            use_bias=layer.use_bias,
            dtype=layer.dtype_policy,
            name=layer.name,
        )
        return _Twin([*parts, twin], [inflate_kernel(kernel.transpose(0, 1, 3, 2), size, self.rule), *others])

    def _pool(self, layer: keras.layers.Layer) -> _Twin:
        stride = self._stride(layer)
        pool_size, strides = (stride, *layer.pool_size), (stride, *layer.strides)
        return _Twin([_from(POOLS[type(layer).__name__], layer, pool_size=pool_size, strides=strides)])

    def _padding(
        self, layer: keras.layers.Layer, size: int, dilation: tuple[int, int], tensor: Any
    ) -> tuple[list[keras.layers.Layer], str]:
        """The layers that pad before a convolution, and what it pads itself."""
        if size == 1:
            return [], layer.padding
        before = (size - 1) // 2
        after = size - 1 - before
        parts: list[keras.layers.Layer] = []
        along_time = (before, after)
        if self.padding == "repeat":
            parts.append(FramePadding(before, after, dtype=layer.dtype_policy, name=f"{layer.name}_frames"))
            along_time = (0, 0)
        space = [(0, 0), (0, 0)]
        if layer.padding == "same":
            lengths = zip(tensor.shape[2:4], layer.kernel_size, layer.strides, dilation, strict=True)
            space = [_same_pads(layer.name, *length) for length in lengths]
        if any(sum((along_time, *space), ())):
            pads = (along_time, *space)
            name = f"{layer.name}_padding"
            parts.append(
                keras.layers.ZeroPadding3D(pads, data_format="channels_last", dtype=layer.dtype_policy, name=name)
            )
        return parts, "valid"

    def _size(self, layer: keras.layers.Layer) -> int:
        if (
            max(layer.kernel_size) == 1
            and not isinstance(self.temporal_size, Mapping)
            and not callable(self.temporal_size)
        ):
            return 1
        height = layer.kernel_size[0]
        return _length(
            layer, self.temporal_size, height if self.temporal_size is None else self.temporal_size, "temporal_size"
        )

    def _stride(self, layer: keras.layers.Layer) -> int:
        own = self.temporal_strides if max(layer.strides) > 1 else 1
        return _length(layer, self.temporal_strides, own, "temporal_strides")


def _length(layer: keras.layers.Layer, given: Length, own: Any, name: str) -> int:
    """The length in time that an argument gives for a layer; `own` where it gives the same to many."""
    if isinstance(given, Mapping):
        own = given.get(layer.name, 1)
    elif callable(given):
        own = given(layer)
    return validation.positive_integer(own, name)


def _same_pads(name: str, size: int | None, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """The zeros before and after one axis under "same"; at stride 1 they do not depend on its length."""
    if size is None and stride > 1:
        raise ValueError(
            f"Expected a fixed height and width where layer {name!r} has padding 'same' and strides. Received None."
        )
    return validation.same_pads(size or 1, kernel, stride, dilation)


def _is_plain(layer: keras.layers.DepthwiseConv2D) -> bool:
    """Whether `ChannelwiseConv3D` can take its place."""
    return (
        layer.depth_multiplier == 1
        and len(set(layer.strides)) == 1
        and set(layer.dilation_rate) == {1}
        and layer.activation is keras.activations.linear
    )


def _copy(layer: keras.layers.Layer, framed: bool, rank: int | None = None) -> _Twin:
    """A layer of the same configuration; `rank` is that of its 2-D input, where the axis has to be renumbered."""
    config = layer.get_config()
    if rank is not None and "axis" in config:
        config["axis"] = keras.tree.map_structure(lambda axis: _axis(axis, rank), config["axis"])
    twin = type(layer).from_config(config)
    return _Twin([twin], layer.get_weights(), (framed,))


def _axis(axis: int, rank: int) -> int:
    """The number of an axis once frames are the second one; the last stays the last."""
    axis %= rank
    return -1 if axis == rank - 1 else axis + 1


def _from(twin: type[keras.layers.Layer], layer: keras.layers.Layer, **changes: Any) -> keras.layers.Layer:
    return twin.from_config({**layer.get_config(), **changes})
