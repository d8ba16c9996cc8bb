"""Rules of the layers of I3D and S3D, and of the padding of inflated networks."""

from __future__ import annotations

import keras

from tools.lite.rewriting.feature import Feature, take_frames
from tools.lite.rewriting.table import rule


@rule("keras_layers>InflatedInception", "keras_layers>SeparableInception")
def inception(context, layer, feature: Feature) -> Feature:
    """Its branches one after the other, side by side on the channels."""
    branches = [context.chain(layer, branch, feature) for branch in layer.branches]
    form = branches[0].form
    joined = keras.layers.Concatenate(name=context.name("branches"))([branch.tensor(form) for branch in branches])
    return Feature(context, (*feature.shape[:3], joined.shape[-1]), {form: joined})


@rule("keras_layers>SelfGating")
def self_gating(context, layer, feature: Feature) -> Feature:
    """A dense layer on the means, and a product that repeats its answer over (time, height * width)."""
    gates = context.chain(layer, (layer.pool, layer.transform), feature)
    gates = keras.layers.Reshape((1, 1, feature.shape[-1]), name=context.name("gates"))(gates)
    product = keras.layers.Multiply(name=context.name())
    return Feature(context, feature.shape, {"time": product([feature.tensor("time"), gates])})


@rule("keras_layers>FramePadding")
def frame_padding(context, layer, feature: Feature) -> Feature:
    """The first frame so often, the clip, the last frame so often."""
    count = feature.shape[0]
    first, last = (take_frames(feature, start, 1, 1).tensor("time") for start in (0, count - 1))
    parts = [first] * layer.before + [feature.tensor("time")] + [last] * layer.after
    joined = keras.layers.Concatenate(axis=1, name=context.name())(parts) if len(parts) > 1 else parts[0]
    return Feature(context, (layer.before + count + layer.after, *feature.shape[1:]), {"time": joined})
