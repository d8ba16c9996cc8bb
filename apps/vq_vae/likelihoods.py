"""What a decoder says of pixels: distributions over the 256 values of every pixel, and errors in their units.

    name               outputs for C channels   distribution of a pixel
    mse                C                        Gaussian of one deviation for all pixels, rounded to whole values
    gaussian           2 C                      Gaussian of a mean and a deviation of its own, rounded
    logistic_mixture   M (1 + 2 C)              mixture of M logistics, rounded; the channels share the component
    categorical        256 C                    a probability for each of the 256 values

Rounded means: P(v) = F(v + 1/2) - F(v - 1/2), F the distribution function, with all mass below 0 at 0 and above 255 at
255. So all four give probabilities of whole values, and bits that can be compared with each other; densities could not.

Images are float32 (batch, height, width, C), pixels / 255 - 0.5. The rounded distributions are TensorFlow
Probability's; it is imported where it is used, since it brings `tf_keras` along.
"""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from tools.errors import InputError

VALUES = 256
HALF_RANGE = 0.5
# In pixel values. Below the least deviation a rounded distribution is one value, and its logarithm loses all slope.
FIRST_SCALE = 32.0
LEAST_LOG_SCALE = -5.0
COMPONENTS = 10


def to_pixels(images: Any) -> Any:
    """Images in the units of the networks as whole pixel values 0 to 255, in float32."""
    return ops.clip(ops.round((images + HALF_RANGE) * (VALUES - 1)), 0.0, float(VALUES - 1))


class Likelihood:
    """A distribution over the pixels of an image, told by the outputs of a decoder.

    Attributes:
        name: by which `find` finds it.
    """

    name = ""

    def output_channels(self, channels: int) -> int:
        """Channels that the decoder must have for images of so many channels."""
        raise NotImplementedError

    def mean(self, outputs: Any) -> Any:
        """The expected image, in the units of the networks, (batch, height, width, channels).

        Of a rounded distribution it is its location, or of several the mean of theirs, at the nearest end of the range
        where it lies beyond.
        """
        raise NotImplementedError

    def log_probability(self, images: Any, outputs: Any) -> Any:
        """Natural logarithm of the probability of whole pixel values: float32 (batch,), summed over an image."""
        raise NotImplementedError

    def loss(self, images: Any, outputs: Any, variance: float) -> Any:
        """What training lowers: nats a dimension, float32 (batch,). `variance` is that of the data; see `Mse`."""
        return -self.log_probability(images, outputs) / dimensions(images)


class Mse(Likelihood):
    """Gaussian with one deviation for all pixels; the outputs are the means.

    The loss is the squared error over the variance of the data, as in dm-sonnet's example. A probability needs the
    deviation as well: `sigma`, in pixel values, that of the errors on the training images.

    Args:
        sigma: deviation in pixel values, or None where only the loss and the mean are wanted.
    """

    name = "mse"

    def __init__(self, sigma: float | None = None):
        self.sigma = sigma

    def output_channels(self, channels: int) -> int:
        return channels

    def mean(self, outputs: Any) -> Any:
        return outputs

    def log_probability(self, images: Any, outputs: Any) -> Any:
        if self.sigma is None:
            raise InputError("Expected the deviation of the errors, to give pixels a probability. Received none.")
        import tensorflow_probability as tfp

        normal = tfp.distributions.Normal(_location(outputs) - 0.5, self.sigma)
        return _sum(_rounded(normal).log_prob(to_pixels(images)))

    def loss(self, images: Any, outputs: Any, variance: float) -> Any:
        return normalised_error(images, outputs, variance)


class Gaussian(Likelihood):
    """Gaussian with a mean and a deviation for every pixel: outputs are the means, then logarithms of deviations."""

    name = "gaussian"

    def output_channels(self, channels: int) -> int:
        return 2 * channels

    def mean(self, outputs: Any) -> Any:
        return _within(ops.split(outputs, 2, axis=-1)[0])

    def log_probability(self, images: Any, outputs: Any) -> Any:
        import tensorflow_probability as tfp

        location, scale = ops.split(outputs, 2, axis=-1)
        normal = tfp.distributions.Normal(_location(location) - 0.5, _scale(scale))
        return _sum(_rounded(normal).log_prob(to_pixels(images)))


class LogisticMixture(Likelihood):
    """Mixture of logistics, discretised; the channels of a pixel share the component.

    Outputs: M logits, then M C locations, then M C logarithms of scales, component by component.

    Args:
        components: M. Default 10.

    Reference:
        Salimans et al., "PixelCNN++" (2017), section 2.1, without the dependence of a colour on those before it.
    """

    name = "logistic_mixture"

    def __init__(self, components: int = COMPONENTS):
        self.components = components

    def output_channels(self, channels: int) -> int:
        return self.components * (1 + 2 * channels)

    def mean(self, outputs: Any) -> Any:
        logits, location, _ = self._parameters(outputs)
        return ops.sum(ops.softmax(logits, axis=-1)[..., None] * _within(location), axis=-2)

    def log_probability(self, images: Any, outputs: Any) -> Any:
        import tensorflow_probability as tfp

        logits, location, scale = self._parameters(outputs)
        logistic = tfp.distributions.Logistic(_location(location) - 0.5, _scale(scale))
        mixture = tfp.distributions.MixtureSameFamily(
            tfp.distributions.Categorical(logits=logits), tfp.distributions.Independent(_rounded(logistic), 1)
        )
        return _sum(mixture.log_prob(to_pixels(images)))

    def _parameters(self, outputs: Any) -> tuple[Any, Any, Any]:
        count = self.components
        channels = (outputs.shape[-1] // count - 1) // 2
        shape = (*ops.shape(outputs)[:-1], count, channels)
        logits, location, scale = ops.split(outputs, [count, count * (1 + channels)], axis=-1)
        return logits, ops.reshape(location, shape), ops.reshape(scale, shape)


class Categorical(Likelihood):
    """A probability for each of the 256 values of every number: outputs are logits, channel by channel."""

    name = "categorical"

    def output_channels(self, channels: int) -> int:
        return VALUES * channels

    def mean(self, outputs: Any) -> Any:
        values = ops.arange(VALUES, dtype="float32") / (VALUES - 1) - HALF_RANGE
        return ops.sum(ops.softmax(self._logits(outputs), axis=-1) * values, axis=-1)

    def log_probability(self, images: Any, outputs: Any) -> Any:
        import tensorflow_probability as tfp

        return _sum(tfp.distributions.Categorical(logits=self._logits(outputs)).log_prob(to_pixels(images)))

    def _logits(self, outputs: Any) -> Any:
        return ops.reshape(outputs, (*ops.shape(outputs)[:-1], outputs.shape[-1] // VALUES, VALUES))


LIKELIHOODS = {kind.name: kind for kind in (Mse, Gaussian, LogisticMixture, Categorical)}


def find(name: str) -> Likelihood:
    """The likelihood of a name.

    Raises:
        InputError: if there is none.
    """
    if name not in LIKELIHOODS:
        raise InputError(f"Expected `likelihood` to be one of {', '.join(LIKELIHOODS)}. Received {name!r}.")
    return LIKELIHOODS[name]()


def dimensions(images: Any) -> int:
    """Numbers of an image: height times width times channels."""
    return math.prod(images.shape[1:])


def normalised_error(images: Any, mean: Any, variance: float) -> Any:
    """Squared error of the pixels over the variance of the data: float32 (batch,), the mean over an image."""
    return ops.mean(ops.square(images - mean), axis=(1, 2, 3)) / variance


def rate_bits_per_dim(positions: int, codes_a_position: int, codes: int, numbers: int) -> float:
    """Bits of the codes for each number of an image under the uniform prior: N log2 K / numbers, exact.

    Args:
        positions: of the map of codes.
        codes_a_position: codes at each position.
        codes: K.
        numbers: height times width times channels of the image.
    """
    return positions * codes_a_position * math.log2(codes) / numbers


def bits_per_dim_upper_bound(rate: float, reconstruction: float) -> float:
    """Upper bound of -log2 p(x) for each number of an image: the rate plus -log2 p(x | its codes).

    p(x) is a sum over all codes, of which p(x | z) p(z) of the encoder's own codes z is one term: the sum is at least
    as large, so the true bits are at most these. (As a log-likelihood in nats the same figure is a lower bound.)

    Args:
        rate: bits of the codes a number, `rate_bits_per_dim`.
        reconstruction: bits a number of the image given its codes.
    """
    return rate + reconstruction


def _within(location: Any) -> Any:
    # A black background drives locations far below 0, whose mass is all at 0.
    return ops.clip(location, -HALF_RANGE, HALF_RANGE)


def _location(outputs: Any) -> Any:
    return (outputs + HALF_RANGE) * (VALUES - 1)


def _scale(outputs: Any) -> Any:
    return FIRST_SCALE * ops.exp(ops.clip(outputs, LEAST_LOG_SCALE, -LEAST_LOG_SCALE))


def _rounded(continuous: Any) -> Any:
    # TFP rounds up: P(v) = F(v) - F(v - 1). A location lower by 1/2 makes that the nearest value.
    import tensorflow_probability as tfp

    return tfp.distributions.QuantizedDistribution(continuous, low=0.0, high=float(VALUES - 1))


def _sum(values: Any) -> Any:
    return ops.sum(values, axis=tuple(range(1, len(values.shape))))
