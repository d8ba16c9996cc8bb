"""From features to one score: positive for the positive class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_layers import RandomFourierFeatures
from tools.errors import InputError


def Linear(
    *, input_shape: Sequence[int], classes: int = 2, l2: float = 0.0, seed: int = 0, name: str = "linear"
) -> keras.Model:
    """One weight a feature and a bias.

    Args:
        input_shape: (features,).
        classes: 2.
        l2: weight of the sum of the squared weights in the loss; the bias is free. Default 0.0.
        seed: of the weights.
        name: of the model.

    Raises:
        InputError: if `classes` is not 2, or `l2` negative.
    """
    _check(classes, l2)
    features = keras.Input(tuple(input_shape), name="features")
    return keras.Model(features, _score(features, l2, seed), name=name)


def Kernel(
    *,
    input_shape: Sequence[int],
    classes: int = 2,
    l2: float = 0.0,
    fourier_features: int = 512,
    bandwidth: float | None = None,
    seed: int = 0,
    name: str = "kernel",
) -> keras.Model:
    """A linear model on random Fourier features: a machine with a Gaussian kernel.

    Args:
        input_shape: (features,).
        classes: 2.
        l2: weight of the sum of the squared weights in the loss; the bias is free. Default 0.0.
        fourier_features: how many. Default 512.
        bandwidth: of the kernel. Default sqrt(features / 2), scikit-learn's `gamma="scale"` for normalised features.
        seed: of the random features.
        name: of the model.

    Raises:
        InputError: if `classes` is not 2, or `l2` negative.
        ValueError: if `fourier_features` or `bandwidth` is not above 0.
    """
    _check(classes, l2)
    features = keras.Input(tuple(input_shape), name="features")
    width = math.sqrt(input_shape[0] / 2) if bandwidth is None else bandwidth
    x = RandomFourierFeatures(fourier_features, width, seed, name="fourier")(features)
    return keras.Model(features, _score(x, l2, seed), name=name)


def MultiLayerPerceptron(
    *,
    input_shape: Sequence[int],
    classes: int = 2,
    l2: float = 0.0,
    hidden: Sequence[int] = (64, 64),
    dropout: float = 0.0,
    seed: int = 0,
    name: str = "mlp",
) -> keras.Model:
    """A multi-layer perceptron with ReLU.

    Args:
        input_shape: (features,).
        classes: 2.
        l2: weight of the sum of the squared weights of all layers in the loss. Default 0.0.
        hidden: width of each hidden layer. Default (64, 64).
        dropout: share of each hidden layer left out in training. Default 0.0.
        seed: of the weights and of the dropout.
        name: of the model.

    Raises:
        InputError: if `classes` is not 2, or `l2` negative.
    """
    _check(classes, l2)
    features = keras.Input(tuple(input_shape), name="features")
    x = features
    for number, width in enumerate(hidden, start=1):
        x = keras.layers.Dense(
            width,
            activation="relu",
            kernel_initializer=keras.initializers.HeNormal(seed=seed + number),
            kernel_regularizer=keras.regularizers.L2(l2) if l2 else None,
            name=f"hidden_{number}",
        )(x)
        if dropout:
            x = keras.layers.Dropout(dropout, seed=seed + number, name=f"dropout_{number}")(x)
    return keras.Model(features, _score(x, l2, seed), name=name)


def _score(x: Any, l2: float, seed: int) -> Any:
    # Not 0, where the perceptron's loss would stay.
    initializer = keras.initializers.RandomNormal(stddev=0.01, seed=seed)
    return keras.layers.Dense(
        1,
        kernel_initializer=initializer,
        kernel_regularizer=keras.regularizers.L2(l2) if l2 else None,
        name="score",
    )(x)


def _check(classes: int, l2: float) -> None:
    if classes != 2:
        raise InputError(f"Expected two classes. Received {classes}.")
    if not 0 <= l2 < math.inf:
        raise InputError(f"Expected l2 to be 0 or more. Received {l2}.")
