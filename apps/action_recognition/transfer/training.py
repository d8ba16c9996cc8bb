"""Training of a student against a frozen teacher; what comes out is a checkpoint that `train` begins with."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from apps.action_recognition import models
from apps.action_recognition.data import Augmentation, ClipSpec, VideoList, split_videos, video_shape
from apps.action_recognition.data.presets import PRESETS
from apps.action_recognition.data.unlabelled import load_unlabelled
from apps.action_recognition.evaluation import readable
from apps.action_recognition.transfer.pairs import PAIRS, pair_dataset
from apps.action_recognition.transfer.teacher import Teacher, load_teacher, teacher_features
from tools.errors import InputError
from tools.figures import draw_curves
from tools.files import read_json, replacing, write_json
from tools.training import Training, check_free, configuration, fit, make_learning_rate, make_optimizer, open_run
from tools.training.run_folder import BEST, CONFIGURATION

APPLICATION = "action_recognition_transfer"
STUDENT = "student.keras"
# Of rekon's T3D-keras: the authors published no code of the transfer.
HIDDEN = (512, 128)
# Fields of the configuration that config.json keeps under "data".
DATA_FIELDS = ("data", "validation", "validation_fraction", "validation_blocks", "root")
WARM_UP_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class TransferConfig:
    """Everything that decides the outcome of a transfer.

    Attributes:
        data: videos, as `load_unlabelled` takes them.
        teacher: a `.keras` file of a network of images, or the name of published weights of one.
        validation: videos to measure the correspondence on; None takes `validation_fraction` of the others.
        validation_fraction: share of the videos to hold out, below 1; 0 trains without validation.
        validation_blocks: hold out the last videos, in the order of the list, instead of a random choice.
        root: folder to which relative paths of the lists refer.
        model: registered name of the student.
        overrides: arguments of its constructor other than its own.
        frame_rate: of the clips, per second; "model" for what the model's weights expect, None takes every frame.
        preset: preprocessing of the student's clips; None takes that of the model.
        augmentation: of the student's clips, arguments of `Augmentation`. The teacher sees the plain frames.
        teacher_layer: layer of the teacher whose output are the features; None for its output.
        teacher_preset: normalisation that the teacher expects, a key in `PRESETS`; None for RGB of 0 to 255.
        teacher_side: of the square frames in pixels that it is shown, if it takes any size.
        teacher_frames: of a clip that it looks at, spread evenly; their features are averaged.
        moments: of a video at which clips begin.
        dropout: before each of the three dense layers.
        epochs: of the whole run; in each every video gives one clip.
        batch_size: clips a step, each in two pairs.
        optimizer: "adamw" or "sgd".
        learning_rate: after a warm-up over the first tenth, from where it falls by a cosine.
        weight_decay: of kernels.
        patience: epochs without improvement after which to stop; None never stops early.
        monitor: value that decides which epoch's student is kept; None for the accuracy.
        seed: of weights, order, clips, augmentation, dropout and the hold-out.
    """

    data: str
    teacher: str
    validation: str | None = None
    validation_fraction: float = 0.1
    validation_blocks: bool = False
    root: str | None = None
    model: str = "t3d_121"
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    frame_rate: float | str | None = models.MODEL
    preset: str | None = None
    augmentation: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    teacher_layer: str | None = None
    teacher_preset: str | None = None
    teacher_side: int = 112
    teacher_frames: int = 8
    moments: int = 4
    dropout: float = 0.0
    epochs: int = 20
    batch_size: int = 8
    optimizer: str = "adamw"
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    patience: int | None = None
    monitor: str | None = None
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class TransferReport:
    """What came out of a transfer.

    Attributes:
        path: the run folder.
        student: the checkpoint of the best epoch, a backbone without classifier.
        training: history and best epoch; accuracies are shares of pairs told right, of which half match.
        videos: in training.
        validation_videos: held out.
        skipped: videos that could not be read: (path, reason).
        seconds: of all epochs together.
    """

    path: pathlib.Path
    student: pathlib.Path
    training: Training
    videos: int
    validation_videos: int
    skipped: tuple[tuple[str, str], ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "run": str(self.path),
            "student": str(self.student),
            **{field.name: getattr(self.training, field.name) for field in dataclasses.fields(self.training)},
            "videos": self.videos,
            "validation_videos": self.validation_videos,
            "skipped": [{"path": path, "reason": reason} for path, reason in self.skipped],
            "seconds": round(self.seconds, 3),
        }


def transfer(config: TransferConfig, run_folder: str | os.PathLike, resume: bool = False) -> TransferReport:
    """Trains a student to tell what the teacher sees in its clip from what it sees elsewhere; no label is read.

    Args:
        config: the whole configuration.
        run_folder: new, or with `resume` that of a run begun with the same configuration.
        resume: go on with an interrupted run: with the teacher's features that are there, from the last whole epoch.

    Raises:
        InputError: if anything in the configuration is wrong, the folder is taken, or the configuration of the run
            to resume differs.
    """
    check(config)
    config = dataclasses.replace(config, frame_rate=models.rate_of(config.model, config.frame_rate))
    if not resume:
        check_free(pathlib.Path(run_folder))
    keras.utils.set_random_seed(config.seed)
    student = build_student(config)
    spec = clip_spec(config, student)
    teacher = load_teacher(
        config.teacher, layer=config.teacher_layer, preset=config.teacher_preset, side=config.teacher_side
    )
    network = pair_network(student, teacher.model.output_shape[-1], config.dropout)
    training, validation = load_data(config)
    # What is wrong in the recipe shows here, and not after hours of looking.
    compile_network(network, config, _steps(training, config))
    folder = open_run(run_folder, describe(config, training, validation, spec, teacher), resume=resume)
    features, training, unseen = _seen(teacher, training, spec, config, folder / "teacher")
    skipped = training.skipped + unseen
    measured = None
    if validation is not None:
        held, validation, others = _seen(teacher, validation, spec, config, folder / "teacher_validation")
        skipped += validation.skipped + others
        measured = pair_dataset(validation, held, spec, config.batch_size, training=False, seed=config.seed)
    if unseen:
        compile_network(network, config, _steps(training, config))
    counts = f"{len(training)} videos, {len(validation or ())} more to validate"
    print(f"teaching {config.model} by {config.teacher} on {counts}", file=sys.stderr, flush=True)
    result = readable(
        lambda: fit(
            network,
            lambda done: pair_dataset(
                training,
                features,
                spec,
                config.batch_size,
                training=True,
                seed=config.seed,
                first_epoch=done,
                epochs=config.epochs - done,
                augmentation=Augmentation.from_dict(config.augmentation),
            ),
            steps_per_epoch=_steps(training, config),
            epochs=config.epochs,
            run_folder=folder,
            validation=measured,
            monitor=config.monitor,
            patience=config.patience,
            resume=resume,
        )
    )
    return _write_report(folder, result, student.name, len(training), len(validation or ()), skipped)


def check(config: TransferConfig) -> None:
    """Raises an `InputError` for values that no later step checks."""
    configuration.check_recipe(
        config,
        positive=("epochs", "batch_size", "moments", "teacher_frames", "teacher_side"),
        shares=("dropout", "validation_fraction"),
        validates=config.validation is not None or config.validation_fraction > 0,
    )
    models.require(config.overrides, models.BACKBONE, "in a transfer")
    Augmentation.from_dict(config.augmentation)
    if config.teacher_preset is not None and config.teacher_preset not in PRESETS:
        raise InputError(
            f"Expected teacher_preset to be one of {', '.join(PRESETS)}. Received {config.teacher_preset}."
        )


def _steps(videos: VideoList, config: TransferConfig) -> int:
    return -(-len(videos) // config.batch_size)


def build_student(config: TransferConfig) -> keras.Model:
    """The backbone of the registered model, with random weights unless the overrides name some."""
    student = models.create(config.model, **{**config.overrides, **models.BACKBONE})
    if isinstance(student.input_shape, list | dict) or len(student.output_shape) != 2:
        raise InputError(f"Expected a student that takes one clip. Received {config.model}: {student.input_shape}.")
    return student


def clip_spec(config: TransferConfig, student: keras.Model) -> ClipSpec:
    """The clip that the student takes."""
    frames, height, width = video_shape(config.model, student.input_shape[1:])
    if config.teacher_frames > frames:
        raise InputError(
            f"Expected teacher_frames to be at most the {frames} of a clip. Received {config.teacher_frames}."
        )
    return models.clip_spec(config.model, (frames, height, width), frame_rate=config.frame_rate, preset=config.preset)


def load_data(config: TransferConfig) -> tuple[VideoList, VideoList | None]:
    """The training and the validation videos."""
    training, validation = load_unlabelled(config.data, root=config.root), None
    if config.validation is not None:
        validation = load_unlabelled(config.validation, root=config.root)
    elif config.validation_fraction:
        skipped = training.skipped
        training, validation = split_videos(
            training, config.validation_fraction, config.seed, blocks=config.validation_blocks
        )
        training = dataclasses.replace(training, skipped=skipped)
    # A pair that does not match takes another video.
    if len(training) < 2:
        raise InputError(f"Expected at least two videos to train on. Received {len(training)}.")
    if validation is not None and len(validation) < 2:
        raise InputError(
            f"Expected at least two videos to train on and two to validate. Received {len(training)} and "
            f"{len(validation)}: give --validation, more videos or another --validation-fraction."
        )
    return training, validation


def _seen(
    teacher: Teacher, videos: VideoList, spec: ClipSpec, config: TransferConfig, folder: pathlib.Path
) -> tuple[np.ndarray, VideoList, tuple[tuple[str, str], ...]]:
    """What the teacher saw, the videos of which it could, and the others with the reason."""
    features = teacher_features(teacher, videos, spec, config.moments, config.teacher_frames, folder)
    whole = np.isfinite(features).all(axis=(1, 2))
    unseen = tuple((videos.paths[index], "a frame cannot be decoded") for index in np.flatnonzero(~whole))
    for path, reason in unseen:
        print(f"skipped: {path}: {reason}", file=sys.stderr)
    kept = dataclasses.replace(videos.subset(np.flatnonzero(whole)), skipped=videos.skipped)
    return features[whole], kept, unseen


# === The network ===


def pair_network(student: keras.Model, teacher_features: int, dropout: float) -> keras.Model:
    """The student and the layers that compare its features with the teacher's.

    Both are concatenated and normalised over the batch, because two networks need not answer in one unit.

    Args:
        student: from clips to features (batch, F).
        teacher_features: D.
        dropout: before each dense layer.

    Returns:
        A Functional model. Inputs "clip" and "frames" float32 (batch, 2, D). Output float32 (batch, 2): for either of
        the two features the probability that they are of the clip.
    """
    clip = keras.Input(student.input_shape[1:], name="clip")
    frames = keras.Input((PAIRS, teacher_features), name="frames")
    x = keras.layers.RepeatVector(PAIRS, name="student_features")(student(clip))
    x = keras.layers.Concatenate(name="features")([x, frames])
    x = keras.layers.BatchNormalization(name="normalization")(x)
    for number, width in enumerate(HIDDEN, start=1):
        x = keras.layers.Dropout(dropout, name=f"dropout{number}")(x)
        x = keras.layers.Dense(width, activation="relu", name=f"dense{number}")(x)
    x = keras.layers.Dropout(dropout, name="dropout3")(x)
    x = keras.layers.Dense(1, activation="sigmoid", dtype="float32", name="match")(x)
    outputs = keras.layers.Reshape((PAIRS,), dtype="float32", name="matches")(x)
    return keras.Model({"clip": clip, "frames": frames}, outputs, name="correspondence")


def compile_network(network: keras.Model, config: TransferConfig, steps_per_epoch: int) -> None:
    """Compiles the network: binary cross-entropy, and the share of pairs told right as accuracy."""
    rate = make_learning_rate(
        config.learning_rate,
        steps_per_epoch=steps_per_epoch,
        epochs=config.epochs,
        schedule="cosine",
        warm_up_epochs=WARM_UP_SHARE * config.epochs,
    )
    optimizer = make_optimizer(config.optimizer, rate, network, weight_decay=config.weight_decay)
    # By name Keras would take two probabilities for those of two classes.
    accuracy = keras.metrics.BinaryAccuracy(name="accuracy")
    network.compile(optimizer, keras.losses.BinaryCrossentropy(), metrics=[accuracy], jit_compile=False)


# === The run folder ===


def describe(
    config: TransferConfig, training: VideoList, validation: VideoList | None, spec: ClipSpec, teacher: Teacher
) -> dict[str, Any]:
    """The config.json of the run."""
    found = {
        "videos": len(training),
        "validation_videos": len(validation) if validation else 0,
        "digest": configuration.digest([videos.paths for videos in (training, validation) if videos is not None]),
        "teacher": teacher.digest,
    }
    return {
        "application": APPLICATION,
        "clip": spec.to_dict(),
        "classes": [],
        **configuration.describe(config, DATA_FIELDS, found),
    }


def config_of(description: dict[str, Any]) -> TransferConfig:
    """The configuration that `describe` wrote into config.json."""
    return configuration.restore(TransferConfig, description, "transfer")


def read_transfer_config(folder: pathlib.Path) -> TransferConfig:
    """The configuration of a run folder of a transfer.

    Raises:
        InputError: if it is none.
    """
    description = read_json(folder / CONFIGURATION)
    if description.get("application") != APPLICATION:
        raise InputError(f"Expected a run of transfer. Received {folder}, a run of {description.get('application')}.")
    return config_of(description)


def _write_report(
    folder: pathlib.Path,
    training: Training,
    student: str,
    videos: int,
    validation_videos: int,
    skipped: tuple[tuple[str, str], ...],
) -> TransferReport:
    """Takes the student out of the best epoch, draws the curves and writes report.json."""
    draw_curves(training.history, folder / "curves.png")
    network = keras.models.load_model(folder / BEST, compile=False)
    with replacing(folder / STUDENT) as partial:
        network.get_layer(student).save(partial)
    seconds = sum(row["seconds"] for row in training.history)
    report = TransferReport(folder, folder / STUDENT, training, videos, validation_videos, skipped, seconds)
    write_json(folder / "report.json", report.to_dict())
    return report
