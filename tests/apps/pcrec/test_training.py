"""Triples, the sparse optimizer, and runs: they learn, resume bit for bit, and refuse what cannot be."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.pcrec import initial, models
from apps.pcrec.data.prepared import Part
from apps.pcrec.evaluation.protocol import Monitor, evaluate
from apps.pcrec.runs import TrainingConfig, config_of, load_run
from apps.pcrec.sparse_adam import SparseAdam
from apps.pcrec.training import completed, train
from apps.pcrec.triples import Triples, schedule
from keras_layers import losses
from tools.errors import InputError


def test_schedule_is_whole_calls():
    for rows, batch, passes in ((121_892, 256, 1), (10, 3, 2), (5, 100, 1), (1000, 1, 1)):
        plan = schedule(rows, batch, passes)
        assert plan.steps % plan.together == 0 and plan.together <= 64
        wanted = rows * passes / plan.batch_size
        assert wanted <= plan.steps < wanted + 1 + plan.steps / plan.together


def test_an_epoch_takes_every_row_and_nothing_met(prepared):
    plan = schedule(len(prepared.train), 16, 2)
    triples = Triples(prepared.train, len(prepared.items), 3, plan, seed=4)
    user, items = (np.concatenate(parts) for parts in zip(*triples.chunks(0), strict=True))
    user, items = user.ravel(), items.reshape(-1, 4)
    assert len(user) == plan.steps * 16
    met = prepared.matrix("train").toarray() > 0
    assert met[user, items[:, 0]].all() and not met[user[:, None], items[:, 1:]].any()
    rows = len(prepared.train)
    for begin in (0, rows):
        pairs = np.stack([user, items[:, 0]], axis=1)[begin : begin + rows]
        assert len(np.unique(pairs, axis=0)) == rows
    again = next(triples.chunks(0))
    np.testing.assert_array_equal(again[1].reshape(-1, 4), items)
    assert (next(triples.chunks(1))[1] != again[1]).any()


def test_somebody_who_met_everything_has_no_negatives():
    part = Part(np.zeros(3, "int32"), np.arange(3, dtype="int32"))
    with pytest.raises(InputError, match="who did not meet all 3"):
        Triples(part, 3, 1, schedule(3, 2, 1), 0)


def test_sparse_adam_is_adam_on_the_rows_with_a_gradient():
    """Where every row has a gradient in every step the two are one; a row without stays as it is."""
    tables = [keras.Variable(np.random.default_rng(0).normal(size=(4, 3)).astype("float32")) for _ in range(2)]
    before = tables[0].numpy()
    sparse, dense = SparseAdam(0.1), keras.optimizers.Adam(0.1)
    generator = np.random.default_rng(1)
    for _ in range(5):
        values = generator.normal(size=(4, 3)).astype("float32")
        rows = [0, 2, 1, 2]
        summed = np.zeros((3, 3), "float32")
        np.add.at(summed, rows, values)
        sparse.apply([tf.IndexedSlices(tf.constant(values), tf.constant(rows), tf.constant([4, 3]))], [tables[0]])
        dense.apply([tf.constant(np.concatenate([summed, np.zeros((1, 3), "float32")]))], [tables[1]])
    np.testing.assert_allclose(tables[0].numpy()[:3], tables[1].numpy()[:3], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(tables[0].numpy()[3], before[3])
    layer = keras.Variable(np.ones(3, "float32"))
    SparseAdam(0.1).apply([tf.ones(3)], [layer])
    np.testing.assert_allclose(layer.numpy(), 0.9, atol=1e-5)


@pytest.mark.parametrize("name", models.names())
def test_the_facts_are_those_of_the_model(name):
    model = models.create(name)
    assert model.count_params() == models.info(name).parameters
    assert keras.models.clone_model(model).count_params() == model.count_params()
    assert {row["name"] for row in models.table()} == set(models.names())


def test_a_step_reads_no_table(prepared):
    """The work of a step is that of its batch, however many users there are."""
    model = models.create("mf", users=1000, items=500, classes=4)
    loss = losses.BPR(0.01)

    @tf.function
    def gradients(user, items):
        with tf.GradientTape() as tape:
            value = loss(tf.zeros(2), model({"user": user, "items": items}))
        return tape.gradient(value, [variable.value for variable in model.trainable_variables])

    graph = gradients.get_concrete_function(tf.TensorSpec((2,), tf.int32), tf.TensorSpec((2, 2), tf.int32)).graph
    assert "ReadVariableOp" not in {node.type for node in graph.get_operations()}
    assert all(
        isinstance(one, tf.IndexedSlices) for one in gradients(tf.constant([1, 2]), tf.constant([[1, 2], [3, 4]]))
    )


@pytest.mark.parametrize("model", ["mf", "lightgcn"])
def test_training_beats_popularity(make_run, prepared, model):
    """Two tastes: somebody who knows them finds the held-out item among the half, the most popular do not."""
    measured = {}
    for name in (model, "popularity"):
        run = load_run(make_run(model=name, epochs=20, l2=0.001, initial_deviation=0.1))
        measured[name] = evaluate(run.recommender(), prepared, cutoffs=(5,)).document["measures"]["ndcg@5"]
    assert measured[model] > 1.3 * measured["popularity"]


def test_what_is_not_given_goes_by_the_model_and_the_log():
    mf, light = (completed(TrainingConfig("x", model=model), 121_892, None) for model in ("mf", "lightgcn"))
    assert (mf.channels, mf.l2, mf.initial_deviation, mf.passes) == (64, 0.1, 0.01, 3)
    assert (light.l2, light.initial_deviation) == (1e-4, 0.1)
    assert completed(TrainingConfig("x"), 5_000, 48).passes == 52
    assert completed(TrainingConfig("x"), 5_000, 48).channels == 48
    # A log of fewer rows than a batch has a step in a pass.
    assert completed(TrainingConfig("x"), 10, None).passes == 1000
    given = TrainingConfig("x", channels=3, l2=0.5, initial_deviation=0.2, passes=7)
    assert completed(given, 10, None) == given


def test_the_report(make_run, prepared):
    run = load_run(make_run())
    report = json.loads((run.path / "report.json").read_text())
    assert report["model"] == "mf" and report["epochs"] <= 6 and report["passes_per_epoch"] == 2
    history = (run.path / "log.csv").read_text().splitlines()
    assert "val_ndcg@5" in history[0] and len(history) == report["epochs"] + 1
    # The vectors are those of the best epoch.
    monitor = Monitor(prepared, "ndcg@5", "full", 0, 0)
    assert monitor(run.recommender()) == pytest.approx(report["validation"], abs=1e-9)
    assert run.users.tolist() == prepared.users.tolist() and run.items.dtype == "int64"
    met = prepared.matrix("train", "validation", "test")
    assert sorted(run.items_of(3)) == sorted(met[3].indices)


def test_resume_is_exact(prepared, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    config = TrainingConfig(prepared=str(prepared.path), channels=4, batch_size=32, epochs=4, monitor="ndcg@5")
    train(config, whole)
    stop = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.MonkeyPatch.context() as patch:
        # An epoch more than two ends the process before it is recorded.
        from apps.pcrec import training

        original = training._Validation.on_epoch_end

        def interrupt(self, epoch, logs=None):
            if epoch == 2:
                stop.on_epoch_end(epoch, logs)
            original(self, epoch, logs)

        patch.setattr(training._Validation, "on_epoch_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(config, cut)
    with pytest.raises(InputError, match="whose training has ended"):
        load_run(cut)
    train(config, cut, resume=True)
    for name in ("user", "item"):
        np.testing.assert_array_equal(np.load(cut / "vectors.npz")[name], np.load(whole / "vectors.npz")[name])
    again = train(config, cut, resume=True)
    assert again == json.loads((cut / "report.json").read_text())


# === initial vectors ===


@pytest.fixture
def vectors(prepared, tmp_path):
    generator = np.random.default_rng(0)
    sizes = (len(prepared.users), len(prepared.items))
    user, item = (generator.normal(size=(size, 5)).astype("float32") for size in sizes)
    initial.write_vectors(tmp_path / "vectors.npz", user, item, prepared)
    return tmp_path / "vectors.npz", user, item


def test_vectors_without_fine_tuning(prepared, vectors, tmp_path):
    path, user, item = vectors
    train(TrainingConfig(prepared=str(prepared.path), epochs=0, initial=str(path), monitor="ndcg@5"), tmp_path / "run")
    run = load_run(tmp_path / "run")
    np.testing.assert_allclose(run.recommender().scores(np.array([2])), user[[2]] @ item.T, rtol=1e-5, atol=1e-5)


def test_fine_tuning_begins_with_the_vectors(prepared, vectors, tmp_path):
    path, _, item = vectors
    config = TrainingConfig(
        prepared=str(prepared.path), epochs=1, initial=str(path), learning_rate=1e-9, monitor="ndcg@5"
    )
    train(config, tmp_path / "run")
    np.testing.assert_allclose(load_run(tmp_path / "run").recommender().item, item, atol=1e-6)


def test_forms(prepared, vectors):
    _, user, item = vectors
    degrees = initial.degrees_of(prepared)
    norms = np.linalg.norm(user, axis=1)
    shuffled, _ = initial.form(user, item, "shuffled", None, 1, degrees)
    assert sorted(map(tuple, shuffled)) == sorted(map(tuple, user)) and (shuffled != user).any()
    drawn, _ = initial.form(user, item, "random", None, 1, degrees)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), norms, rtol=1e-5)
    assert np.abs(drawn - user).min() > 0
    scaled = np.concatenate(initial.form(user, item, "given", 0.1, 1, degrees))
    assert np.linalg.norm(scaled, axis=1).mean() == pytest.approx(0.1)
    np.testing.assert_allclose(scaled[0] / scaled[0, 0], user[0] / user[0, 0], rtol=1e-4)
    centred = np.concatenate(initial.form(user, item, "centred", None, 1, degrees))
    np.testing.assert_allclose(centred.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(centred[1] - centred[0], user[1] - user[0], atol=1e-6)


def test_how_much_vectors_tell_of_the_degree():
    rng = np.random.default_rng(0)
    degrees = rng.integers(1, 50, 200), rng.integers(1, 50, 300)
    told, noise = np.log1p(np.concatenate(degrees)), rng.standard_normal((500, 2))

    def explained(column, counts=degrees):
        vectors = np.stack([column + noise[:, 0], 3 * noise[:, 0] + 2], axis=1)
        return initial.degree_explained(vectors[:200], vectors[200:], counts)

    assert explained(told) == pytest.approx(1.0)
    assert explained(noise[:, 1]) < 0.02
    # Noise of the same variance hides half of it.
    assert explained(told + noise[:, 1] * told.std()) == pytest.approx(0.5, abs=0.06)
    assert explained(told, (np.full(200, 7), np.full(300, 7))) == 0


def test_the_form_of_degrees_knows_the_degree_alone(prepared, vectors):
    _, user, item = vectors
    degrees = initial.degrees_of(prepared)
    assert degrees[0].sum() == degrees[1].sum() == len(prepared.train)
    ones = [np.ones_like(part) for part in (user, item)]
    vectors = np.concatenate(initial.form(*ones, "degree", None, 3, degrees))
    degree = np.concatenate(degrees)
    same = degree[:, None] == degree[None]
    distance = np.abs(vectors[:, None] - vectors[None]).max(axis=2)
    assert distance[same].max() < 1e-6 and distance[~same].min() > 1e-4
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 5**0.5, rtol=1e-5)


def test_vectors_that_do_not_fit(prepared, vectors, tmp_path):
    path, user, item = vectors
    arrays = dict(np.load(path))
    for change, words in (
        ({"digest": np.array("other")}, "were source and target swapped"),
        ({"user": user[1:]}, "Expected vectors of 40 users"),
        ({"item": item[:, 1:]}, "Expected vectors of 40 users"),
        ({"user": user.astype(str)}, "to be real numbers"),
        ({"user": user * np.nan}, "Expected finite numbers"),
    ):
        np.savez(tmp_path / "bad.npz", **{**arrays, **change})
        with pytest.raises(InputError, match=words):
            initial.read_vectors(tmp_path / "bad.npz", prepared)
    with pytest.raises(InputError, match="Expected initial vectors of 7 channels"):
        train(TrainingConfig(prepared=str(prepared.path), initial=str(path), channels=7), tmp_path / "run")
    np.savez(tmp_path / "bad.npz", user=user)
    with pytest.raises(InputError, match="Expected user, item and digest"):
        initial.read_vectors(tmp_path / "bad.npz", prepared)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": "oracle"}, "Received 'oracle'"),
        ({"channels": 0}, "Expected channels"),
        ({"l2": -1.0}, "Expected l2"),
        ({"learning_rate": 0.0}, "Expected learning_rate"),
        ({"monitor": "luck@5"}, "Expected a measure"),
        ({"monitor": "ndcg@500"}, "up to the 30 candidates"),
        ({"protocol": "half"}, "Expected protocol"),
        ({"initial_form": "random"}, "a file of initial vectors"),
        ({"epochs": 0}, "or initial vectors"),
        ({"model": "ease", "initial": "x.npz"}, "Expected the model mf"),
        ({"initial": "none.npz"}, "Expected an .npz file"),
        ({"prepared": "none"}, "no such folder"),
    ],
)
def test_what_cannot_be_trained(prepared, tmp_path, fields, words):
    config = TrainingConfig(**{"prepared": str(prepared.path), **fields})
    with pytest.raises(InputError, match=words):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_and_another_prepared_folder(make_run, prepared, tmp_path):
    from apps.pcrec.data.preparing import PrepareConfig, prepare

    (tmp_path / "log.csv").write_text(
        "user_id,item_id\n" + "".join(f"{u},{i}\n" for u in range(4) for i in range(5 + u))
    )
    other = prepare(PrepareConfig(str(tmp_path / "log.csv"), negatives=0), tmp_path / "other", lambda line: None)
    run = load_run(make_run())
    with pytest.raises(InputError, match="were source and target swapped"):
        run.prepared(other.path)
    with pytest.raises(InputError, match="--prepared tells"):
        run.prepared(tmp_path / "moved")
    assert config_of(json.loads((run.path / "config.json").read_text())) == run.config
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    arrays = dict(np.load(copy / "catalogue.npz"))
    np.savez(copy / "catalogue.npz", ids=arrays["users"])
    with pytest.raises(InputError, match="of another version"):
        load_run(copy)
    with pytest.raises(InputError, match="a run of this version"):
        config_of({"training": {"prepared": "x", "flavour": 1}})
    np.savez(copy / "catalogue.npz", **arrays)
    for file, text in (("summary.json", "{}"), ("config.json", '{"application": "pcrec", "kind": "run"}')):
        kept = (copy / file).read_text()
        (copy / file).write_text(text)
        with pytest.raises(InputError, match="changed, or of another version"):
            load_run(copy)
        (copy / file).write_text(kept)
    vectors = dict(np.load(copy / "vectors.npz"))
    np.savez(copy / "vectors.npz", user=vectors["user"], item=vectors["item"][1:])
    with pytest.raises(InputError, match=r"40 users and 30 items. Received one of 40 and 29"):
        load_run(copy).recommender()
    (copy / "config.json").write_text('{"application": "margin_classifier"}')
    with pytest.raises(InputError, match="of another command"):
        load_run(copy)
