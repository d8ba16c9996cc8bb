"""From recordings to the codes that a prior of audio learns: pieces of one length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apps.vq_vae.audio.data import speaker_numbers
from apps.vq_vae.audio.evaluation import batches_of, encode
from apps.vq_vae.audio.runs import AudioRun, tell
from apps.vq_vae.models.audio_autoencoder import factor_of
from apps.vq_vae.prior.code_sets import CodeSet
from tools.errors import InputError

BATCH = 32


def make_codes(
    run: AudioRun,
    config: Any,
    data: str,
    labels: str | None = None,
    names: Mapping[str, Sequence[str]] | None = None,
) -> CodeSet:
    """The codes of recordings, cut into pieces, and with classes the condition "speaker".

    Pieces begin at every multiple of their length; the last one of a recording begins earlier, to end with it.
    Recordings shorter than a piece are left out, and counted on standard error. The pieces of a recording are held out
    together.

    Args:
        run: an autoencoder of audio.
        config: the `PriorConfig`; `window` is the length of a piece in codes, `classes` says whether the prior shall
            know the speakers of the autoencoder.
        data: recordings; see `audio.data.read_recordings`.
        labels: no file of labels is taken: the names of the recordings tell the speakers.
        names: of the classes of the training; the speakers are those of the autoencoder at any rate.

    Raises:
        InputError: for a file of labels, an autoencoder or recordings without speakers where they are wanted, or no
            recording of the length.
    """
    if labels is not None:
        raise InputError(f"Expected no file of labels for audio, whose names tell the speaker. Received {labels}.")
    if config.classes and not run.speakers:
        raise InputError(f"Expected an autoencoder that knows speakers, for a prior of them. Received {run.path}.")
    recordings = run.read(data, named=config.classes)
    speakers = speaker_numbers(recordings, run.speakers, data) if config.classes else None
    factor = factor_of(run.model)
    found: list[Any] = [None] * len(recordings)
    for rows, waveform, _ in batches_of(recordings, factor, BATCH):
        for row, codes in zip(rows, encode(run, waveform), strict=True):
            found[row] = pieces(codes[: -(-len(recordings.waveforms[row]) // factor)], config.window)
    counts = [len(some) for some in found]
    if not any(counts):
        raise InputError(
            f"Expected recordings in {data} of at least {config.window} codes ({config.window * factor / run.rate:g} "
            f"s). Received {len(recordings)} shorter ones (window)."
        )
    if not all(counts):
        tell(f"{counts.count(0)} of {len(counts)} recordings are shorter than {config.window} codes, and left out")
    groups = np.repeat(np.arange(len(found)), counts)
    conditions, classes = {}, {}
    if config.classes:
        conditions["speaker"], classes["speaker"] = speakers[groups].astype(np.int32), tuple(run.speakers)
    return CodeSet(np.concatenate(found).astype(np.int32), conditions, classes, groups)


def pieces(codes: np.ndarray, window: int) -> np.ndarray:
    """Codes (time,) as pieces (n, window) that cover them; none if they are too few."""
    if len(codes) < window:
        return np.empty((0, window), codes.dtype)
    starts = np.minimum(np.arange(0, len(codes), window), len(codes) - window)
    return codes[starts[:, None] + np.arange(window)]
