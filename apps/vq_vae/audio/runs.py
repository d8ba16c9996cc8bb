"""Reading the run folder of an autoencoder of audio."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import sys
from typing import TYPE_CHECKING, Any

from tools.errors import InputError

if TYPE_CHECKING:
    import keras

    from apps.vq_vae.audio.data import Recordings
    from apps.vq_vae.audio.generation import WaveformSampler


@dataclasses.dataclass(frozen=True)
class AudioRun:
    """A trained autoencoder of audio.

    Attributes:
        path: the run folder.
        model: "waveform" (batch, time), and "speaker" where it knows any, to the logits of every sample.
        config: config.json.
        summary: what training found.
    """

    path: pathlib.Path
    model: keras.Model
    config: dict[str, Any]
    summary: dict[str, Any]

    @property
    def rate(self) -> int:
        """Samples a second."""
        return self.config["found"]["rate"]

    @property
    def speakers(self) -> list[str]:
        """Names of the speakers, by number; none where the model knows none."""
        return self.config["found"]["speakers"]

    @functools.cached_property
    def encoder(self) -> keras.Model:
        """Waveforms to codes, as of `audio_encoder_of`."""
        from apps.vq_vae.models.audio_autoencoder import audio_encoder_of

        return audio_encoder_of(self.model)

    @functools.cached_property
    def sampler(self) -> WaveformSampler:
        """Codes to waveforms, with a graph for each length that was spoken."""
        from apps.vq_vae.audio.generation import WaveformSampler

        return WaveformSampler(self.model)

    def speaker(self, name: str) -> int:
        """The number of a speaker.

        Raises:
            InputError: if the model does not know the speaker, or any.
        """
        if name not in self.speakers:
            known = ", ".join(self.speakers) or "none at all: the recordings of the training had no speakers"
            raise InputError(f"Expected a speaker that {self.path} knows ({known}). Received {name!r}.")
        return self.speakers.index(name)

    def read(self, path: str | os.PathLike, pattern: str | None = None, named: bool = True) -> Recordings:
        """Recordings at the rate of the training.

        Args:
            path: see `audio.data.read_recordings`.
            pattern: of the names of the files; None for that of the training.
            named: whether names are read for speakers and labels.
        """
        from apps.vq_vae.audio.data import read_recordings

        pattern = pattern or self.config["reading"]["pattern"]
        return read_recordings(path, self.rate, pattern if named else None, tell)


def load_run(path: str | os.PathLike, which: str = "best") -> AudioRun:
    """Reads a run folder that `train` wrote for audio.

    Args:
        path: the run folder.
        which: "best" (lowest validation loss) or "last" (last epoch).

    Raises:
        InputError: if this is no run folder, one of another application or medium, or its training has not ended.
    """
    from apps.vq_vae.runs import AUDIO, read_run

    return AudioRun(*read_run(path, which, AUDIO))


def tell(line: str) -> None:
    """A line about what takes long or was changed, on standard error."""
    print(line, file=sys.stderr, flush=True)
