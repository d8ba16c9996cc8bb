"""Recommendations: seen items never, k as asked, lists, and people nobody knows."""

import numpy as np
import pytest

from apps.pcrec.recommendation import Recommendations, fold_in_matrix, folded
from apps.pcrec.runs import index_of, load_run
from tools.errors import InputError


@pytest.fixture(scope="module")
def service(make_run):
    return Recommendations(load_run(make_run()))


def test_what_was_met_never_comes(service, prepared):
    met = prepared.matrix("train", "validation", "test").toarray() > 0
    for place, answer in enumerate(service.for_users(prepared.users.tolist(), 30)):
        items = index_of(prepared.items, answer.items)
        assert answer.source == "user" and not met[place, items].any()
        assert len(items) == (~met[place]).sum()
        scores = service.recommender.scores(np.array([place]))[0, items]
        assert answer.scores == scores.tolist() == sorted(scores.tolist(), reverse=True)


def test_lists_and_k(service, prepared):
    user = prepared.users[0]
    plain = service.for_users([user], 4)[0].items
    assert len(plain) == 4
    without = service.for_users([user], 4, exclude=[str(plain[0])])[0].items
    assert without[:3] == plain[1:]
    only = service.for_users([user], 4, allow=[str(plain[3]), str(plain[1])])[0].items
    assert only == [plain[1], plain[3]]
    everything = service.for_users([user], 30, keep_met=True)[0].items
    assert sorted(everything) == prepared.items.tolist()


def test_somebody_unknown_gets_what_is_popular(service, prepared):
    answer = service.for_users(["nobody"], 3)[0]
    counts = np.bincount(prepared.train.item, minlength=len(prepared.items))
    assert answer.source == "popularity" and answer.scores == sorted(counts, reverse=True)[:3]
    assert service.for_items(["12345", "x"], 3).source == "popularity"


def test_fold_in(make_run, prepared):
    """Somebody who met what a user met is answered much as that user is, though no vector was trained for them."""
    run = load_run(make_run(epochs=20, l2=0.001, initial_deviation=0.1))
    service = Recommendations(run)
    shared = []
    for place, user in enumerate(prepared.users):
        met = run.items[run.items_of(place)]
        answer = service.for_items([str(item) for item in met], 5)
        assert answer.source == "items" and not set(answer.items) & set(met.tolist())
        shared.append(len(set(answer.items) & set(service.for_users([user], 5)[0].items)))
    assert np.mean(shared) > 3


def test_the_map_recovers_vectors_that_are_a_map_of_the_items(make_run):
    run = load_run(make_run())
    vectors = run.recommender()
    true = np.random.default_rng(0).normal(size=(8, 8))
    features = [vectors.item[run.items_of(u)].sum(0) / np.sqrt(len(run.items_of(u))) for u in range(len(run.users))]
    vectors.user = (np.array(features) @ true).astype("float32")
    np.testing.assert_allclose(
        folded(vectors, run.items_of(5), fold_in_matrix(vectors, run, 1e-9)), vectors.user[5], rtol=1e-2, atol=1e-4
    )


def test_ids_of_any_type():
    numbers = np.array([-5, 3, 10])
    assert index_of(numbers, ["10", "-5", "x", "4", "3.0"]).tolist() == [2, 0, -1, -1, -1]
    assert index_of(np.array(["007", "b"]), ["b", "7", "007", "zz"]).tolist() == [1, -1, 0, -1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"k": 31}, "k from 1 to the 30 items"),
        ({"k": 0}, "k from 1"),
        ({"k": 3, "exclude": ["100", "9"]}, "items of the catalogue. Received '9'"),
        ({"k": 3, "allow": ["none"]}, "Received 'none'"),
    ],
)
def test_what_cannot_be_asked(service, arguments, words):
    with pytest.raises(InputError, match=words):
        service.for_users(["u00"], **arguments)


@pytest.mark.parametrize("model", ["ease", "item_knn"])
def test_weights_between_items_fold_in(make_run, prepared, model):
    """Somebody who met what a user met in training is answered as that user is."""
    service = Recommendations(load_run(make_run(model=model)))
    for place in (0, 7):
        met = prepared.items[prepared.train.item[prepared.train.user == place]]
        known = service.for_users([prepared.users[place]], 30, keep_met=True)[0]
        new = service.for_items([str(item) for item in met], 30)
        assert known.source == "user" and new.source == "items"
        scores = dict(zip(known.items, known.scores, strict=True))
        np.testing.assert_allclose(new.scores, [scores[item] for item in new.items], rtol=1e-4, atol=1e-6)


def test_popularity_says_so(make_run):
    service = Recommendations(load_run(make_run(model="popularity")))
    user, items = service.for_users(["u00"], 3)[0], service.for_items(["100"], 3)
    assert user.source == items.source == "popularity" and items.unknown == []
