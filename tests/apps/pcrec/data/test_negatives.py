"""Stored negatives: never met, distinct, seeded; and those of the published protocol."""

import numpy as np
import pytest

from apps.pcrec.data.negatives import Pairs, draw, rechorus, uniform
from tools.errors import InputError


@pytest.fixture
def known():
    generator = np.random.default_rng(3)
    return Pairs(generator.integers(0, 20, 150), generator.integers(0, 30, 150), 30)


def test_pairs(known):
    table = np.zeros((21, 30), bool)
    table[known.keys // 30, known.keys % 30] = True
    user, item = np.meshgrid(np.arange(21), np.arange(30), indexing="ij")
    np.testing.assert_array_equal(known.contain(user, item), table)
    assert not Pairs(np.zeros(0, int), np.zeros(0, int), 3).contain(np.array([0]), np.array([2])).any()


def test_uniform(known):
    user = np.tile(np.arange(20), 50)
    drawn = uniform(user, known, 10, (1,))
    assert not known.contain(user[:, None], drawn).any()
    assert (np.diff(np.sort(drawn, axis=1), axis=1) > 0).all()
    np.testing.assert_array_equal(drawn, uniform(user, known, 10, (1,)))
    # Each item that a user has not met comes as often as any other.
    free = np.flatnonzero(~known.contain(np.full(30, 4), np.arange(30)))
    counts = np.bincount(drawn[user == 4].ravel(), minlength=30)[free]
    assert np.abs(counts - 500 / len(free)).max() < 5 * np.sqrt(500 / len(free))


def test_the_published_draw_is_that_of_plain_loops(known):
    """The rule in the words of the protocol, cell by cell."""
    parts = [np.arange(20), np.arange(20)[::-1]]
    generator = np.random.RandomState(7)
    for part, drawn in zip(parts, rechorus(parts, known, 6, 7), strict=True):
        expected = generator.randint(1, 31, (20, 6))
        for row, user in enumerate(part):
            for column in range(6):
                while user * 30 + expected[row, column] - 1 in known.keys:
                    expected[row, column] = generator.randint(1, 31)
        np.testing.assert_array_equal(drawn + 1, expected)


def test_parts_have_draws_of_their_own(known):
    found = draw("uniform", np.arange(20), np.arange(20), known, 5, 0)
    assert set(found) == {"validation", "test"} and (found["test"] != found["validation"]).any()


def test_nearly_all_items_left_are_drawn_at_once():
    """Of 400 items 395 are wanted and 397 left: by trying, the last of each row would take hundreds of draws."""
    user = np.arange(300)
    known = Pairs(np.repeat(user, 3), np.tile([5, 7, 9], 300), 400)
    drawn = uniform(user, known, 395, (1,))
    assert not known.contain(user[:, None], drawn).any()
    assert (np.diff(np.sort(drawn, axis=1), axis=1) > 0).all()
    absent = np.array([np.setdiff1d(np.arange(400), [*row, 5, 7, 9]) for row in drawn])
    assert absent.shape == (300, 2) and len(np.unique(absent)) > 200


def test_too_many_negatives_are_refused():
    with pytest.raises(InputError, match=r"at most 2 negatives .--negatives."):
        uniform(np.array([0]), Pairs(np.zeros(3, int), np.arange(3), 5), 3, (1,))
