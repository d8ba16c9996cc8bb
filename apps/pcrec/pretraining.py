"""`pretrain`: a graph encoder learns the shapes of surroundings in one log; `embed`: its vectors of another's nodes.

The interactions of the training part are a graph of users and items. Two random subgraphs around one node are a pair;
the encoder learns to tell the pair from subgraphs around others (GCC's momentum contrast). Nothing of the ids is
learned, so that the encoder answers for the nodes of any log.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from apps.pcrec.data.prepared import APPLICATION, Prepared, read_prepared
from apps.pcrec.models.gin import ContrastivePretraining, GINEncoder
from apps.pcrec.sampling.graph import Graph
from apps.pcrec.sampling.stream import embed, one_thread, pair_dataset
from apps.pcrec.sampling.views import ViewSampler
from keras_layers import losses
from tools.errors import InputError
from tools.files import read_json, replacing, write_json
from tools.training import Adam, fit, make_learning_rate, open_run

KIND = "pretraining"
ENCODER = "encoder.keras"
REPORT = "report.json"

# GCC's: the rate rises over this share of the steps, gradients are scaled to this norm at most, and weights decay.
WARM_UP_SHARE = 0.1
LARGEST_GRADIENT = 1.0
WEIGHT_DECAY = 1e-5


@dataclasses.dataclass(frozen=True)
class PretrainingConfig:
    """Everything that decides a pre-training. The defaults are GCC's but for the number of steps.

    Attributes:
        prepared: the prepared folder of the source; its training part is the graph.
        channels: length of a vector.
        units: width of the encoder.
        convolutions: of the encoder.
        dropout: of the vector of each depth.
        queue_size: keys of earlier batches that a pair is told from; at least `batch_size`.
        momentum: how much of itself the encoder of the keys keeps in a step.
        temperature: divides the similarities.
        learning_rate: highest rate of Adam; reached after a tenth of the steps, from where it falls to 0 in a line.
        batch_size: pairs in a step.
        steps_per_epoch: steps, after which the state is kept.
        epochs: how many.
        method: "walk" or "neighbourhood": how subgraphs are drawn.
        restart: probability that a walk ends after a step.
        budget: steps of all walks of a subgraph, or nodes of a neighbourhood at most.
        hops: longest walk (None for no limit), or radius of the neighbourhood.
        dimensions: positional features of a node.
        signs: of the positional features, "absolute" or "random".
        seed: of weights, dropout, queue and subgraphs.
    """

    prepared: str
    channels: int = 64
    units: int = 64
    convolutions: int = 4
    dropout: float = 0.5
    queue_size: int = 16384
    momentum: float = 0.999
    temperature: float = 0.07
    learning_rate: float = 0.005
    batch_size: int = 32
    steps_per_epoch: int = 100
    epochs: int = 20
    method: str = "walk"
    restart: float = 0.8
    budget: int = 256
    hops: int | None = None
    dimensions: int = 32
    signs: str = "absolute"
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """An encoder that was pre-trained.

    Attributes:
        path: the run folder.
        config: how it was trained.
        digest: of the prepared folder it was trained on.
        encoder: a `GINEncoder`.
    """

    path: pathlib.Path
    config: PretrainingConfig
    digest: str
    encoder: keras.Model


def pretrain(config: PretrainingConfig, run_folder: str | os.PathLike, *, resume: bool = False) -> dict[str, Any]:
    """Trains the encoder and writes the run folder.

    Args:
        config: what and how.
        run_folder: a new one, or with `resume` that of an interrupted run of the same configuration.
        resume: go on behind the last whole epoch.

    Returns:
        The report, which is in report.json too.

    Raises:
        InputError: if the configuration, the data or the run folder is wrong.
    """
    check(config)
    prepared = read_prepared(config.prepared)
    sampler = sampler_of(config, prepared)
    described = {"application": APPLICATION, "kind": KIND, "digest": prepared.digest}
    folder = open_run(run_folder, {**described, "pretraining": dataclasses.asdict(config)}, resume=resume)
    if resume and (folder / REPORT).exists():
        print(f"{folder}: the run is finished; nothing to do", file=sys.stderr)
        return read_json(folder / REPORT)
    encoder, model = _compiled(config)

    def remaining(done: int) -> Any:
        first, steps = done * config.steps_per_epoch, (config.epochs - done) * config.steps_per_epoch
        return pair_dataset(sampler, batch_size=config.batch_size, steps=steps, seed=config.seed, first_step=first)

    with one_thread():
        history = fit(
            model,
            remaining,
            steps_per_epoch=config.steps_per_epoch,
            epochs=config.epochs,
            run_folder=folder,
            monitor="loss",
            resume=resume,
        ).history
    with replacing(folder / ENCODER) as partial:
        encoder.save(partial)
    report = {
        "run": str(folder),
        "nodes": sampler.graph.nodes,
        "edges": sampler.graph.edges,
        "pairs": config.epochs * config.steps_per_epoch * config.batch_size,
        "loss": [round(row["loss"], 5) for row in history],
        "accuracy": [round(row["accuracy"], 5) for row in history],
        "by_chance": round(1 / (1 + config.queue_size), 8),
        "seconds": round(sum(row["seconds"] for row in history), 2),
    }
    write_json(folder / REPORT, report)
    return report


def _compiled(config: PretrainingConfig) -> tuple[keras.Model, keras.Model]:
    """The encoder, and the model that trains it."""
    encoder = make_encoder(config)
    model = ContrastivePretraining(
        encoder, queue_size=config.queue_size, momentum=config.momentum, seed=config.seed, name="pretraining"
    )
    rate = make_learning_rate(
        config.learning_rate,
        steps_per_epoch=config.steps_per_epoch,
        epochs=config.epochs,
        schedule="linear",
        warm_up_epochs=WARM_UP_SHARE * config.epochs,
    )
    model.compile(
        Adam(rate, l2=WEIGHT_DECAY, global_clipnorm=LARGEST_GRADIENT),
        losses.InfoNCE(config.temperature),
        metrics=["accuracy"],
    )
    return encoder, model


def make_encoder(config: PretrainingConfig) -> keras.Model:
    """The encoder before any training; the same seed gives the same weights."""
    keras.utils.set_random_seed(config.seed)
    return GINEncoder(
        input_shape=(config.dimensions,),
        classes=config.channels,
        units=config.units,
        convolutions=config.convolutions,
        dropout=config.dropout,
    )


def sampler_of(config: PretrainingConfig, prepared: Prepared) -> ViewSampler:
    """What draws subgraphs of the training part of a prepared folder, source or target."""
    train = prepared.train
    graph = Graph.bipartite(train.user, train.item, len(prepared.users), len(prepared.items))
    names = ("method", "restart", "budget", "hops", "dimensions", "signs")
    return ViewSampler(graph, **{name: getattr(config, name) for name in names})


def check(config: PretrainingConfig) -> None:
    """Raises an `InputError` for values that no later step checks before the run folder is made."""
    for name in ("channels", "units", "convolutions", "batch_size", "steps_per_epoch", "epochs"):
        if getattr(config, name) < 1:
            raise InputError(f"Expected {name} to be at least 1. Received {getattr(config, name)}.")
    if config.queue_size < config.batch_size:
        raise InputError(
            f"Expected queue_size to be at least the batch_size {config.batch_size}. Received {config.queue_size}."
        )
    for name in ("dropout", "momentum"):
        if not 0 <= getattr(config, name) < 1:
            raise InputError(f"Expected {name} from 0 to below 1. Received {getattr(config, name)}.")
    for name in ("temperature", "learning_rate"):
        if not 0 < getattr(config, name) < float("inf"):
            raise InputError(f"Expected {name} to be above 0. Received {getattr(config, name)}.")
    if config.seed < 0:
        raise InputError(f"Expected seed to be 0 or more. Received {config.seed}.")


def load_pretrained(path: str | os.PathLike) -> Pretrained:
    """Reads a run folder that `pretrain` wrote.

    Raises:
        InputError: if this is none, or its training has not ended.
    """
    folder = pathlib.Path(path)
    if not folder.is_dir():
        raise InputError(f"Expected a run folder. Received {folder}: {'a file' if folder.exists() else 'not found'}.")
    description = read_json(folder / "config.json")
    if description.get("application") != APPLICATION or description.get("kind") != KIND:
        raise InputError(f"Expected a run that `kapps pcrec pretrain` wrote. Received {folder}, of another command.")
    if not (folder / REPORT).exists():
        raise InputError(f"Expected a run whose training has ended. Received {folder}: no {REPORT} (--resume goes on).")
    config, digest = config_of(description), read_json(folder / "config.json", "digest")["digest"]
    try:
        encoder = keras.models.load_model(folder / ENCODER, compile=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"Expected {folder / ENCODER} to be an encoder. Received a file that is not: {error}."
        ) from None
    return Pretrained(folder, config, digest, encoder)


def config_of(description: dict[str, Any]) -> PretrainingConfig:
    """The configuration in a config.json.

    Raises:
        InputError: if it is of another version.
    """
    try:
        return PretrainingConfig(**description["pretraining"])
    except (KeyError, TypeError) as error:
        raise InputError(
            f"Expected the configuration of a pre-training of this version. Received another: {error}."
        ) from None


def node_vectors(
    encoder: keras.Model,
    config: PretrainingConfig,
    target: Prepared,
    *,
    views: int = 2,
    batch_size: int = 256,
    seed: int = 0,
    workers: int = 2,
    progress: Callable[[Any, int, str], Any] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of the users and of the items of a target, which are computed in streams.

    Args:
        encoder: pre-trained, or of `make_encoder`.
        config: how its subgraphs are drawn.
        target: a prepared folder; its training part is the graph.
        views: subgraphs of each node, whose vectors are averaged.
        batch_size: subgraphs that are made and encoded together.
        seed: of the subgraphs.
        workers: batches that are made at once.
        progress: as of `apps.pcrec.sampling.embed`.

    Returns:
        float32 (users, channels) and (items, channels).

    Raises:
        InputError: for a size below 1.
    """
    sampler = sampler_of(config, target)
    how = {"views": views, "batch_size": batch_size, "seed": seed, "workers": workers, "progress": progress}
    vectors = embed(encoder, sampler, **how)
    return vectors[: len(target.users)], vectors[len(target.users) :]
