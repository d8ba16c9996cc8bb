"""Recommendations from a run folder, in NumPy: what the served model answers, by a way of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from apps.pcrec.data.prepared import Prepared
from apps.pcrec.evaluation.ranking import top_items
from apps.pcrec.recommenders import ItemWeights, Recommender
from apps.pcrec.recommenders.vectors import Vectors
from apps.pcrec.runs import Run, index_of
from tools.errors import InputError


@dataclasses.dataclass(frozen=True)
class Answer:
    """What is recommended to one user.

    Attributes:
        asked: the user's id, or the items, as they were given.
        source: "user", "items" or "popularity": what the answer goes by.
        items: ids, best first; fewer than asked for where no more are left.
        scores: of each.
        unknown: those of the items asked with that nobody met in training, which the answer leaves aside.
    """

    asked: Any
    source: str
    items: list[Any]
    scores: list[float]
    unknown: list[str] = dataclasses.field(default_factory=list)


class Recommendations:
    """Answers for users and for lists of items.

    Args:
        run: a trained recommender.
        prepared: the folder it was trained on, if it has moved; needed only by what is no vectors.
    """

    def __init__(self, run: Run, prepared: Prepared | None = None):
        self.run = run
        self.recommender: Recommender = run.recommender(prepared)

    def for_users(
        self,
        users: Sequence[str],
        k: int,
        *,
        exclude: Sequence[str] = (),
        allow: Sequence[str] | None = None,
        keep_met: bool = False,
    ) -> list[Answer]:
        """The best k items that each user has not met; the most popular for a user nothing was learned of.

        Args:
            users: ids as text.
            k: how many.
            exclude: ids of items not to recommend.
            allow: ids of the only items to recommend, or None for all.
            keep_met: recommend what the user met, too.

        Raises:
            InputError: for a k beyond the catalogue, or an item that is not in it.
        """
        run, places = self.run, index_of(self.run.users, list(users))
        answers = []
        for asked, user in zip(users, places.tolist(), strict=True):
            scores = None
            if user >= 0 and run.trained[user] and run.personal:
                scores = self._unless_silent(self.recommender.scores(np.array([user]))[0].copy(), run.items_of(user))
            met = run.items_of(user) if user >= 0 and not keep_met else ()
            answers.append(self._answer(asked, "user", scores, met, k, exclude, allow))
        return answers

    def for_items(
        self, items: Sequence[str], k: int, *, exclude: Sequence[str] = (), allow: Sequence[str] | None = None
    ) -> Answer:
        """The best k items for somebody who met these: by fold-in, or the most popular ones where none is known.

        Items that nobody met in training tell nothing; those asked with are not answered with, either.

        Raises:
            InputError: as of `for_users`.
        """
        places = index_of(self.run.items, list(items))
        met = np.unique(places[places >= 0])
        told = (places >= 0) & (self.run.popularity[places] > 0)
        unknown = [str(item) for item, one in zip(items, told, strict=True) if not one]
        scores = None
        if told.any() and self.run.personal:
            scores = self._unless_silent(self._scores_of(np.unique(places[told])), met)
        answer = self._answer(list(items), "items", scores, met, k, exclude, allow)
        return dataclasses.replace(answer, unknown=unknown)

    def _unless_silent(self, scores: np.ndarray, met: np.ndarray) -> np.ndarray | None:
        """The scores, or None if they are weights of 0 for all but what was met: nothing links these to others."""
        others = np.ones(len(scores), bool)
        others[met] = False
        return None if isinstance(self.recommender, ItemWeights) and not scores[others].any() else scores

    def _scores_of(self, met: np.ndarray) -> np.ndarray:
        if isinstance(self.recommender, ItemWeights):
            import scipy.sparse

            row = scipy.sparse.csr_matrix((np.ones(len(met), "float32"), met, [0, len(met)]), (1, len(self.run.items)))
            return self.recommender.scores_of_rows(row)[0]
        return self.recommender.item @ folded(self.recommender, met, fold_in_matrix(self.recommender, self.run))

    def _answer(
        self,
        asked: Any,
        source: str,
        scores: np.ndarray | None,
        met: Any,
        k: int,
        exclude: Sequence[str],
        allow: Sequence[str] | None,
    ) -> Answer:
        ids = self.run.items
        if not 1 <= k <= len(ids):
            raise InputError(f"Expected k from 1 to the {len(ids)} items of the catalogue. Received {k}.")
        if scores is None:
            source, scores = "popularity", self.run.popularity.copy()
        scores[np.asarray(met, "int64")] = -np.inf
        scores[self._places(exclude)] = -np.inf
        if allow is not None:
            shut = np.ones(len(ids), bool)
            shut[self._places(allow)] = False
            scores[shut] = -np.inf
        best = top_items(scores[None], k)[0]
        best = best[np.isfinite(scores[best])]
        return Answer(asked, source, ids[best].tolist(), scores[best].tolist())

    def _places(self, items: Sequence[str]) -> np.ndarray:
        places = index_of(self.run.items, list(items)) if len(items) else np.zeros(0, "int64")
        if (places < 0).any():
            raise InputError(f"Expected items of the catalogue. Received {items[int(np.argmin(places))]!r}.")
        return places


# === fold-in ===


def fold_in_matrix(vectors: Vectors, run: Run, ridge: float = 1e-3) -> np.ndarray:
    """The matrix that turns what a user met into the user's vector, fitted to the users of the training.

    `vector = m' M`, where m is the sum of the vectors of the items met over the square root of their number, those that
    nobody met in training left out, and M minimises the squared difference to the trained vectors, plus `ridge` times
    the mean square of m for each of its entries.

    Returns:
        float32 (d, d).
    """
    import scipy.sparse

    learned = (run.popularity > 0).astype("float32")
    met = scipy.sparse.csr_matrix((learned[run.met], run.met, run.offsets), (len(run.users), len(run.items)))
    counts = met @ learned
    features = ((met @ vectors.item) / np.sqrt(np.maximum(counts, 1))[:, None])[run.trained]
    gram = (features.T @ features).astype("float64")
    gram[np.diag_indices_from(gram)] += ridge * max(np.trace(gram) / len(gram), 1e-12)
    return np.linalg.solve(gram, features.T @ vectors.user[run.trained]).astype("float32")


def folded(vectors: Vectors, met: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The vector of somebody who met these items, float32 (d,)."""
    return (vectors.item[met].sum(axis=0) / np.sqrt(len(met))) @ matrix
