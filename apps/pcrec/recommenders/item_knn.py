"""Item-based nearest neighbours by the cosine of who met them (Sarwar et al. 2001; Deshpande and Karypis 2004)."""

from __future__ import annotations

import pathlib

import numpy as np
import scipy.sparse

from apps.pcrec.evaluation.ranking import chunks
from apps.pcrec.recommenders import ItemWeights
from tools.errors import InputError
from tools.files import read_arrays, replacing

SIMILARITIES = "similarities.npz"


class ItemKNN(ItemWeights):
    """`score(u, i) = sum over the items j that u met of similarity(j, i)`, of each j the nearest neighbours only.

    Args:
        similarities: float32 (items, items), a row for each j.
        train: (users, items).
    """

    kind = "item_knn"

    def __init__(self, similarities: scipy.sparse.csr_matrix, train: scipy.sparse.csr_matrix):
        self.similarities, self.train = similarities, train

    @classmethod
    def fit(cls, train: scipy.sparse.csr_matrix, *, neighbours: int = 200, shrinkage: float = 0.0) -> ItemKNN:
        """Finds the neighbours: `similarity(j, i) = |users of both| / (sqrt(|users of j| |users of i|) + shrinkage)`.

        Args:
            train: (users, items), ones.
            neighbours: kept of each item.
            shrinkage: weighs down what few users support.

        Raises:
            InputError: for a value out of range.
        """
        if neighbours < 1 or shrinkage < 0:
            raise InputError(
                f"Expected neighbours above 0 and shrinkage from 0. Received {neighbours} and {shrinkage}."
            )
        by_item = train.T.tocsr()
        items = by_item.shape[0]
        norm = np.sqrt(np.diff(by_item.indptr).astype("float32"))
        parts = []
        for piece in chunks(items, items):
            together = (by_item[piece] @ train).toarray()
            together[np.arange(len(together)), np.arange(piece.start, piece.stop)] = 0
            similar = together / np.maximum(norm[piece, None] * norm + np.float32(shrinkage), 1e-12)
            if neighbours < items:
                least = np.partition(similar, items - neighbours, axis=1)[:, items - neighbours, None]
                similar[similar < least] = 0
            parts.append(scipy.sparse.csr_matrix(similar))
        return cls(scipy.sparse.vstack(parts, format="csr"), train)

    @property
    def shape(self) -> tuple[int, int]:
        return self.train.shape[0], self.similarities.shape[0]

    def scores_of_rows(self, rows: scipy.sparse.csr_matrix) -> np.ndarray:
        return (rows @ self.similarities).toarray()

    def weights(self) -> np.ndarray:
        return self.similarities.toarray()

    def save(self, folder: pathlib.Path) -> None:
        matrix = self.similarities
        with replacing(folder / SIMILARITIES) as partial:
            np.savez(partial, data=matrix.data, indices=matrix.indices, indptr=matrix.indptr)

    @classmethod
    def load(cls, folder: pathlib.Path, train: scipy.sparse.csr_matrix) -> ItemKNN:
        names = ("data", "indices", "indptr")
        arrays = read_arrays(folder / SIMILARITIES, *names)
        items = len(arrays["indptr"]) - 1
        return cls(scipy.sparse.csr_matrix(tuple(arrays[name] for name in names), (items, items)), train)
