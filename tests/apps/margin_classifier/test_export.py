"""The published classifier answers as Keras does, through named columns and through tf.Example."""

import json

import numpy as np
import pytest
import tensorflow as tf

from apps.margin_classifier.export import export, lite_model, serialised_examples
from apps.margin_classifier.preprocessing import feature_names
from apps.margin_classifier.runs import load_run
from tools.lite import Runner
from tools.saved_model import graph


@pytest.fixture(scope="module")
def run(trained_run):
    return load_run(trained_run)


@pytest.fixture(scope="module")
def published(run, tmp_path_factory):
    return export(run, base=tmp_path_factory.mktemp("base"), name="small")


@pytest.fixture(scope="module")
def loaded(published):
    return tf.saved_model.load(str(published.path))


def test_the_signatures_are_for_the_calls_of_tensorflow_serving(published):
    found = graph.read(published.path).meta_graphs[0].signature_def
    assert found["serving_default"].method_name == "tensorflow/serving/predict"
    assert found["classify"].method_name == "tensorflow/serving/classify"
    assert found["regress"].method_name == "tensorflow/serving/regress"
    ports = graph.signatures(graph.read(published.path))
    assert set(ports["serving_default"][0]) == {"x_one", "x2", "colour"}
    assert set(ports["classify"][0]) == {"inputs"} and set(ports["classify"][1]) == {"classes", "scores"}
    assert ports["classify"][1]["classes"].dtype == 7 and ports["regress"][1]["outputs"].shape == (-1,)
    card = json.loads((published.path / "assets.extra" / "model.json").read_text())
    assert card["labels"] == ["no", "yes"] and card["threshold"] == 0.25
    assert card["input"]["x_one"] == "x one" and card["parity"]["largest"] < 1e-5


def test_the_answers_are_those_of_keras(run, loaded, small_table):
    rows, _ = run.read(small_table, labelled=True)
    scores, chances = run.answer(rows)
    columns = {run.schema.inputs[name]: rows.columns[name] for name in run.schema.columns}
    columns = {name: tf.constant(x.astype("float32") if x.dtype.kind == "f" else x) for name, x in columns.items()}
    answer = loaded.signatures["serving_default"](**columns)
    np.testing.assert_allclose(answer["score"], scores, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(answer["probabilities"][:, 1], chances, rtol=1e-5)
    examples = tf.constant(serialised_examples(run, rows))
    answer = loaded.signatures["classify"](inputs=examples)
    np.testing.assert_allclose(answer["scores"][:, 1], chances, rtol=1e-5)
    assert answer["classes"].numpy()[7].tolist() == [b"no", b"yes"]
    np.testing.assert_allclose(loaded.signatures["regress"](inputs=examples)["outputs"], scores, rtol=1e-5, atol=1e-6)


def example(**features):
    kinds = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        if isinstance(value, bytes)
        else tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
        for name, value in features.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=kinds)).SerializeToString()


@pytest.mark.parametrize(
    "wrong",
    [
        b"no example",
        example(x2=1.0, colour=b"red"),
        example(x_one=1.0, x2=float("nan"), colour=b"red"),
        example(x_one=1.0, x2=1.0, colour=3.0),
    ],
)
def test_bad_examples_are_refused(loaded, wrong):
    with pytest.raises(tf.errors.InvalidArgumentError):
        loaded.signatures["classify"](inputs=tf.constant([wrong]))


@pytest.mark.slow
def test_lite(kapps, run, trained_run, small_table, tmp_path):
    status, out, err = kapps("export", trained_run, "--base", tmp_path, "--name", "m", "--lite", "float32", "--json")
    document = json.loads(out)
    assert status == 0 and "through the gate" in err and document["version"] == 1
    names = json.loads((trained_run / "lite" / "m_row.json").read_text())
    assert names == {"row": feature_names(run.schema), "classes": ["no", "yes"]}
    rows, _ = run.read(small_table, labelled=True)
    words = [rows.columns["colour"] == word for word in run.schema.categorical["colour"]]
    row = np.stack([rows.columns["x one"], rows.columns["x2"], *words], axis=1).astype("float32")
    _, chances = run.answer(rows)
    np.testing.assert_allclose(lite_model(run)(row)[:, 0], chances, rtol=1e-4, atol=1e-6)
    runner = Runner(trained_run / "lite" / "m_float32.tflite")
    answers = runner({"row": row[:5]})
    answers = next(iter(answers.values())) if isinstance(answers, dict) else answers
    np.testing.assert_allclose(answers[:, 0], chances[:5], rtol=1e-4, atol=1e-6)
    status, _, err = kapps("export", trained_run, "--base", tmp_path, "--lite", "int8")
    assert status == 1 and "--lite to be some of float32,float16,dynamic" in err
