"""Conversion of speakers, judged: reconstructions, and every recording in the voice of another speaker."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np

from apps.vq_vae.audio.data import Recordings, speaker_numbers
from apps.vq_vae.audio.generation import check_sampling, write_regenerated
from apps.vq_vae.audio.judges import judged, train_judge
from apps.vq_vae.audio.runs import AudioRun, tell
from apps.vq_vae.images.data import evenly
from keras_layers import mu_law_decode, mu_law_encode
from tools.errors import InputError
from tools.files import write_json


def judge_conversion(
    run: AudioRun,
    training: Recordings,
    recordings: Recordings,
    folder: pathlib.Path,
    count: int | None = None,
    **sampling: Any,
) -> dict[str, Any]:
    """Judges real, mu-law coded, reconstructed and converted recordings; writes the sounds and judged.json to a folder.

    The judges are trained on `training`, real recordings. Each recording is converted to one other speaker: those of a
    speaker take turns over all the others.

    Args:
        run: a trained autoencoder with two or more speakers.
        training: with speakers, and labels where there are.
        recordings: to convert, not among those of the training; of the same speakers.
        folder: for "reconstructed" and "converted", folders of .wav files.
        count: at most so many of the recordings, at even distances; None for all.
        **sampling: of `audio.generation.regenerate`.

    Returns:
        "rows", one for each kind of sound, as of `audio.judges.judged`; "speakers"; the sampling.

    Raises:
        InputError: if the run or the recordings know too few speakers.
    """
    if len(run.speakers) < 2:
        raise InputError(f"Expected a run with two or more speakers. Received {run.path} with {len(run.speakers)}.")
    check_sampling(**sampling)
    if count is not None:
        if count < 1:
            raise InputError(f"Expected count to be at least 1. Received {count}.")
        recordings = recordings.take(evenly(len(recordings), count))
    own = speaker_numbers(recordings, run.speakers, "the recordings to convert")
    columns = ["speakers"] + (["labels"] if training.labels and recordings.labels else [])
    judges = {}
    for column in columns:
        tell(f"training the judge of the {column} on {len(training)} recordings")
        judges[column] = train_judge(training, column)
    targets = other_speakers(own, len(run.speakers))
    rows = []

    def judge(sound: str, waveforms: list[np.ndarray], speakers: list[str]) -> None:
        rows.append({"sound": sound, **judged(judges, waveforms, recordings, speakers)})

    judge("real", recordings.waveforms, recordings.speakers)
    coded = [np.asarray(mu_law_decode(mu_law_encode(waveform))) for waveform in recordings.waveforms]
    judge("mu-law", coded, recordings.speakers)
    tell("reconstructing")
    again = write_regenerated(run, recordings, own, folder / "reconstructed", **sampling)
    judge("reconstructed", again, recordings.speakers)
    tell("converting")
    names = [run.speakers[number] for number in targets]
    judge("converted", write_regenerated(run, recordings, targets, folder / "converted", **sampling), names)
    result = {"run": str(run.path), "speakers": run.speakers, "sampling": sampling, "rows": rows}
    write_json(folder / "judged.json", result)
    return result


def other_speakers(speakers: np.ndarray, count: int) -> np.ndarray:
    """For each speaker another one: those of one speaker take turns over all the others."""
    turns: dict[int, int] = {}
    others = np.empty_like(speakers)
    for row, speaker in enumerate(speakers):
        turn = turns.get(int(speaker), 0)
        turns[int(speaker)] = turn + 1
        others[row] = (speaker + 1 + turn % (count - 1)) % count
    return others
