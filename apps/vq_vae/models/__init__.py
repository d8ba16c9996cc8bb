"""The registry of the models of VQ-VAE.

create("pixelcnn", codes=256, classes=10)   a Functional keras.Model
names()                                     what `create` knows
info("pixelcnn")                            parameters, multiply-adds, source
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from apps.vq_vae.models import (
    audio_autoencoder,
    baselines,
    image_autoencoder,
    latent_autoencoder,
    pixelcnn,
    video_prior,
    wavenet_prior,
)
from apps.vq_vae.models.audio_autoencoder import AudioVQVAE
from apps.vq_vae.models.baselines import VAE, VIMCO
from apps.vq_vae.models.image_autoencoder import ImageVQVAE, decoder_of, encoder_of, has_quantizer, quantizer_of
from apps.vq_vae.models.latent_autoencoder import LatentVQVAE, condition_of, latent_encoder_of
from apps.vq_vae.models.pixelcnn import PixelCNN
from apps.vq_vae.models.video_prior import VideoPrior
from apps.vq_vae.models.wavenet_prior import WaveNetPrior
from tools.registry import ModelInfo, Registry

__all__ = [
    "IMAGE_AUTOENCODERS",
    "REGISTRY",
    "VAE",
    "VIMCO",
    "AudioVQVAE",
    "ImageVQVAE",
    "LatentVQVAE",
    "PixelCNN",
    "VideoPrior",
    "WaveNetPrior",
    "condition_of",
    "create",
    "decoder_of",
    "encoder_of",
    "has_quantizer",
    "info",
    "latent_encoder_of",
    "names",
    "quantizer_of",
    "table",
]

# Constructors of what `kapps vq-vae train` trains on images.
IMAGE_AUTOENCODERS = (ImageVQVAE, VAE, VIMCO)
REGISTRY = Registry("vq_vae")
for _module in (
    image_autoencoder,
    baselines,
    audio_autoencoder,
    pixelcnn,
    wavenet_prior,
    video_prior,
    latent_autoencoder,
):
    for _info in _module.MODELS:
        REGISTRY.add(_info)


def create(name: str, /, **overrides: Any) -> keras.Model:
    """Builds a registered model; `overrides` replace arguments of its constructor.

    Raises:
        InputError: if there is no such model, or an argument is unknown or out of range.
    """
    return REGISTRY.create(name, **overrides)


def names() -> list[str]:
    """The registered names."""
    return REGISTRY.names()


def info(name: str) -> ModelInfo:
    """The facts about a model.

    Raises:
        InputError: if there is no such model.
    """
    return REGISTRY.info(name)


def table() -> list[dict[str, Any]]:
    """The facts about every model, as plain values."""
    return [_row(REGISTRY.info(name)) for name in REGISTRY.names()]


def _row(facts: ModelInfo) -> dict[str, Any]:
    fields = {field.name: getattr(facts, field.name) for field in dataclasses.fields(facts)}
    return {
        **fields,
        "constructor": facts.constructor.__name__,
        "input": "x".join(map(str, facts.input_shape)),
        "input_shape": list(facts.input_shape),
    }
