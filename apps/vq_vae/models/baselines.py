"""The autoencoders that VQ-VAE was compared with: VAE and VIMCO, of the same encoder and decoder.

van den Oord et al., "Neural Discrete Representation Learning" (2017), section 4.1.

    VAE     images -> encoder -> mean, log variance -> latents -> decoder -> parameters of a distribution over pixels
    VIMCO   images -> encoder -> logits -> latents (codes, drawn 50 times) -> code_vectors -> decoder -> parameters
            in training -> bound, of images, log q and parameters

The paper gives neither the number of Gaussian latents nor the codes of VIMCO; those here are this suite's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from apps.vq_vae.likelihoods import Likelihood, Mse, find
from apps.vq_vae.models.arguments import checked_count, checked_lengths, input_errors
from apps.vq_vae.models.image_autoencoder import LAYOUTS, Trunk, check_strides, image_decoder, image_encoder
from keras_layers import CategoricalSampling, GaussianSampling, vimco_loss
from keras_layers.validation import non_negative_number, one_of, positive_integer
from tools.errors import InputError
from tools.registry import ModelInfo

# === Functional graphs ===


def VAE(
    latent_channels: int = 10,
    hidden_units: int = 256,
    residual_units: int = 256,
    residual_blocks: int = 2,
    strides: Sequence[int] = (2, 2),
    kernel_size: int = 4,
    layout: str = "paper",
    likelihood: str = "logistic_mixture",
    input_shape: Sequence[int] = (32, 32, 3),
    classes: int = 0,
    name: str | None = None,
) -> keras.Model:
    """A variational autoencoder: Gaussian latents at every position of the map, their prior the standard normal.

    To the loss it adds the divergence of the latents, in nats for each number of an image: with a likelihood's loss the
    sum is the negative evidence lower bound in training; otherwise, of the means in place of drawn latents, it is none.

    Args:
        latent_channels: Gaussian latents at each position.
        hidden_units: as of `ImageVQVAE`, and so are all that follow.
        residual_units: channels inside the residual blocks.
        residual_blocks: number of them on either side.
        strides: of each strided convolution.
        kernel_size: side of their kernels.
        layout: "paper" (default) or "sonnet".
        likelihood: "gaussian", "logistic_mixture" (default) or "categorical": a bound needs a probability of pixels.
        input_shape: (height, width, channels), all fixed.
        classes: 0: the model knows no classes.
        name: name of the model. Default "vae".

    Returns:
        A Functional model. Input: "images", float32 (batch, height, width, channels), pixels / 255 - 0.5. Output: what
        the likelihood reads of drawn latents in training, of their means otherwise.

    Raises:
        InputError: for an argument out of range.

    Reference:
        Kingma and Welling, "Auto-Encoding Variational Bayes" (2013).
    """
    # Layers
    trunk = Trunk(hidden_units, residual_units, residual_blocks, _strides(strides), kernel_size, layout)
    shape, parameters = _checked(trunk, likelihood, input_shape, classes)
    with input_errors():
        positive_integer(latent_channels, "latent_channels")
    latents = GaussianSampling(weight=1 / math.prod(shape), name="latents")

    # Functional graph
    images = keras.Input(shape, name="images", dtype="float32")
    drawn = latents(image_encoder(trunk, shape, 2 * latent_channels)(images))
    outputs = image_decoder(trunk, drawn.shape[1:], parameters)(drawn)

    # Configuration
    return keras.Model(images, outputs, name=name or "vae")


def VIMCO(
    codes: int = 512,
    code_dimension: int = 64,
    samples: int = 50,
    hidden_units: int = 256,
    residual_units: int = 256,
    residual_blocks: int = 2,
    strides: Sequence[int] = (2, 2),
    kernel_size: int = 4,
    layout: str = "paper",
    likelihood: str = "logistic_mixture",
    input_shape: Sequence[int] = (32, 32, 3),
    classes: int = 0,
    name: str | None = None,
) -> keras.Model:
    """An autoencoder of drawn codes under a uniform prior, trained by the bound of many samples.

    The loss needs images, log q and outputs together: train `with_bound(model, likelihood)`, of the same weights, and
    use this.

    Args:
        codes: K, from which each position of the map draws one.
        code_dimension: length D of a code's vector.
        samples: drawn of each image in training, at least 2.
        hidden_units: as of `ImageVQVAE`, and so are all that follow.
        residual_units: channels inside the residual blocks.
        residual_blocks: number of them on either side.
        strides: of each strided convolution.
        kernel_size: side of their kernels.
        layout: "paper" (default) or "sonnet".
        likelihood: "gaussian", "logistic_mixture" (default) or "categorical": a bound needs a probability of pixels.
        input_shape: (height, width, channels), all fixed.
        classes: 0: the model knows no classes.
        name: name of the model. Default "vimco".

    Returns:
        A Functional model. Input: "images", float32 (batch, height, width, channels), pixels / 255 - 0.5. Output: what
        the likelihood reads of the most probable codes; in training (batch * samples, ...), of the samples of each
        image one after the other.

    Raises:
        InputError: for an argument out of range.

    Reference:
        Mnih and Rezende, "Variational Inference for Monte Carlo Objectives" (2016).
    """
    # Layers
    trunk = Trunk(hidden_units, residual_units, residual_blocks, _strides(strides), kernel_size, layout)
    shape, parameters = _checked(trunk, likelihood, input_shape, classes)
    with input_errors():
        for value, argument in ((codes, "codes"), (code_dimension, "code_dimension")):
            positive_integer(value, argument)
        if positive_integer(samples, "samples") < 2:
            raise ValueError(f"Expected `samples` to be at least 2. Received {samples}.")
    vectors = keras.layers.Embedding(codes, code_dimension, name="code_vectors")

    # Functional graph
    images = keras.Input(shape, name="images", dtype="float32")
    logits = image_encoder(trunk, shape, codes)(images)
    drawn, _ = CategoricalSampling(samples, name="latents")(logits)
    code_vectors = vectors(drawn)
    outputs = image_decoder(trunk, code_vectors.shape[1:], parameters)(code_vectors)

    # Configuration
    return keras.Model(images, outputs, name=name or "vimco")


def with_bound(model: keras.Model, likelihood: str) -> keras.Model:
    """A `VIMCO` as it is trained: the loss is its own (layer "bound"), so compile it with none.

    Args:
        model: a `VIMCO`, whose layers it shares. That is the one to save: the bound is no layer of `keras_layers`.
        likelihood: as of `model`.

    Returns:
        A Functional model of images to outputs, those of the first sample in training.
    """
    _, log_q = model.get_layer("latents").output
    bound = MultiSampleBound(likelihood, prior_nats(model), name="bound")
    return keras.Model(model.input, bound([model.input, model.output, log_q]), name=model.name)


def prior_nats(model: keras.Model) -> float:
    """-log p(z) of the codes z of an image under the uniform prior of a `VIMCO`."""
    *grid, codes = model.get_layer("encoder").output_shape[1:]
    return math.prod(grid) * math.log(codes)


def log_joint(likelihood: Likelihood, images: Any, outputs: Any, samples: int, prior: float) -> Any:
    """log p(x | z_s) + log p(z_s), (batch, samples), in nats.

    Args:
        likelihood: of the pixels.
        images: (batch, height, width, channels).
        outputs: of the decoder, (batch * samples, height, width, parameters).
        samples: of each image.
        prior: -log p(z_s).
    """
    log_p = likelihood.log_probability(ops.repeat(images, samples, axis=0), outputs)
    return ops.reshape(log_p, (-1, samples)) - prior


def _strides(strides: Any) -> tuple[Any, ...]:
    if not isinstance(strides, tuple | list):
        raise InputError(f"Expected `strides` to be one or more integers. Received {strides!r}.")
    return tuple(strides)


def _checked(trunk: Trunk, likelihood: str, input_shape: Any, classes: Any) -> tuple[tuple[int, ...], int]:
    """The shape of an image, and the channels that its likelihood reads."""
    shape = checked_lengths(input_shape, ("height", "width", "channels"), free=False)
    if likelihood == Mse.name:
        raise InputError(f"Expected `likelihood` to give pixels a probability in training. Received {likelihood!r}.")
    with input_errors():
        one_of(trunk.layout, LAYOUTS, "layout")
        if checked_count(classes, "classes"):
            raise InputError(f"Expected `classes` to be 0: an autoencoder knows none. Received {classes}.")
        for value, argument in ((trunk.hidden_units, "hidden_units"), (trunk.residual_units, "residual_units")):
            positive_integer(value, argument)
        checked_count(trunk.residual_blocks, "residual_blocks")
        check_strides(trunk.strides, trunk.kernel_size, shape)
    return shape, find(likelihood).output_channels(shape[-1])


class MultiSampleBound(keras.layers.Layer):
    """Adds the negative bound of several samples of codes on log p(image), by VIMCO's gradient.

    `-log (1/S sum_s p(x | z_s) p(z_s) / q(z_s | x))`, mean over the batch, divided by the numbers of an image; p(z) is
    uniform. Outside of training, where the one sample is no draw, it adds `-log p(x | z) p(z)` instead, which is no
    less than -log p(x) whatever the codes.

    Args:
        likelihood: name of the likelihood of pixels.
        prior_nats: -log p(z): positions times the logarithm of the number of codes.
        **kwargs: `name` and `dtype`, as of every Keras layer.

    Input shape:
        A list: images (batch, height, width, channels), outputs of the decoder (batch * samples, height, width,
        parameters), and log q (batch, samples).

    Output shape:
        (batch, height, width, parameters): the outputs of the first sample of every image.
    """

    def __init__(self, likelihood: str, prior_nats: float, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.likelihood = likelihood
        self.prior_nats = non_negative_number(prior_nats, "prior_nats")
        self._distribution = find(likelihood)

    def call(self, inputs: Sequence[Any], training: bool | None = None) -> Any:
        images, outputs, log_q = inputs
        log_p = log_joint(self._distribution, images, outputs, ops.shape(log_q)[1], self.prior_nats)
        nats = vimco_loss(log_p - log_q, log_q) if training else -log_p[:, 0]
        self.add_loss(ops.mean(nats) / math.prod(images.shape[1:]))
        return ops.reshape(outputs, (*ops.shape(log_q), *outputs.shape[1:]))[:, 0]

    def compute_output_shape(self, input_shape: Sequence[Sequence[int | None]]) -> tuple[int | None, ...]:
        images, outputs, _ = input_shape
        return (images[0], *outputs[1:])

    def compute_output_spec(self, inputs: Sequence[Any], training: bool | None = None) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape([one.shape for one in inputs]), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "likelihood": self.likelihood, "prior_nats": self.prior_nats}


# === Registered models ===

TINY = {"hidden_units": 32, "residual_units": 16, "layout": "sonnet"}
MODELS = tuple(
    ModelInfo(
        name=name,
        constructor=constructor,
        arguments=arguments,
        input_shape=shape,
        classes=0,
        parameters=parameters,
        multiply_adds=multiply_adds,
        preprocessing="pixels / 255 - 0.5",
        source=source,
    )
    for name, constructor, arguments, shape, parameters, multiply_adds, source in (
        (
            "vae_cifar10",
            VAE,
            {},
            (32, 32, 3),
            5_028_442,
            379_027_456,
            "van den Oord et al. 2017, section 4.1; 10 latents a position",
        ),
        (
            "vae_tiny",
            VAE,
            {**TINY, "latent_channels": 16},
            (28, 28, 1),
            60_030,
            4_089_344,
            "ours: the trunk of vq_vae_tiny",
        ),
        (
            "vimco_cifar10",
            VIMCO,
            {},
            (32, 32, 3),
            5_201_478,
            387_973_120,
            "van den Oord et al. 2017, section 4.1: 50 samples; K = 512",
        ),
        (
            "vimco_tiny",
            VIMCO,
            {**TINY, "codes": 128, "code_dimension": 16},
            (28, 28, 1),
            65_246,
            4_239_872,
            "ours: the trunk and the codes of vq_vae_tiny",
        ),
    )
)
