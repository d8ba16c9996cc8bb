"""Waveforms from codes: the decoder run one sample at a time, from what its layers remember."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from apps.vq_vae.audio.data import Recordings, write_wav
from apps.vq_vae.audio.evaluation import batches_of, encode
from apps.vq_vae.audio.runs import AudioRun
from apps.vq_vae.models.audio_autoencoder import factor_of
from keras_layers import mu_law_decode
from tools.errors import InputError
from tools.sampling import Sampler

# Waveforms that are spoken at a time, and samples of all of them together.
BATCH = 32
SAMPLES = 2**18


class WaveformSampler:
    """Samples waveforms from the decoder of an autoencoder of audio.

    One graph for each length: `tools.sampling.Sampler`, a sample at the cost of one position.

    Args:
        model: an autoencoder of audio.
    """

    def __init__(self, model: Any):
        self._decoder = model.get_layer("decoder")
        self._quantizer = model.get_layer("quantizer")
        self._factor = factor_of(model)
        self._samplers: dict[int, Sampler] = {}

    def __call__(
        self, codes: Any, seeds: Any, speakers: Any = None, temperature: Any = 1.0, top_p: Any = None
    ) -> tf.Tensor:
        """Waveforms of codes, float32 (batch, places x samples of a code), between -1 and 1.

        Args:
            codes: int32 (batch, places), or (batch, places, n).
            seeds: integers (batch,); a waveform depends on its own seed, codes and speaker alone.
            speakers: integers (batch,), where the model knows any.
            temperature: the logits are divided by it; 0 takes the most likely level.
            top_p: None, or the share of the probability from which is sampled; see `Sampler`.
        """
        length = codes.shape[1] * self._factor
        if length not in self._samplers:
            self._samplers[length] = Sampler(self._decoder, (length,), codes="samples")
        conditions = {"code_vectors": self._quantizer.lookup(codes)}
        if speakers is not None:
            conditions["speaker"] = speakers
        # Another stream than that of the codes, which a prior may have drawn by the same seeds.
        levels = self._samplers[length](seeds, temperature=temperature, top_p=top_p, stream=1, **conditions)
        return mu_law_decode(levels)


def regenerate(
    run: AudioRun,
    recordings: Recordings,
    speakers: Sequence[int] | np.ndarray | None,
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    batch: int = 32,
) -> Iterator[tuple[int, np.ndarray]]:
    """Encodes recordings and speaks their codes anew, with these speakers.

    Args:
        run: a trained autoencoder.
        recordings: at the rate of the run.
        speakers: number of the speaker of each; None where the model knows none.
        temperature: of the sampling, of at least 0; 1 is the model itself.
        top_p: share of the probability from which is sampled, above 0 and at most 1.
        seed: of the sampling.
        batch: recordings at a time at most, those of about one length together; fewer where they are long.

    Yields:
        number of the recording and its waveform, as long as it was.

    Raises:
        InputError: for an argument out of range.
    """
    check_sampling(temperature, top_p, seed, batch)
    seeds = np.random.default_rng(seed).integers(0, 2**31 - 1, len(recordings))
    for rows, waveform, _ in batches_of(recordings, factor_of(run.model), batch, exact=False, most=SAMPLES):
        whose = None if speakers is None else np.asarray(speakers, np.int32)[rows]
        made = run.sampler(encode(run, waveform), seeds[rows], whose, temperature, None if top_p == 1 else top_p)
        for row, sound in zip(rows, np.asarray(made), strict=True):
            yield int(row), sound[: len(recordings.waveforms[row])]


def check_sampling(temperature: float = 1.0, top_p: float = 1.0, seed: int = 0, batch: int = 32) -> None:
    """Raises an `InputError` for an argument of `regenerate` out of range."""
    if not 0 <= temperature < float("inf") or not 0 < top_p <= 1 or seed < 0 or batch < 1:
        raise InputError(
            "Expected a temperature of at least 0, a top-p above 0 and at most 1, a seed of at least 0 and a batch of "
            f"at least 1. Received {temperature}, {top_p}, {seed}, {batch}."
        )


def write_regenerated(
    run: AudioRun,
    recordings: Recordings,
    speakers: Sequence[int] | np.ndarray | None,
    folder: pathlib.Path,
    **sampling: Any,
) -> list[np.ndarray]:
    """Speaks the recordings anew, writes each to folder/name, and returns the waveforms in order; see `regenerate`."""
    sources = {path.resolve() for path in recordings.paths}
    for name in recordings.names:
        if (folder / name).resolve() in sources:
            raise InputError(f"Expected another folder to write to than that of the recordings. Received {folder}.")
    waveforms: list[Any] = [None] * len(recordings)
    for row, waveform in regenerate(run, recordings, speakers, **sampling):
        path = folder / recordings.names[row]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_wav(path, waveform, run.rate)
        waveforms[row] = waveform
    return waveforms


def speak_codes(
    run: AudioRun, codes: np.ndarray, seeds: np.ndarray, speakers: np.ndarray | None, folder: pathlib.Path
) -> list[str]:
    """Writes a .wav file of each row of codes, and returns their names.

    Args:
        run: a trained autoencoder.
        codes: integers (samples, places).
        seeds: integers (samples,).
        speakers: numbers (samples,); None for the first speaker, or none where the model knows none.
        folder: for SPEAKER_NUMBER.wav or sample_NUMBER.wav.
    """
    if speakers is None and run.speakers:
        speakers = np.zeros(len(codes), np.int32)
    waveforms: list[np.ndarray] = []
    count = max(1, min(BATCH, SAMPLES // (codes.shape[1] * factor_of(run.model))))
    for begin in range(0, len(codes), count):
        some = slice(begin, begin + count)
        whose = None if speakers is None else speakers[some]
        waveforms += list(np.asarray(run.sampler(codes[some], seeds[some], whose)))
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for number, waveform in enumerate(waveforms):
        name = "sample" if speakers is None else re.sub(r"[^\w-]", "_", run.speakers[speakers[number]])
        names.append(write_wav(folder / f"{name}_{number}.wav", waveform, run.rate).name)
    return names
