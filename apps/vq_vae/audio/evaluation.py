"""Measures an autoencoder of audio: bits of the samples, and what the codes and the speaker are worth to them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from apps.vq_vae.audio.data import Recordings, padded, speaker_numbers
from apps.vq_vae.audio.runs import AudioRun
from apps.vq_vae.images.evaluation import perplexity

# Samples that are measured at a time, of all recordings of a batch together; a longer one is measured in pieces.
SAMPLES = 2**15


def measure(run: AudioRun, recordings: Recordings, batch: int = 8, seed: int = 0) -> dict[str, Any]:
    """Bits of the samples and use of the codes over all recordings.

    Args:
        run: a trained autoencoder.
        recordings: with speakers, where the model knows any.
        batch: recordings at a time, at most.
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
    recordings: Recordings, factor: int, batch: int, exact: bool = True, most: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Numbers of the recordings, their waveforms and weights, as of `padded`.

    Args:
        recordings: of any lengths.
        factor: samples of a code.
        batch: recordings at a time, at most.
        exact: only recordings of as many codes share a batch, so that none depends on the others. Otherwise those of
            about one length do, and the last codes of the shorter ones hear the silence behind them.
        most: samples at a time, of all recordings together; a longer recording is alone. Default 32,768.
    """
    from tools.commands import progress

    places = np.array([-(-len(waveform) // factor) for waveform in recordings.waveforms])
    ordered = np.argsort(places, kind="stable")
    groups = np.split(ordered, np.flatnonzero(np.diff(places[ordered])) + 1) if exact else [ordered]
    chunks = []
    for group in groups:
        while len(group):
            # The longest of as many as there may be decides how many there are.
            sizes = factor * places[group[:batch]] * np.arange(1, len(group[:batch]) + 1)
            count = max(1, int((sizes <= (most or SAMPLES)).sum()))
            chunks.append(group[:count])
            group = group[count:]
    for rows in progress(chunks, len(chunks), "recordings, batches"):
        yield rows, *padded([recordings.waveforms[row] for row in rows], factor)


def encode(run: AudioRun, waveform: np.ndarray) -> np.ndarray:
    """Codes int32 (batch, places), or (batch, places, n), of waveforms (batch, time).

    A long waveform is encoded in pieces: a code depends on the samples of its own place and of the two beside it.
    """
    from apps.vq_vae.models.audio_autoencoder import factor_of

    factor, found = factor_of(run.model), []
    for span in spans(waveform.shape[1] // factor, SAMPLES // (factor * len(waveform)), 1, 1):
        codes = run.encoder(waveform[:, span.first * factor : span.last * factor], training=False)
        found.append(np.asarray(codes)[:, span.kept])
    return np.concatenate(found, axis=1)


@dataclasses.dataclass(frozen=True)
class Span:
    """A piece of a long recording, in places of codes: computed are those from first to last, kept begin to end."""

    first: int
    begin: int
    end: int
    last: int

    @property
    def kept(self) -> slice:
        """Those that are kept among those that are computed."""
        return slice(self.begin - self.first, self.end - self.first)


def spans(places: int, most: int, before: int, after: int) -> Iterator[Span]:
    """Pieces that cover all places once, each with what it depends on.

    Args:
        places: of the recording.
        most: places of a piece, but at least as many as it depends on, so that no more than half the work is double.
        before: places that the first one of a piece depends on.
        after: the same behind the last one.
    """
    step = max(most, before + after, 1)
    for begin in range(0, places, step):
        end = min(begin + step, places)
        yield Span(max(begin - before, 0), begin, end, min(end + after, places))


def length_order(samples: int, factor: int, generator: np.random.Generator) -> np.ndarray:
    """The places of the codes of so many samples in a random order."""
    return generator.permutation(-(-samples // factor))


def cross_entropy(
    run: AudioRun, waveform: np.ndarray, weights: np.ndarray, codes: np.ndarray, speakers: np.ndarray | None
) -> float:
    """Sum of -ln p of the samples whose weight is 1, given the codes and the speakers.

    A long recording is measured in pieces, each behind the samples and between the codes that its own depend on.
    """
    from apps.vq_vae.models.audio_autoencoder import factor_of, reach_of
    from keras_layers import mu_law_encode

    factor, decoder = factor_of(run.model), run.model.get_layer("decoder")
    condition = {} if speakers is None else {"speaker": keras.ops.convert_to_tensor(speakers)}
    # The convolution of the code vectors sees one on either side.
    before, total = -(-reach_of(run.model) // factor) + 1, 0.0
    for span in spans(codes.shape[1], SAMPLES // (factor * len(codes)), before, 1):
        own = slice(span.first * factor, span.last * factor)
        levels = mu_law_encode(waveform[:, own])
        vectors = run.model.get_layer("quantizer").lookup(codes[:, span.first : span.last])
        logits = decoder({"samples": levels, "code_vectors": vectors, **condition}, training=False)
        values = keras.losses.sparse_categorical_crossentropy(levels, logits, from_logits=True)
        kept = slice(span.kept.start * factor, span.kept.stop * factor)
        total += float((np.asarray(values, np.float64) * weights[:, own])[:, kept].sum())
    return total
