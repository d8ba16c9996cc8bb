"""The folder of a trained recommender: everything that later verbs need of it.

config.json     how it was trained, and the digest of the prepared folder
summary.json    what kind of recommender it is
catalogue.npz   ids of users and items, what each user met in all parts (CSR), who trained, what is popular
report.json     what training found
vectors.npz, similarities.npz or ease.npz
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from typing import Any

import numpy as np

from apps.pcrec.data.prepared import APPLICATION, Prepared, read_prepared
from apps.pcrec.recommenders import Recommender, load_recommender
from tools.errors import InputError
from tools.files import read_arrays, read_json, replacing

SUMMARY = "summary.json"
REPORT = "report.json"
CATALOGUE = "catalogue.npz"
# Fitted, without seeds.
BASELINES = ("popularity", "item_knn", "ease")
_CATALOGUE = ("users", "items", "offsets", "met", "trained", "popularity")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """What is trained, and how.

    Attributes:
        prepared: the prepared folder.
        model: mf, lightgcn, popularity, item_knn or ease.
        channels: length of a vector, or None for that of the initial vectors, or 64 without any.
        learning_rate: of the optimizer.
        l2: weight of the squared vectors of a batch, or None for that of the model: 0.1 of mf, 0.0001 of lightgcn.
        batch_size: interactions in a step.
        negatives: drawn for each interaction.
        epochs: at most; 0 leaves initial vectors as they are.
        passes: over the interactions in an epoch, after which the validation part is ranked, or None for as many as
            make 1,000 steps.
        patience: epochs without improvement after which to stop.
        monitor: the measure on the validation part that chooses, as ndcg@10.
        protocol: full or stored: what validation ranks among.
        validation_users: rows of the validation part to rank, drawn once; 0 for all.
        initial: a file of vectors to begin with, or None.
        initial_form: given, centred, shuffled, random or degree (see `apps.pcrec.initial.form`).
        initial_norm: mean norm to which they are scaled, or None.
        initial_deviation: of the normal numbers to begin with otherwise, or None for that of the model: 0.01 of mf,
            0.1 of lightgcn.
        depth: steps of LightGCN's propagation.
        neighbours: of item_knn; each is tried.
        shrinkage: of item_knn; each is tried.
        ease_l2: of ease; each is tried.
        seed: of everything random.
    """

    prepared: str
    model: str = "mf"
    channels: int | None = None
    learning_rate: float = 0.001
    l2: float | None = None
    batch_size: int = 256
    negatives: int = 1
    epochs: int = 100
    passes: int | None = None
    patience: int = 5
    monitor: str = "ndcg@10"
    protocol: str = "full"
    validation_users: int = 20_000
    initial: str | None = None
    initial_form: str = "given"
    initial_norm: float | None = None
    initial_deviation: float | None = None
    depth: int = 3
    neighbours: tuple[int, ...] = (200, 1000)
    shrinkage: tuple[float, ...] = (0.0, 10.0)
    ease_l2: tuple[float, ...] = (50.0, 200.0, 500.0)
    seed: int = 0


def config_of(description: dict[str, Any]) -> TrainingConfig:
    """The configuration in a config.json.

    Raises:
        InputError: if it is of another version.
    """
    try:
        values = description["training"]
        return TrainingConfig(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"Expected the configuration of a run of this version. Received another: {error}.") from None


def write_catalogue(folder: pathlib.Path, prepared: Prepared) -> None:
    """Keeps ids of any type and everything that users met beside the model."""
    met = prepared.matrix("train", "validation", "test")
    trained = np.bincount(prepared.train.user, minlength=len(prepared.users)) > 0
    counts = np.bincount(prepared.train.item, minlength=len(prepared.items)).astype("float32")
    with replacing(folder / CATALOGUE) as partial:
        np.savez(
            partial,
            users=prepared.users,
            items=prepared.items,
            offsets=met.indptr.astype("int64"),
            met=met.indices.astype("int32"),
            trained=trained,
            popularity=counts,
        )


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained recommender.

    Attributes:
        path: the run folder.
        config: how it was trained.
        digest: of the prepared folder it was trained on.
        kind: of recommender.
        users: ids, sorted.
        items: ids, sorted.
        offsets: where each user's items begin in `met`, int64 (users + 1,).
        met: items that users met, in any part, int32.
        trained: whether each user has training interactions, bool (users,); of others nothing was learned.
        popularity: training interactions of each item, float32 (items,).
    """

    path: pathlib.Path
    config: TrainingConfig
    digest: str
    kind: str
    users: np.ndarray
    items: np.ndarray
    offsets: np.ndarray
    met: np.ndarray
    trained: np.ndarray
    popularity: np.ndarray

    def prepared(self, folder: str | os.PathLike | None = None) -> Prepared:
        """The prepared folder it was trained on, which may have moved.

        Raises:
            InputError: if it is another.
        """
        place = pathlib.Path(folder or self.config.prepared)
        if not place.is_dir():
            raise InputError(
                f"Expected the prepared folder of {self.path} in {place}. Received no such folder (--prepared tells "
                "where it is now)."
            )
        prepared = read_prepared(place)
        if prepared.digest != self.digest:
            raise InputError(
                f"Expected the prepared folder that {self.path} was trained on. Received {prepared.path}, another: "
                "were source and target swapped?"
            )
        return prepared

    def recommender(self, prepared: Prepared | None = None) -> Recommender:
        """The recommender; those that are no vectors need the prepared folder."""
        train = None if self.kind == "vectors" else (prepared or self.prepared()).matrix("train")
        recommender = load_recommender(self.kind, self.path, train)
        expected = (len(self.users), len(self.items))
        if recommender.shape != expected:
            raise InputError(
                f"Expected {self.path} to hold a recommender of {expected[0]} users and {expected[1]} items. "
                f"Received one of {recommender.shape[0]} and {recommender.shape[1]}."
            )
        return recommender

    @property
    def personal(self) -> bool:
        """Whether it answers each user differently."""
        return self.config.model != "popularity"

    def items_of(self, user: int) -> np.ndarray:
        """What the user of this index met."""
        return self.met[self.offsets[user] : self.offsets[user + 1]]


def load_run(path: str | os.PathLike) -> Run:
    """Reads a run folder that `finetune` wrote.

    Raises:
        InputError: if this is none, or its training has not ended.
    """
    folder = pathlib.Path(path)
    if not folder.is_dir():
        raise InputError(f"Expected a run folder. Received {folder}: {'a file' if folder.exists() else 'not found'}.")
    description = read_json(folder / "config.json")
    if description.get("application") != APPLICATION or description.get("kind") != "run":
        raise InputError(f"Expected a run that `kapps pcrec finetune` wrote. Received {folder}, of another command.")
    if not (folder / REPORT).exists():
        raise InputError(f"Expected a run whose training has ended. Received {folder}: no {REPORT} (--resume goes on).")
    digest = read_json(folder / "config.json", "training", "digest")["digest"]
    catalogue = read_arrays(folder / CATALOGUE, *_CATALOGUE)
    kind = read_json(folder / SUMMARY, "recommender")["recommender"]
    return Run(folder, config_of(description), digest, kind, **{name: catalogue[name] for name in _CATALOGUE})


def index_of(ids: np.ndarray, wanted: list[str] | np.ndarray) -> np.ndarray:
    """Places of ids given as text in the sorted ids, -1 for those that are not known, int64."""
    words = np.array([str(one) for one in wanted], dtype=str)
    if ids.dtype.kind != "U":
        numbers = np.full(len(words), np.iinfo("int64").min)
        for place, word in enumerate(words):
            # 007 is another word than 7.
            if re.fullmatch(r"0|-?[1-9][0-9]{0,18}", word) and abs(int(word)) < 2**63:
                numbers[place] = int(word)
        words = numbers
    place = np.minimum(np.searchsorted(ids, words), len(ids) - 1)
    return np.where(ids[place] == words, place, -1)
