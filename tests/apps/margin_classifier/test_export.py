"""The published classifier answers as Keras does, through named columns and through tf.Example."""

import json
import urllib.request

import numpy as np
import pytest
import tensorflow as tf

from apps.margin_classifier.export import export, export_lite, lite_model, serialised_examples
from apps.margin_classifier.preprocessing import feature_names
from apps.margin_classifier.runs import load_run
from apps.margin_classifier.training import TrainingConfig, train
from tools.lite import Runner
from tools.saved_model import graph
from tools.serving import Server


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
    np.testing.assert_array_equal(answer["class"], chances >= 0.25)
    assert answer["class"].dtype == tf.int32 and 0 < np.mean(answer["class"]) != np.mean(chances >= 0.5)
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
        # What TensorFlow Serving makes of 1 in JSON, where it makes a float_list of 1.0.
        tf.train.Example(
            features=tf.train.Features(
                feature={
                    "x_one": tf.train.Feature(int64_list=tf.train.Int64List(value=[1])),
                    "x2": tf.train.Feature(float_list=tf.train.FloatList(value=[1.0])),
                    "colour": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"red"])),
                }
            )
        ).SerializeToString(),
    ],
    ids=["no_example", "a_feature_missing", "not_a_number", "a_number_for_a_word", "an_integer_for_a_float"],
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
    assert status == 2 and "expected one of float32, float16, dynamic, received 'int8'" in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("columns", "changes", "precisions"),
    [
        (("x one", "x2"), {"model": "kernel", "loss": "sigmoid", "calibration": "isotonic"}, ("float32", "float16")),
        (("colour",), {"model": "mlp", "loss": "exp", "calibration": "link"}, ("dynamic",)),
    ],
    ids=["numbers", "words"],
)
def test_every_model_and_calibration_is_published_and_runs_on_the_edge(
    small_table, tmp_path, columns, changes, precisions
):
    others = {"x one", "x2", "colour", "seven"} - set(columns)
    train(TrainingConfig(data=str(small_table), epochs=2, ignore=tuple(others), **changes), tmp_path / "run")
    run = load_run(tmp_path / "run")
    published = export(run, base=tmp_path, name="m")
    rows, _ = run.read(small_table, labelled=True)
    scores, chances = run.answer(rows)
    signatures = tf.saved_model.load(str(published.path)).signatures
    examples = tf.constant(serialised_examples(run, rows))
    np.testing.assert_allclose(signatures["classify"](inputs=examples)["scores"][:, 1], chances, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(signatures["regress"](inputs=examples)["outputs"], scores, rtol=1e-4, atol=1e-5)
    x = [rows.columns[name] for name in run.schema.numeric]
    x += [rows.columns[name] == word for name, words in run.schema.categorical.items() for word in words]
    x = np.stack(x, axis=1).astype("float32")
    for precision in precisions:
        export_lite(run, tmp_path / "lite", "m", precision, lambda line: None)
        answers = Runner(tmp_path / "lite" / f"m_{precision}.tflite")({"row": x[:20]})
        answers = next(iter(answers.values())) if isinstance(answers, dict) else answers
        error = np.abs(answers[:, 0] - chances[:20])
        # Where isotonic steps are steep, the rounding of a weight is a whole step.
        assert np.median(error) < 0.01 and (precision != "float32" or error.max() < 1e-4)


@pytest.mark.slow
def test_rest_takes_rows_of_numbers_and_words(odd_run, odd_table, tmp_path):
    run = load_run(odd_run)
    export(run, base=tmp_path, name="odd")
    rows, _ = run.read(odd_table, labelled=False)
    scores, chances = run.answer(rows)
    instances = [
        {run.schema.inputs[name]: rows.columns[name][row].item() for name in run.schema.columns} for row in range(9)
    ]
    assert instances[0]["mlp_2"] == "007"
    instances[0]["column"] = 1
    with Server(tmp_path) as server:
        request = urllib.request.Request(
            f"http://127.0.0.1:{server.rest_port}/v1/models/odd:predict",
            json.dumps({"instances": instances}).encode(),
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            predictions = json.load(answer)["predictions"]
    assert predictions[0]["score"] != pytest.approx(scores[0])
    for place in range(1, 9):
        assert predictions[place]["score"] == pytest.approx(scores[place], rel=1e-4, abs=1e-5)
        assert predictions[place]["probabilities"][1] == pytest.approx(chances[place], rel=1e-4)
        assert predictions[place]["class"] == int(chances[place] >= run.threshold)
