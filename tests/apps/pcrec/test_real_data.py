"""Grocery by the published protocol: popularity is the published row, and matrix factorisation is well tuned."""

import numpy as np
import pytest

from apps.pcrec.data.preparing import PrepareConfig, prepare
from apps.pcrec.evaluation.protocol import evaluate
from apps.pcrec.recommenders.vectors import popularity

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def grocery(real_data, tmp_path_factory):
    files = [
        str(real_data / "recommendation" / "grocery_and_gourmet_food" / f"{n}.csv") for n in ("train", "dev", "test")
    ]
    config = PrepareConfig(*files, time="time", negatives_rule="rechorus")
    return prepare(config, tmp_path_factory.mktemp("grocery") / "prepared", lambda line: None)


def test_the_log_is_the_published_one(grocery):
    found = grocery.description["statistics"]
    assert (found["users"], found["items"], found["interactions"]) == (14_681, 8_713, 151_254)
    assert found["rows"] == {"train": 121_892, "validation": 14_681, "test": 14_681}
    assert (found["validation"]["rows_of_unseen_items"], found["test"]["rows_of_unseen_items"]) == (54, 170)
    # The heads that the protocol's own notebook prints.
    negatives = grocery.items[grocery.test.negatives]
    assert negatives[0, :7].tolist() == [2733, 3265, 4860, 7892, 4374, 5875, 6745]
    assert negatives[1, :4].tolist() == [1209, 2493, 771, 8287] and negatives[2, :4].tolist() == [
        5394,
        4318,
        4606,
        2563,
    ]
    assert np.stack([grocery.users[grocery.test.user], grocery.items[grocery.test.item]], 1)[:3].tolist() == [
        [6185, 762],
        [3299, 1096],
        [12801, 319],
    ]


@pytest.mark.parametrize(
    ("ties", "hr", "ndcg"),
    [
        ("quicksort", 0.2065, 0.1301),  # the published row
        ("optimistic", 0.2072, 0.1305),
        ("pessimistic", 0.2031, 0.1281),
    ],
)
def test_popularity_among_stored_negatives(grocery, ties, hr, ndcg):
    result = evaluate(popularity(grocery.matrix("train")), grocery, protocol="stored", cutoffs=(5,), ties=ties)
    assert result.document["measures"]["hr@5"] == pytest.approx(hr, abs=5e-5)
    assert result.document["measures"]["ndcg@5"] == pytest.approx(ndcg, abs=5e-5)


def test_popularity_in_the_full_ranking(grocery):
    found = evaluate(popularity(grocery.matrix("train")), grocery, cutoffs=(10, 20)).document["measures"]
    expected = {"hr@10": 0.0076, "ndcg@10": 0.0039, "hr@20": 0.0139, "ndcg@20": 0.0055}
    assert {name: round(found[name], 4) for name in expected} == expected


@pytest.mark.slow
def test_matrix_factorisation_is_well_tuned(grocery, tmp_path):
    """At least the plain run in PyTorch of the same files: HR@5 0.3525, NDCG@5 0.2447."""
    from apps.pcrec.runs import TrainingConfig, load_run
    from apps.pcrec.training import train

    config = TrainingConfig(prepared=str(grocery.path), monitor="ndcg@5", protocol="stored")
    report = train(config, tmp_path / "run")
    found = evaluate(load_run(tmp_path / "run").recommender(), grocery, protocol="stored", cutoffs=(5,))
    assert found.document["measures"]["hr@5"] > 0.3525 and found.document["measures"]["ndcg@5"] > 0.2447
    assert report["seconds_per_pass"] > 0
