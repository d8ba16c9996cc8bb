"""The search: from X2D one axis at a time, by measured accuracy, until a target of compute is reached."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
import sys
from typing import Any

import keras
import numpy as np

from apps.action_recognition import training as trainings
from apps.action_recognition.data import VideoList
from apps.action_recognition.expansion.command import train_command
from apps.action_recognition.expansion.networks import AXES, MODEL, Cost, Network, Profiler, contracted, expanded
from apps.action_recognition.models.x3d import FC1_UNITS
from apps.action_recognition.runs import APPLICATION, read_config
from apps.action_recognition.training import TrainingConfig
from tools.errors import InputError
from tools.figures import draw_trade_off
from tools.files import read_json, write_json
from tools.training import check_free, open_run
from tools.training.configuration import digest
from tools.training.run_folder import compare

RESULT = "expansion.json"
PICTURE = "expansion.png"
CANDIDATES = "candidates"
# Beyond it the width alone grows to networks that no memory holds.
LARGEST_GROWTH = 10


@dataclasses.dataclass(frozen=True)
class ExpansionConfig:
    """Everything that decides the outcome of a search.

    Attributes:
        training: recipe of every candidate, the same for all; its model and frame rate are replaced by the
            candidate's, and its `overrides` are arguments that are none of the axes', such as dropout.
        target: multiply-adds of one clip.
        base: where the search begins.
        growth: factor of the multiply-adds of a step, above 1 and at most 10; the paper's is 2.
        fc1_units: channels of the layer before the classifier, which no axis changes; the paper's are 2048.
        seeds: trainings of a candidate, with the seeds from that of `training` on; the mean accuracy decides.
        contraction: take the last step back as far as needed for at most `target`.
    """

    training: TrainingConfig
    target: int
    base: Network = dataclasses.field(default_factory=Network)
    growth: float = 2.0
    fc1_units: int = FC1_UNITS
    seeds: int = 1
    contraction: bool = True

    def of(self, network: Network, seed: int = 0) -> TrainingConfig:
        """The training of a candidate, with the given number of seeds after the first."""
        return dataclasses.replace(
            self.training,
            model=MODEL,
            overrides={**self.training.overrides, **network.arguments(self.fc1_units)},
            frame_rate=network.frame_rate,
            seed=self.training.seed + seed,
        )


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A trained network.

    Attributes:
        step: of the search, from 1; 0 for the base.
        axis: on which it differs from where the step began; None for the base.
        network: its place on the axes.
        cost: what it holds and computes.
        accuracies: of the validation videos after the last epoch, one a seed.
        runs: run folders, one a seed.
        contraction: whether it is the last step taken back.
    """

    step: int
    axis: str | None
    network: Network
    cost: Cost
    accuracies: tuple[float, ...]
    runs: tuple[str, ...]
    contraction: bool = False

    @property
    def accuracy(self) -> float:
        """Mean over the seeds."""
        return sum(self.accuracies) / len(self.accuracies)

    @property
    def label(self) -> str:
        """What tells it apart in the picture."""
        return (self.axis or "base") + (", contracted" if self.contraction else "")

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "step": self.step,
            "axis": self.axis,
            "label": self.label,
            "contraction": self.contraction,
            "name": self.network.name,
            "axes": dataclasses.asdict(self.network),
            **dataclasses.asdict(self.cost),
            "accuracy": self.accuracy,
            "accuracies": list(self.accuracies),
            "runs": list(self.runs),
        }


def expand(config: ExpansionConfig, folder: str | os.PathLike, resume: bool = False) -> dict[str, Any]:
    """Searches, and leaves a folder with every candidate's run folder, expansion.json and expansion.png.

    Args:
        config: the whole configuration.
        folder: new, or with `resume` that of a search begun with the same configuration.
        resume: go on with an interrupted search; candidates that are finished are not trained again.

    Returns:
        What expansion.json holds: "candidates" and "path" (names of the chosen ones), in the order of the search,
        "found" (the network, with arguments and a command that trains it), "videos", "finished".

    Raises:
        InputError: if anything in the configuration is wrong, there are no validation videos, the folder is taken, or
            the configuration or the videos of the search to resume differ.
    """
    folder = pathlib.Path(folder)
    check(config)
    if not resume:
        check_free(folder)
    training, validation = trainings.load_data(config.training)
    if validation is None or not len(validation):
        raise InputError("Expected validation videos, by which the axes are chosen. Received none.")
    cost = Profiler(len(training.classes), config.fc1_units)
    _rehearse(config, cost, training, validation)
    open_run(folder, describe(config, training, validation), resume=resume)
    search = _Search(config, folder, cost, len(validation))
    search.run()
    search.draw()
    return search.write(finished=True)


def check(config: ExpansionConfig) -> None:
    """Raises an `InputError` for values that no later step checks."""
    trainings.check(config.of(config.base))
    taken = sorted(set(config.training.overrides) & set(config.base.arguments()))
    if taken:
        raise InputError(f"Expected no argument that the axes decide. Received {', '.join(taken)}.")
    if not 1 < config.growth <= LARGEST_GROWTH:
        raise InputError(f"Expected growth to be above 1 and at most {LARGEST_GROWTH}. Received {config.growth}.")
    if config.seeds < 1:
        raise InputError(f"Expected seeds to be at least 1. Received {config.seeds}.")


def describe(config: ExpansionConfig, *videos: VideoList) -> dict[str, Any]:
    """The config.json of the search."""
    return {
        "application": APPLICATION,
        "expansion": dataclasses.asdict(config),
        "found_videos": [len(part) for part in videos],
        "found_digest": digest([(part.paths, part.labels) for part in videos]),
    }


def config_of(folder: str | os.PathLike) -> ExpansionConfig:
    """The configuration of the search in a folder.

    Raises:
        InputError: if the folder holds none.
    """
    path = pathlib.Path(folder) / "config.json"
    values = read_json(path).get("expansion")
    try:
        return ExpansionConfig(
            **{**values, "training": TrainingConfig(**values["training"]), "base": Network(**values["base"])}
        )
    except (TypeError, KeyError):
        raise InputError(f"Expected {path} to be that of an expansion. Received another.") from None


def _rehearse(config: ExpansionConfig, cost: Profiler, training: VideoList, validation: VideoList) -> None:
    """Makes everything that the first training needs, so that what is wrong shows before a folder is made."""
    least = cost(config.base).multiply_adds
    if config.target <= least:
        raise InputError(
            f"Expected target_multiply_adds to be more than those of the base, {least:,}. Received {config.target:,}."
        )
    base = config.of(config.base)
    model = trainings.build(base, training.classes)
    trainings.compile_model(model, base, -(-len(training) // base.batch_size))
    trainings.streams(base, training, validation, trainings.clip_spec(base, model))
    keras.backend.clear_session()


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class _Search:
    """A search under way: the candidates measured so far, and those chosen."""

    def __init__(self, config: ExpansionConfig, folder: pathlib.Path, cost: Profiler, videos: int):
        self.config = config
        self.folder = folder
        self.cost = cost
        self.videos = videos
        self.candidates: list[Candidate] = []
        self.path: list[Candidate] = []

    def run(self) -> None:
        target = self.config.target
        base = self.cost(self.config.base).multiply_adds
        about = math.ceil(round(math.log(target / base, self.config.growth), 6))
        _tell(f"the base computes {base:,} multiply-adds; about {about} steps to {target:,}")
        self.path.append(self._measure(0, None, self.config.base))
        while self.path[-1].cost.multiply_adds < target:
            self._step(len(self.path), about)
        if self.config.contraction and self.path[-1].cost.multiply_adds > target:
            self._contract()

    def _step(self, step: int, about: int) -> None:
        begin = self.path[-1].network
        measured = []
        for axis in AXES:
            network = expanded(begin, axis, self.config.growth, self.cost)
            _tell(f"step {step} of about {max(about, step)}, axis {axis}: {network.name}")
            measured.append(self._measure(step, axis, network))
        # Of equally accurate networks the one that computes less.
        best = max(measured, key=lambda candidate: (candidate.accuracy, -candidate.cost.multiply_adds))
        self.path.append(best)
        self.draw()
        _tell(f"step {step}: {best.axis}, accuracy {best.accuracy:.4f}")

    def _contract(self) -> None:
        last, before = self.path[-1], self.path[-2]
        network = contracted(before.network, last.axis, last.network, self.config.target, self.cost)
        _tell(f"contraction of {last.axis}: {network.name}")
        if network == before.network:
            self.path.pop()
        else:
            self.path[-1] = self._measure(last.step, last.axis, network, contraction=True)

    def _measure(self, step: int, axis: str | None, network: Network, contraction: bool = False) -> Candidate:
        cost, runs, accuracies = self.cost(network), [], []
        for seed in range(self.config.seeds):
            training = self.config.of(network, seed)
            run = self.folder / CANDIDATES / f"{network.name}_seed{training.seed}"
            accuracies.append(_accuracy(training, run))
            runs.append(str(run.relative_to(self.folder)))
        candidate = Candidate(step, axis, network, cost, tuple(accuracies), tuple(runs), contraction)
        self.candidates.append(candidate)
        self.write()
        _tell(f"{network.name}: {cost.multiply_adds:,} multiply-adds, accuracy {candidate.accuracy:.4f}")
        return candidate

    def write(self, finished: bool = False) -> dict[str, Any]:
        """Writes expansion.json and returns what it holds."""
        document = {
            "target_multiply_adds": self.config.target,
            "validation_videos": self.videos,
            "finished": finished,
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "path": [candidate.network.name for candidate in self.path],
        }
        if finished:
            found = self.path[-1]
            training = self.config.of(found.network)
            document["found"] = {
                **found.to_dict(),
                "model": MODEL,
                "arguments": dict(training.overrides),
                "frame_rate": training.frame_rate,
                "train": train_command(training),
            }
        write_json(self.folder / RESULT, document)
        return document

    def draw(self) -> None:
        """Draws expansion.png."""
        draw_trade_off(
            *([(one.label, *self._point(one)) for one in some] for some in (self.candidates, self.path)),
            self.folder / PICTURE,
            cost="multiply-adds",
            value="validation accuracy",
        )

    def _point(self, candidate: Candidate) -> tuple[float, float, float]:
        """Cost, accuracy, and the latter's standard error: of the mean over the seeds, or of that many videos."""
        accuracy, several = candidate.accuracy, len(candidate.accuracies)
        if several > 1:
            error = float(np.std(candidate.accuracies, ddof=1)) / math.sqrt(several)
        else:
            error = math.sqrt(accuracy * (1 - accuracy) / self.videos)
        return candidate.cost.multiply_adds, accuracy, error


def _accuracy(config: TrainingConfig, run: pathlib.Path) -> float:
    """Accuracy on the validation videos after the last epoch: no epoch is chosen by them, the axis is."""
    if (run / "report.json").exists():
        begun = trainings.config_of(read_config(run))
        compare(*(json.loads(json.dumps(dataclasses.asdict(one))) for one in (begun, config)), run)
    else:
        trainings.train(config, run, resume=True)
        # Dozens of models follow each other in this process.
        keras.backend.clear_session()
    return read_json(run / "report.json")["history"][-1]["val_accuracy"]
