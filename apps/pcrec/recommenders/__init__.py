"""What gives every item a score for every user, and how it is kept in a run folder."""

from __future__ import annotations

import abc
import importlib
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from tools.errors import InputError

if TYPE_CHECKING:
    import scipy.sparse

# Kind in the run's summary -> module and class.
_HOMES = {
    "vectors": ("apps.pcrec.recommenders.vectors", "Vectors"),
    "item_knn": ("apps.pcrec.recommenders.item_knn", "ItemKNN"),
    "ease": ("apps.pcrec.recommenders.ease", "EASE"),
}


class Recommender(abc.ABC):
    """Scores of items for users known from training."""

    kind: str

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """How many users and items it knows."""

    @abc.abstractmethod
    def scores(self, users: np.ndarray) -> np.ndarray:
        """Scores of all items, float32 (users, items), for the users of these indices."""

    @abc.abstractmethod
    def save(self, folder: pathlib.Path) -> None:
        """Writes what `load` needs."""

    @classmethod
    @abc.abstractmethod
    def load(cls, folder: pathlib.Path, train: scipy.sparse.csr_matrix) -> Recommender:
        """Reads what `save` wrote; `train` is the (users, items) matrix that it was trained on."""

    def pair_scores(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Scores of the given items, float32 (rows, n), of `users` (rows,) and `items` (rows, n)."""
        return np.take_along_axis(self.scores(users), items, axis=1)

    def width(self, candidates: int) -> int:
        """Numbers that `pair_scores` holds for a row of so many candidates."""
        raise NotImplementedError


class ItemWeights(Recommender):
    """`scores = x W`: x says which items somebody met, W what each of them speaks for; nothing for itself.

    Attributes:
        train: x of every user, (users, items).
    """

    train: scipy.sparse.csr_matrix

    def scores(self, users: np.ndarray) -> np.ndarray:
        return self.scores_of_rows(self.train[users])

    @abc.abstractmethod
    def scores_of_rows(self, rows: scipy.sparse.csr_matrix) -> np.ndarray:
        """Scores of all items, float32 (rows, items), for anybody who met the items of these rows of ones."""

    @abc.abstractmethod
    def weights(self) -> np.ndarray:
        """W, float32 (items, items), in full; its diagonal is 0."""

    def width(self, candidates: int) -> int:
        return self.shape[1]


def load_recommender(kind: str, folder: pathlib.Path, train: scipy.sparse.csr_matrix) -> Recommender:
    """The recommender of a run folder.

    Raises:
        InputError: for an unknown kind, or a file that is absent or damaged.
    """
    if kind not in _HOMES:
        raise InputError(f"Expected a recommender of {', '.join(_HOMES)} in {folder}. Received {kind!r}.")
    module, name = _HOMES[kind]
    return getattr(importlib.import_module(module), name).load(folder, train)
