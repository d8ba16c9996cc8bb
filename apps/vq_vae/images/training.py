"""Trains an autoencoder of images and leaves a run folder."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from apps.vq_vae import models
from apps.vq_vae.images.data import batches, read_images, scaled, spread, validation_batches, variance
from apps.vq_vae.images.evaluation import measure
from apps.vq_vae.images.pictures import DRAWABLE, draw_reconstructions
from apps.vq_vae.images.runs import Run, likelihood_of
from apps.vq_vae.likelihoods import LIKELIHOODS, Likelihood, Mse, find, normalised_error
from apps.vq_vae.logs import WithoutQuantizer
from apps.vq_vae.models.baselines import with_bound
from apps.vq_vae.runs import APPLICATION, SUMMARY, load_checkpoint
from apps.vq_vae.schedule import check_schedule
from keras_layers import CodebookGuard
from tools.errors import InputError
from tools.figures import draw_curves
from tools.files import write_json
from tools.training import fit, open_run
from tools.training.run_folder import BEST, check_free

READING = ("data", "validation", "validation_images", "grey")
# So many training images tell the deviation of the errors.
SIGMA_IMAGES = 10_000
SHOWN = 32


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides a run. The defaults are those of dm-sonnet's CIFAR-10 example.

    Attributes:
        data: images; see `images.data.read_images`.
        validation: further images to measure on; None to hold `validation_images` out of `data`.
        validation_images: how many are measured after every epoch.
        grey: read pictures as grey.
        model: registered name of an autoencoder of images.
        overrides: arguments of its constructor other than its own.
        likelihood: of pixels: "mse", "gaussian", "logistic_mixture" or "categorical".
        steps: of the whole run, a multiple of `steps_per_epoch`.
        steps_per_epoch: steps between two lines of the log, whose values are means over them.
        batch_size: images a step.
        learning_rate: of Adam.
        seed: of the hold-out, the weights, the order.
    """

    data: str
    validation: str | None = None
    validation_images: int = 1000
    grey: bool = False
    model: str = "vq_vae_cifar10"
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    likelihood: str = "mse"
    steps: int = 10_000
    steps_per_epoch: int = 100
    batch_size: int = 32
    learning_rate: float = 3e-4
    seed: int = 0


def train(config: TrainingConfig, run_folder: str | os.PathLike, resume: bool = False) -> dict[str, Any]:
    """Trains, measures the best epoch on the validation images, and returns the report.

    Args:
        config: the whole configuration.
        run_folder: new, or with `resume` that of a run begun with the same configuration.
        resume: go on with an interrupted run from its last whole epoch.

    Raises:
        InputError: if anything in the configuration or the images is wrong, the folder is taken, or the configuration
            of the run to resume differs.
    """
    check(config)
    if not resume:
        check_free(pathlib.Path(run_folder))
    training, held_out = read_data(config)
    data_variance = variance(training)
    keras.utils.set_random_seed(config.seed)
    model = make_model(config, training.shape[1:])
    trained = with_bound(model, config.likelihood) if _is_vimco(config) else model
    compile_model(trained, find(config.likelihood), data_variance, config.learning_rate)
    folder = open_run(run_folder, describe(config, training, held_out), resume=resume)
    epochs = config.steps // config.steps_per_epoch
    result = fit(
        trained,
        batches(training, config.batch_size, config.steps_per_epoch, epochs, config.seed),
        steps_per_epoch=config.steps_per_epoch,
        epochs=epochs,
        run_folder=folder,
        validation=validation_batches(held_out, 4 * config.batch_size),
        monitor="val_loss",
        resume=resume,
        callbacks=[CodebookGuard(InputError), WithoutQuantizer()],
        kept=model,
    )
    report = finish(folder, config, training, held_out, data_variance)
    draw_curves(result.history, folder / "curves.png")
    seconds = sum(row["seconds"] for row in result.history)
    report = {"run": str(folder), **report, "best_epoch": result.best_epoch, "last_epoch": result.history[-1]}
    report["seconds"] = round(seconds, 3)
    write_json(folder / "report.json", report)
    return report


def check(config: TrainingConfig) -> None:
    """Raises an `InputError` for values that no later step checks."""
    check_schedule(config, ("validation_images",))
    if config.likelihood not in LIKELIHOODS:
        find(config.likelihood)
    own = sorted({"input_shape", "likelihood", "name"} & set(config.overrides))
    if own:
        raise InputError(f"Expected overrides without {own[0]}, which the images or a flag decide. Received one.")
    if models.info(config.model).constructor not in models.IMAGE_AUTOENCODERS:
        raise InputError(f"Expected an autoencoder of images. Received {config.model!r}, another model.")


def read_data(config: TrainingConfig) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation images, uint8."""
    images = read_images(config.data, config.grey)
    if config.validation is not None:
        held_out = read_images(config.validation, config.grey)
        if held_out.shape[1:] != images.shape[1:]:
            raise InputError(
                f"Expected validation images of shape {images.shape[1:]}, as in {config.data}. "
                f"Received {held_out.shape[1:]} in {config.validation}."
            )
        chosen = np.random.default_rng(config.seed).permutation(len(held_out))[: config.validation_images]
        return images, held_out[np.sort(chosen)]
    if len(images) <= config.validation_images:
        raise InputError(
            f"Expected more images in {config.data} than the {config.validation_images} held out "
            f"(validation_images). Received {len(images)}."
        )
    shuffled = np.random.default_rng(config.seed).permutation(len(images))
    return images[np.sort(shuffled[config.validation_images :])], images[np.sort(shuffled[: config.validation_images])]


def make_model(config: TrainingConfig, shape: tuple[int, ...]) -> keras.Model:
    """The autoencoder of the configuration for images of a shape."""
    return models.create(config.model, **{**config.overrides, "input_shape": shape, "likelihood": config.likelihood})


def _is_vimco(config: TrainingConfig) -> bool:
    return models.info(config.model).constructor is models.VIMCO


def compile_model(model: keras.Model, likelihood: Likelihood, data_variance: float, learning_rate: float) -> None:
    """Adam on the likelihood's loss, beside what the latents add; `data_variance` is the variance of the data.

    A model with a layer "bound" has the likelihood in it.
    """

    def loss(images: Any, outputs: Any) -> Any:
        return likelihood.loss(images, outputs, data_variance)

    def error(images: Any, outputs: Any) -> Any:
        return normalised_error(images, likelihood.mean(outputs), data_variance)

    model.compile(
        keras.optimizers.Adam(learning_rate),
        None if any(layer.name == "bound" for layer in model.layers) else loss,
        metrics=[keras.metrics.MeanMetricWrapper(error, name="normalised_error")],
        jit_compile=False,
    )


def describe(config: TrainingConfig, training: np.ndarray, held_out: np.ndarray) -> dict[str, Any]:
    """The config.json of the run."""
    fields = dataclasses.asdict(config)
    reading = {name: fields.pop(name) for name in READING}
    digest = hashlib.sha256(training)
    digest.update(held_out)
    found = {
        "images": len(training),
        "validation_images": len(held_out),
        "shape": list(training.shape[1:]),
        "digest": digest.hexdigest(),
    }
    model = {"name": fields.pop("model"), "overrides": dict(fields.pop("overrides"))}
    return {"application": APPLICATION, "reading": reading, "found": found, "model": model, "training": fields}


def config_of(description: dict[str, Any]) -> TrainingConfig:
    """The configuration that `describe` wrote into config.json."""
    model = {"model": description["model"]["name"], "overrides": description["model"]["overrides"]}
    return TrainingConfig(**description["reading"], **model, **description["training"])


def finish(
    folder: pathlib.Path, config: TrainingConfig, training: np.ndarray, held_out: np.ndarray, data_variance: float
) -> dict[str, Any]:
    """Writes the summary and, where they can be shown, reconstructions; returns what the best epoch is worth."""
    model = load_checkpoint(folder / BEST)
    likelihood = find(config.likelihood)
    # No other likelihood reads it.
    sigma = deviation(model, likelihood, spread(training, SIGMA_IMAGES)) if likelihood.name == Mse.name else None
    summary = {"variance": data_variance, "sigma": sigma}
    description = describe(config, training, held_out)
    write_json(folder / SUMMARY, summary)
    run = Run(folder, model, likelihood_of(description, summary), description, summary)
    if training.shape[-1] in DRAWABLE:
        draw_reconstructions(run, spread(held_out, SHOWN), folder / "reconstructions.png")
    return {**summary, "held_out": measure(run, held_out)}


def deviation(model: keras.Model, likelihood: Likelihood, images: np.ndarray, batch: int = 64) -> float:
    """Root of the mean squared error of reconstructions, in pixel values."""
    total = 0.0
    for begin in range(0, len(images), batch):
        inputs = scaled(images[begin : begin + batch])
        error = inputs - np.asarray(likelihood.mean(model(inputs, training=False)))
        total += float(np.square(error.astype(np.float64)).sum())
    return 255 * float(np.sqrt(total / images.size))
