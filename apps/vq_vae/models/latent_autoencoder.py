"""The second stage: a VQ-VAE of a grid of codes, with few codes for a whole image and a PixelCNN as its decoder.

van den Oord et al., "Neural Discrete Representation Learning" (2017), section 4.2: the 21x21 codes of a frame of
DeepMind Lab are told by three codes, each with a code book of its own, and a PixelCNN decoder. The paper does not give
the network; this one is:

    codes -> embedding -> strided convolutions -> dense -> quantizer -> condition (dense, a map) --+
      |                                            (batch, heads codes)                            |
      +------------------------------------------------------------------> decoder: gated PixelCNN -> logits
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from apps.vq_vae.models.arguments import checked_count, checked_lengths, input_errors
from apps.vq_vae.models.image_autoencoder import make_quantizer
from apps.vq_vae.models.pixelcnn import PixelCNN
from keras_layers.validation import one_of, positive_integer
from tools.errors import InputError
from tools.registry import ModelInfo

QUANTIZERS = ("ema", "gradient")
STRIDES = 2

# === Functional graph ===


def LatentVQVAE(
    codes: int = 512,
    heads: int = 3,
    latent_codes: int = 512,
    code_dimension: int = 64,
    quantizer: str = "ema",
    quantizer_options: Mapping[str, Any] | None = None,
    filters: int = 64,
    layers: int = 6,
    first_kernel: int = 5,
    kernel_size: int = 3,
    hidden: int = 128,
    map_channels: int = 16,
    input_shape: Sequence[int] = (21, 21),
    classes: int = 0,
    dropout: float = 0.0,
    name: str | None = None,
) -> keras.Model:
    """An autoencoder of a grid of codes that keeps a few codes, each of a code book of its own.

    It is compiled by `apps.vq_vae.prior.evaluation.compile_prior` and trains by `fit` on codes with the same codes as
    targets: the cross entropy of the codes, and the losses of the quantiser beside it. Its logits tell the codes
    *given* the few, whose heads * log2(latent_codes) bits an image come on top. The layers "encoder", "condition" and
    "decoder" are Functional models, the last a `PixelCNN` with the map of "condition" as its "condition_map";
    "quantizer" is the quantiser.

    Args:
        codes: size K of the code book of the grid.
        heads: codes that are kept of an image.
        latent_codes: size of each of their code books.
        code_dimension: length of their code vectors.
        quantizer: "ema" (default) or "gradient": the layer `VectorQuantizerEMA` or `VectorQuantizer`.
        quantizer_options: further arguments of its layer by name: commitment_cost, decay, revival_threshold, ...
        filters: channels of the encoder's convolutions, and of both stacks of the decoder.
        layers: gated blocks of the decoder, at least 1.
        first_kernel: kernel of the first block, odd, of which the mask shows half.
        kernel_size: kernel of the other blocks, the same.
        hidden: channels of the encoder's dense layer, and of the decoder's 1x1 convolution before the logits.
        map_channels: channels of the map on which the decoder depends.
        input_shape: (height, width) of the grid, both fixed.
        classes: 0: the model knows no classes.
        dropout: share of the decoder's gated features left out in training, 0 to 1 (excluded). Default 0.0.
        name: name of the model. Default "latent_vq_vae".

    Returns:
        A Functional model. Input: "codes", int32 (batch, height, width). Output: logits, float32 (batch, height, width,
        K); those of a position depend on the codes before it in reading order, and on all codes through the few.

    Raises:
        InputError: for an argument out of range.
    """
    # Layers
    grid = checked_lengths(input_shape, ("height", "width"), free=False)
    with input_errors():
        one_of(quantizer, QUANTIZERS, "quantizer")
        for value, argument in ((codes, "codes"), (filters, "filters"), (hidden, "hidden"), (heads, "heads")):
            positive_integer(value, argument)
        positive_integer(map_channels, "map_channels")
        if checked_count(classes, "classes"):
            raise InputError(f"Expected `classes` to be 0: an autoencoder knows none. Received {classes}.")
        options = {**({} if quantizer_options is None else quantizer_options), "heads": heads}
        layer = make_quantizer(quantizer, latent_codes, code_dimension, options)
    decoder = PixelCNN(
        codes,
        filters,
        layers,
        first_kernel,
        kernel_size,
        hidden,
        condition_shape=(*grid, map_channels),
        input_shape=grid,
        dropout=dropout,
        name="decoder",
    )

    # Functional graph
    inputs = keras.Input(grid, name="codes", dtype="int32")
    latents = _encoder(codes, filters, hidden, layer.channels, grid)(inputs)
    condition = _condition(layer.channels, map_channels, grid)(layer(latents))
    logits = decoder({"codes": inputs, "condition_map": condition})

    # Configuration
    return keras.Model({"codes": inputs}, logits, name=name or "latent_vq_vae")


def _encoder(codes: int, filters: int, hidden: int, channels: int, grid: Sequence[int]) -> keras.Model:
    """From a grid of codes to one vector of the image."""
    inputs = keras.Input(tuple(grid), name="codes", dtype="int32")
    x = keras.layers.Embedding(codes, filters, name="embedding")(inputs)
    for number in range(1, STRIDES + 1):
        x = keras.layers.Conv2D(
            filters,
            4,
            strides=2,
            padding="same",
            activation="relu",
            data_format="channels_last",
            name=f"strided_{number}",
        )(x)
    x = keras.layers.Flatten(data_format="channels_last", name="flatten")(x)
    x = keras.layers.Dense(hidden, activation="relu", name="hidden")(x)
    return keras.Model(inputs, keras.layers.Dense(channels, name="to_codes")(x), name="encoder")


def _condition(channels: int, map_channels: int, grid: Sequence[int]) -> keras.Model:
    """From the code vectors of an image to the map on which the decoder depends."""
    vectors = keras.Input((channels,), name="code_vectors", dtype="float32")
    x = keras.layers.Dense(grid[0] * grid[1] * map_channels, activation="relu", name="from_codes")(vectors)
    return keras.Model(vectors, keras.layers.Reshape((*grid, map_channels), name="map")(x), name="condition")


# === The two halves ===


def latent_encoder_of(model: keras.Model) -> keras.Model:
    """Grids of codes to the few codes of each, int32 (batch, heads), or (batch,) where there is one."""
    codes = model.inputs[0]
    latents = model.get_layer("quantizer").encode(model.get_layer("encoder")(codes))
    return keras.Model(codes, latents, name=f"{model.name}_encoder")


def condition_of(model: keras.Model) -> keras.Model:
    """The few codes, as `latent_encoder_of` gives them, to the "condition_map" of the layer "decoder".

    With it a `tools.sampling.Sampler` of that layer draws grids.
    """
    latents = keras.Input(latent_encoder_of(model).output_shape[1:], name="latents", dtype="int32")
    vectors = model.get_layer("quantizer").lookup(latents)
    return keras.Model(latents, model.get_layer("condition")(vectors), name=f"{model.name}_condition")


# === Registered models ===

MODELS = (
    ModelInfo(
        name="latent_vq_vae",
        constructor=LatentVQVAE,
        arguments={"quantizer_options": {"initializer": "data", "revival_threshold": 0.1}},
        input_shape=(21, 21),
        classes=0,
        parameters=2_528_080,
        multiply_adds=297_462_784,
        preprocessing="codes of an autoencoder of images",
        source="van den Oord et al. 2017, section 4.2: three codes a frame of 21x21; the network is this suite's",
    ),
)
