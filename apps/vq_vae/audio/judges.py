"""Who speaks and what is said, by networks trained on real recordings: the judges of conversion and reconstruction.

Log-mel frames -> four convolutions over time -> mean and maximum over time -> probabilities.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from apps.vq_vae.audio.data import Recordings
from tools.errors import InputError

# Of a frame in seconds: its length, and the distance to the next.
WINDOW_SECONDS, HOP_SECONDS = 0.032, 0.010
BANDS = 40
# Frames that are judged: shorter recordings are followed by silence, longer ones are cut.
FRAMES = 100
# Added to the energy of a band before the logarithm.
FLOOR = 1e-5


@dataclasses.dataclass(frozen=True)
class Judge:
    """A classifier of recordings.

    Attributes:
        model: log-mel frames float32 (batch, 100, 40) to probabilities.
        classes: names of the classes, by number.
        rate: samples a second that it was trained at.
    """

    model: keras.Model
    classes: tuple[str, ...]
    rate: int

    def judge(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """The most likely class of each waveform."""
        probabilities = self.model.predict(features(waveforms, self.rate), batch_size=128, verbose=0)
        return [self.classes[number] for number in probabilities.argmax(axis=1)]

    def agreement(self, waveforms: Sequence[np.ndarray], names: Sequence[str]) -> float:
        """Share of the waveforms whose most likely class is the one named."""
        return float(np.mean([found == name for found, name in zip(self.judge(waveforms), names, strict=True)]))


def log_mel(waveform: np.ndarray, rate: int) -> np.ndarray:
    """Logarithms of the energy in 40 bands of equal width on the mel scale, float32 (frames, 40).

    Frames of 32 ms every 10 ms, under a Hann window; `ln(energy + 1e-5)` of triangular bands up to half the rate.
    """
    window, hop = round(WINDOW_SECONDS * rate), round(HOP_SECONDS * rate)
    whole = np.pad(np.asarray(waveform, np.float64), (0, max(0, window - len(waveform))))
    frames = np.lib.stride_tricks.sliding_window_view(whole, window)[::hop] * np.hanning(window)
    energy = np.square(np.abs(np.fft.rfft(frames)))
    return np.log(energy @ mel_bands(rate, window).T + FLOOR).astype(np.float32)


def mel_bands(rate: int, window: int) -> np.ndarray:
    """Triangular bands, (40, window // 2 + 1), with `mel = 2595 log10(1 + hertz / 700)`."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    hertz = np.fft.rfftfreq(window, 1 / rate)
    rising = (hertz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hertz) / (edges[2:] - edges[1:-1])[:, None]
    return np.clip(np.minimum(rising, falling), 0, None)


def features(waveforms: Sequence[np.ndarray], rate: int) -> np.ndarray:
    """Log-mel frames of each waveform at an amplitude of one root mean square, float32 (batch, 100, 40).

    Loudness is taken away, which tells one recording desk from another better than one voice from another.
    """
    frames = np.full((len(waveforms), FRAMES, BANDS), np.log(FLOOR), np.float32)
    for row, waveform in zip(frames, waveforms, strict=True):
        level = float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))
        found = log_mel(np.asarray(waveform) * (0.1 / max(level, 1e-4)), rate)[:FRAMES]
        row[: len(found)] = found
    return frames


def train_judge(recordings: Recordings, column: str, *, epochs: int = 15, batch_size: int = 32, seed: int = 0) -> Judge:
    """Trains a classifier of the speakers or the labels of recordings.

    Args:
        recordings: real ones.
        column: "speakers" or "labels".
        epochs: times that every recording is seen.
        batch_size: recordings a step.
        seed: of the weights, the order and the noise.

    Raises:
        InputError: if the recordings do not tell the column, or only one class.
    """
    names = getattr(recordings, column)
    classes = tuple(sorted(set(names or ())))
    if len(classes) < 2:
        raise InputError(f"Expected recordings of two or more {column}. Received {len(classes)}.")
    targets = np.array([classes.index(name) for name in names], np.int32)
    keras.utils.set_random_seed(seed)
    model = make_network(len(classes))
    steps = epochs * -(-len(recordings) // batch_size)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        "sparse_categorical_crossentropy",
        jit_compile=False,
    )
    inputs = features(recordings.waveforms, recordings.rate)
    model.get_layer("normalization").adapt(inputs)
    model.fit(inputs, targets, batch_size=batch_size, epochs=epochs, verbose=0)
    return Judge(model, classes, recordings.rate)


def make_network(classes: int) -> keras.Model:
    """Log-mel frames to the probabilities of so many classes."""
    frames = keras.Input((FRAMES, BANDS), name="frames")
    x = keras.layers.Normalization(name="normalization")(frames)
    x = keras.layers.GaussianNoise(0.3, name="noise")(x)
    for number, (filters, stride) in enumerate(((48, 1), (64, 2), (64, 1), (96, 2)), 1):
        x = keras.layers.Conv1D(filters, 5, strides=stride, padding="same", use_bias=False, name=f"conv_{number}")(x)
        x = keras.layers.BatchNormalization(momentum=0.9, name=f"normalization_{number}")(x)
        x = keras.layers.Activation("relu", name=f"relu_{number}")(x)
    pooled = [keras.layers.GlobalAveragePooling1D(name="mean")(x), keras.layers.GlobalMaxPooling1D(name="maximum")(x)]
    x = keras.layers.Dropout(0.3, name="dropout")(keras.layers.Concatenate(name="pooled")(pooled))
    return keras.Model(frames, keras.layers.Dense(classes, activation="softmax", name="classes")(x), name="judge")


def judged(
    judges: dict[str, Judge], waveforms: Sequence[np.ndarray], source: Recordings, speakers: Sequence[str]
) -> dict[str, Any]:
    """What the judges make of waveforms that say what `source` says, spoken by `speakers`.

    Args:
        judges: by column, "speakers" and where the labels are known "labels".
        waveforms: one for each recording of `source`.
        source: what they were made of.
        speakers: whose voices they should be.

    Returns:
        "recordings"; "speaker_share", of the waveforms that are heard as the speakers named; "source_speaker_share",
        as those of the source; "label_share", of those whose label is heard (None without that judge).
    """
    labels = judges.get("labels")
    return {
        "recordings": len(waveforms),
        "speaker_share": judges["speakers"].agreement(waveforms, speakers),
        "source_speaker_share": judges["speakers"].agreement(waveforms, source.speakers),
        "label_share": labels.agreement(waveforms, source.labels) if labels else None,
    }
