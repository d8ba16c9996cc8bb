"""The baselines against their definitions with dense matrices, and after they were saved."""

import numpy as np
import pytest
import scipy.sparse

from apps.pcrec.evaluation import ranking
from apps.pcrec.recommenders import load_recommender
from apps.pcrec.recommenders.ease import EASE
from apps.pcrec.recommenders.item_knn import ItemKNN
from apps.pcrec.recommenders.vectors import Vectors, popularity
from tools.errors import InputError


def matrix(users, items, seed=0):
    return scipy.sparse.csr_matrix((np.random.default_rng(seed).random((users, items)) < 0.3).astype("float32"))


@pytest.mark.parametrize("shape", [(30, 12), (12, 30)])
@pytest.mark.parametrize("l2", [3.0, 0.1])
def test_ease_is_its_closed_form_on_either_side(shape, l2):
    train = matrix(*shape)
    x = train.toarray().astype("float64")
    inverse = np.linalg.inv(x.T @ x + l2 * np.eye(shape[1]))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    model = EASE.fit(train, l2=l2)
    assert model.by_user == (shape[0] < shape[1])
    np.testing.assert_allclose(model.scores(np.array([4, 0])), (x @ weights)[[4, 0]], atol=1e-5)
    np.testing.assert_allclose(model.weights(), weights, atol=1e-6)
    new = (np.random.default_rng(1).random((3, shape[1])) < 0.5).astype("float32")
    np.testing.assert_allclose(model.scores_of_rows(scipy.sparse.csr_matrix(new)), new @ weights, atol=1e-5)


@pytest.mark.parametrize("chunk", [12, 10_000])
def test_item_knn_is_the_cosine(monkeypatch, chunk):
    monkeypatch.setattr(ranking, "CHUNK_ELEMENTS", chunk)
    train = matrix(30, 12)
    x = train.toarray()
    norms = np.linalg.norm(x, axis=0)
    similar = (x.T @ x) / (np.outer(norms, norms) + 2)
    np.fill_diagonal(similar, 0)
    np.testing.assert_allclose(
        ItemKNN.fit(train, neighbours=12, shrinkage=2).scores(np.arange(30)), x @ similar, rtol=1e-5
    )
    least = np.sort(similar, axis=1)[:, -3:-2]
    few = np.where(similar >= least, similar, 0)
    model = ItemKNN.fit(train, neighbours=3, shrinkage=2)
    np.testing.assert_allclose(model.scores(np.arange(30)), x @ few, rtol=1e-5)
    np.testing.assert_allclose(model.weights(), few, rtol=1e-5)


def test_popularity_counts():
    train = matrix(30, 12)
    np.testing.assert_array_equal(popularity(train).scores(np.array([7])), train.sum(axis=0))


@pytest.mark.parametrize(
    "make",
    [popularity, EASE.fit, ItemKNN.fit, lambda train: Vectors(np.eye(12), np.eye(12))],
    ids=["popularity", "ease", "item_knn", "vectors"],
)
def test_saved_and_loaded(tmp_path, make):
    train = matrix(12, 12)
    model = make(train)
    model.save(tmp_path)
    again = load_recommender(model.kind, tmp_path, train)
    users = np.array([3, 1])
    np.testing.assert_array_equal(again.scores(users), model.scores(users))
    items = np.array([[0, 5, 11], [2, 2, 7]])
    expected = np.take_along_axis(model.scores(users), items, axis=1)
    np.testing.assert_allclose(model.pair_scores(users, items), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: EASE.fit(matrix(3, 3), l2=0), "l2 above 0"),
        (lambda: ItemKNN.fit(matrix(3, 3), neighbours=0), "neighbours above 0"),
        (lambda: Vectors(np.ones((2, 3)), np.ones((2, 4))), "Expected vectors"),
        (lambda: load_recommender("oracle", ".", None), "Received 'oracle'"),
    ],
)
def test_what_is_none(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_too_many_to_invert():
    big = scipy.sparse.csr_matrix((30_001, 30_002), dtype="float32")
    with pytest.raises(InputError, match="Expected at most 30000"):
        EASE.fit(big)
