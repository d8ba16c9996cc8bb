"""VQ-VAE of images: a convolutional encoder, a quantiser, and a decoder of deconvolutions.

van den Oord et al., "Neural Discrete Representation Learning" (2017), section 4.1, and dm-sonnet's example of it.

    images -> encoder -> quantizer -> decoder -> parameters of a distribution over pixels
              strided convolutions,   residual blocks,
              residual blocks, 1x1    strided deconvolutions

    residual block:  x ---- ReLU - 3x3 - ReLU - 1x1 ---- + ----
                       |_________________________________|
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from apps.vq_vae.likelihoods import find
from apps.vq_vae.models.arguments import checked_count, checked_lengths, input_errors
from keras_layers import FiniteScalarQuantizer, ResidualVectorQuantizer, VectorQuantizer, VectorQuantizerEMA
from keras_layers.validation import one_of, positive_integer
from tools.errors import InputError
from tools.registry import ModelInfo

QUANTIZERS = {
    "ema": VectorQuantizerEMA,
    "gradient": VectorQuantizer,
    "residual": ResidualVectorQuantizer,
    "finite_scalar": FiniteScalarQuantizer,
}
LAYOUTS = ("sonnet", "paper")
# By quantiser. Latents are small at the start, which an odd number of levels rounds to 0: without a bias the decoder
# would be 0 everywhere, where no ReLU has a slope, and stay so.
BIASES = {"finite_scalar": keras.initializers.TruncatedNormal(stddev=0.1)}


@dataclasses.dataclass(frozen=True)
class Trunk:
    """The sizes that encoder and decoder share; see `ImageVQVAE`."""

    hidden_units: int
    residual_units: int
    residual_blocks: int
    strides: tuple[int, ...]
    kernel_size: int
    layout: str

    @property
    def outermost(self) -> int:
        """Channels of the convolution next to the image."""
        return max(1, self.hidden_units // 2) if self.layout == "sonnet" else self.hidden_units


# === Functional graph ===


def ImageVQVAE(
    hidden_units: int = 128,
    residual_units: int = 32,
    residual_blocks: int = 2,
    strides: Sequence[int] = (2, 2),
    kernel_size: int = 4,
    layout: str = "sonnet",
    quantizer: str = "ema",
    codes: int = 512,
    code_dimension: int = 64,
    quantizer_options: Mapping[str, Any] | None = None,
    likelihood: str = "mse",
    input_shape: Sequence[int | None] = (32, 32, 3),
    classes: int = 0,
    name: str | None = None,
) -> keras.Model:
    """An autoencoder of images whose latents are codes.

    The layers "encoder" and "decoder" are Functional models, "quantizer" a quantiser of this suite; `encoder_of` and
    `decoder_of` make models of images to codes and of codes to images.

    Args:
        hidden_units: channels of the convolutions.
        residual_units: channels inside the residual blocks.
        residual_blocks: number of residual blocks on either side, at least 0.
        strides: of each strided convolution, from the image inwards; the decoder has them in reverse.
        kernel_size: side of the kernels of these convolutions, at least the largest stride.
        layout: "sonnet" (default): the outermost convolution on either side has half the hidden units, a 3x3
            convolution stands before the residual blocks and a ReLU after them. "paper": hidden units everywhere, and
            the residual blocks directly after the strided convolutions.
        quantizer: "ema" (default), "gradient", "residual" or "finite_scalar": the layer `VectorQuantizerEMA`,
            `VectorQuantizer`, `ResidualVectorQuantizer` or `FiniteScalarQuantizer`.
        codes: size K of each code book; not of "finite_scalar".
        code_dimension: length D of a code vector; not of "finite_scalar".
        quantizer_options: further arguments of the quantiser's layer by name: heads, commitment_cost, decay, start,
            initializer, revival_threshold, ...; `stages` of "residual" (default 2) and `levels` of "finite_scalar"
            (default 8, 5, 5, 5).
        likelihood: of pixels: "mse" (default), "gaussian", "logistic_mixture" or "categorical"; it decides how many
            channels the output has.
        input_shape: (height, width, channels); height and width multiples of the product of the strides, or None.
        classes: 0: the model knows no classes.
        name: name of the model. Default "vq_vae".

    Returns:
        A Functional model. Input: "images", float32 (batch, height, width, channels), pixels / 255 - 0.5. Output: what
        the likelihood reads, float32 (batch, height, width, parameters); with "mse" the reconstruction itself.

    Raises:
        InputError: for an argument out of range.
    """
    # Layers
    shape = checked_lengths(input_shape, ("height", "width", "channels"))
    if shape[-1] is None:
        raise InputError(f"Expected `input_shape` with a number of channels. Received {input_shape!r}.")
    with input_errors():
        one_of(layout, LAYOUTS, "layout")
        if checked_count(classes, "classes"):
            raise InputError(f"Expected `classes` to be 0: an autoencoder knows none. Received {classes}.")
        for value, argument in ((hidden_units, "hidden_units"), (residual_units, "residual_units")):
            positive_integer(value, argument)
        checked_count(residual_blocks, "residual_blocks")
        check_strides(strides, kernel_size, shape)
        layer = make_quantizer(quantizer, codes, code_dimension, {} if quantizer_options is None else quantizer_options)
        parameters = find(likelihood).output_channels(shape[-1])
    trunk = Trunk(hidden_units, residual_units, residual_blocks, tuple(strides), kernel_size, layout)

    # Functional graph
    images = keras.Input(shape, name="images", dtype="float32")
    latents = image_encoder(trunk, shape, layer.channels)(images)
    decoder = image_decoder(trunk, (*latents.shape[1:-1], layer.channels), parameters, BIASES.get(quantizer))
    outputs = decoder(layer(latents))

    # Configuration
    return keras.Model(images, outputs, name=name or "vq_vae")


def image_encoder(trunk: Trunk, shape: Sequence[int | None], channels: int) -> keras.Model:
    """From images of a shape to a map of latents of so many channels."""
    images = x = keras.Input(tuple(shape), name="images", dtype="float32")
    for number, stride in enumerate(trunk.strides):
        filters = trunk.outermost if number == 0 else trunk.hidden_units
        x = _convolution(x, filters, trunk.kernel_size, f"strided_{number + 1}", strides=stride, activation="relu")
    if trunk.layout == "sonnet":
        x = _convolution(x, trunk.hidden_units, 3, "before_blocks", activation="relu")
    x = _residual_blocks(x, trunk)
    return keras.Model(images, _convolution(x, channels, 1, "to_codes"), name="encoder")


def image_decoder(
    trunk: Trunk,
    shape: Sequence[int | None],
    parameters: int,
    bias: keras.initializers.Initializer | None = None,
) -> keras.Model:
    """From a map of code vectors of a shape to `parameters` channels for every pixel; `bias` is of the first layer."""
    vectors = keras.Input(tuple(shape), name="code_vectors", dtype="float32")
    kernel = 3 if trunk.layout == "sonnet" else 1
    x = _convolution(vectors, trunk.hidden_units, kernel, "from_codes", bias_initializer=bias or "zeros")
    x = _residual_blocks(x, trunk)
    for number, stride in reversed(list(enumerate(trunk.strides))[1:]):
        filters = trunk.outermost if number == 1 else trunk.hidden_units
        name = f"deconvolution_{number + 1}"
        x = _deconvolution(x, filters, trunk.kernel_size, name, strides=stride, activation="relu")
    x = _deconvolution(x, parameters, trunk.kernel_size, "pixels", strides=trunk.strides[0], dtype="float32")
    return keras.Model(vectors, x, name="decoder")


def _residual_blocks(x: Any, trunk: Trunk) -> Any:
    for number in range(1, trunk.residual_blocks + 1):
        y = keras.layers.ReLU(name=f"block_{number}_relu_1")(x)
        y = _convolution(y, trunk.residual_units, 3, f"block_{number}_3x3", activation="relu")
        y = _convolution(y, trunk.hidden_units, 1, f"block_{number}_1x1")
        x = keras.layers.Add(name=f"block_{number}")([x, y])
    return keras.layers.ReLU(name="after_blocks")(x) if trunk.layout == "sonnet" else x


def _convolution(x: Any, filters: int, kernel_size: int, name: str, **arguments: Any) -> Any:
    start = _initializer(kernel_size, x.shape[-1])
    layer = keras.layers.Conv2D(filters, kernel_size, padding="same", kernel_initializer=start, name=name, **arguments)
    return layer(x)


def _deconvolution(x: Any, filters: int, kernel_size: int, name: str, **arguments: Any) -> Any:
    start = _initializer(kernel_size, x.shape[-1])
    layer = keras.layers.Conv2DTranspose(
        filters, kernel_size, padding="same", kernel_initializer=start, name=name, **arguments
    )
    return layer(x)


def _initializer(kernel_size: int, channels: int) -> keras.initializers.Initializer:
    # Sonnet's. Keras' own takes the filters of a deconvolution for its inputs: six times the deviation at the image.
    return keras.initializers.TruncatedNormal(stddev=1 / (kernel_size * math.sqrt(channels)))


def check_strides(strides: Any, kernel_size: Any, shape: Sequence[int | None]) -> None:
    """Raises a ValueError for strides or a kernel that do not fit each other or the images."""
    if not isinstance(strides, tuple | list) or not strides:
        raise InputError(f"Expected `strides` to be one or more integers. Received {strides!r}.")
    for stride in strides:
        positive_integer(stride, "strides")
    if positive_integer(kernel_size, "kernel_size") < max(strides):
        raise InputError(
            f"Expected `kernel_size` of at least the largest stride, {max(strides)}. Received {kernel_size}."
        )
    factor = math.prod(strides)
    if any(length is not None and length % factor for length in shape[:2]):
        raise InputError(
            f"Expected images of height and width that are multiples of {factor}, the product of the strides. "
            f"Received {shape[0]}x{shape[1]}."
        )


def make_quantizer(kind: str, codes: int, dimension: int, options: Mapping[str, Any]) -> keras.layers.Layer:
    """The quantiser of a kind, as the layer "quantizer".

    Raises:
        ValueError: for another kind, or an argument that is out of range or that its layer does not have.
    """
    layer = QUANTIZERS[one_of(kind, tuple(QUANTIZERS), "quantizer")]
    if not isinstance(options, Mapping):
        raise ValueError(f"Expected `quantizer_options` to be a dictionary. Received {options!r}.")
    arguments: dict[str, Any] = {"name": "quantizer"}
    if kind == "finite_scalar":
        arguments["levels"] = (8, 5, 5, 5)
    else:
        arguments.update(codes=codes, dimension=dimension)
    if kind == "residual":
        arguments["stages"] = 2
    known = inspect.signature(layer.__init__).parameters
    unknown = sorted(name for name in options if name not in known or name in ("self", "kwargs"))
    if unknown:
        raise ValueError(f"Expected `quantizer_options` of {layer.__name__}. Received {unknown[0]!r}.")
    return layer(**{**arguments, **options})


# === The two halves ===


def has_quantizer(model: keras.Model) -> bool:
    """Whether a model is an autoencoder whose latents a quantiser makes codes."""
    return any(layer.name == "quantizer" for layer in model.layers)


def quantizer_of(model: keras.Model) -> keras.layers.Layer:
    """The quantiser of an autoencoder.

    Raises:
        InputError: if it has none.
    """
    if not has_quantizer(model):
        raise InputError(f"Expected an autoencoder with a quantizer, which makes codes. Received {model.name!r}.")
    return model.get_layer("quantizer")


def encoder_of(model: keras.Model) -> keras.Model:
    """Images to codes: int32 (batch, height, width), or (batch, height, width, n) with n codes a position.

    Raises:
        InputError: if the model makes no codes.
    """
    images = model.inputs[0]
    codes = quantizer_of(model).encode(model.get_layer("encoder")(images))
    return keras.Model(images, codes, name=f"{model.name}_encoder")


def decoder_of(model: keras.Model) -> keras.Model:
    """Codes, as `encoder_of` gives them, to what the likelihood reads."""
    quantizer = quantizer_of(model)
    shape = encoder_of(model).output_shape[1:]
    codes = keras.Input(shape, name="codes", dtype="int32")
    return keras.Model(codes, model.get_layer("decoder")(quantizer.lookup(codes)), name=f"{model.name}_decoder")


# === Registered models ===

SONNET_QUANTIZER = {"start": "sonnet", "initializer": "variance_scaling"}
MODELS = (
    ModelInfo(
        name="vq_vae_cifar10",
        constructor=ImageVQVAE,
        arguments={"quantizer_options": SONNET_QUANTIZER},
        input_shape=(32, 32, 3),
        classes=0,
        parameters=662_723,
        multiply_adds=45_613_056,
        preprocessing="pixels / 255 - 0.5",
        source="van den Oord et al. 2017; as dm-sonnet's CIFAR-10 example",
    ),
    ModelInfo(
        name="vq_vae_cifar10_2017",
        constructor=ImageVQVAE,
        arguments={
            "hidden_units": 256,
            "residual_units": 256,
            "layout": "paper",
            "quantizer": "gradient",
            "quantizer_options": {"heads": 10, "loss_reduction": "sum"},
        },
        input_shape=(32, 32, 3),
        classes=0,
        parameters=5_402_243,
        multiply_adds=350_224_384,
        preprocessing="pixels / 255 - 0.5",
        source="van den Oord et al. 2017, section 4.1: 8x8x10 latents; K = 512 and D = 64, which it does not state",
    ),
    ModelInfo(
        name="vq_vae_imagenet128",
        constructor=ImageVQVAE,
        arguments={},
        input_shape=(128, 128, 3),
        classes=0,
        parameters=662_723,
        multiply_adds=729_808_896,
        preprocessing="pixels / 255 - 0.5",
        source="van den Oord et al. 2017, section 4.2: 32x32 codes of 512; units as dm-sonnet",
    ),
    ModelInfo(
        name="vq_vae_tiny",
        constructor=ImageVQVAE,
        arguments={"hidden_units": 32, "residual_units": 16, "codes": 128, "code_dimension": 16},
        input_shape=(28, 28, 1),
        classes=0,
        parameters=52_049,
        multiply_adds=2_709_504,
        preprocessing="pixels / 255 - 0.5",
        source="ours: a quarter of the units, for digits, demonstration and tests",
    ),
)
