"""Training of an action recognition model, with the recipe of torchvision's R(2+1)D as the default."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from apps.action_recognition import checkpoints, models
from apps.action_recognition.data import (
    Augmentation,
    ClipSpec,
    VideoList,
    clip_dataset,
    load_videos,
    read_clip,
    split_videos,
    video_shape,
)
from apps.action_recognition.evaluation import Evaluation, evaluate, readable
from apps.action_recognition.losses import SmoothedCrossentropy, class_weights
from apps.action_recognition.runs import APPLICATION, load_run
from tools.errors import InputError
from tools.figures import draw_confusion, draw_curves
from tools.files import replacing, write_json
from tools.training import (
    Training,
    check_free,
    configuration,
    fit,
    freeze,
    make_learning_rate,
    make_optimizer,
    open_run,
    precision,
    set_momentum,
    strategy,
)

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# Fields of the configuration that config.json keeps under "data".
DATA_FIELDS = ("data", "validation", "validation_fraction", "validation_blocks", "split", "root")
REPRESENTATIVE_CLIPS = 32
# The recipe, as shares of its 45 epochs: warm-up for 10, the rate divided by 10 after 20, 30 and 40.
RECIPE_EPOCHS = 45
RECIPE_WARM_UP = 10
RECIPE_MILESTONES = (20, 30, 40)


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides the outcome of a training.

    The defaults are the recipe of torchvision's R(2+1)D-18 for one worker (torchvision had 64, and 64 times the rate),
    but for the weight decay of vectors (see `decay_vectors`).

    Attributes:
        data: training videos, as `load_videos` takes them.
        validation: videos to choose the best epoch by; None takes `validation_fraction` of the training videos.
        validation_fraction: share of each class to hold out, below 1; 0 trains without validation.
        validation_blocks: hold out the last videos of each class, in the list's order, instead of a random choice:
            where neighbours come from one recording.
        split: number of the split of HMDB51, of whose split files `data` is the folder; its training part is used.
        root: folder to which relative paths of the lists refer.
        model: a registered name.
        overrides: arguments of its constructor other than its own.
        weights: checkpoint to begin with.
        fresh_classifier: leave the classifier of `weights` out, for other classes.
        freeze: last layer of `weights` to keep as it is, with all on which it depends; None trains every layer.
        normalization_momentum: of the batch normalizations; None for the model's own.
        frame_rate: of the clips, per second; "model" for what the model's weights expect, None takes every frame.
        preset: preprocessing; None takes that of the model.
        augmentation: arguments of `Augmentation`.
        epochs: of the whole run.
        batch_size: clips a step.
        optimizer: "sgd" or "adamw".
        learning_rate: after the warm-up.
        momentum: of "sgd".
        weight_decay: L2 factor ("sgd") or decoupled decay ("adamw"), of kernels only unless `decay_vectors`.
        decay_vectors: decay biases and normalisations too, as torchvision does.
        schedule: "step", "cosine" or "constant".
        milestones: epochs at which "step" lowers the rate; None for those of the recipe, in proportion to `epochs`.
        decay_factor: by which it is lowered.
        warm_up_epochs: of linear warm-up; None for that of the recipe, in proportion to `epochs`.
        warm_up_start: share of the rate at the first step.
        clip_norm: largest norm of the gradients; None for no limit.
        label_smoothing: share of the label that is spread over all classes.
        class_weight: None, "balanced" (in inverse proportion to the class's size) or {class name: weight}.
        precision: "float32", "mixed_bfloat16" or "mixed_float16".
        patience: epochs without improvement after which to stop; None never stops early.
        monitor: value that decides which epoch is best; None for the accuracy.
        seed: of weights, order, clips, augmentation, dropout and the hold-out.
        mirrored: train on all local GPUs (`tf.distribute.MirroredStrategy`); `batch_size` is that of all together.
        jit: compile the step with XLA.
    """

    data: str
    validation: str | None = None
    validation_fraction: float = 0.1
    validation_blocks: bool = False
    split: int | None = None
    root: str | None = None
    model: str = "r2plus1d_18"
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    weights: str | None = None
    fresh_classifier: bool = False
    freeze: str | None = None
    normalization_momentum: float | None = None
    frame_rate: float | str | None = models.MODEL
    preset: str | None = None
    augmentation: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    epochs: int = RECIPE_EPOCHS
    batch_size: int = 24
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-4
    decay_vectors: bool = False
    schedule: str = "step"
    milestones: tuple[float, ...] | None = None
    decay_factor: float = 0.1
    warm_up_epochs: float | None = None
    warm_up_start: float = 0.001
    clip_norm: float | None = None
    label_smoothing: float = 0.0
    class_weight: str | Mapping[str, float] | None = None
    precision: str = "float32"
    patience: int | None = None
    monitor: str | None = None
    seed: int = 0
    mirrored: bool = False
    jit: bool = False


@dataclasses.dataclass(frozen=True)
class Report:
    """What came out of a training.

    Attributes:
        path: the run folder.
        training: history and best epoch.
        validation: the best epoch's model on the central clips of the validation videos; None without validation.
        skipped: videos that could not be read: (path, reason).
        seconds: of all epochs together.
    """

    path: pathlib.Path
    training: Training
    validation: Evaluation | None
    skipped: tuple[tuple[str, str], ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "run": str(self.path),
            **{field.name: getattr(self.training, field.name) for field in dataclasses.fields(self.training)},
            "validation": self.validation and self.validation.to_dict(),
            "skipped": [{"path": path, "reason": reason} for path, reason in self.skipped],
            "seconds": round(self.seconds, 3),
        }


def train(config: TrainingConfig, run_folder: str | os.PathLike, resume: bool = False) -> Report:
    """Trains a model and leaves a run folder from which it can be evaluated, used, exported, and gone on with.

    Args:
        config: the whole configuration.
        run_folder: new, or with `resume` that of a run begun with the same configuration.
        resume: go on with an interrupted run from its last whole epoch.

    Raises:
        InputError: if anything in the configuration is wrong, the folder is taken, or the configuration of the run
            to resume differs.
    """
    check(config)
    config = dataclasses.replace(config, frame_rate=models.rate_of(config.model, config.frame_rate))
    if not resume:
        check_free(pathlib.Path(run_folder))
    keras.utils.set_random_seed(config.seed)
    training, validation = load_data(config)
    counts = f"{len(training)} videos of {len(training.classes)} classes, {len(validation or ())} more to validate"
    print(f"training {config.model} on {counts}", file=sys.stderr, flush=True)
    with precision(config.precision), strategy(config.mirrored):
        model = build(config, training.classes)
        spec = clip_spec(config, model)
        steps = -(-len(training) // config.batch_size)
        compile_model(model, config, steps)
        make_dataset, validation_batches = streams(config, training, validation, spec)
        weights = class_weights(config.class_weight, training)
        folder = open_run(run_folder, describe(config, training, validation, spec), resume=resume)
        write_representative(folder / "representative.npz", training, spec, config.seed)
        result = readable(
            lambda: fit(
                model,
                make_dataset,
                steps_per_epoch=steps,
                epochs=config.epochs,
                run_folder=folder,
                validation=validation_batches,
                monitor=config.monitor,
                patience=config.patience,
                class_weight=weights,
                resume=resume,
            )
        )
    return write_report(folder, result, training, validation, spec, config)


def check(config: TrainingConfig) -> None:
    """Raises an `InputError` for values that no later step checks."""
    if config.precision not in PRECISIONS:
        raise InputError(f"Expected precision to be one of {', '.join(PRECISIONS)}. Received {config.precision!r}.")
    if config.precision == "mixed_bfloat16" and not tf.config.list_physical_devices("GPU"):
        raise InputError(
            "Expected precision float32 or mixed_float16 without a GPU, where TensorFlow's gradients of 3-D "
            f"convolutions in bfloat16 are wrong. Received {config.precision!r}."
        )
    configuration.check_recipe(
        config,
        positive=("epochs", "batch_size"),
        shares=("label_smoothing", "validation_fraction"),
        validates=bool(config.validation or config.validation_fraction),
    )
    if config.freeze is not None and config.weights is None:
        raise InputError(
            f"Expected weights to begin with, of which freeze keeps some. Received {config.freeze!r} alone."
        )
    models.require(config.overrides, models.CLASSIFIER, "in training")
    models.info(config.model)


def load_data(config: TrainingConfig) -> tuple[VideoList, VideoList | None]:
    """The training and the validation videos."""
    part = {} if config.split is None else {"subset": "train", "split": config.split}
    videos = load_videos(config.data, root=config.root, **part)
    if config.validation is not None:
        return videos, load_videos(config.validation, classes=videos.classes, root=config.root)
    if not config.validation_fraction:
        return videos, None
    training, validation = split_videos(
        videos, config.validation_fraction, config.seed, blocks=config.validation_blocks
    )
    return dataclasses.replace(training, skipped=videos.skipped), validation


def build(config: TrainingConfig, classes: tuple[str, ...]) -> keras.Model:
    """The model, with the checkpoint it begins with."""
    if "classes" in config.overrides and config.overrides["classes"] != len(classes):
        raise InputError(
            f"Expected classes to be {len(classes)}, as in the data. Received {config.overrides['classes']}."
        )
    model = models.create(config.model, **{**config.overrides, "classes": len(classes)})
    if config.weights is not None:
        checkpoints.load(model, config.weights, classifier=not config.fresh_classifier)
    if config.freeze is not None:
        freeze(model, config.freeze)
    if config.normalization_momentum is not None:
        set_momentum(model, config.normalization_momentum)
    return model


def clip_spec(config: TrainingConfig, model: keras.Model) -> ClipSpec:
    """The clip that the model takes."""
    size = video_shape(config.model, model.input_shape[1:])
    return models.clip_spec(config.model, size, frame_rate=config.frame_rate, preset=config.preset)


def compile_model(model: keras.Model, config: TrainingConfig, steps_per_epoch: int) -> None:
    """Compiles the model by the recipe."""
    scale = config.epochs / RECIPE_EPOCHS
    milestones = [m * scale for m in RECIPE_MILESTONES] if config.milestones is None else config.milestones
    rate = make_learning_rate(
        config.learning_rate,
        steps_per_epoch=steps_per_epoch,
        epochs=config.epochs,
        schedule=config.schedule,
        milestones=milestones,
        factor=config.decay_factor,
        warm_up_epochs=RECIPE_WARM_UP * scale if config.warm_up_epochs is None else config.warm_up_epochs,
        warm_up_start=config.warm_up_start,
    )
    optimizer = make_optimizer(
        config.optimizer,
        rate,
        model,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        decay_vectors=config.decay_vectors,
        clip_norm=config.clip_norm,
    )
    loss = SmoothedCrossentropy(config.label_smoothing)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=config.jit)


def streams(
    config: TrainingConfig, training: VideoList, validation: VideoList | None, spec: ClipSpec
) -> tuple[Callable[[int], tf.data.Dataset], tf.data.Dataset | None]:
    """The training batches from an epoch on, as `tools.training.fit` asks for them, and the validation batches."""
    augmentation = Augmentation.from_dict(config.augmentation)

    def make_dataset(done: int) -> tf.data.Dataset:
        return clip_dataset(
            training,
            spec,
            config.batch_size,
            training=True,
            seed=config.seed,
            first_epoch=done,
            epochs=config.epochs - done,
            augmentation=augmentation,
        )

    make_dataset(0)
    return make_dataset, validation and clip_dataset(validation, spec, config.batch_size, training=False)


def describe(
    config: TrainingConfig, training: VideoList, validation: VideoList | None, spec: ClipSpec
) -> dict[str, Any]:
    """The config.json of the run."""
    lists = [(videos.paths, videos.labels) for videos in (training, validation) if videos is not None]
    found = {
        "videos": len(training),
        "validation_videos": len(validation) if validation else 0,
        "digest": configuration.digest(lists),
    }
    return {
        "application": APPLICATION,
        "clip": spec.to_dict(),
        "classes": list(training.classes),
        **configuration.describe(config, DATA_FIELDS, found),
    }


def config_of(description: dict[str, Any]) -> TrainingConfig:
    """The configuration that `describe` wrote into config.json."""
    return configuration.restore(TrainingConfig, description, "train")


def write_representative(path: pathlib.Path, videos: VideoList, spec: ClipSpec, seed: int) -> None:
    """Central clips of up to 32 training videos, for the calibration of an integer model."""
    if path.exists():
        return
    order = np.random.default_rng(seed).permutation(len(videos))[:REPRESENTATIVE_CLIPS]
    with replacing(path) as partial:
        np.savez(partial, clip=np.stack([read_clip(videos.paths[index], spec) for index in order]))


def write_report(
    folder: pathlib.Path,
    training: Training,
    videos: VideoList,
    validation: VideoList | None,
    spec: ClipSpec,
    config: TrainingConfig,
) -> Report:
    """Draws the curves and the confusion of the best epoch, and writes report.json."""
    draw_curves(training.history, folder / "curves.png")
    measured = None
    if validation is not None:
        model = load_run(folder).model
        measured = evaluate(model, validation, spec, clips=1, crops=1, batch=config.batch_size, seed=config.seed)
        draw_confusion(measured.confusion, measured.classes, folder / "confusion.png")
    skipped = videos.skipped + (validation.skipped if validation else ())
    seconds = sum(row["seconds"] for row in training.history)
    report = Report(folder, training, measured, skipped, seconds)
    write_json(folder / "report.json", report.to_dict())
    return report
