"""EASE: a linear model from the items of a user to all items, in closed form (Steck 2019)."""

from __future__ import annotations

import pathlib

import numpy as np
import scipy.linalg
import scipy.sparse

from apps.pcrec.recommenders import ItemWeights
from tools.errors import InputError
from tools.files import read_arrays, replacing

WEIGHTS = "ease.npz"
LARGEST = 30_000


class EASE(ItemWeights):
    """`scores = x - (x P) / diag(P)` with `P = (X'X + l2 I)^-1`, for the row x of each training user.

    With fewer users than items, `X P = (X X' + l2 I)^-1 X` is computed on the side of the users: the same numbers.

    Args:
        inverse: P, float32; or (X X' + l2 I)^-1 where `by_user`, float64: weights are small differences of it.
        diagonal: of P, float64 (items,).
        by_user: on which side the inverse is.
        l2: what was added to the diagonal.
        train: X, (users, items).
    """

    kind = "ease"

    def __init__(
        self, inverse: np.ndarray, diagonal: np.ndarray, by_user: bool, l2: float, train: scipy.sparse.csr_matrix
    ):
        self.inverse, self.diagonal, self.by_user, self.l2, self.train = inverse, diagonal, by_user, l2, train

    @classmethod
    def fit(cls, train: scipy.sparse.csr_matrix, *, l2: float = 200.0) -> EASE:
        """Inverts the smaller of the two Gram matrices.

        Args:
            train: X, (users, items), ones.
            l2: added to the diagonal.

        Raises:
            InputError: if `l2` is not above 0, or users and items are too many to invert.
        """
        if not 0 < l2 < float("inf"):
            raise InputError(f"Expected l2 above 0. Received {l2}.")
        users, items = train.shape
        if min(users, items) > LARGEST:
            raise InputError(f"Expected at most {LARGEST} users or items for EASE. Received {users} and {items}.")
        by_user = users < items
        gram = (train @ train.T if by_user else train.T @ train).toarray().astype("float64")
        gram[np.diag_indices_from(gram)] += l2
        factor, singular = scipy.linalg.lapack.dpotrf(gram, lower=1, overwrite_a=1)
        if singular:
            raise InputError(f"Expected an l2 that makes X'X + l2 I invertible. Received {l2}.")
        inverse, _ = scipy.linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
        # The upper half holds what was given.
        inverse = np.tril(inverse)
        inverse += np.tril(inverse, -1).T
        if not by_user:
            return cls(inverse.astype("float32"), np.diagonal(inverse).copy(), False, l2, train)
        # diag(P) = (1 - diag(X' K X)) / l2, with K the inverse of the users' side.
        by_item = train.tocsc()
        ends = zip(by_item.indptr[:-1], by_item.indptr[1:], strict=True)
        who = (by_item.indices[begin:end] for begin, end in ends)
        explained = np.array([inverse[np.ix_(met, met)].sum() for met in who])
        return cls(inverse, (1 - explained) / l2, True, l2, train)

    @property
    def shape(self) -> tuple[int, int]:
        return self.train.shape[0], len(self.diagonal)

    def scores(self, users: np.ndarray) -> np.ndarray:
        if not self.by_user:
            return super().scores(users)
        # Of a training user X P is a row of the inverse on the side of the users, times X.
        return self._without_own(self.train[users], (self.train.T @ self.inverse[users].T).T)

    def scores_of_rows(self, rows: scipy.sparse.csr_matrix) -> np.ndarray:
        return self._without_own(rows, self._projected(rows))

    def weights(self) -> np.ndarray:
        weights = self._projected(scipy.sparse.identity(self.shape[1], "float32", "csr")).astype("float32", copy=False)
        weights /= -self.diagonal.astype("float32")
        np.fill_diagonal(weights, 0)
        return weights

    def _projected(self, rows: scipy.sparse.csr_matrix) -> np.ndarray:
        """rows P, by Woodbury's identity where the inverse is on the side of the users."""
        if not self.by_user:
            return rows @ self.inverse
        explained = (self.train.T @ ((rows @ self.train.T) @ self.inverse).T).T
        return (rows.toarray() - explained) / self.l2

    def _without_own(self, rows: scipy.sparse.csr_matrix, projected: np.ndarray) -> np.ndarray:
        return (rows.toarray() - projected / self.diagonal).astype("float32")

    def save(self, folder: pathlib.Path) -> None:
        with replacing(folder / WEIGHTS) as partial:
            np.savez(
                partial,
                inverse=self.inverse,
                diagonal=self.diagonal,
                by_user=np.array(self.by_user),
                l2=np.array(self.l2),
            )

    @classmethod
    def load(cls, folder: pathlib.Path, train: scipy.sparse.csr_matrix) -> EASE:
        arrays = read_arrays(folder / WEIGHTS, "inverse", "diagonal", "by_user", "l2")
        return cls(arrays["inverse"], arrays["diagonal"], bool(arrays["by_user"]), float(arrays["l2"]), train)
