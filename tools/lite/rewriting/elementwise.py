"""Rules of layers that work on every position alone, join feature maps, or only reshape them."""

from __future__ import annotations

import math
from typing import Any

import keras

from tools.errors import InputError
from tools.lite.rewriting.feature import Feature, take_frames
from tools.lite.rewriting.table import rule


@rule(
    "Dropout",
    "SpatialDropout3D",
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "ActivityRegularization",
    "Identity",
    any_rank=True,
)
def nothing(context, layer, value):
    """Layers that only train."""
    return value


@rule("keras_layers>ClipCheck")
def clip_check(context, layer, feature: Feature) -> Feature:
    """Nothing, once the lengths are given and the layer takes them."""
    try:
        layer.compute_output_shape((None, *feature.shape))
    except ValueError as error:
        raise InputError(str(error)) from error
    return feature


@rule("Activation", "ReLU", "LeakyReLU", "ELU", "Rescaling", "Dense")
def elementwise(context, layer, feature: Feature) -> Feature:
    """The layer itself, on the form at hand."""
    if getattr(layer, "activation", None) is keras.activations.linear and not layer.weights:
        return feature
    return pointwise(context, context.copy(layer), feature)


@rule("Softmax", "LayerNormalization")
def along_channels(context, layer, feature: Feature) -> Feature:
    """The layer itself, where it works along the channels."""
    axis = layer.axis
    if axis not in (-1, 4, [-1], [4], (-1,), (4,)):
        raise InputError(
            f"Expected axis of layer {layer.name!r} ({type(layer).__name__}) to be the channels. Received {axis}."
        )
    return pointwise(context, context.copy(layer, axis=-1), feature)


@rule("ops.Relu", "ops.Relu6", "ops.Sigmoid", "ops.Silu", "ops.HardSigmoid", "ops.HardSilu", "ops.Gelu", "ops.Tanh")
def elementwise_operation(context, operation, feature: Feature) -> Feature:
    """The operation itself, on the form at hand."""
    duplicate = type(operation).from_config(operation.get_config())
    return pointwise(context, lambda tensor: context.named(duplicate(tensor), "operation"), feature)


def pointwise(context, layer, feature: Feature) -> Feature:
    """Applies a layer that keeps all axes but the channels."""
    form = feature.form
    tensor = layer(feature.tensor(form))
    return Feature(context, (*feature.shape[:3], tensor.shape[-1]), {form: tensor})


@rule("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
def merge(context, layer, features: list[Feature]) -> Feature:
    """The layer itself, on a form in which the feature maps broadcast."""
    form, shape = common_form(layer, features)
    layer = context.copy(layer)
    return Feature(context, shape, {form: layer([feature.tensor(form) for feature in features])})


@rule("ops.Add", "ops.Subtract", "ops.Multiply", "ops.Divide", "ops.Maximum", "ops.Minimum")
def merge_operation(context, operation, first: Any, second: Any) -> Feature:
    """The operation itself; a side that is no feature map is a number, or a number for each channel."""
    values = (first, second)
    features = [value for value in values if isinstance(value, Feature)]
    for value in values:
        if not isinstance(value, Feature) and len(getattr(value, "shape", ())) > 1:
            raise InputError(
                f"Expected {operation.name!r} to join feature maps, numbers or channels. Received shape {value.shape}."
            )
    form, shape = common_form(operation, features)
    duplicate = type(operation).from_config(operation.get_config())
    tensors = [value.tensor(form) if isinstance(value, Feature) else value for value in values]
    return Feature(context, shape, {form: context.named(duplicate(*tensors), "operation")})


def common_form(operation: Any, features: list[Feature]) -> tuple[str, tuple[int, ...]]:
    """A form in which feature maps broadcast against each other, and the shape of the result."""
    if not all(isinstance(feature, Feature) for feature in features):
        raise InputError(f"Expected {operation.name!r} to join feature maps of five axes. Received others.")
    if len({feature.shape for feature in features}) == 1:
        return features[0].form, features[0].shape
    shape = tuple(max(sizes) for sizes in zip(*(feature.shape for feature in features), strict=True))
    for feature in features:
        time, *space, channels = feature.shape
        fits = time in (1, shape[0]) and (space in ([1, 1], list(shape[1:3]))) and channels in (1, shape[3])
        if not fits:
            raise InputError(
                f"Expected the feature maps joined by {operation.name!r} to be equal, or 1 wide over time, space or "
                f"channels. Received {' and '.join(str(other.shape) for other in features)}."
            )
    return "time", shape


@rule("Concatenate")
def concatenate(context, layer, features: list[Feature]) -> Feature:
    """Along the channels in any form, along time in the one, along rows or columns in the other."""
    axis = layer.axis % 5
    forms = {1: ("time", 1), 2: ("frames", 1), 3: ("frames", 2), 4: (features[0].form, 3)}
    if axis not in forms:
        raise InputError(f"Expected axis of layer {layer.name!r} (Concatenate) to be 1 to 4. Received {layer.axis}.")
    form, place = forms[axis]
    shape = list(features[0].shape)
    shape[axis - 1] = sum(feature.shape[axis - 1] for feature in features)
    joined = keras.layers.Concatenate(axis=place, name=context.name())([feature.tensor(form) for feature in features])
    return Feature(context, shape, {form: joined})


@rule("keras_layers>TemporalDifference")
def temporal_difference(context, layer, feature: Feature) -> Feature:
    """All frames but the first less all but the last."""
    count = feature.shape[0] - 1
    later, earlier = (take_frames(feature, start, count, 1) for start in (1, 0))
    subtract = keras.layers.Subtract(name=context.name())
    return Feature(context, later.shape, {"time": subtract([later.tensor("time"), earlier.tensor("time")])})


@rule("Flatten", "Reshape")
def reshape(context, layer, feature: Feature):
    """Any form holds the elements in the same order."""
    if type(layer).__name__ == "Flatten":
        if layer.data_format != "channels_last":
            raise InputError(f"Expected layer {layer.name!r} to have data_format 'channels_last'.")
        target = (math.prod(feature.shape),)
    else:
        target = layer.compute_output_shape((None, *feature.shape))[1:]
    tensor = keras.layers.Reshape(target, name=context.name())(feature.tensor("time"))
    return context.feature(tensor)
