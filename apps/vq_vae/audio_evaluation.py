"""Measures an autoencoder of audio: bits of the samples, and what the codes and the speaker are worth to them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from apps.vq_vae.audio_data import Recordings, padded, speaker_numbers
from apps.vq_vae.audio_runs import AudioRun
from apps.vq_vae.image_evaluation import perplexity


def measure(run: AudioRun, recordings: Recordings, batch: int = 8, seed: int = 0) -> dict[str, Any]:
    """Bits of the samples and use of the codes over all recordings.

    Args:
        run: a trained autoencoder.
        recordings: with speakers, where the model knows any.
        batch: recordings at a time.
        seed: of the order of the shuffled codes.

    Returns:
        "recordings"; "seconds" of sound; "bits_per_sample", -log2 p(mu-law level | levels before, codes, speaker);
        "shuffled_codes_bits_per_sample", the same with the codes of each recording in a random order, and
        "other_speaker_bits_per_sample", with the next speaker: a decoder that ignores the one or the other loses
        nothing by it (the last is None without speakers); "perplexity" of the codes of all recordings (with several a
        place the mean); "codes_used", the share of them that occur; "codes"; "rate_bits_per_second", of the codes under
        a uniform prior; "bits_per_sample_upper_bound", of -log2 p(level), the rate included.
    """
    from apps.vq_vae.models.audio_autoencoder import factor_of

    quantizer, count = run.model.get_layer("quantizer"), len(run.speakers)
    speakers = speaker_numbers(recordings, run.speakers, "the recordings")
    factor, generator = factor_of(run.model), np.random.default_rng(seed)
    columns = quantizer.columns or 1
    counts = np.zeros((columns, quantizer.code_count), np.int64)
    nats = {"own": 0.0, "shuffled": 0.0, "other": 0.0}
    for rows, waveform, weights in batches_of(recordings, factor, batch):
        codes = encode(run, waveform)
        orders = [length_order(len(recordings.waveforms[row]), factor, generator) for row in rows]
        mixed = codes.copy()
        for line, order in zip(mixed, orders, strict=True):
            line[: len(order)] = line[order]
        own = None if speakers is None else speakers[rows]
        nats["own"] += cross_entropy(run, waveform, weights, codes, own)
        nats["shuffled"] += cross_entropy(run, waveform, weights, mixed, own)
        if count > 1:
            nats["other"] += cross_entropy(run, waveform, weights, codes, (own + 1) % count)
        for line, order in zip(codes, orders, strict=True):
            for column, chosen in enumerate(line[: len(order)].reshape(-1, columns).T):
                counts[column] += np.bincount(chosen, minlength=quantizer.code_count)
    samples = sum(map(len, recordings.waveforms))
    bits = {name: value / math.log(2) / samples for name, value in nats.items()}
    places = sum(-(-len(waveform) // factor) for waveform in recordings.waveforms)
    rate = columns * math.log2(quantizer.code_count) * places / samples
    return {
        "recordings": len(recordings),
        "seconds": samples / run.rate,
        "bits_per_sample": bits["own"],
        "shuffled_codes_bits_per_sample": bits["shuffled"],
        "other_speaker_bits_per_sample": bits["other"] if count > 1 else None,
        "perplexity": float(np.mean([perplexity(row) for row in counts])),
        "codes_used": float((counts > 0).mean()),
        "codes": quantizer.code_count,
        "rate_bits_per_second": rate * run.rate,
        "bits_per_sample_upper_bound": bits["own"] + rate,
    }


def batches_of(
    recordings: Recordings, factor: int, batch: int, exact: bool = True
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Numbers of the recordings, their waveforms and weights, as of `padded`.

    Args:
        recordings: of any lengths.
        factor: samples of a code.
        batch: recordings at a time, at most.
        exact: only recordings of as many codes share a batch, so that none depends on the others. Otherwise those of
            about one length do, and the last codes of the shorter ones hear the silence behind them.
    """
    from tools.commands import progress

    places = np.array([-(-len(waveform) // factor) for waveform in recordings.waveforms])
    ordered = np.argsort(places, kind="stable")
    groups = np.split(ordered, np.flatnonzero(np.diff(places[ordered])) + 1) if exact else [ordered]
    chunks = [group[begin : begin + batch] for group in groups for begin in range(0, len(group), batch)]
    for rows in progress(chunks, len(chunks), "recordings, batches"):
        yield rows, *padded([recordings.waveforms[row] for row in rows], factor)


def encode(run: AudioRun, waveform: np.ndarray) -> np.ndarray:
    """Codes int32 (batch, places), or (batch, places, n), of waveforms (batch, time)."""
    from apps.vq_vae.models.audio_autoencoder import audio_encoder_of

    return np.array(audio_encoder_of(run.model)(waveform, training=False))


def length_order(samples: int, factor: int, generator: np.random.Generator) -> np.ndarray:
    """The places of the codes of so many samples in a random order."""
    return generator.permutation(-(-samples // factor))


def cross_entropy(
    run: AudioRun, waveform: np.ndarray, weights: np.ndarray, codes: np.ndarray, speakers: np.ndarray | None
) -> float:
    """Sum of -ln p of the samples whose weight is 1, given the codes and the speakers."""
    from keras_layers import mu_law_encode

    levels = mu_law_encode(waveform)
    inputs = {"samples": levels, "code_vectors": run.model.get_layer("quantizer").lookup(codes)}
    if speakers is not None:
        inputs["speaker"] = keras.ops.convert_to_tensor(speakers)
    logits = run.model.get_layer("decoder")(inputs, training=False)
    values = keras.losses.sparse_categorical_crossentropy(levels, logits, from_logits=True)
    return float((np.asarray(values, np.float64) * weights).sum())
