"""Trains an autoencoder of audio and leaves a run folder."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from apps.vq_vae import models
from apps.vq_vae.audio.data import (
    Recordings,
    check_pattern,
    read_recordings,
    segment_batches,
    speaker_numbers,
    validation_segments,
)
from apps.vq_vae.audio.evaluation import measure
from apps.vq_vae.audio.runs import AudioRun, tell
from apps.vq_vae.logs import WithoutQuantizer
from apps.vq_vae.models.audio_autoencoder import factor_of
from apps.vq_vae.runs import APPLICATION, AUDIO, SUMMARY, load_checkpoint
from apps.vq_vae.schedule import check_schedule
from keras_layers import CodebookGuard
from tools.errors import InputError
from tools.figures import draw_curves
from tools.files import write_json
from tools.training import fit, open_run
from tools.training.run_folder import BEST, check_free

READING = ("data", "validation", "validation_recordings", "pattern", "rate")
# The learning rate falls along a cosine to this share of itself.
LAST_RATE = 0.05


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides a run.

    Attributes:
        data: recordings; see `audio.data.read_recordings`.
        validation: further recordings to measure on, of the same speakers; None to hold `validation_recordings` out of
            `data`.
        validation_recordings: how many are measured after every epoch.
        pattern: of the names of the files, such as "{label}_{speaker}_{index}"; None without.
        rate: samples a second; None for that of the first file.
        model: registered name of an autoencoder of audio.
        overrides: arguments of its constructor other than its own.
        segment: samples of a training example, a multiple of those of a code.
        steps: of the whole run, a multiple of `steps_per_epoch`.
        steps_per_epoch: steps between two lines of the log.
        batch_size: segments a step.
        learning_rate: of Adam at the start, from where it falls along a cosine to a twentieth.
        seed: of the hold-out, the weights, the order, the jitter.
    """

    data: str
    validation: str | None = None
    validation_recordings: int = 60
    pattern: str | None = None
    rate: int | None = None
    model: str = "vq_vae_speech_tiny"
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    segment: int = 2048
    steps: int = 4000
    steps_per_epoch: int = 200
    batch_size: int = 16
    learning_rate: float = 1e-3
    seed: int = 0


def train(config: TrainingConfig, run_folder: str | os.PathLike, resume: bool = False) -> dict[str, Any]:
    """Trains, measures the best epoch on the validation recordings, and returns the report.

    Args:
        config: the whole configuration.
        run_folder: new, or with `resume` that of a run begun with the same configuration.
        resume: go on with an interrupted run from its last whole epoch.

    Raises:
        InputError: if anything in the configuration or the recordings is wrong, the folder is taken, or the
            configuration of the run to resume differs.
    """
    check(config)
    if not resume:
        check_free(pathlib.Path(run_folder))
    training, held_out, speakers = read_data(config)
    numbers = speaker_numbers(held_out, speakers, config.validation or config.data)
    keras.utils.set_random_seed(config.seed)
    model = make_model(config, len(speakers))
    compile_model(model, config)
    description = describe(config, training, held_out, speakers)
    folder = open_run(run_folder, description, resume=resume)
    epochs = config.steps // config.steps_per_epoch
    result = fit(
        model,
        segment_batches(
            training,
            speaker_numbers(training, speakers, config.data),
            config.segment,
            config.batch_size,
            config.steps_per_epoch,
            epochs,
            config.seed,
        ),
        steps_per_epoch=config.steps_per_epoch,
        epochs=epochs,
        run_folder=folder,
        validation=validation_segments(held_out, numbers, config.segment, 2 * config.batch_size),
        monitor="val_loss",
        resume=resume,
        callbacks=[CodebookGuard(InputError), WithoutQuantizer()],
    )
    summary = {"seconds": sum(map(len, training.waveforms)) / training.rate}
    write_json(folder / SUMMARY, summary)
    measures = measure(AudioRun(folder, load_checkpoint(folder / BEST), description, summary), held_out)
    draw_curves(result.history, folder / "curves.png")
    report = {
        "run": str(folder),
        "held_out": measures,
        "best_epoch": result.best_epoch,
        "last_epoch": result.history[-1],
    }
    report["seconds"] = round(sum(row["seconds"] for row in result.history), 3)
    write_json(folder / "report.json", report)
    return report


def check(config: TrainingConfig) -> None:
    """Raises an `InputError` for values that no later step checks."""
    check_schedule(config, ("segment", "validation_recordings"))
    own = sorted({"input_shape", "classes", "name"} & set(config.overrides))
    if own:
        raise InputError(f"Expected overrides without {own[0]}, which the recordings or a flag decide. Received one.")
    if models.info(config.model).constructor is not models.AudioVQVAE:
        raise InputError(f"Expected an autoencoder of audio. Received {config.model!r}.")


def read_data(config: TrainingConfig) -> tuple[Recordings, Recordings, list[str]]:
    """Training and validation recordings, and the names of the speakers in the order of their numbers."""
    check_pattern(config.pattern, config.data, config.validation)
    recordings = read_recordings(config.data, config.rate, config.pattern, tell)
    if config.validation is not None:
        held_out = read_recordings(config.validation, recordings.rate, config.pattern, tell)
        chosen = np.random.default_rng(config.seed).permutation(len(held_out))[: config.validation_recordings]
        training, held_out = recordings, held_out.take(np.sort(chosen))
    else:
        if len(recordings) <= config.validation_recordings:
            raise InputError(
                f"Expected more recordings in {config.data} than the {config.validation_recordings} held out "
                f"(validation_recordings). Received {len(recordings)}."
            )
        shuffled = np.random.default_rng(config.seed).permutation(len(recordings))
        training = recordings.take(np.sort(shuffled[config.validation_recordings :]))
        held_out = recordings.take(np.sort(shuffled[: config.validation_recordings]))
    return training, held_out, sorted(set(training.speakers or ()))


def make_model(config: TrainingConfig, speakers: int) -> keras.Model:
    """The autoencoder of the configuration, for recordings of any length."""
    model = models.create(config.model, **{**config.overrides, "input_shape": (None,), "classes": speakers})
    factor = factor_of(model)
    if config.segment % factor:
        raise InputError(
            f"Expected segment to be a multiple of {factor}, the samples of a code. Received {config.segment}."
        )
    return model


def compile_model(model: keras.Model, config: TrainingConfig) -> None:
    """Adam on the cross entropy of the levels that are sound, beside what the quantiser adds."""

    def bits(levels: Any, logits: Any) -> Any:
        return keras.losses.sparse_categorical_crossentropy(levels, logits, from_logits=True) / math.log(2)

    rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, config.steps, alpha=LAST_RATE)
    model.compile(
        keras.optimizers.Adam(rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight"),
        weighted_metrics=[keras.metrics.MeanMetricWrapper(bits, name="bits_per_sample")],
        jit_compile=False,
    )


def describe(config: TrainingConfig, training: Recordings, held_out: Recordings, speakers: list[str]) -> dict[str, Any]:
    """The config.json of the run."""
    fields = dataclasses.asdict(config)
    reading = {name: fields.pop(name) for name in READING}
    digest = hashlib.sha256()
    for waveform in (*training.waveforms, *held_out.waveforms):
        digest.update(np.ascontiguousarray(waveform))
    if speakers:
        digest.update(repr((training.speakers, held_out.speakers)).encode())
    found = {
        "recordings": len(training),
        "validation_recordings": len(held_out),
        "rate": training.rate,
        "speakers": speakers,
        "digest": digest.hexdigest(),
    }
    model = {"name": fields.pop("model"), "overrides": dict(fields.pop("overrides"))}
    return {
        "application": APPLICATION,
        "medium": AUDIO,
        "reading": reading,
        "found": found,
        "model": model,
        "training": fields,
    }


def config_of(description: dict[str, Any]) -> TrainingConfig:
    """The configuration that `describe` wrote into config.json."""
    model = {"model": description["model"]["name"], "overrides": description["model"]["overrides"]}
    return TrainingConfig(**description["reading"], **model, **description["training"])
