"""Image networks whose trained weights can be fetched, as Keras models: teachers of video networks.

Every one takes RGB frames of 0 to 255 of any size and answers with one vector of features a frame, so that its file
needs nothing beside it: the normalisation is its first layer, the mean over the positions its last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras
import numpy as np

from apps.action_recognition.data.presets import preset
from tools.errors import InputError

# torchvision's normalisation of images, with which VGG16 was trained.
IMAGENET_PRESET = "two_stream"
# Where the package keeps them; beside these it holds the heads of a perceptual distance.
VGG16_PREFIX = "VGG16_0/"


def vgg16(arrays: Mapping[str, np.ndarray]) -> keras.Model:
    """The convolutions of VGG16 with the weights of a checkpoint.

    Args:
        arrays: "VGG16_0/Conv_0/kernel" (height, width, in, out) and "VGG16_0/Conv_0/bias" to "VGG16_0/Conv_12/...", in
            the order of the convolutions; other names are left out.

    Returns:
        A Functional model. Input "frame": float32 (batch, height, width, 3), RGB of 0 to 255, at least 32 pixels a
        side. Output: float32 (batch, 512), the mean over the positions of the last pooled map ("block5_pool").

    Raises:
        InputError: if an array is missing, left over or of another shape.

    Reference:
        Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (2014); torchvision
        0.28 `vgg16`.
    """
    rules = preset(IMAGENET_PRESET)
    frame = keras.Input((None, None, 3), name="frame")
    x = keras.layers.Rescaling(rules.multiplier.tolist(), rules.offset.tolist(), name="normalization")(frame)
    network = keras.applications.VGG16(include_top=False, weights=None, input_tensor=x, pooling="avg")
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    expected = {
        f"{VGG16_PREFIX}Conv_{number}/{field}": variable
        for number, layer in enumerate(convolutions)
        for field, variable in (("kernel", layer.kernel), ("bias", layer.bias))
    }
    own = {name: array for name, array in arrays.items() if name.startswith(VGG16_PREFIX)}
    wrong = sorted(
        name
        for name in expected.keys() | own.keys()
        if name not in expected or name not in own or own[name].shape != tuple(expected[name].shape)
    )
    if wrong:
        raise InputError(f"Expected the {len(convolutions)} convolutions of VGG16. Received others: {wrong[:5]}.")
    for name, variable in expected.items():
        variable.assign(own[name])
    # That of `keras.applications` has a list of one input, and warns when it is given the input itself.
    return keras.Model(frame, network.output, name="vgg16")


# Name of published weights -> the network, from the arrays in their package.
NETWORKS: Mapping[str, Callable[[Mapping[str, np.ndarray]], keras.Model]] = {"vgg16_imagenet": vgg16}
