"""Parameters and multiply-adds of any Keras model, by layer and in sum.

Counted are the multiply-adds of convolutions and matrix products, one input (batch of 1), biases, normalizations,
activations and pooling left out: the convention of the model zoos, which often print the figure as "FLOPs".

The model is traced once. Every layer called on the way, however deep inside a composite layer, is counted by the rule
of its type, `RULES`. A layer that holds weights and has no rule, or is called inside a loop of unknown length (the cell
of a recurrent layer), is reported as uncounted, never as zero.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_layers import ChannelwiseConv3D, RandomFourierFeatures
from keras_layers.quantization.codebook import CodebookQuantizer
from tools.errors import InputError

Shape = tuple[int, ...]
Rule = Callable[[keras.layers.Layer, list[Shape], list[Shape]], int]


@dataclasses.dataclass(frozen=True)
class LayerProfile:
    """What one layer of the model, with all layers inside it, holds and costs.

    Attributes:
        name: name of the layer.
        type: name of its class.
        output_shape: shape of its (first) output, with a batch of 1; None if it was never called.
        parameters: all weights, moving statistics included.
        trainable_parameters: those a gradient may change.
        multiply_adds: of all its calls in one forward pass.
        uncounted: paths of layers in it whose weights no rule covers, that were never called, or only inside a loop.
    """

    name: str
    type: str
    output_shape: Shape | None
    parameters: int
    trainable_parameters: int
    multiply_adds: int
    uncounted: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Profile:
    """What a model holds and costs; see `LayerProfile` for the fields."""

    name: str
    parameters: int
    trainable_parameters: int
    multiply_adds: int
    layers: tuple[LayerProfile, ...]
    uncounted: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class _Call:
    layer: keras.layers.Layer
    inputs: list[Shape]
    outputs: list[Shape]
    # Traced inside a loop of the graph, or another function: once, whatever the number of times it runs.
    looped: bool


def profile(model: keras.Model, input_shape: Sequence[int] | Sequence[Sequence[int]] | None = None) -> Profile:
    """Counts parameters and multiply-adds of one forward pass at inference, batch of 1.

    Args:
        model: a built model with one or more inputs, each a tensor.
        input_shape: shape of the input without the batch axis, or a list of such shapes, one for each input in the
            model's order. Default: the model's own, which must then be fixed.

    Raises:
        InputError: if a length is neither fixed by the model nor given, or does not fit the model.
    """
    inputs = _inputs(model, input_shape)
    calls = _trace(model, inputs)
    layers = tuple(_profile_layer(layer, calls) for layer in model.layers)
    return Profile(
        name=model.name,
        parameters=_size(model.weights),
        trainable_parameters=_size(model.trainable_weights),
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        layers=layers,
        uncounted=tuple(path for layer in layers for path in layer.uncounted),
    )


def _inputs(model: keras.Model, input_shape: Any) -> list[tf.TensorSpec]:
    if not model.built or not model.inputs:
        raise InputError(f"Expected model {model.name!r} to be built, with known inputs. Received one that is not.")
    own = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    shapes = own
    if input_shape is not None:
        given = list(input_shape)
        shapes = [tuple(given)] if not given or not isinstance(given[0], Sequence) else [tuple(one) for one in given]
    fits = len(shapes) == len(own) and all(
        len(shape) == len(declared) and all(d is None or d == n for n, d in zip(shape, declared, strict=True))
        for shape, declared in zip(shapes, own, strict=True)
    )
    if not fits or any(not isinstance(length, int) or length < 1 for shape in shapes for length in shape):
        raise InputError(
            f"Expected `input_shape` to give every length of {own} (without the batch axis) as a positive integer. "
            f"Received {input_shape}."
        )
    return [tf.TensorSpec((1, *shape), tensor.dtype) for shape, tensor in zip(shapes, model.inputs, strict=True)]


def _trace(model: keras.Model, inputs: list[tf.TensorSpec]) -> list[_Call]:
    calls: list[_Call] = []
    graphs: list[tf.Graph] = []

    def forward(*tensors: tf.Tensor) -> Any:
        graphs.append(tf.compat.v1.get_default_graph())
        return model(list(tensors) if len(tensors) > 1 else tensors[0], training=False)

    with contextlib.ExitStack() as stack:
        for layer in _descendants(model):
            stack.enter_context(_recorded(layer, calls, graphs))
        tf.function(forward, autograph=False).get_concrete_function(*inputs)
    return calls


@contextlib.contextmanager
def _recorded(layer: keras.layers.Layer, calls: list[_Call], graphs: list[tf.Graph]) -> Iterator[None]:
    original = layer.call

    def call(*args: Any, **kwargs: Any) -> Any:
        outputs = original(*args, **kwargs)
        looped = tf.compat.v1.get_default_graph() is not graphs[-1]
        calls.append(_Call(layer, _shapes((args, kwargs)), _shapes(outputs), looped))
        return outputs

    # An attribute of the instance hides the method of the class, for this layer and no other. It is set past Keras,
    # which would track it.
    object.__setattr__(layer, "call", call)
    try:
        yield
    finally:
        object.__delattr__(layer, "call")


def _shapes(tensors: Any) -> list[Shape]:
    return [tuple(tensor.shape) for tensor in tf.nest.flatten(tensors) if isinstance(tensor, tf.Tensor)]


def _descendants(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    return list(layer._flatten_layers(include_self=False))


def _own_weights(layer: keras.layers.Layer) -> list[keras.Variable]:
    inner = {id(weight) for descendant in _descendants(layer) for weight in descendant.weights}
    return [weight for weight in layer.weights if id(weight) not in inner]


def _profile_layer(layer: keras.layers.Layer, calls: list[_Call]) -> LayerProfile:
    members = list(layer._flatten_layers())
    multiply_adds, uncounted = 0, []
    for member in members:
        own_calls = [call for call in calls if call.layer is member]
        rule = None if any(call.looped for call in own_calls) else _rule(member)
        if rule is not None:
            multiply_adds += sum(rule(member, call.inputs, call.outputs) for call in own_calls)
        if _own_weights(member) and (rule is None or not own_calls):
            uncounted.append(member.path)
    outputs = next((call.outputs for call in calls if call.layer is layer), [])
    return LayerProfile(
        name=layer.name,
        type=type(layer).__name__,
        output_shape=outputs[0] if outputs else None,
        parameters=_size(layer.weights),
        trainable_parameters=_size(layer.trainable_weights),
        multiply_adds=multiply_adds,
        uncounted=tuple(uncounted),
    )


def _size(weights: Sequence[keras.Variable]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def _rule(layer: keras.layers.Layer) -> Rule | None:
    return next((RULES[base] for base in type(layer).__mro__ if base in RULES), None)


# === Rules: multiply-adds of a layer's own computation, one call; what its sublayers do is counted by their rules ===


def _positions(layer: keras.layers.Layer, shape: Shape) -> int:
    return math.prod(shape[2:] if layer.data_format == "channels_first" else shape[1:-1])


def _convolution(layer: keras.layers.Layer, inputs: list[Shape], outputs: list[Shape]) -> int:
    # A grouped or depthwise kernel is smaller by as much as the work is.
    return _positions(layer, outputs[0]) * math.prod(layer.kernel.shape)


def _channelwise_convolution(layer: keras.layers.Layer, inputs: list[Shape], outputs: list[Shape]) -> int:
    return math.prod(outputs[0][1:4]) * math.prod(layer.kernel.shape)


def _transposed_convolution(layer: keras.layers.Layer, inputs: list[Shape], outputs: list[Shape]) -> int:
    return _positions(layer, inputs[0]) * math.prod(layer.kernel.shape)


def _separable_convolution(layer: keras.layers.Layer, inputs: list[Shape], outputs: list[Shape]) -> int:
    kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
    return _positions(layer, outputs[0]) * sum(math.prod(kernel.shape) for kernel in kernels)


def _dense(layer: keras.layers.Layer, inputs: list[Shape], outputs: list[Shape]) -> int:
    return math.prod(inputs[0][:-1]) * math.prod(layer.kernel.shape)


def _einsum_dense(layer: keras.layers.Layer, inputs: list[Shape], outputs: list[Shape]) -> int:
    # Every index of the input that the kernel does not have repeats the whole kernel once.
    input_term, kernel_term = layer.equation.split("->")[0].split(",")
    lengths = list(inputs[0])
    before, _, after = input_term.partition("...")
    named = list(zip(before, lengths, strict=False)) + list(zip(reversed(after), reversed(lengths), strict=False))
    unnamed = lengths[len(before) : len(lengths) - len(after)]
    repeats = math.prod(length for index, length in named if index not in kernel_term)
    return repeats * math.prod(unnamed) * math.prod(layer.kernel.shape)


def _attention_products(layer: keras.layers.Layer, inputs: list[Shape], outputs: list[Shape]) -> int:
    # Queries with keys, then weights with values; the four projections are sublayers.
    queries, keys = math.prod(inputs[0][1:-1]), math.prod(inputs[1][1:-1])
    return layer.num_heads * queries * keys * (layer.key_dim + layer.value_dim)


def _nothing(layer: keras.layers.Layer, inputs: list[Shape], outputs: list[Shape]) -> int:
    return 0


def _codebook_search(layer: keras.layers.Layer, inputs: list[Shape], outputs: list[Shape]) -> int:
    # One distance a position and code. A call that looks codes up takes indices, which have no axis of channels.
    if len(outputs[0]) > len(inputs[0]) or inputs[0][-1] != layer.channels:
        return 0
    return math.prod(inputs[0]) * layer.codes


RULES: dict[type, Rule] = {
    keras.layers.Conv1D: _convolution,
    keras.layers.Conv2D: _convolution,
    keras.layers.Conv3D: _convolution,
    keras.layers.DepthwiseConv1D: _convolution,
    keras.layers.DepthwiseConv2D: _convolution,
    ChannelwiseConv3D: _channelwise_convolution,
    keras.layers.SeparableConv1D: _separable_convolution,
    keras.layers.SeparableConv2D: _separable_convolution,
    keras.layers.Conv1DTranspose: _transposed_convolution,
    keras.layers.Conv2DTranspose: _transposed_convolution,
    keras.layers.Conv3DTranspose: _transposed_convolution,
    keras.layers.Dense: _dense,
    RandomFourierFeatures: _dense,
    CodebookQuantizer: _codebook_search,
    keras.layers.EinsumDense: _einsum_dense,
    keras.layers.MultiHeadAttention: _attention_products,
    keras.layers.BatchNormalization: _nothing,
    keras.layers.LayerNormalization: _nothing,
    keras.layers.GroupNormalization: _nothing,
    keras.layers.Normalization: _nothing,
    keras.layers.Embedding: _nothing,
    keras.layers.PReLU: _nothing,
}


def register(layer_type: type, rule: Rule) -> None:
    """Adds the counting rule of a layer type (and of the types derived from it that have none of their own).

    Args:
        layer_type: class of the layer.
        rule: called with the layer and the shapes of all inputs and of all outputs of one call, batch of 1; returns
            the multiply-adds of the layer's own computation, without those of its sublayers' calls.
    """
    RULES[layer_type] = rule
