"""Every measure against a table worked out by hand."""

import numpy as np
import pytest

from apps.pcrec.evaluation.metrics import measure

LOG3 = 1 / np.log2(3)
# User 5 holds out items of rank 2, 1 and 9, user 7 one of rank 3, user 8 two that come last.
USER = np.array([5, 7, 5, 8, 5, 8])
RANK = np.array([2, 3, 1, 40, 9, 41])
IDEAL3 = 1 + LOG3 + 0.5
TABLE = {
    "recall@3": [2 / 3, 1, 0],
    "hr@3": [1, 1, 0],
    "ndcg@3": [(1 + LOG3) / IDEAL3, 0.5, 0],
    "mrr@3": [1, 1 / 3, 0],
    "map@3": [(1 + 1) / 3, 1 / 3, 0],
    "recall@10": [1, 1, 0],
    "hr@10": [1, 1, 0],
    "ndcg@10": [(1 + LOG3 + 1 / np.log2(10)) / IDEAL3, 0.5, 0],
    "mrr@10": [1, 1 / 3, 0],
    "map@10": [(1 + 1 + 3 / 9) / 3, 1 / 3, 0],
    "recall@1": [1 / 3, 0, 0],
    "hr@1": [1, 0, 0],
    "ndcg@1": [1, 0, 0],
    "mrr@1": [1, 0, 0],
    "map@1": [1, 0, 0],
}


@pytest.fixture(scope="module")
def measured():
    return measure(USER, RANK, (1, 3, 10))


@pytest.mark.parametrize("name", TABLE)
def test_by_hand(measured, name):
    users, values = measured
    assert users.tolist() == [5, 7, 8] and set(values) == set(TABLE)
    np.testing.assert_allclose(values[name], TABLE[name], atol=1e-12)


def test_with_one_item_recall_is_hr_and_map_is_mrr():
    values = measure(np.arange(50), np.random.default_rng(0).integers(1, 30, 50), (10,))[1]
    np.testing.assert_array_equal(values["recall@10"], values["hr@10"])
    np.testing.assert_allclose(values["map@10"], values["mrr@10"])
