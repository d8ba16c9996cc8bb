"""Reading the run folder of an autoencoder of images."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from typing import TYPE_CHECKING, Any

from apps.vq_vae.runs import IMAGES, read_run
from tools.errors import InputError

if TYPE_CHECKING:
    import keras

    from apps.vq_vae.likelihoods import Likelihood


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained autoencoder of images.

    Attributes:
        path: the run folder.
        model: images (batch, height, width, channels), pixels / 255 - 0.5, to what the likelihood reads.
        likelihood: of the pixels.
        config: config.json.
        summary: what training found: "variance" of the training images (pixels / 255), "sigma" of the errors on them
            (pixel values) where the likelihood is "mse", else None.
    """

    path: pathlib.Path
    model: keras.Model
    likelihood: Likelihood
    config: dict[str, Any]
    summary: dict[str, Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images of the training."""
        return tuple(self.config["found"]["shape"])

    @functools.cached_property
    def encoder(self) -> keras.Model:
        """Images to codes, as of `encoder_of`."""
        from apps.vq_vae.models import encoder_of

        return encoder_of(self.model)

    @functools.cached_property
    def decoder(self) -> keras.Model:
        """Codes to what the likelihood reads, as of `decoder_of`."""
        from apps.vq_vae.models import decoder_of

        return decoder_of(self.model)

    def read(self, path: str | os.PathLike) -> Any:
        """Images uint8 of the size that the model takes, read as those of the training were.

        Raises:
            InputError: if there are none, or they have another size.
        """
        from apps.vq_vae.images.data import read_images

        images = read_images(path, self.config["reading"]["grey"])
        if images.shape[1:] != self.shape:
            raise InputError(
                f"Expected images of shape {self.shape}, as the model was trained on. Received {images.shape[1:]} "
                f"in {path}."
            )
        return images


def load_run(path: str | os.PathLike, which: str = "best") -> Run:
    """Reads a run folder that `train` wrote.

    Args:
        path: the run folder.
        which: "best" (lowest validation loss) or "last" (last epoch).

    Raises:
        InputError: if this is no run folder, one of another application, or its training has not ended.
    """
    folder, model, config, summary = read_run(path, which, IMAGES, "variance", "sigma")
    return Run(folder, model, likelihood_of(config, summary), config, summary)


def likelihood_of(config: dict[str, Any], summary: dict[str, Any]) -> Likelihood:
    """The likelihood of a run; of "mse" with the deviation that training found."""
    from apps.vq_vae.likelihoods import Mse, find

    name = config["training"]["likelihood"]
    return Mse(summary["sigma"]) if name == Mse.name else find(name)
