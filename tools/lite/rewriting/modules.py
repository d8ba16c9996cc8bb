"""Rules of the suite's composite layers for channelwise convolution, gating by the whole clip, and T3D."""

from __future__ import annotations

import keras
import numpy as np

from tools.lite.rewriting.convolution import convolve, keras_pads, with_pending_zeros
from tools.lite.rewriting.feature import Feature
from tools.lite.rewriting.table import rule


@rule("keras_layers>ChannelwiseConv3D")
def channelwise_conv3d(context, layer, feature: Feature) -> Feature:
    """A 2-D depthwise convolution of the frames for each temporal tap, or a single one along time."""
    kernel = keras.ops.convert_to_numpy(layer.kernel).astype("float64")
    bias = keras.ops.convert_to_numpy(layer.bias).astype("float64") if layer.use_bias else np.zeros(kernel.shape[-1])
    dilation = (layer.temporal_dilation, 1, 1)
    if layer.padding == "symmetric":
        pads = tuple((reach // 2, reach // 2) for reach in layer.reach)
    else:
        pads = keras_pads(layer.padding, feature.shape, layer.kernel_size, layer.strides, dilation)
    source, pads = with_pending_zeros(feature, pads)
    return convolve(context, source, kernel, bias, layer.strides, dilation, pads, depthwise=True)


@rule("keras_layers>SqueezeExcitation3D")
def squeeze_excitation3d(context, layer, feature: Feature) -> Feature:
    """Two dense layers on the means, and a product that repeats their answer over (time, height * width)."""
    gates = context.chain(layer, (layer.pool, layer.squeeze, layer.excite), feature)
    gates = keras.layers.Reshape((1, 1, feature.shape[-1]), name=context.name("gates"))(gates)
    product = keras.layers.Multiply(name=context.name())
    return Feature(context, feature.shape, {"time": product([feature.tensor("time"), gates])})


@rule("keras_layers>TemporalTransition")
def temporal_transition(context, layer, feature: Feature) -> Feature:
    """Its branches one after the other, and what follows them."""
    branches = [context.chain(layer, branch, feature) for branch in layer.branches]
    form = branches[0].form
    joined = keras.layers.Concatenate(name=context.name("branches"))([branch.tensor(form) for branch in branches])
    shape = (*feature.shape[:3], sum(branch.shape[-1] for branch in branches))
    pool = keras.layers.AveragePooling3D(layer.pool_size, data_format="channels_last", name="pool")
    return context.chain(layer, (*layer.unit, pool), Feature(context, shape, {form: joined}))
