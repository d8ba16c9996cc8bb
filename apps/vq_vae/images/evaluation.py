"""Measures an autoencoder on images: errors, use of the codes, and bits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from apps.vq_vae.baselines.evaluation import measure_baseline
from apps.vq_vae.images.data import scaled
from apps.vq_vae.images.runs import Run
from apps.vq_vae.likelihoods import bits_per_dim_upper_bound, rate_bits_per_dim
from tools.commands import progress


def reconstruct(run: Run, images: np.ndarray) -> np.ndarray:
    """The expected images, uint8, as `images` are."""
    return whole_pixels(run, run.model(scaled(images), training=False))


def whole_pixels(run: Run, outputs: Any) -> np.ndarray:
    """The expected images of a decoder's outputs, uint8."""
    mean = np.asarray(run.likelihood.mean(outputs))
    return np.clip(np.round((mean + 0.5) * 255), 0, 255).astype(np.uint8)


def measure(run: Run, images: np.ndarray, batch: int = 64) -> dict[str, Any]:
    """Errors, use of the codes and bits over all images; of a VAE or VIMCO, what `measure_baseline` returns.

    Args:
        run: a trained autoencoder.
        images: uint8 (images, height, width, channels).
        batch: images at a time.

    Returns:
        "images"; "mean_squared_error" (pixels / 255); "normalised_error", that over the variance of the training
        images; "psnr" in dB; "perplexity" of the codes of all images (with several codes a position the mean over
        them); "codes_used", the share of the codes that occur; "rate_bits_per_dim", of the codes under a uniform prior;
        "reconstruction_bits_per_dim", -log2 p(image | its codes); "bits_per_dim_upper_bound", the sum, an upper bound
        of -log2 p(image).
    """
    return measure_and_count(run, images, batch)[0]


def measure_and_count(run: Run, images: np.ndarray, batch: int = 64) -> tuple[dict[str, Any], np.ndarray | None]:
    """What `measure` returns, and how often each code is chosen: int64 (codes a position, codes); None without codes.

    Args:
        run: a trained autoencoder.
        images: uint8 (images, height, width, channels).
        batch: images at a time.
    """
    from apps.vq_vae.models import has_quantizer

    if not has_quantizer(run.model):
        return measure_baseline(run, images), None
    quantizer, decoder = run.model.get_layer("quantizer"), run.model.get_layer("decoder")
    columns = quantizer.columns or 1
    counts = np.zeros((columns, quantizer.code_count), np.int64)
    squares = nats = 0.0
    for begin in progress(range(0, len(images), batch), -(-len(images) // batch), "measuring, batches"):
        inputs = scaled(images[begin : begin + batch])
        codes = run.encoder(inputs, training=False)
        outputs = decoder(quantizer.lookup(codes), training=False)
        error = inputs - np.asarray(run.likelihood.mean(outputs))
        squares += float(np.square(error.astype(np.float64)).sum())
        nats -= float(np.asarray(run.likelihood.log_probability(inputs, outputs), np.float64).sum())
        _count(np.asarray(codes), counts)
    numbers = math.prod(images.shape[1:])
    positions = int(counts[0].sum()) // len(images)
    rate = rate_bits_per_dim(positions, columns, quantizer.code_count, numbers)
    reconstruction = nats / math.log(2) / images.size
    mse = squares / images.size
    measures = {
        "images": len(images),
        "mean_squared_error": mse,
        "normalised_error": mse / run.summary["variance"],
        "psnr": -10 * math.log10(max(mse, 1e-12)),
        "perplexity": float(np.mean([perplexity(row) for row in counts])),
        "codes_used": float((counts > 0).mean()),
        "codes": quantizer.code_count,
        "rate_bits_per_dim": rate,
        "reconstruction_bits_per_dim": reconstruction,
        "bits_per_dim_upper_bound": bits_per_dim_upper_bound(rate, reconstruction),
    }
    return measures, counts


def _count(codes: np.ndarray, counts: np.ndarray) -> None:
    for row, chosen in zip(counts, codes.reshape(-1, len(counts)).T, strict=True):
        row += np.bincount(chosen, minlength=len(row))


def perplexity(counts: np.ndarray) -> float:
    """exp of the entropy of counts: how many equally frequent codes would be as uncertain."""
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))
