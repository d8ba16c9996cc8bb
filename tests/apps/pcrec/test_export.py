"""The published recommender answers as the NumPy one, with words and with whole numbers, and refuses bad requests."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from apps.pcrec.data.preparing import PrepareConfig, prepare
from apps.pcrec.export import export, export_lite
from apps.pcrec.recommendation import Recommendations
from apps.pcrec.runs import TrainingConfig, load_run
from apps.pcrec.training import train
from tools.errors import InputError
from tools.lite import Runner


@pytest.fixture(scope="module")
def run(make_run):
    return load_run(make_run(epochs=20, l2=0.001, initial_deviation=0.1))


@pytest.fixture(scope="module")
def published(run, tmp_path_factory):
    return export(run, base=tmp_path_factory.mktemp("base"), name="small")


@pytest.fixture(scope="module")
def loaded(published):
    return tf.saved_model.load(str(published.path))


def ask(loaded, signature, **inputs):
    kinds = {"k": tf.int32, "user": tf.string}
    answer = loaded.signatures[signature](
        **{name: tf.constant(value, kinds.get(name, tf.int64)) for name, value in inputs.items()}
    )
    return {name: value.numpy() for name, value in answer.items()}


def rows(answer):
    """(item, score) pairs of each row, without what fills it up."""
    return [
        list(zip(items[:count].tolist(), scores[:count].tolist(), strict=True))
        for items, scores, count in zip(answer["item"], answer["score"], answer["count"], strict=True)
    ]


def same(answer, expected):
    for row, one in zip(rows(answer), expected, strict=True):
        assert [item for item, _ in row] == one.items
        np.testing.assert_allclose([score for _, score in row], one.scores, rtol=1e-5, atol=1e-6)


def test_every_user_is_answered_as_in_numpy(run, loaded):
    users = [*run.users.tolist(), "nobody"]
    expected = Recommendations(run).for_users(users, 30)
    answer = ask(loaded, "top_k", user=users, k=[30] * len(users))
    same(answer, expected)
    assert answer["source"].tolist() == [one.source.encode() for one in expected]
    # What fills a row up is the id that stands for none.
    assert (answer["item"][np.arange(30) >= answer["count"][:, None]] == -1).all()


def test_each_row_has_its_k(run, loaded):
    answer = ask(loaded, "top_k", user=["u01", "u02", "u03"], k=[1, 5, 3])
    assert answer["count"].tolist() == [1, 5, 3] and answer["item"].shape == (3, 5)
    same(answer, [Recommendations(run).for_users([u], k)[0] for u, k in (("u01", 1), ("u02", 5), ("u03", 3))])


def test_lists_are_each_rows_own(run, loaded):
    first = Recommendations(run).for_users(["u01"], 4)[0].items
    exclude = [[first[0], -1], [-1, 77777], [-1, -1]]
    allow = [[-1, -1], [-1, -1], [first[2], first[1]]]
    answer = ask(loaded, "serving_default", user=["u01"] * 3, k=[3] * 3, exclude=exclude, allow=allow)
    service = Recommendations(run)
    same(
        answer,
        [
            service.for_users(["u01"], 3, exclude=[str(first[0])])[0],
            service.for_users(["u01"], 3)[0],
            service.for_users(["u01"], 3, allow=[str(first[1]), str(first[2])])[0],
        ],
    )
    # Empty lists are none; an allow-list of nothing known leaves nothing.
    empty = np.zeros((1, 0), "int64")
    same(ask(loaded, "serving_default", user=["u01"], k=[3], exclude=empty, allow=empty), service.for_users(["u01"], 3))
    nothing = ask(loaded, "serving_default", user=["u01"], k=[3], exclude=empty, allow=[[77777]])
    assert nothing["count"].tolist() == [0] and nothing["item"].tolist() == [[-1] * 3]


def test_fold_in(run, loaded):
    items = [[101, 103, 101, 999], [999, -1, -1, -1], [100, 102, 104, 106]]
    none = np.full((3, 1), -1)
    answer = ask(loaded, "fold_in", items=items, k=[4] * 3, exclude=none, allow=none)
    service = Recommendations(run)
    same(answer, [service.for_items([str(item) for item in row], 4) for row in items])
    assert answer["source"].tolist() == [b"items", b"popularity", b"items"]


def test_similar_items(run, loaded):
    answer = ask(loaded, "similar_items", item=[100, 5], k=[3, 3])
    item = run.recommender().item
    directions = item / np.linalg.norm(item, axis=1, keepdims=True)
    cosine = directions @ directions[0]
    best = np.argsort(-cosine[1:])[:3] + 1
    assert answer["item"][0].tolist() == run.items[best].tolist() and answer["count"].tolist() == [3, 0]
    np.testing.assert_allclose(answer["score"][0], cosine[best], rtol=1e-5)


@pytest.mark.parametrize("k", [0, -1, 31])
def test_a_k_beyond_the_catalogue_is_refused(loaded, k):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected k"):
        ask(loaded, "top_k", user=["u00", "u01"], k=[3, k])


def test_the_card(published):
    card = json.loads((published.path / "assets.extra" / "model.json").read_text())
    assert card["users"] == 40 and card["items"] == 30 and card["none"] == -1 and card["parity"]["largest"] < 1e-5
    assert set(card["signatures"]) == {"serving_default", "top_k", "fold_in", "similar_items"}
    assert card["signatures"]["serving_default"]["inputs"]["user"]["dtype"] == "string"


def test_words_as_items_and_numbers_as_users(tmp_path):
    lines = [f"{user - 2},item {chr(97 + item)}" for user in range(6) for item in range(user % 3, 8, 2)]
    (tmp_path / "log.csv").write_text("user_id,item_id\n" + "\n".join(lines) + "\n")
    prepare(PrepareConfig(str(tmp_path / "log.csv"), negatives=0), tmp_path / "prepared", lambda line: None)
    config = TrainingConfig(prepared=str(tmp_path / "prepared"), model="popularity", monitor="hr@2")
    train(config, tmp_path / "run")
    run = load_run(tmp_path / "run")
    published = export(run, base=tmp_path / "base", name="popular")
    # One number an item has no direction: nothing is similar.
    assert set(published.report["signatures"]) == {"serving_default", "top_k", "fold_in"}
    loaded = tf.saved_model.load(str(published.path))
    answer = loaded.signatures["top_k"](user=tf.constant([-2, 3, 99], tf.int64), k=tf.constant([2, 2, 2]))
    expected = Recommendations(run).for_users(["-2", "3", "99"], 2)
    assert [[word.decode() for word in row] for row in answer["item"].numpy()] == [one.items for one in expected]
    assert answer["source"].numpy().tolist() == [b"popularity"] * 3
    none = tf.constant([[""]])
    answer = loaded.signatures["fold_in"](items=tf.constant([["item a"]]), k=tf.constant([2]), exclude=none, allow=none)
    assert answer["source"].numpy().tolist() == [b"popularity"]


def test_a_user_without_training_gets_what_is_popular(tmp_path):
    """Of a temporal split: the id is known, but the vector is what it began with."""
    lines = [f"{user},{item},{10 * item + user}" for user in range(5) for item in range(6) if item != user]
    lines += ["9,0,98", "9,1,99"]
    (tmp_path / "log.csv").write_text("user_id,item_id,time\n" + "\n".join(lines) + "\n")
    config = PrepareConfig(str(tmp_path / "log.csv"), time="time", split="temporal", negatives=0)
    prepare(config, tmp_path / "prepared", lambda line: None)
    train(TrainingConfig(prepared=str(tmp_path / "prepared"), epochs=1, monitor="hr@2"), tmp_path / "run")
    run = load_run(tmp_path / "run")
    expected = Recommendations(run).for_users(["9"], 6)[0]
    assert expected.source == "popularity" and sorted(expected.items) == [2, 3, 4, 5]
    loaded = tf.saved_model.load(str(export(run, base=tmp_path / "base", name="late").path))
    answer = loaded.signatures["top_k"](user=tf.constant([9], tf.int64), k=tf.constant([6]))
    assert answer["source"].numpy().tolist() == [b"popularity"] and rows(
        {name: value.numpy() for name, value in answer.items()}
    ) == [list(zip(expected.items, expected.scores, strict=True))]


@pytest.mark.parametrize("model", ["ease", "item_knn"])
def test_weights_between_items(make_run, tmp_path, model):
    run = load_run(make_run(model=model))
    published = export(run, base=tmp_path, name=model)
    loaded = tf.saved_model.load(str(published.path))
    service = Recommendations(run)
    users = [*run.users.tolist(), "nobody"]
    expected = service.for_users(users, 30)
    answer = ask(loaded, "top_k", user=users, k=[30] * len(users))
    same(answer, expected)
    assert answer["source"].tolist() == [one.source.encode() for one in expected] and expected[0].source == "user"
    items = [[101, 103, 101, 999], [999, -1, -1, -1], [100, 102, 104, 106]]
    none = np.full((3, 1), -1)
    answer = ask(loaded, "fold_in", items=items, k=[4] * 3, exclude=none, allow=none)
    same(answer, [service.for_items([str(item) for item in row], 4) for row in items])
    assert answer["source"].tolist() == [b"items", b"popularity", b"items"]
    weights = run.recommender().weights()[0]
    best = np.argsort(-weights, kind="stable")[: (weights > 0).sum()]
    answer = ask(loaded, "similar_items", item=[100, 5], k=[30, 30])
    assert answer["count"].tolist() == [len(best), 0]
    assert answer["item"][0, : len(best)].tolist() == run.items[best].tolist()
    np.testing.assert_allclose(answer["score"][0, : len(best)], weights[best], rtol=1e-6)
    card = json.loads((published.path / "assets.extra" / "model.json").read_text())
    assert card["source"] == f"{model}, weights between items" and card["parameters"] == np.count_nonzero(
        run.recommender().weights()
    )


def test_weights_whose_prepared_folder_moved(make_run, prepared, tmp_path):
    run = make_run(model="ease")
    moved, copy = tmp_path / "moved", tmp_path / "run"
    shutil.copytree(prepared.path, moved)
    shutil.copytree(run, copy)
    config = json.loads((copy / "config.json").read_text())
    config["training"]["prepared"] = str(tmp_path / "gone")
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="--prepared tells where"):
        export(load_run(copy), base=tmp_path / "base", name="moved")
    assert export(load_run(copy), base=tmp_path / "base", name="moved", prepared=moved).version == 1


@pytest.mark.parametrize("model", ["mf", "ease"])
def test_an_item_without_training_tells_nothing(tmp_path, model):
    """Of a temporal split: the item is known, but what it began with says nothing."""
    lines = [f"{user},{item},{10 * item + user}" for user in range(9) for item in range(6) if (item - user) % 3]
    lines += ["0,7,98", "1,7,99", "2,7,99"]
    (tmp_path / "log.csv").write_text("user_id,item_id,time\n" + "\n".join(lines) + "\n")
    config = PrepareConfig(str(tmp_path / "log.csv"), time="time", split="temporal", negatives=0)
    prepare(config, tmp_path / "prepared", lambda line: None)
    train(TrainingConfig(str(tmp_path / "prepared"), model=model, epochs=1, monitor="hr@2"), tmp_path / "run")
    run = load_run(tmp_path / "run")
    service = Recommendations(run)
    assert run.popularity[-1] == 0 and run.items[-1] == 7
    alone, beside, without = (service.for_items(items, k) for items, k in ((["7"], 5), (["7", "2"], 5), (["2"], 6)))
    assert alone.source == "popularity" and 7 not in alone.items
    assert beside.source == "items" and dict(zip(beside.items, beside.scores, strict=True)) == {
        item: score for item, score in zip(without.items, without.scores, strict=True) if item != 7
    }
    loaded = tf.saved_model.load(str(export(run, base=tmp_path / "base", name="late").path))
    none = np.full((2, 1), -1)
    answer = ask(loaded, "fold_in", items=[[7, -1], [7, 2]], k=[5, 5], exclude=none, allow=none)
    same(answer, [alone, beside])
    assert answer["source"].tolist() == [b"popularity", b"items"]
    assert alone.unknown == beside.unknown == ["7"]
    # It is near nothing, and nothing is near it.
    near = ask(loaded, "similar_items", item=[7, 2], k=[7, 7])
    assert near["count"][0] == 0 and 7 not in near["item"]


@pytest.mark.parametrize("model", ["ease", "item_knn"])
def test_where_nothing_links_what_was_met_to_others(tmp_path, model):
    """Users 8 and 9 met what nobody else did: every other item has a weight of 0, and the most popular come."""
    pairs = [(user, item) for user in range(6) for item in range(user % 3, user % 3 + 5)]
    alone = [(8, 50), (9, 60), (9, 61)]
    for name, rows in (("train", pairs + alone), ("validation", [(0, 7), (1, 0)]), ("test", [(0, 8), (1, 7), (8, 1)])):
        text = "user_id,item_id\n" + "".join(f"{user},{item}\n" for user, item in rows)
        (tmp_path / f"{name}.csv").write_text(text)
    config = PrepareConfig(
        str(tmp_path / "train.csv"),
        validation=str(tmp_path / "validation.csv"),
        test=str(tmp_path / "test.csv"),
        negatives=0,
    )
    prepare(config, tmp_path / "prepared", lambda line: None)
    train(TrainingConfig(str(tmp_path / "prepared"), model=model, monitor="hr@2"), tmp_path / "run")
    run = load_run(tmp_path / "run")
    # The weights are found on the side of the users.
    assert len(run.users) < len(run.items)
    service = Recommendations(run)
    expected = service.for_users(["0", "8", "9"], 4)
    assert [one.source for one in expected] == ["user", "popularity", "popularity"]
    assert 1 not in expected[1].items and expected[2].scores == sorted(run.popularity, reverse=True)[:4]
    loaded = tf.saved_model.load(str(export(run, base=tmp_path / "base", name=model).path))
    answer = loaded.signatures["top_k"](user=tf.constant([0, 8, 9], tf.int64), k=tf.constant([4, 4, 4]))
    answer = {name: value.numpy() for name, value in answer.items()}
    same(answer, expected)
    assert answer["source"].tolist() == [b"user", b"popularity", b"popularity"]
    none = np.full((3, 1), -1)
    items = [[50, -1], [60, 61], [50, 0]]
    answer = ask(loaded, "fold_in", items=items, k=[4, 4, 4], exclude=none, allow=none)
    expected = [service.for_items([str(item) for item in row if item >= 0], 4) for row in items]
    same(answer, expected)
    assert [one.source for one in expected] == ["popularity", "popularity", "items"]
    assert answer["source"].tolist() == [one.source.encode() for one in expected]


def test_what_cannot_be_exported(make_run, run, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("apps.pcrec.scorers.MOST_WEIGHED_ITEMS", 29)
        with pytest.raises(InputError, match="Expected at most 29 items to publish weights"):
            export(load_run(make_run(model="item_knn")), base=tmp_path, name="knn")
    with pytest.raises(InputError, match=r"mf, lightgcn or popularity for a LiteRT file\. Received ease"):
        export_lite(load_run(make_run(model="ease")), tmp_path, "ease", "float32", 3, 4, print)
    with pytest.raises(InputError, match="Expected a precision"):
        export_lite(run, tmp_path, "small", "int8", 3, 4, print)
    with pytest.raises(InputError, match="k from 1 to 30"):
        export_lite(run, tmp_path, "small", "float32", 31, 4, print)
    assert not list(tmp_path.iterdir())


def test_lite(run, tmp_path):
    report = export_lite(run, tmp_path, "small", "float32", 5, 20, lambda line: None)["report"]
    assert report["agreement"]["item"]["max_abs_difference"] == 0
    assert report["agreement"]["score"]["max_abs_difference"] < 1e-5
    runner = Runner(tmp_path / "small_float32.tflite")
    expected = Recommendations(run).for_users(run.users.tolist(), 5)
    left_out = np.full((len(run.users), 20), -1, "int32")
    for row in range(len(run.users)):
        left_out[row, : len(run.items_of(row))] = run.items_of(row)
    answer = runner({"user": np.arange(len(run.users), dtype="int32"), "exclude": left_out})
    ids = np.load(tmp_path / "small_ids.npz")["items"]
    assert ids[answer["item"]].tolist() == [one.items for one in expected]
    np.testing.assert_allclose(answer["score"], [one.scores for one in expected], rtol=1e-4, atol=1e-5)


def test_lite_answers_with_minus_one_where_nothing_is_left(run, tmp_path):
    export_lite(run, tmp_path, "small", "float32", 5, 28, lambda line: None)
    answer = Runner(tmp_path / "small_float32.tflite")(
        {"user": np.array([3], "int32"), "exclude": np.arange(28, dtype="int32")[None]}
    )
    assert sorted(answer["item"][0].tolist()) == [-1, -1, -1, 28, 29] and set(answer["item"][0, :2]) == {28, 29}
