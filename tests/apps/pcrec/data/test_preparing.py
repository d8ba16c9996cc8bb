"""Filters, splits and the prepared folder, against tables made by hand."""

import json

import numpy as np
import pytest

from apps.pcrec.data import filtering, splitting
from apps.pcrec.data.prepared import read_prepared
from apps.pcrec.data.preparing import PrepareConfig, prepare
from tools.errors import InputError


def make(tmp_path, text, name="out", **fields):
    (tmp_path / "log.csv").write_text(text)
    told = []
    config = PrepareConfig(**{"log": str(tmp_path / "log.csv"), "user": "u", "item": "i", "negatives": 0, **fields})
    return prepare(config, tmp_path / name, told.append), told


def ids(prepared, name):
    part = prepared.part(name)
    return sorted(zip(prepared.users[part.user].tolist(), prepared.items[part.item].tolist(), strict=True))


LOG = "u,i,t\na,1,1\na,2,2\na,3,3\nb,1,9\nb,2,8\nb,3,7\nb,4,6\nc,5,1\nd,1,2\nd,6,1\n"


def test_leave_one_out_by_time(tmp_path):
    prepared, told = make(tmp_path, LOG, time="t")
    # The last tests and the one before validates; two rows give a test, one trains.
    assert ids(prepared, "test") == [("a", 3), ("b", 1), ("d", 1)]
    assert ids(prepared, "validation") == [("a", 2), ("b", 2)]
    assert ids(prepared, "train") == [("a", 1), ("b", 3), ("b", 4), ("c", 5), ("d", 6)]
    assert any("not in the order of their times" in line for line in told)
    assert "1 users have nothing to test: they train only" in told
    assert "validation: 2 rows are of items without training" in told
    statistics = prepared.description["statistics"]
    assert statistics["interactions"] == 10 and statistics["rows"] == {"train": 5, "validation": 2, "test": 3}
    assert statistics["time"] == [1.0, 9.0] and statistics["train_per_user"]["most"] == 2


def test_equal_times_go_by_the_order_of_the_file():
    part = splitting.leave_one_out(np.array([0, 0, 0]), np.array([5, 5, 5]), 0)
    assert part.tolist() == [splitting.TRAIN, splitting.VALIDATION, splitting.TEST]


def test_random_order_is_the_seed(tmp_path):
    user = np.repeat(np.arange(50), 6)
    first, again, other = (splitting.leave_one_out(user, None, seed) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()
    for part in (splitting.VALIDATION, splitting.TEST):
        assert np.bincount(user[first == part]).tolist() == [1] * 50


def test_ratio():
    user = np.repeat([0, 1, 2, 3], [10, 3, 2, 1])
    part = splitting.ratio(user, np.arange(16), (0.7, 0.1, 0.2), 0)
    assert part[:10].tolist() == [0] * 7 + [1] + [2] * 2
    assert part[10:13].tolist() == [0, 1, 2] and part[13:].tolist() == [0, 0, 0]


def test_temporal_keeps_equal_times_together():
    time = np.array([1, 2, 3, 4, 5, 6, 7, 8, 8, 10])
    assert splitting.temporal(time, (0.7, 0.1, 0.2)).tolist() == [0] * 7 + [2] * 3
    assert splitting.temporal(time, (0.6, 0.1, 0.3)).tolist() == [0] * 6 + [1] + [2] * 3


def test_k_core_repeats_until_nothing_changes():
    # Without item 9 user 3 has one row left, and with that gone item 2 has one.
    user = np.array([0, 0, 1, 1, 3, 3])
    item = np.array([0, 1, 0, 1, 2, 9])
    assert filtering.k_core(user, item, 2, 2).tolist() == [True, True, True, True, False, False]
    assert filtering.k_core(user, item, 1, 1).all()
    assert not filtering.k_core(user, item, 3, 1).any()


def test_repeated_pairs_keep_the_earliest(tmp_path):
    prepared, told = make(tmp_path, "u,i,t\na,1,5\na,1,2\na,2,3\na,3,4\n", time="t")
    assert any("1 rows repeat a user and an item" in line for line in told)
    assert ids(prepared, "train") == [("a", 1)] and ids(prepared, "test") == [("a", 3)]


def test_value_and_time_filters(tmp_path):
    text = "u,i,v,t\na,1,5,1\na,2,4,2\na,3,5,3\na,4,1,4\na,5,5,9\n"
    filters = {"minimum_value": 4, "maximum_time": 8}
    prepared, told = make(tmp_path, text, value="v", time="t", **filters)
    assert [ids(prepared, name) for name in ("train", "validation", "test")] == [[("a", 1)], [("a", 2)], [("a", 3)]]
    assert prepared.items.tolist() == [1, 2, 3]
    assert [line.split(": ")[1] for line in told[:2]] == [
        "1 rows are left out by their value",
        "1 rows are left out by their time",
    ]


@pytest.mark.parametrize("filters", [{"minimum_value": 4}, {"minimum_time": "6"}])
def test_a_repeated_pair_keeps_the_row_that_passes_the_filters(tmp_path, filters):
    text = "u,i,v,t\na,1,1,1\na,2,5,7\na,3,5,8\na,1,5,9\n"
    prepared, _ = make(tmp_path, text, value="v", time="t", **filters)
    assert [ids(prepared, name) for name in ("train", "validation", "test")] == [[("a", 2)], [("a", 3)], [("a", 1)]]


def test_bounds_of_dates(tmp_path):
    text = "u,i,t\n" + "".join(f"a,{day},2014-01-0{day} 12:00:00\n" for day in range(1, 7))
    prepared, told = make(tmp_path, text, time="t", minimum_time="2014-01-02", maximum_time="2014-01-05 13:00:00")
    assert prepared.items.tolist() == [2, 3, 4, 5] and any("2 rows are left out by their time" in line for line in told)
    for bound in ("20140102", 20140102, "soon"):
        with pytest.raises(InputError, match="--minimum-time to be a date"):
            make(tmp_path, text, "other", time="t", minimum_time=bound)
    with pytest.raises(InputError, match="--maximum-time to be a number"):
        make(tmp_path, LOG, "other", time="t", maximum_time="2014-01-02")


def test_an_order_that_is_drawn_is_told(tmp_path):
    line = "which rows of a user are held out is drawn"
    assert any(line in one for one in make(tmp_path, LOG, "a")[1])
    assert not any(
        line in one for one in make(tmp_path, LOG, "b", time="t")[1] + make(tmp_path, LOG, "c", order="random")[1]
    )


def test_given_parts(tmp_path):
    (tmp_path / "dev.csv").write_text("u,i\na,2\nb,1\n")
    (tmp_path / "test.csv").write_text("u,i\nb,9\na,1\na,7\n")
    files = {"validation": str(tmp_path / "dev.csv"), "test": str(tmp_path / "test.csv")}
    prepared, told = make(tmp_path, "u,i\na,1\nb,2\n", **files)
    # What trains already is not tested; the rows of a part keep the order of their file.
    assert prepared.users[prepared.test.user].tolist() == ["b", "a"]
    assert prepared.items[prepared.test.item].tolist() == [9, 7]
    assert "1 held-out rows are in an earlier part already and are left out" in told
    with pytest.raises(InputError, match="no filters"):
        make(tmp_path, "u,i\na,1\nb,2\n", "other", minimum_user=2, **files)


def test_the_folder_is_read_back(tmp_path):
    prepared, _ = make(tmp_path, LOG, time="t", negatives=2)
    again = read_prepared(tmp_path / "out")
    assert again.digest == prepared.digest and again.description == json.loads(json.dumps(prepared.description))
    assert again.users.tolist() == ["a", "b", "c", "d"] and again.items.dtype == "int64"
    for name in ("train", "validation", "test"):
        for key, array in prepared.part(name).arrays().items():
            np.testing.assert_array_equal(array, again.part(name).arrays()[key])
    matrix = again.matrix("train", "validation")
    assert matrix.shape == (4, 6) and matrix.sum() == 7 and matrix.has_sorted_indices
    assert not list(tmp_path.glob(".*"))


def test_a_changed_folder_is_refused(tmp_path):
    make(tmp_path, LOG, time="t")
    train = dict(np.load(tmp_path / "out" / "train.npz"))
    np.savez(tmp_path / "out" / "train.npz", **{**train, "item": train["item"][::-1]})
    with pytest.raises(InputError, match="a training part that was changed"):
        read_prepared(tmp_path / "out")
    np.savez(tmp_path / "out" / "train.npz", **train, more=train["item"])
    with pytest.raises(InputError, match="to hold user and item"):
        read_prepared(tmp_path / "out")
    np.savez(tmp_path / "out" / "train.npz", **train)
    read_prepared(tmp_path / "out")
    test = dict(np.load(tmp_path / "out" / "test.npz"))
    np.savez(tmp_path / "out" / "test.npz", **{**test, "item": test["item"][::-1]})
    with pytest.raises(InputError, match="a validation or test part that was changed"):
        read_prepared(tmp_path / "out")
    np.savez(tmp_path / "out" / "test.npz", user=test["user"])
    with pytest.raises(InputError, match="without item"):
        read_prepared(tmp_path / "out")
    with pytest.raises(InputError, match="no such folder"):
        read_prepared(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "fields", "words"),
    [
        ("u,i\na,1\nb,1\n", {}, "no user has three interactions"),
        (LOG, {"split": "temporal"}, "a column of times"),
        (LOG, {"split": "halves"}, "Expected split to be one of"),
        (LOG, {"split": "ratio", "shares": (0.8, 0.3, 0.1)}, "sum to 1"),
        (LOG, {"minimum_user": 5}, "that pass the filters"),
        (LOG, {"minimum_value": 3}, "Expected a column --value"),
        (LOG, {"order": "alphabet"}, "time or random"),
        (LOG, {"negatives": 99}, "Expected at most 2 negatives"),
        (LOG, {"negatives": 1, "negatives_rule": "best"}, "negatives-rule"),
        (LOG, {"test": "x.csv"}, "or neither"),
        (LOG, {"seed": -1}, "Expected seed"),
        ("u,i,t\na,1,1\nb,2,1\nc,3,1\n", {"split": "temporal", "time": "t"}, "too few times differ"),
    ],
)
def test_what_cannot_be_prepared(tmp_path, text, fields, words):
    with pytest.raises(InputError, match=words) as error:
        make(tmp_path, text, **fields)
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_holds_something_stays(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(InputError, match="Expected a new folder"):
        make(tmp_path, LOG)
    assert (tmp_path / "out" / "mine").read_text() == "x"
