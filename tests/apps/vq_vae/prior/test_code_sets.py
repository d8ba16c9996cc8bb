"""Sets of codes: what they refuse, what is held out, and the batches of a training."""

import numpy as np
import pytest

from apps.vq_vae.prior.code_sets import CodeSet, batches, validation_batches
from tools.errors import InputError


def numbered_set(count=20, groups=None) -> CodeSet:
    codes = np.arange(count, dtype=np.int32)[:, None].repeat(3, axis=1)
    return CodeSet(codes, {"label": np.arange(count, dtype=np.int32) % 2}, {"label": ("even", "odd")}, groups)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"codes": np.zeros((2, 3))}, "integers (examples, *lengths). Received float64 (2, 3)"),
        ({"codes": np.zeros(4, int)}, "Received int64 (4,)"),
        ({"codes": np.zeros((0, 4), int)}, "Received int64 (0, 4)"),
        ({"conditions": {"label": np.zeros(3, int)}}, "label for 2 examples. Received 3"),
        ({"groups": np.zeros(1, int)}, "groups for 2 examples. Received 1"),
        ({"conditions": {"label": np.array([0, 2])}, "names": {"label": ("a", "b")}}, "less than 2. Received 2"),
        ({"conditions": {"label": np.array([0, -1])}, "names": {"label": ("a", "b")}}, "less than 2. Received -1"),
    ],
)
def test_refuses_what_does_not_fit(arguments, words):
    with pytest.raises(InputError) as caught:
        CodeSet(**{"codes": np.zeros((2, 3), int), **arguments})
    assert words in str(caught.value)


def test_what_is_held_out_is_not_trained_on():
    training, held_out = numbered_set().hold_out(6, seed=0)
    assert len(held_out) == 6 and len(training) == 14
    assert sorted([*training.codes[:, 0], *held_out.codes[:, 0]]) == list(range(20))
    for part in (training, held_out):
        np.testing.assert_array_equal(part.conditions["label"], part.codes[:, 0] % 2)
    again = numbered_set().hold_out(6, seed=0)[1]
    np.testing.assert_array_equal(again.codes, held_out.codes)
    assert not np.array_equal(numbered_set().hold_out(6, seed=1)[1].codes, held_out.codes)
    with pytest.raises(InputError, match="than the 20 held out"):
        numbered_set().hold_out(20, seed=0)


def test_groups_are_held_out_whole():
    training, held_out = numbered_set(groups=np.arange(20) // 5 + 7).hold_out(6, seed=3)
    assert len(held_out) == 10 and not set(training.groups) & set(held_out.groups)


def test_the_digest_knows_codes_and_conditions():
    first = numbered_set()
    assert first.digest() == numbered_set().digest()
    assert first.digest() != numbered_set(19).digest()
    assert first.digest() != CodeSet(first.codes, {"label": 1 - first.conditions["label"]}).digest()
    assert first.digest() != CodeSet(first.codes, {"speaker": first.conditions["label"]}).digest()


def test_batches_go_on_where_they_stopped():
    make = batches(numbered_set(), batch=4, steps_per_epoch=3, epochs=4, seed=0)
    whole, later = list(make(0)), list(make(2))
    assert (len(whole), len(later)) == (12, 6)
    for (inputs, targets), (other, _) in zip(whole[6:], later, strict=True):
        np.testing.assert_array_equal(inputs["codes"], other["codes"])
        np.testing.assert_array_equal(inputs["codes"], targets)
        np.testing.assert_array_equal(inputs["label"], inputs["codes"][:, 0] % 2)
    # Five batches of four are a pass: every example once.
    assert sorted(np.concatenate([inputs["codes"][:, 0] for inputs, _ in whole[:5]])) == list(range(20))


def test_validation_is_all_in_order():
    found = np.concatenate([inputs["codes"] for inputs, _ in validation_batches(numbered_set(), 8)])
    np.testing.assert_array_equal(found, numbered_set().codes)
