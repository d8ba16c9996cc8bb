"""Recordings from .wav files, with speakers and labels; and the batches of a training."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
import pathlib
import re
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from apps.vq_vae.images.data import order
from tools.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf

MANIFEST = "manifest.csv"
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
LEAST_RATE, LARGEST_RATE = 1000, 768_000
# Floats go beyond full scale where a filter overshoots; what goes far beyond has another scale.
LOUDEST = 2.0
WIDTHS = {PCM: (8, 16, 24, 32), FLOAT: (32, 64)}


@dataclasses.dataclass(frozen=True)
class Recordings:
    """Recordings of one rate.

    Attributes:
        names: of the files, relative to the folder.
        waveforms: float32 (samples,) each, between -1 and 1.
        rate: samples a second.
        speakers: a name for each recording; None where nobody said.
        labels: what is said in each recording; None where nobody said.
        folder: of the files.
    """

    names: list[str]
    waveforms: list[np.ndarray]
    rate: int
    speakers: list[str] | None = None
    labels: list[str] | None = None
    folder: pathlib.Path = pathlib.Path()

    @property
    def paths(self) -> list[pathlib.Path]:
        """The files."""
        return [self.folder / name for name in self.names]

    def __len__(self) -> int:
        return len(self.waveforms)

    def take(self, rows: Sequence[int]) -> Recordings:
        """The recordings of these numbers, in this order."""

        def of(column: list[Any] | None) -> Any:
            return None if column is None else [column[row] for row in rows]

        return Recordings(
            of(self.names), of(self.waveforms), self.rate, of(self.speakers), of(self.labels), self.folder
        )


# === Files ===


def read_wav(path: str | os.PathLike) -> tuple[np.ndarray, int]:
    """A .wav file of one channel: float32 (samples,), full scale 1, and its rate.

    Read are whole numbers of 8, 16, 24 and 32 bits and floats of 32 and 64.

    Raises:
        InputError: if the file is absent, cut off, empty, of several channels, of another format, or holds what is no
            finite number.
    """
    path = pathlib.Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"Expected a .wav file. Received {path}: {error.strerror}.") from None
    if not data:
        raise InputError(f"Expected a .wav file. Received {path}, which is empty.")
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise InputError(f"Expected a .wav file (RIFF, WAVE). Received {path}, another kind of file or a part of one.")
    chunks = _chunks(data, path)
    if "fmt " not in chunks or "data" not in chunks or len(chunks["fmt "]) < 16:
        raise InputError(
            f"Expected {path} to hold a format and samples. Received chunks {', '.join(chunks) or 'none'}."
        )
    kind, channels, rate, _, block, bits = struct.unpack("<HHIIHH", chunks["fmt "][:16])
    if kind == EXTENSIBLE and len(chunks["fmt "]) >= 26:
        (kind,) = struct.unpack("<H", chunks["fmt "][24:26])
    if bits not in WIDTHS.get(kind, ()):
        raise InputError(
            f"Expected {path} to hold whole numbers of 8, 16, 24 or 32 bits or floats of 32 or 64. "
            f"Received format {kind} of {bits} bits."
        )
    if channels != 1:
        raise InputError(f"Expected one channel (mono) in {path}. Received {channels}: mix them or keep one.")
    check_rate(rate, f"in {path}")
    samples = chunks["data"]
    if not samples:
        raise InputError(f"Expected at least one sample in {path}. Received none.")
    if len(samples) % (bits // 8) or block != bits // 8:
        raise InputError(f"Expected whole samples of {bits} bits in {path}. Received {len(samples)} bytes of {block}.")
    waveform = _numbers(samples, kind, bits)
    if not np.isfinite(waveform).all():
        raise InputError(f"Expected finite samples in {path}. Received NaN or infinity.")
    if np.abs(waveform).max() > LOUDEST:
        raise InputError(
            f"Expected samples between -1 and 1 in {path}, as floats. Received {np.abs(waveform).max():g}: scale them."
        )
    return waveform, rate


def check_rate(rate: int, where: str) -> None:
    """Raises an `InputError` for a rate at which nothing is recorded; `where` names it."""
    if not LEAST_RATE <= rate <= LARGEST_RATE:
        raise InputError(
            f"Expected a rate of {LEAST_RATE} to {LARGEST_RATE} samples a second {where}. Received {rate}."
        )


def _chunks(data: bytes, path: pathlib.Path) -> dict[str, bytes]:
    chunks: dict[str, bytes] = {}
    place = 12
    while place + 8 <= len(data):
        name = data[place : place + 4].decode("latin-1")
        (size,) = struct.unpack("<I", data[place + 4 : place + 8])
        if place + 8 + size > len(data):
            raise InputError(
                f"Expected {size} bytes of {name.strip()!r} in {path}. Received {len(data) - place - 8}: "
                "the file is cut off."
            )
        chunks.setdefault(name, data[place + 8 : place + 8 + size])
        place += 8 + size + size % 2
    return chunks


def _numbers(samples: bytes, kind: int, bits: int) -> np.ndarray:
    if kind == FLOAT:
        return np.frombuffer(samples, f"<f{bits // 8}").astype(np.float32)
    if bits == 8:
        return (np.frombuffer(samples, np.uint8).astype(np.float32) - 128) / 128
    if bits == 24:
        wide = np.zeros((len(samples) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(samples, np.uint8).reshape(-1, 3)
        return (wide.reshape(-1).view("<i4") / 2**31).astype(np.float32)
    return (np.frombuffer(samples, f"<i{bits // 8}") / 2.0 ** (bits - 1)).astype(np.float32)


def write_wav(path: str | os.PathLike, waveform: np.ndarray, rate: int) -> pathlib.Path:
    """Writes a waveform between -1 and 1 as a .wav file of 16 bits and one channel, whole or not at all."""
    from tools.files import replacing

    path = pathlib.Path(path)
    samples = np.clip(np.round(np.asarray(waveform, np.float64) * 32768), -32768, 32767).astype("<i2").tobytes()
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16, PCM, 1, rate, 2 * rate,
                       2, 16, b"data", len(samples))  # fmt: skip
    with replacing(path) as partial:
        partial.write_bytes(head + samples)
    return path


def resample(waveform: np.ndarray, rate: int, to: int) -> np.ndarray:
    """The waveform at another rate, by a polyphase filter (`scipy.signal.resample_poly`)."""
    from scipy.signal import resample_poly

    if rate == to:
        return waveform
    common = math.gcd(rate, to)
    return resample_poly(waveform.astype(np.float64), to // common, rate // common).astype(np.float32)


def read_recordings(
    path: str | os.PathLike,
    rate: int | None = None,
    pattern: str | None = None,
    tell: Callable[[str], None] | None = None,
) -> Recordings:
    """Recordings of a folder, or one of a file, at one rate.

    Args:
        path: a .wav file; or a folder, in which all at any depth are read in the order of their names, or, if it holds
            a file manifest.csv, those that its column "file" names, with the columns "speaker" and "label" if there
            are.
        rate: samples a second, to which recordings of another rate are brought; None for that of the first file.
        pattern: of the names without .wav, such as "{label}_{speaker}_{index}", where there is no manifest.
        tell: called with a line that says how many recordings were resampled.

    Raises:
        InputError: if there are no recordings, one cannot be read, or a name is not of the pattern.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise InputError(f"Expected a folder of .wav files or one. Received {path}: no such file or folder.")
    if path.is_file() and path.suffix.lower() != ".wav":
        raise InputError(f"Expected a folder of .wav files or one. Received {path}, a file of another name.")
    if rate is not None:
        check_rate(rate, "(rate)")
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and (path / MANIFEST).exists():
        files, speakers, labels = _read_manifest(path / MANIFEST)
    else:
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() == ".wav") if path.is_dir() else [path]
        speakers, labels = (None, None) if pattern is None else _by_pattern(files, pattern)
    if not files:
        raise InputError(f"Expected .wav files in {path}. Received a folder without any.")
    waveforms, others = [], {}
    for file in files:
        waveform, own = read_wav(file)
        rate = rate or own
        if own != rate:
            others[own] = others.get(own, 0) + 1
        waveforms.append(resample(waveform, own, rate))
    if others and tell is not None:
        rates = ", ".join(f"{count} from {own} Hz" for own, count in sorted(others.items()))
        tell(f"{path}: resampled to {rate} Hz: {rates}")
    names = [str(file.relative_to(folder)) for file in files]
    return Recordings(names, waveforms, rate, speakers, labels, folder)


def check_pattern(pattern: str | None, *paths: str | os.PathLike | None) -> None:
    """Refuses a pattern that nothing is read by.

    Raises:
        InputError: if every one of the paths that are given is a folder with a manifest, which says what the pattern
            would.
    """
    folders = [pathlib.Path(path) for path in paths if path is not None]
    if pattern is not None and all((folder / MANIFEST).exists() for folder in folders):
        raise InputError(f"Expected no pattern of names beside {folders[0] / MANIFEST}. Received {pattern!r}.")


def _read_manifest(path: pathlib.Path) -> tuple[list[pathlib.Path], list[str] | None, list[str] | None]:
    try:
        with open(path, newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            columns = reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"Expected {path} to be a table. Received one that cannot be read: {error}.") from None
    if "file" not in columns:
        raise InputError(f"Expected a column 'file' in {path}. Received {', '.join(columns) or 'an empty file'}.")

    def column(name: str) -> list[str] | None:
        if name not in columns:
            return None
        for number, row in enumerate(rows, 2):
            if not row[name]:
                raise InputError(f"Expected a {name} in every line of {path}. Received none in line {number}.")
        return [row[name] for row in rows]

    files = [path.parent / name for name in column("file") or []]
    for file in files:
        if not file.resolve().is_relative_to(path.parent.resolve()):
            raise InputError(f"Expected files below {path.parent} in {path}. Received {file}.")
    return files, column("speaker"), column("label")


def _by_pattern(files: Sequence[pathlib.Path], pattern: str) -> tuple[list[str] | None, list[str] | None]:
    parts = re.split(r"\{(\w+)\}", pattern)
    fields = parts[1::2]
    named = all(field.isidentifier() for field in fields)
    if not named or len(set(fields)) != len(fields) or not {"speaker", "label"} & set(fields):
        raise InputError(f"Expected a pattern such as {{label}}_{{speaker}}_{{index}}. Received {pattern!r}.")
    expression = re.compile("".join(f"(?P<{part}>.+?)" if i % 2 else re.escape(part) for i, part in enumerate(parts)))
    found = []
    for file in files:
        match = expression.fullmatch(file.stem)
        if match is None:
            raise InputError(f"Expected names of the pattern {pattern!r}. Received {file}.")
        found.append(match.groupdict())

    def column(name: str) -> list[str] | None:
        return [row[name] for row in found] if name in fields else None

    return column("speaker"), column("label")


# === Training ===


def speaker_numbers(recordings: Recordings, speakers: Sequence[str], source: str) -> np.ndarray | None:
    """The number of the speaker of each recording, int32; None where the model knows no speakers.

    Raises:
        InputError: if a recording has no speaker or one that is not among `speakers`; `source` names the recordings.
    """
    if not speakers:
        return None
    if recordings.speakers is None:
        raise InputError(
            f"Expected the speakers of {source}, by {MANIFEST} or a pattern of the names. Received neither."
        )
    numbers = {name: number for number, name in enumerate(speakers)}
    for name, speaker in zip(recordings.names, recordings.speakers, strict=True):
        if speaker not in numbers:
            raise InputError(f"Expected one of the speakers {', '.join(speakers)}. Received {speaker!r} of {name}.")
    return np.array([numbers[speaker] for speaker in recordings.speakers], np.int32)


def padded(waveforms: Sequence[np.ndarray], factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Waveforms with silence behind them, to the length of the longest, a multiple of `factor`.

    Returns:
        float32 (recordings, time) and float32 weights of the same shape: 1 where there is sound, 0 behind it.
    """
    longest = max(len(waveform) for waveform in waveforms)
    whole = np.zeros((len(waveforms), -(-longest // factor) * factor), np.float32)
    weights = np.zeros_like(whole)
    for row, weight, waveform in zip(whole, weights, waveforms, strict=True):
        row[: len(waveform)], weight[: len(waveform)] = waveform, 1.0
    return whole, weights


def segment_batches(
    recordings: Recordings,
    speakers: np.ndarray | None,
    segment: int,
    batch: int,
    steps_per_epoch: int,
    epochs: int,
    seed: int,
) -> Callable[[int], tf.data.Dataset]:
    """What `tools.training.fit` takes: given the epochs done, the batches of all that remain.

    The recordings are gone through again and again, each time in another order and from another place on; both are a
    function of seed and pass. A recording that is shorter than a segment is followed by silence of weight 0.

    A batch is ({"waveform": float32 (batch, segment), "speaker": int32 (batch,)}, levels int32, weights float32); with
    `speakers` of None there is no "speaker".
    """
    count = batch * steps_per_epoch * epochs
    chosen = order(len(recordings), count, seed)
    lengths = np.array([len(waveform) for waveform in recordings.waveforms])
    shares = np.concatenate(
        [
            np.random.default_rng((seed, number, 1)).random(len(recordings))
            for number in range(-(-count // len(lengths)))
        ]
    )[:count]
    begins = (shares * (np.maximum(lengths - segment, 0) + 1)[chosen]).astype(np.int64)
    return _segments(recordings, speakers, chosen, begins, segment, batch, steps_per_epoch)


def validation_segments(
    recordings: Recordings, speakers: np.ndarray | None, segment: int, batch: int
) -> tf.data.Dataset:
    """All segments of all recordings in order, as `segment_batches` gives them."""
    rows = [
        (number, begin)
        for number, waveform in enumerate(recordings.waveforms)
        for begin in range(0, len(waveform), segment)
    ]
    chosen, begins = np.array(rows, np.int64).T
    return _segments(recordings, speakers, chosen.astype(np.int32), begins, segment, batch, 0)(0)


def _segments(
    recordings: Recordings,
    speakers: np.ndarray | None,
    chosen: np.ndarray,
    begins: np.ndarray,
    segment: int,
    batch: int,
    steps_per_epoch: int,
) -> Callable[[int], tf.data.Dataset]:
    import tensorflow as tf

    from keras_layers import mu_law_encode

    lengths = np.array([len(waveform) for waveform in recordings.waveforms])
    # Behind the last recording as much silence as a segment may reach.
    sound = tf.constant(np.concatenate([*recordings.waveforms, np.zeros(segment, np.float32)]))
    starts = (np.cumsum(lengths) - lengths)[chosen] + begins
    columns = {"start": starts, "length": np.minimum(lengths[chosen] - begins, segment).astype(np.int64)}
    if speakers is not None:
        columns["speaker"] = speakers[chosen]

    def cut(row: dict[str, tf.Tensor]) -> tuple[Any, ...]:
        places = tf.range(segment, dtype=tf.int64)
        weights = tf.cast(places[None] < row["length"][:, None], tf.float32)
        waveform = tf.gather(sound, row["start"][:, None] + places[None]) * weights
        condition = {} if speakers is None else {"speaker": row["speaker"]}
        return {**condition, "waveform": waveform}, mu_law_encode(waveform), weights

    def make_dataset(done: int) -> tf.data.Dataset:
        begin = done * steps_per_epoch * batch
        rows = tf.data.Dataset.from_tensor_slices({name: column[begin:] for name, column in columns.items()})
        return rows.batch(batch).map(cut).prefetch(4)

    return make_dataset
