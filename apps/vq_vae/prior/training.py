"""Trains the prior of the codes of an autoencoder, of any medium, and leaves a run folder."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras

from apps.vq_vae import models
from apps.vq_vae.media import Medium, medium_of_prior
from apps.vq_vae.prior.code_sets import CodeSet, batches, validation_batches
from apps.vq_vae.prior.evaluation import check_codes, compile_prior, evaluate_prior
from apps.vq_vae.prior.runs import PRIOR, REPORT, check_one_code, digest_of
from apps.vq_vae.runs import APPLICATION, load_checkpoint
from apps.vq_vae.schedule import check_schedule
from tools.errors import InputError
from tools.figures import draw_curves
from tools.files import read_json, write_json
from tools.training import check_free, configuration, fit, open_run
from tools.training.run_folder import BEST, CONFIGURATION

COMMAND = "kapps vq-vae train-prior"
DATA_FIELDS = (
    "autoencoder",
    "which",
    "data",
    "labels",
    "classes",
    "validation",
    "validation_labels",
    "validation_examples",
    "window",
)
# Arguments of a prior that the codes decide.
DECIDED = ("codes", "input_shape", "classes", "name")


@dataclasses.dataclass(frozen=True)
class PriorConfig:
    """Everything that decides the run of a prior.

    Attributes:
        autoencoder: run folder of the autoencoder whose codes are learned.
        data: what it is trained on, as the autoencoder reads it.
        which: checkpoint of the autoencoder, "best" or "last".
        classes: whether the codes depend on a class ("label" of an image, "speaker" of a recording, "action" that leads
            to a frame).
        labels: file of the classes; None for those that the data have of their own.
        validation: further data to measure on; None to hold `validation_examples` out of `data`.
        validation_labels: file of the classes of `validation`.
        validation_examples: how many are held out; of `validation` all are measured.
        window: codes of an example, of audio; recordings are cut into pieces of that length.
        model: registered name of a prior; None for that of the medium.
        overrides: arguments of its constructor: filters, layers, dropout, ...
        steps: of the whole run, a multiple of `steps_per_epoch`.
        steps_per_epoch: steps between two lines of the log, whose values are means over them.
        batch_size: examples a step.
        learning_rate: of Adam.
        seed: of the hold-out, the weights, the order, the dropout.
    """

    autoencoder: str
    data: str
    which: str = "best"
    classes: bool = False
    labels: str | None = None
    validation: str | None = None
    validation_labels: str | None = None
    validation_examples: int = 1000
    window: int = 32
    model: str | None = None
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    steps: int = 10_000
    steps_per_epoch: int = 500
    batch_size: int = 64
    learning_rate: float = 3e-4
    seed: int = 0


def train(config: PriorConfig, run_folder: str | os.PathLike, resume: bool = False) -> dict[str, Any]:
    """Trains, measures the best epoch on codes that were held out, and returns the report.

    Args:
        config: the whole configuration.
        run_folder: new, or with `resume` that of a run begun with the same configuration.
        resume: go on with an interrupted run from its last whole epoch. The autoencoder may have moved: its weights are
            compared, not its place.

    Raises:
        InputError: if anything in the configuration, the autoencoder or the data is wrong, the folder is taken, or the
            configuration of the run to resume differs.
    """
    check(config)
    if not resume:
        check_free(pathlib.Path(run_folder))
    medium = medium_of_prior(config.autoencoder, config.model)
    config = dataclasses.replace(
        config, autoencoder=os.path.abspath(config.autoencoder), model=config.model or medium.prior
    )
    autoencoder = medium.load_run(config.autoencoder, config.which)
    check_one_code(autoencoder)
    training, held_out = read_codes(config, medium, autoencoder)
    keras.utils.set_random_seed(config.seed)
    model = make_model(config, training, autoencoder.model.get_layer("quantizer").code_count)
    compile_prior(model, config.learning_rate)
    description = describe(config, medium.name, autoencoder, training, held_out)
    folder = open_run(run_folder, with_place_of(run_folder, description) if resume else description, resume=resume)
    write_json(folder / CONFIGURATION, description)
    epochs = config.steps // config.steps_per_epoch
    result = fit(
        model,
        batches(training, config.batch_size, config.steps_per_epoch, epochs, config.seed),
        steps_per_epoch=config.steps_per_epoch,
        epochs=epochs,
        run_folder=folder,
        validation=validation_batches(held_out, config.batch_size),
        monitor="val_loss",
        resume=resume,
    )
    best = load_checkpoint(folder / BEST)
    measured = evaluate_prior(best, held_out.codes, train_codes=training.codes, conditions=held_out.conditions)
    draw_curves(result.history, folder / "curves.png")
    report = {
        "run": str(folder),
        "medium": medium.name,
        "parameters": best.count_params(),
        "examples": len(training),
        "held_out": {"examples": len(held_out), **measured.to_dict()},
        "best_epoch": result.best_epoch,
        "last_epoch": result.history[-1],
        "seconds": round(sum(row["seconds"] for row in result.history), 3),
    }
    write_json(folder / REPORT, report)
    return report


def check(config: PriorConfig) -> None:
    """Raises an `InputError` for values that no later step checks."""
    check_schedule(config, ("validation_examples", "window"))
    own = sorted(set(DECIDED) & set(config.overrides))
    if own:
        raise InputError(f"Expected overrides without {own[0]}, which the codes decide. Received one.")
    if config.model is not None and models.info(config.model).preprocessing != "codes":
        raise InputError(f"Expected a prior, a model of codes. Received {config.model!r}.")
    if not config.classes and (config.labels or config.validation_labels):
        raise InputError("Expected a file of labels only for a prior that knows classes (classes). Received one.")
    if config.validation_labels and not config.validation:
        raise InputError("Expected validation_labels only beside validation. Received them alone.")


def read_codes(config: PriorConfig, medium: Medium, autoencoder: Any) -> tuple[CodeSet, CodeSet]:
    """The codes for training and those held out."""
    make_codes = medium.module("codes").make_codes
    examples = make_codes(autoencoder, config, config.data, config.labels, None)
    if config.validation is None:
        return examples.hold_out(config.validation_examples, config.seed)
    held_out = make_codes(autoencoder, config, config.validation, config.validation_labels, examples.names or None)
    if held_out.lengths != examples.lengths:
        raise InputError(
            f"Expected validation codes of shape {examples.lengths}, as of {config.data}. Received {held_out.lengths} "
            f"of {config.validation}."
        )
    return examples, held_out


def make_model(config: PriorConfig, examples: CodeSet, codes: int) -> keras.Model:
    """The prior of the configuration, for a code book of so many codes.

    Raises:
        InputError: if the prior has other conditions than the examples, or is of other lengths.
    """
    check_codes(examples.codes, codes)
    classes = len(next(iter(examples.names.values()), ()))
    decided = {"codes": codes, "input_shape": examples.lengths, "classes": classes}
    model = models.create(config.model, **{**config.overrides, **decided})
    wanted = sorted({tensor.name for tensor in model.inputs} - {"codes"})
    if wanted != sorted(examples.conditions):
        raise InputError(
            f"Expected a prior of codes with the conditions {sorted(examples.conditions)}. Received {config.model!r}, "
            f"with {wanted}."
        )
    return model


def describe(
    config: PriorConfig, medium: str, autoencoder: Any, training: CodeSet, held_out: CodeSet
) -> dict[str, Any]:
    """The config.json of the run."""
    found = {
        "examples": len(training),
        "validation_examples": len(held_out),
        "lengths": list(training.lengths),
        "digests": [training.digest(), held_out.digest()],
    }
    return {
        "application": APPLICATION,
        "medium": PRIOR,
        "prior_of": medium,
        "autoencoder_digest": digest_of(autoencoder.model),
        "codes": autoencoder.model.get_layer("quantizer").code_count,
        "names": {name: list(classes) for name, classes in training.names.items()},
        **configuration.describe(config, DATA_FIELDS, found),
    }


def with_place_of(run_folder: str | os.PathLike, description: dict[str, Any]) -> dict[str, Any]:
    """The description, with the autoencoder where it was when the run in the folder began."""
    path = pathlib.Path(run_folder) / CONFIGURATION
    begun = read_json(path).get("data", {}) if path.exists() else {}
    place = begun.get("autoencoder", description["data"]["autoencoder"])
    return {**description, "data": {**description["data"], "autoencoder": place}}


def config_of(description: dict[str, Any]) -> PriorConfig:
    """The configuration that `describe` wrote into config.json."""
    return configuration.restore(PriorConfig, description, COMMAND)
