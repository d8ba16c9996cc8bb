"""Ranks against sorting in plain Python, for every rule, with ties, masks and several held-out items."""

import numpy as np
import pytest
import scipy.sparse

from apps.pcrec.data.prepared import Part
from apps.pcrec.evaluation import ranking, ties
from apps.pcrec.evaluation.ranking import rank_all, rank_among_negatives, top_items
from apps.pcrec.recommenders import Recommender
from tools.errors import InputError


class Given(Recommender):
    """Scores from a table."""

    kind = "given"

    def __init__(self, table):
        self.table = np.asarray(table, "float32")

    @property
    def shape(self):
        return self.table.shape

    def scores(self, users):
        return self.table[users]

    def width(self, candidates):
        return self.table.shape[1]

    def save(self, folder):
        raise NotImplementedError

    @classmethod
    def load(cls, folder, train):
        raise NotImplementedError


def by_sorting(scores, held, masked, rule):
    """Ranks of the held-out items of one user, in the order they are given."""
    tie = {"pessimistic": lambda item: item in held, "optimistic": lambda item: item not in held, "index": int}[rule]
    place = {item: number for number, item in enumerate(held)}
    candidates = [item for item in range(len(scores)) if item not in masked or item in held]
    order = sorted(candidates, key=lambda item: (-scores[item], tie(item), place.get(item, 0)))
    return [order.index(item) + 1 for item in held]


@pytest.mark.parametrize("rule", ties.RULES[:3])
@pytest.mark.parametrize("chunk", [10, 1000])
def test_full_ranking(monkeypatch, rule, chunk):
    monkeypatch.setattr(ranking, "CHUNK_ELEMENTS", chunk)
    generator = np.random.default_rng(1)
    users, items = 12, 10
    # Few values, so that ties are everywhere.
    scores = generator.integers(0, 4, (users, items)).astype("float32")
    masked = generator.random((users, items)) < 0.3
    held = {user: generator.permutation(items)[: 1 + user % 4].tolist() for user in range(users) if user != 3}
    rows = generator.permutation([(user, place) for user in held for place in range(len(held[user]))])
    # Items of a user keep their order, as the rule for equal held-out items goes by it.
    rows = rows[np.argsort(rows[:, 1], kind="stable")]
    user = rows[:, 0]
    part = Part(user.astype("int32"), np.array([held[u][p] for u, p in rows], "int32"))
    found = rank_all(Given(scores), part, scipy.sparse.csr_matrix(masked.astype("float32")), rule=rule, top=5)
    for one in held:
        expected = by_sorting(scores[one], held[one], set(np.flatnonzero(masked[one])), rule)
        assert found.rank[user == one].tolist() == expected, one
    for row, one in enumerate(sorted(held)):
        left = [i for i in range(items) if not masked[one, i] or i in held[one]]
        best = sorted(left, key=lambda i: (-scores[one, i], i))[:5]
        assert found.top[row].tolist() == best + [-1] * (5 - len(best))


@pytest.mark.parametrize("rule", ["pessimistic", "optimistic", "index", "quicksort"])
def test_stored_negatives(rule):
    table = [[5, 1, 1, 0, 9, 1, 1], [2, 2, 2, 2, 2, 2, 2]]
    negatives = np.array([[1, 2, 3, 4], [1, 2, 3, 0]], "int32")
    part = Part(np.array([0, 1], "int32"), np.array([5, 6], "int32"), negatives=negatives)
    found = rank_among_negatives(Given(table), part, rule=rule).rank.tolist()
    # Of few candidates quicksort leaves equal ones as they were: the held-out item first.
    assert found == ([4, 5] if rule == "pessimistic" else [2, 1])


def test_a_negative_that_is_the_item_does_not_count():
    part = Part(np.array([0], "int32"), np.array([1], "int32"), negatives=np.array([[1, 1, 2]], "int32"))
    assert rank_among_negatives(Given([[0, 3, 3]]), part).rank.tolist() == [2]


def test_quicksort_sorts():
    generator = np.random.default_rng(0)
    for length in (0, 1, 2, 17, 18, 40, 100, 333):
        keys = generator.integers(0, max(length // 3, 1), length).astype(float).tolist()
        order = ties.quicksort_order(keys)
        assert sorted(order) == list(range(length)) and [keys[i] for i in order] == sorted(keys)
    distinct = generator.permutation(100).astype(float)
    assert ties.quicksort_order(distinct.tolist()) == np.argsort(distinct).tolist()


def test_quicksort_of_equal_keys_by_hand():
    """18 equal keys: both cursors stop at every key, so each step swaps, and the halves are then sorted in place."""
    order = ties.quicksort_order([1.0] * 18)
    # The median of three moves no key; the pivot 8 goes to place 16, and from both ends 1 <-> 15, 2 <-> 14, ... 7 <-> 9
    # change places; the cursors meet at place 8, where the pivot returns and what stood there goes to 16.
    assert order == [0, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 16, 17]


def test_top_items_of_equal_scores():
    scores = np.array([[1, 3, 3, 3, 2], [0, 0, 0, 0, 0], [5, 4, 3, 2, 1]], "float32")
    assert top_items(scores, 2).tolist() == [[1, 2], [0, 1], [0, 1]]
    assert top_items(scores, 5).tolist() == [[1, 2, 3, 4, 0], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]


def test_what_cannot_be_ranked():
    part = Part(np.array([0], "int32"), np.array([0], "int32"))
    empty = scipy.sparse.csr_matrix((1, 2), dtype="float32")
    with pytest.raises(InputError, match="finite scores"):
        rank_all(Given([[np.nan, 1]]), part, empty)
    with pytest.raises(InputError, match=r"ties to be one of pessimistic, optimistic, index\. Received 'quicksort'"):
        rank_all(Given([[0, 1]]), part, empty, rule="quicksort")
    with pytest.raises(InputError, match="Expected stored negatives"):
        rank_among_negatives(Given([[0, 1]]), part)
