"""Recommenders whose score is the product of a vector of the user and one of the item: MF, LightGCN, popularity."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

import numpy as np

from apps.pcrec.recommenders import Recommender
from tools.errors import InputError
from tools.files import read_arrays, replacing

if TYPE_CHECKING:
    import scipy.sparse

VECTORS = "vectors.npz"


class Vectors(Recommender):
    """`score(u, i) = user_u . item_i`.

    Args:
        user: float32 (users, d).
        item: float32 (items, d).
    """

    kind = "vectors"

    def __init__(self, user: np.ndarray, item: np.ndarray):
        if user.ndim != 2 or item.ndim != 2 or user.shape[1] != item.shape[1]:
            raise InputError(f"Expected vectors (users, d) and (items, d). Received {user.shape} and {item.shape}.")
        self.user, self.item = np.ascontiguousarray(user, "float32"), np.ascontiguousarray(item, "float32")

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.user), len(self.item)

    def scores(self, users: np.ndarray) -> np.ndarray:
        return self.user[users] @ self.item.T

    def pair_scores(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        return np.einsum("rd,rnd->rn", self.user[users], self.item[items])

    def width(self, candidates: int) -> int:
        return candidates * self.item.shape[1]

    def save(self, folder: pathlib.Path) -> None:
        with replacing(folder / VECTORS) as partial:
            np.savez(partial, user=self.user, item=self.item)

    @classmethod
    def load(cls, folder: pathlib.Path, train: scipy.sparse.csr_matrix) -> Vectors:
        arrays = read_arrays(folder / VECTORS, "user", "item")
        return cls(arrays["user"], arrays["item"])


def popularity(train: scipy.sparse.csr_matrix) -> Vectors:
    """Every user gets the same: how many users met an item in training.

    Args:
        train: (users, items).
    """
    counts = np.bincount(train.indices, minlength=train.shape[1])
    return Vectors(np.ones((train.shape[0], 1), "float32"), counts[:, None].astype("float32"))
