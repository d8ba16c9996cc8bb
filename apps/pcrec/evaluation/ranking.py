"""Ranks of held-out items, in chunks of users: among the whole catalogue, or among stored negatives."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from apps.pcrec.data.prepared import Part
from apps.pcrec.evaluation import ties
from tools.errors import InputError

if TYPE_CHECKING:
    import scipy.sparse

    from apps.pcrec.recommenders import Recommender

# Scores held at once.
CHUNK_ELEMENTS = 8_000_000


@dataclasses.dataclass(frozen=True)
class Ranking:
    """What a recommender made of the held-out items.

    Attributes:
        user: of each held-out item, int (rows,).
        rank: of each, from 1, int64 (rows,).
        top: the best items of each user, best first, int32 (users, K), -1 where no more are candidates; or None where
            they are not defined.
    """

    user: np.ndarray
    rank: np.ndarray
    top: np.ndarray | None = None


def chunks(count: int, width: int) -> Iterator[slice]:
    """Slices of `count` rows, each of at most CHUNK_ELEMENTS elements in rows of `width`."""
    step = max(CHUNK_ELEMENTS // max(width, 1), 1)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def check_rule(rule: str, full: bool) -> None:
    """Raises an `InputError` for an unknown rule for ties."""
    allowed = ties.RULES[:3] if full else ties.RULES
    if rule not in allowed:
        raise InputError(f"Expected ties to be one of {', '.join(allowed)}. Received {rule!r}.")


def rank_all(
    recommender: Recommender,
    part: Part,
    masked: scipy.sparse.csr_matrix,
    *,
    rule: str = "pessimistic",
    top: int = 0,
) -> Ranking:
    """Ranks every held-out item among all items that the user did not meet in training.

    Args:
        recommender: gives the scores.
        part: held-out interactions.
        masked: (users, items): the pairs that are no candidates. A pair that is held out as well stays one.
        rule: for ties.
        top: how many of the best items of each user to return; 0 for none.

    Raises:
        InputError: for an unknown rule, or scores that are not finite.
    """
    check_rule(rule, full=True)
    order = np.argsort(part.user, kind="stable")
    user, item = part.user[order], part.item[order]
    users, starts, counts = np.unique(user, return_index=True, return_counts=True)
    ranks = np.empty(len(user), "int64")
    best = np.empty((len(users), min(top, masked.shape[1])), "int32") if top else None
    for piece in chunks(len(users), masked.shape[1]):
        scores = _scores(recommender, users[piece])
        begin, end = starts[piece][0], starts[piece][-1] + counts[piece][-1]
        rows = np.repeat(np.arange(len(scores)), counts[piece])
        held = scores[rows, item[begin:end]]
        known = masked[users[piece]]
        scores[np.repeat(np.arange(len(scores)), np.diff(known.indptr)), known.indices] = -np.inf
        scores[rows, item[begin:end]] = held
        ranks[begin:end] = _ranks(scores, rows, item[begin:end], held, rule)
        if top:
            best[piece] = top_items(scores, best.shape[1])
            best[piece][~np.isfinite(np.take_along_axis(scores, best[piece], axis=1))] = -1
    back = np.empty(len(order), "int64")
    back[order] = ranks
    return Ranking(part.user, back, best)


def rank_among_negatives(recommender: Recommender, part: Part, *, rule: str = "pessimistic") -> Ranking:
    """Ranks every held-out item among its stored negatives; a negative that is the item itself does not count.

    Raises:
        InputError: if no negatives are stored, the rule is unknown, or a score is not finite.
    """
    check_rule(rule, full=False)
    if part.negatives is None:
        raise InputError("Expected stored negatives (prepare --negatives 99). Received a prepared folder without.")
    ranks = np.empty(len(part), "int64")
    for piece in chunks(len(part), recommender.width(part.negatives.shape[1] + 1)):
        candidates = np.concatenate([part.item[piece][:, None], part.negatives[piece]], axis=1)
        scores = np.array(recommender.pair_scores(part.user[piece], candidates))
        if not np.isfinite(scores).all():
            raise InputError("Expected finite scores. Received others.")
        scores[:, 1:][candidates[:, 1:] == candidates[:, :1]] = -np.inf
        if rule == "quicksort":
            ranks[piece] = ties.quicksort_ranks(scores)
        else:
            before = scores[:, 1:] >= scores[:, :1] if rule == "pessimistic" else scores[:, 1:] > scores[:, :1]
            ranks[piece] = 1 + before.sum(axis=1)
    return Ranking(part.user, ranks)


def _scores(recommender: Recommender, users: np.ndarray) -> np.ndarray:
    scores = np.array(recommender.scores(users), "float32")
    if not np.isfinite(scores).all():
        raise InputError("Expected finite scores. Received others.")
    return scores


def _ranks(scores: np.ndarray, rows: np.ndarray, items: np.ndarray, held: np.ndarray, rule: str) -> np.ndarray:
    """Ranks of the held-out items; two of one user and score count as different places, in the order of the rows."""
    greater = np.empty(len(rows), "int64")
    before = np.zeros(len(rows), "int64")
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    for turn in range(place.max(initial=-1) + 1):
        chosen = np.flatnonzero(place == turn)
        own, of = scores[rows[chosen]] if turn else scores, held[chosen][:, None]
        greater[chosen] = _counts(own > of)
        if rule == "pessimistic":
            before[chosen] = _counts(own == of) - 1
        elif rule == "index":
            before[chosen] = _counts((own == of) & (np.arange(own.shape[1]) < items[chosen][:, None]))
    if rule == "index":
        return 1 + greater + before
    # Equal held-out items of one user: the others of the group are no candidates to lose against.
    order = np.lexsort((place, held, rows))
    same = np.zeros(len(rows), bool)
    same[1:] = (rows[order][1:] == rows[order][:-1]) & (held[order][1:] == held[order][:-1])
    group = np.cumsum(~same) - 1
    size = np.bincount(group)
    earlier = np.arange(len(rows)) - np.searchsorted(group, group)
    shift = np.empty(len(rows), "int64")
    shift[order] = earlier - (size[group] - 1 if rule == "pessimistic" else 0)
    return 1 + greater + before + shift


def _counts(mask: np.ndarray) -> np.ndarray:
    """How many are true in each row; counting row by row is several times as fast as a sum over the last axis."""
    return np.fromiter(map(np.count_nonzero, mask), "int64", len(mask))


def top_items(scores: np.ndarray, count: int) -> np.ndarray:
    """The `count` best items of each row, best first, of equal ones the lower index first, int32 (rows, count)."""
    if count < scores.shape[1]:
        chosen = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    else:
        chosen = np.tile(np.arange(scores.shape[1]), (len(scores), 1))
    chosen.sort(axis=1)
    values = np.take_along_axis(scores, chosen, axis=1)
    result = np.take_along_axis(chosen, np.argsort(-values, axis=1, kind="stable"), axis=1)
    least = values.min(axis=1, keepdims=True)
    # Where the last place is shared, the partition took any of those who share it.
    shared = np.flatnonzero(_counts(scores == least) > _counts(values == least))
    for row in shared:
        result[row] = np.argsort(-scores[row], kind="stable")[:count]
    return result.astype("int32")
