"""Random weights and random Functional graphs of video layers, shared by the tests of the edge."""

import keras
import numpy as np
from keras import layers

KERNELS = [(1, 1, 1), (1, 3, 3), (3, 1, 1), (3, 3, 3), (2, 3, 2), (1, 2, 4), (4, 1, 1), (1, 7, 7)]


def randomise(model, seed=0):
    """Weights and batch statistics such that every layer matters and sizes stay near 1."""
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        values = generator.standard_normal(variable.shape)
        if "variance" in variable.path:
            values = np.exp(0.2 * values)
        elif "gamma" in variable.path:
            values = 1 + 0.2 * values
        elif len(variable.shape) > 1:
            values = values * np.sqrt(2 / np.prod(variable.shape[:-1]))
        else:
            values = 0.1 * values
        variable.assign(values)
    return model


def random_convolution(generator, x):
    """A convolution of a random kind, with or without padding before it and a batch normalisation behind it."""
    channels, sizes = x.shape[-1], x.shape[1:4]
    kernel = KERNELS[generator.integers(len(KERNELS))]
    strides, dilation = (1, 1, 1), (1, 1, 1)
    kind = generator.integers(3)
    if kind == 0:
        strides = tuple(int(stride) for stride in generator.integers(1, 3, 3))
    elif kind == 1:
        dilation = tuple(int(rate) for rate in generator.integers(1, 3, 3))
    reach = [(taps - 1) * rate + 1 for taps, rate in zip(kernel, dilation, strict=True)]
    fits = all(taps <= size for taps, size in zip(reach, sizes, strict=True))
    padding = "valid" if fits and generator.random() < 0.4 else "same"
    if generator.random() < 0.4:
        x = layers.ZeroPadding3D(tuple(tuple(int(n) for n in generator.integers(0, 3, 2)) for _ in range(3)))(x)
    depthwise = generator.random() < 0.25 and dilation == (1, 1, 1) and len(set(strides)) == 1
    x = layers.Conv3D(
        channels * 2 if depthwise else int(generator.integers(2, 6)),
        kernel,
        strides=strides,
        dilation_rate=dilation,
        padding=padding,
        groups=channels if depthwise else 1,
        use_bias=bool(generator.integers(2)),
        activation="relu" if generator.random() < 0.2 else None,
    )(x)
    return normalised(generator, x)


def normalised(generator, x):
    """With probability a half a batch normalisation, then an activation."""
    if generator.random() < 0.5:
        x = layers.BatchNormalization(scale=bool(generator.integers(2)), center=bool(generator.integers(2)))(x)
    return layers.Activation(["relu", "tanh", "linear", "silu"][generator.integers(4)])(x)


def random_pooling(generator, x):
    """Maximum or average pooling of any window and stride."""
    kind = [layers.MaxPooling3D, layers.AveragePooling3D][generator.integers(2)]
    window = tuple(
        int(min(size, number)) for size, number in zip(x.shape[1:4], generator.integers(1, 4, 3), strict=True)
    )
    strides = tuple(int(number) for number in generator.integers(1, 3, 3))
    return kind(window, strides, padding=["same", "valid"][generator.integers(2)])(x)


def random_branches(generator, x):
    """Two branches of equal size, joined; sometimes with a residual or a gate for every channel."""
    width = int(generator.integers(2, 5))
    branches = [
        normalised(generator, layers.Conv3D(width, KERNELS[generator.integers(4)], padding="same")(x)) for _ in range(2)
    ]
    join = generator.integers(4)
    if join == 0:
        return layers.Concatenate(axis=int(generator.integers(1, 5)))(branches)
    if join == 1:
        gate = layers.GlobalAveragePooling3D(keepdims=True)(branches[0])
        return layers.Multiply()([layers.Dense(width, activation="sigmoid")(gate), branches[1]])
    if join == 2:
        return branches[0] * 0.5 + branches[1]
    return layers.Add()(branches)


def random_model(seed):
    """A Functional model of four to seven random parts on a random small clip, ending in a Dense layer."""
    generator = np.random.default_rng(seed)
    shape = (*(int(size) for size in generator.integers(5, 10, 3)), int(generator.integers(1, 4)))
    inputs = keras.Input(shape, name="clip")
    x = inputs
    parts = [random_convolution, random_convolution, random_pooling, random_branches]
    for _ in range(generator.integers(4, 8)):
        x = parts[generator.integers(len(parts))](generator, x)
    x = layers.Dropout(0.3)(x)
    pooled = layers.GlobalAveragePooling3D(name="global_pool")(x)
    outputs = {"features": pooled, "scores": layers.Dense(3, name="scores")(pooled), "map": x}
    return randomise(keras.Model(inputs, outputs), seed)


def r2plus1d_like(frames=4, size=16, classes=5, activation="softmax"):
    """A residual block of separated convolutions with a strided shortcut, small."""
    inputs = keras.Input((frames, size, size, 3), name="clip")
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv3D(8, (1, 3, 3), padding="same", use_bias=False)(inputs)))
    y = layers.Conv3D(12, (1, 3, 3), strides=(1, 2, 2), padding="same", use_bias=False)(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.BatchNormalization()(layers.Conv3D(16, (3, 1, 1), strides=(2, 1, 1), padding="same", use_bias=False)(y))
    shortcut = layers.BatchNormalization()(layers.Conv3D(16, 1, strides=2, use_bias=False)(x))
    x = layers.ReLU()(layers.Add()([y, shortcut]))
    x = layers.GlobalAveragePooling3D(name="global_pool")(x)
    x = layers.Dense(classes, name="classifier")(x)
    if activation:
        x = layers.Activation(activation, name="probabilities")(x)
    return randomise(keras.Model(inputs, x, name="r2plus1d_like"))
