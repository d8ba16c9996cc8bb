"""Measures on cases that can be counted by hand, and their invariances."""

import numpy as np
import pytest

from tools.errors import InputError
from tools.metrics import classification_metrics, confusion


def one_hot(predicted, classes):
    return np.eye(classes, dtype="float32")[predicted]


def test_counted_by_hand():
    labels = np.array([0, 0, 0, 1])
    result = classification_metrics(one_hot([0, 0, 1, 1], 3), labels)
    assert result == {"top1": 0.75, "mean_class": pytest.approx((2 / 3 + 1) / 2)}
    assert confusion([0, 0, 1, 1], labels, 3).tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_top5_counts_the_five_most_probable():
    probabilities = np.tile(np.linspace(0.3, 0.1, 7), (7, 1))
    assert classification_metrics(probabilities, np.arange(7))["top5"] == pytest.approx(5 / 7)


def test_auc_is_the_share_of_pairs_in_order():
    generator = np.random.default_rng(1)
    score, labels = generator.random(40), generator.integers(0, 2, 40)
    pairs = [(a > b) for a in score[labels == 1] for b in score[labels == 0]]
    result = classification_metrics(np.stack([1 - score, score], 1), labels)
    assert result["auc"] == pytest.approx(np.mean(pairs))


def test_auc_needs_both_classes():
    assert "auc" not in classification_metrics(one_hot([0, 1], 2), np.array([0, 0]))


def test_intervals_hold_the_measure_and_depend_on_the_seed_alone():
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 2, 60)
    probabilities = generator.dirichlet([1, 1], 60)
    first, again, other = (classification_metrics(probabilities, labels, bootstrap=200, seed=s) for s in (5, 5, 6))
    assert first == again != other
    for name in ("top1", "mean_class", "auc"):
        low, high = first["intervals"][name]
        assert low < first[name] < high
    # A share p of n deviates by sqrt(p (1 - p) / n); 95 % are within 1.96 of them.
    half = 1.96 * np.sqrt(first["top1"] * (1 - first["top1"]) / 60)
    low, high = first["intervals"]["top1"]
    assert (high - low) / 2 == pytest.approx(half, rel=0.25)


def test_a_measure_that_no_resampling_defines_has_no_interval():
    # Of two examples the only resampling of seed 0 draws one twice: no AUC.
    result = classification_metrics(one_hot([0, 1], 2), np.array([0, 1]), bootstrap=1, seed=0)
    assert result["auc"] == 1.0 and set(result["intervals"]) == {"top1", "mean_class"}


def test_a_negative_number_of_resamplings_is_refused():
    with pytest.raises(InputError, match=r"bootstrap.*-5"):
        classification_metrics(one_hot([0, 1], 2), np.array([0, 1]), bootstrap=-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_probabilities_that_are_no_numbers_are_no_answer(value):
    # NaN everywhere would be "class 0", and right for every example of it.
    with pytest.raises(InputError, match=r"finite.*at index 1"):
        classification_metrics(np.array([[0.5, 0.5], [value, value]]), np.array([0, 0]))


def test_scikit_learn_agrees():
    from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score

    generator = np.random.default_rng(3)
    labels = np.concatenate([np.arange(8), generator.integers(0, 8, 100)])
    probabilities = generator.dirichlet(np.ones(8), 108)
    result = classification_metrics(probabilities, labels)
    assert result["mean_class"] == pytest.approx(balanced_accuracy_score(labels, probabilities.argmax(1)))
    assert result["top5"] == pytest.approx(top_k_accuracy_score(labels, probabilities, k=5))
