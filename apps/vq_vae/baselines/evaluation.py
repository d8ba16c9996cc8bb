"""Measures VAE and VIMCO on images: errors, and bounds of the bits."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from apps.vq_vae.images.data import scaled
from apps.vq_vae.images.runs import Run
from apps.vq_vae.models.baselines import log_joint, prior_nats
from keras_layers import CategoricalSampling, importance_bound
from tools.commands import progress

SAMPLES = 50


def measure_baseline(run: Run, images: np.ndarray, batch: int = 16, samples: int = SAMPLES) -> dict[str, Any]:
    """Errors and bounds over all images, of the same draws whenever it is called.

    With samples z_s of q(z | x), and all as bits for each number of an image:

        rate              E log q(z | x) / p(z)          of a VAE exactly, otherwise the mean over the samples
        reconstruction    -E log p(x | z)                the mean over the samples
        single sample     their sum, the negative evidence lower bound
        bound             -log 1/S sum_s p(x | z_s) p(z_s) / q(z_s | x)

    The last two are, but for the chance of the draws, upper bounds of -log p(x), the last one the closer.

    Args:
        run: a trained VAE or VIMCO.
        images: uint8 (images, height, width, channels).
        batch: images at a time.
        samples: S, drawn for each image.

    Returns:
        "images"; "mean_squared_error" (pixels / 255), "normalised_error" and "psnr" of reconstructions without chance;
        "rate_bits_per_dim", "reconstruction_bits_per_dim", "single_sample_bits_per_dim_upper_bound", "samples",
        "bits_per_dim_upper_bound".
    """
    latents = run.model.get_layer("latents")
    discrete = isinstance(latents, CategoricalSampling)
    draw = _discrete_weights if discrete else _gaussian_weights
    seed = keras.random.SeedGenerator(0)
    squares, sums = 0.0, np.zeros(3)
    for begin in progress(range(0, len(images), batch), -(-len(images) // batch), "measuring, batches"):
        inputs = ops.convert_to_tensor(scaled(images[begin : begin + batch]))
        mean = run.likelihood.mean(run.model(inputs, training=False))
        squares += float(np.square(np.asarray(inputs - mean, np.float64)).sum())
        log_likelihood, rate, log_weights = draw(run, inputs, samples, seed)
        found = (rate, -ops.mean(log_likelihood, axis=1), -importance_bound(log_weights))
        sums += [float(np.asarray(nats, np.float64).sum()) for nats in found]
    rate, reconstruction, bound = (float(bits) for bits in sums / math.log(2) / images.size)
    mse = squares / images.size
    return {
        "images": len(images),
        "mean_squared_error": mse,
        "normalised_error": mse / run.summary["variance"],
        "psnr": -10 * math.log10(max(mse, 1e-12)),
        "rate_bits_per_dim": rate,
        "reconstruction_bits_per_dim": reconstruction,
        "single_sample_bits_per_dim_upper_bound": rate + reconstruction,
        "samples": samples,
        "bits_per_dim_upper_bound": bound,
    }


def _gaussian_weights(run: Run, inputs: Any, samples: int, seed: Any) -> tuple[Any, Any, Any]:
    """log p(x | z_s), the divergence, and log weights: (batch, samples), (batch,), (batch, samples)."""
    latents, named = run.model.get_layer("latents"), run.model.get_layer("encoder")(inputs, training=False)
    repeated = ops.repeat(named, samples, axis=0)
    drawn = latents.sample(repeated, seed=seed)
    mean, logarithm = ops.split(repeated, 2, axis=-1)
    # The constants of both normal densities are the same.
    ratio = 0.5 * (ops.square(drawn - mean) / ops.exp(logarithm) + logarithm - ops.square(drawn))
    ratio = ops.reshape(ops.sum(ratio, axis=(1, 2, 3)), (-1, samples))
    outputs = run.model.get_layer("decoder")(drawn, training=False)
    log_likelihood = run.likelihood.log_probability(ops.repeat(inputs, samples, axis=0), outputs)
    log_likelihood = ops.reshape(log_likelihood, (-1, samples))
    return log_likelihood, latents.divergence(named), log_likelihood + ratio


def _discrete_weights(run: Run, inputs: Any, samples: int, seed: Any) -> tuple[Any, Any, Any]:
    model, prior = run.model, prior_nats(run.model)
    logits = model.get_layer("encoder")(inputs, training=False)
    codes, log_q = model.get_layer("latents").sample(logits, samples, seed=seed)
    outputs = model.get_layer("decoder")(model.get_layer("code_vectors")(codes), training=False)
    joint = log_joint(run.likelihood, inputs, outputs, samples, prior)
    return joint + prior, ops.mean(log_q, axis=1) + prior, joint - log_q
