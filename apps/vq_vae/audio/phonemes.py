"""Codes as phonemes: each code stands for the phoneme it most often goes with.

Beside a recording name.wav lies name.phones, a line for each phoneme in order: its name and its end in seconds.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tools.errors import InputError


@dataclasses.dataclass(frozen=True)
class PhonemeReport:
    """How well codes tell phonemes.

    Attributes:
        accuracy: share of the places whose phoneme is that of their code.
        prior_accuracy: the same where every place is given the most frequent phoneme of the training.
        prior_phoneme: that phoneme.
        places: how many were measured.
        phonemes: how many kinds occur in the training.
        unseen_codes: share of the measured places whose code did not occur in the training; they are given the most
            frequent phoneme.
    """

    accuracy: float
    prior_accuracy: float
    prior_phoneme: str
    places: int
    phonemes: int
    unseen_codes: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return dataclasses.asdict(self)


def phoneme_accuracy(
    train_codes: np.ndarray, train_phonemes: Sequence[str], codes: np.ndarray, phonemes: Sequence[str], code_count: int
) -> PhonemeReport:
    """Maps each code to its likeliest phoneme on training places, and measures the map on others.

    Args:
        train_codes: integers (places,), the code of each place.
        train_phonemes: the phoneme of each.
        codes: integers (places,) of recordings that the map is not made of.
        phonemes: the phoneme of each.
        code_count: K; codes are less than it.

    Raises:
        InputError: if there are no places, codes and phonemes are not of one number, or a code is out of range.

    Reference:
        van den Oord et al., "Neural Discrete Representation Learning" (2017), section 4.3.
    """
    for what, numbers, names in (("training", train_codes, train_phonemes), ("measured", codes, phonemes)):
        if np.ndim(numbers) != 1 or len(numbers) != len(names) or not len(names):
            raise InputError(
                f"Expected one phoneme for each of one or more {what} codes (places,). "
                f"Received codes {np.shape(numbers)} and {len(names)} phonemes."
            )
        if np.min(numbers) < 0 or np.max(numbers) >= code_count:
            raise InputError(f"Expected {what} codes of at least 0 and less than {code_count}. Received others.")
    kinds = sorted(set(train_phonemes))
    number = {name: index for index, name in enumerate(kinds)}
    counts = np.zeros((code_count, len(kinds)), np.int64)
    np.add.at(counts, (np.asarray(train_codes), [number[name] for name in train_phonemes]), 1)
    prior = int(counts.sum(axis=0).argmax())
    known = counts.sum(axis=1) > 0
    likeliest = np.where(known, counts.argmax(axis=1), prior)[np.asarray(codes)]
    # A phoneme that the training does not have is never right.
    right = np.array([number.get(name, -1) for name in phonemes])
    return PhonemeReport(
        accuracy=float((likeliest == right).mean()),
        prior_accuracy=float((right == prior).mean()),
        prior_phoneme=kinds[prior],
        places=len(phonemes),
        phonemes=len(kinds),
        unseen_codes=float((~known[np.asarray(codes)]).mean()),
    )


def read_phones(path: pathlib.Path) -> tuple[list[str], np.ndarray]:
    """Names and ends in seconds of the phonemes of a .phones file.

    Raises:
        InputError: if the file is absent, empty, or not of lines of a name and an end that grows.
    """
    try:
        rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
        names, ends = [row[0] for row in rows], np.array([float(row[1]) for row in rows])
    except (OSError, UnicodeDecodeError, ValueError, IndexError) as error:
        raise InputError(f"Expected {path} to hold lines of a phoneme and its end. Received: {error}.") from None
    if not len(ends) or (np.diff(ends, prepend=0.0) < 0).any() or not np.isfinite(ends).all():
        raise InputError(f"Expected ends in {path} that grow from 0. Received {len(ends)} that do not.")
    return names, ends


def phonemes_at(names: Sequence[str], ends: np.ndarray, places: int, seconds: float) -> list[str]:
    """The phoneme in the middle of each of so many places of so many seconds; behind the last end it is the last."""
    middles = (np.arange(places) + 0.5) * seconds
    return [names[index] for index in np.minimum(np.searchsorted(ends, middles, side="right"), len(names) - 1)]


def codes_and_phonemes(run: Any, folder: pathlib.Path) -> tuple[np.ndarray, list[str]]:
    """Codes of all recordings of a folder and the phoneme of each, by the .phones files beside them.

    Args:
        run: an `AudioRun` with one code a place.
        folder: of .wav and .phones files.

    Raises:
        InputError: if a recording has no .phones file, or the run several codes a place.
    """
    from apps.vq_vae.audio.evaluation import batches_of, encode
    from apps.vq_vae.models.audio_autoencoder import factor_of

    if run.model.get_layer("quantizer").columns is not None:
        raise InputError(f"Expected a run with one code a place. Received {run.path} with several.")
    if not folder.is_dir():
        raise InputError(f"Expected a folder of .wav and .phones files. Received {folder}.")
    recordings, factor = run.read(folder, named=False), factor_of(run.model)
    codes: list[np.ndarray] = []
    phonemes: list[str] = []
    for rows, waveform, _ in batches_of(recordings, factor, 8):
        for row, line in zip(rows, encode(run, waveform), strict=True):
            # Whole places only.
            count = len(recordings.waveforms[row]) // factor
            names, ends = read_phones((folder / recordings.names[row]).with_suffix(".phones"))
            codes.append(line[:count])
            phonemes += phonemes_at(names, ends, count, factor / run.rate)
    return np.concatenate(codes), phonemes


def measure_phonemes(run: Any, training: pathlib.Path, measured: pathlib.Path) -> PhonemeReport:
    """`phoneme_accuracy` of a run on two folders of .wav and .phones files."""
    train_codes, train_phonemes = codes_and_phonemes(run, training)
    codes, phonemes = codes_and_phonemes(run, measured)
    count = run.model.get_layer("quantizer").code_count
    return phoneme_accuracy(train_codes, train_phonemes, codes, phonemes, count)
