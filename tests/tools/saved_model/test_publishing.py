"""A published SavedModel: what stands in it, what the gate lets through, and what is left after a failure."""

import json
import os
import resource

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tools.errors import InputError
from tools.saved_model import GateError, Signature, c_api, gate, graph, publish, publishing

SHAPE = (4, 8, 8, 3)


def video_model(groups=1, policy=None):
    clip = keras.Input(SHAPE, name="clip", dtype="float32")
    x = keras.layers.Conv3D(8, 3, padding="same", activation="relu", name="stem", dtype=policy)(clip)
    if groups > 1:
        x = keras.layers.Conv3D(8, 3, groups=groups, padding="same", name="grouped")(x)
    x = keras.layers.GlobalAveragePooling3D(name="global_pool", dtype=policy)(x)
    return keras.Model(clip, keras.layers.Dense(5, name="classifier", dtype=policy)(x))


def video_signature(model, **changes):
    example = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)
    fields = {
        "function": lambda clip: {"scores": model(clip, training=False)},
        "inputs": {"clip": tf.TensorSpec((None, *SHAPE), tf.float32)},
        "example": {"clip": example},
    }
    return Signature(**{**fields, **changes})


def publish_video(base, model=None, **options):
    model = model or video_model()
    signature = options.pop("signature", None) or video_signature(model)
    return publish(model, {"serving_default": signature}, base=base, name="video", **options)


def ask(path, *requests):
    """The answers of one separate process to requests (inputs by name) of "serving_default"."""
    (ports, _) = graph.signatures(graph.read(path))["serving_default"]
    tensors = [{name: gate.raw_tensor(value, ports[name].dtype) for name, value in one.items()} for one in requests]
    return gate.ask(path, [gate.Run("request", "serving_default", one, None) for one in tensors])


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    model = video_model()
    options = {"labels": list("abcde"), "card": {"source": "here"}}
    return model, publish_video(tmp_path_factory.mktemp("models"), model, **options)


class TestContents:
    def test_layout(self, published):
        _, result = published
        assert result.version == 1
        assert result.path.parts[-2:] == ("video", "1")
        extra = {"labels.txt", "model.json", "tf_serving_warmup_requests"}
        assert {file.name for file in (result.path / "assets.extra").iterdir()} == extra
        assert {file.name for file in result.path.iterdir()} >= {"saved_model.pb", "variables", "assets.extra"}
        assert (result.path / "assets.extra" / "labels.txt").read_text() == "a\nb\nc\nd\ne\n"

    def test_variables_are_stored_once(self, published):
        model, result = published
        names = [name for name, _ in tf.train.list_variables(str(result.path / "variables" / "variables"))]
        assert len([name for name in names if not name.startswith("_CHECKPOINT")]) == len(model.variables)

    def test_model_card(self, published):
        _, result = published
        card = json.loads((result.path / "assets.extra" / "model.json").read_text())
        assert card["name"] == "video" and card["source"] == "here" and card["labels"] == list("abcde")
        assert card["signatures"]["serving_default"] == {
            "inputs": {"clip": {"dtype": "float32", "shape": [None, *SHAPE]}},
            "outputs": {"scores": {"dtype": "float32", "shape": [None, 5]}},
        }
        assert 0 <= card["parity"]["largest"] <= 1e-5 == card["parity"]["tolerance"]
        assert card["versions"]["tensorflow"] == tf.__version__
        assert card == {key: result.report[key] for key in card}

    def test_warm_up_is_a_predict_log_of_the_example(self, published):
        model, result = published
        records = list(tf.data.TFRecordDataset(str(result.path / "assets.extra" / "tf_serving_warmup_requests")))
        (log,) = [prediction_log_pb2.PredictionLog.FromString(record.numpy()) for record in records]
        request = log.predict_log.request
        assert (request.model_spec.name, request.model_spec.signature_name) == ("video", "serving_default")
        clip = tf.make_ndarray(request.inputs["clip"])
        np.testing.assert_array_equal(clip, video_signature(model).example["clip"][:1])

    def test_answers_are_those_of_keras_on_other_inputs(self, published):
        model, result = published
        clip = np.random.default_rng(1).uniform(-3, 3, (3, *SHAPE)).astype(np.float32)
        (answer,) = ask(result.path, {"clip": clip})
        np.testing.assert_allclose(answer["scores"], model(clip), atol=1e-5)

    def test_labels_of_another_number_than_the_classes_are_refused(self, tmp_path):
        with pytest.raises(InputError, match="Received 4 labels"):
            publish_video(tmp_path, labels=list("abcd"))
        assert os.listdir(tmp_path) == []


class TestBadRequests:
    def test_wrong_ranks(self, published):
        ranks = (0, 1, 2, 3, 4, 6)
        for answer in ask(published[1].path, *[{"clip": np.zeros((1,) * rank, np.float32)} for rank in ranks]):
            assert answer.code == gate.INVALID_ARGUMENT
            assert "expected shape [?,4,8,8,3]" in answer.message

    def test_values_that_are_no_numbers(self, published):
        clips = np.zeros((3, 2, *SHAPE), np.float32)
        clips[:, 1, 2, 3, 4, 1] = np.nan, np.inf, -np.inf
        for answer in ask(published[1].path, *[{"clip": clip} for clip in clips]):
            assert answer.code == gate.INVALID_ARGUMENT
            assert "Expected finite values in 'clip'" in answer.message

    def test_an_empty_batch(self, published):
        (answer,) = ask(published[1].path, {"clip": np.zeros((0, *SHAPE), np.float32)})
        assert answer.code == gate.INVALID_ARGUMENT
        assert "at least one" in answer.message

    def test_another_dtype(self, published):
        tensor = c_api.RawTensor(3, (1, *SHAPE), bytes(4 * int(np.prod(SHAPE))))
        (answer,) = gate.ask(published[1].path, [gate.Run("int32", "serving_default", {"clip": tensor}, None)])
        assert (answer.code, answer.message) == (3, "Expects arg[0] to be float but int32 is provided")


class TestRefusals:
    def test_a_function_for_xla_naming_its_layer(self, tmp_path):
        with pytest.raises(InputError, match=r"'.*grouped.*' must be compiled by XLA"):
            publish_video(tmp_path, video_model(groups=4))
        assert os.listdir(tmp_path) == []

    def test_python_in_the_graph(self, tmp_path):
        model = video_model()

        def function(clip):
            scores = tf.py_function(lambda x: x, [model(clip, training=False)], tf.float32, name="mine")
            return {"scores": tf.ensure_shape(scores, (None, 5))}

        with pytest.raises(InputError, match=r"'mine.*' calls Python \(EagerPyFunc\)"):
            publish_video(tmp_path, model, signature=video_signature(model, function=function))

    def test_a_custom_operator(self, published):
        saved_model = graph.read(published[1].path)
        assert graph.refused_operations(saved_model) == []
        for function in saved_model.meta_graphs[0].graph_def.library.function:
            for node in function.node_def:
                if node.op == "Conv3D":
                    node.op, stem = "MyConvolution", node.name
        assert graph.refused_operations(saved_model) == [f"{stem!r} is of the custom operator MyConvolution"]

    @pytest.mark.parametrize(
        ("output", "message"),
        [
            (lambda y: {"scores": tf.cast(y, tf.float64)}, "Expected float32, integers or string. Received float64"),
            (lambda y: {"scores": tf.reduce_mean(y)}, r"batch as first axis, free. Received shape \(\)"),
            (lambda y: {"scores": y[0]}, "batch as first axis, free"),
            (lambda y: {}, "Expected a dictionary of named outputs"),
        ],
    )
    def test_outputs_that_cannot_be_served(self, tmp_path, output, message):
        model = video_model()
        signature = video_signature(model, function=lambda clip: output(model(clip, training=False)))
        with pytest.raises(InputError, match=message):
            publish_video(tmp_path, model, signature=signature)
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize(
        ("spec", "dtype", "message"),
        [
            (((None, *SHAPE), tf.float64), np.float64, "Expected a dtype of"),
            (((2, *SHAPE), tf.float32), np.float32, "first axis, the batch, is None"),
            (((None, *SHAPE), tf.float32), np.float64, "Expected an example of shape"),
            ((None, tf.float32), np.float32, "first axis, the batch, is None"),
        ],
    )
    def test_inputs_that_cannot_be_served(self, tmp_path, spec, dtype, message):
        changes = {"inputs": {"clip": tf.TensorSpec(*spec)}, "example": {"clip": np.zeros((2, *SHAPE), dtype)}}
        model = video_model()
        with pytest.raises(InputError, match=message):
            publish_video(tmp_path, model, signature=video_signature(model, **changes))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"labels": ["a", "b", "c", "d", "two\nlines"]}, "one line of text"),
            ({"card": {"parity": 0}}, "without the fields"),
            ({"card": {"mean": float("nan")}}, "JSON"),
            ({"tolerance": -1.0}, "tolerance"),
            ({"name": "1"}, "model name"),
        ],
    )
    def test_arguments(self, tmp_path, options, message):
        model = video_model()
        options = {"name": "video", **options}
        with pytest.raises(InputError, match=message):
            publish(model, {"serving_default": video_signature(model)}, base=tmp_path, **options)
        with pytest.raises(InputError, match="serving_default"):
            publish(model, {"other": video_signature(model)}, base=tmp_path, name="video")


class TestGate:
    def test_other_weights_are_noticed(self, published, tmp_path):
        _, result = published
        with pytest.raises(GateError, match=r"Expected output 'scores' of 1 example.* of Keras"):
            gate.check(result.path, {"serving_default": video_signature(video_model())}, 1e-5)

    def test_the_separate_process_refuses_xla_as_the_stock_server_does(self, tmp_path):
        model = video_model(groups=4)
        signature = {"serving_default": video_signature(model)}
        publishing._write(model, signature, tmp_path)
        with pytest.raises(GateError, match="XLA compilation disabled"):
            gate.check(tmp_path, signature, 1e-5)

    def test_an_abort_of_a_kernel_is_reported(self, tmp_path):
        module = tf.Module()
        module.kernel = tf.Variable(np.ones((3, 3, 3, 3, 5), np.float32))

        @tf.function(input_signature=[tf.TensorSpec((None, *SHAPE), tf.float32, name="clip")])
        def unguarded(clip):
            return {"scores": tf.reduce_mean(tf.nn.conv3d(clip, module.kernel, [1] * 5, "SAME"), (1, 2, 3))}

        tf.saved_model.save(module, str(tmp_path), signatures=unguarded)
        signature = video_signature(None, function=lambda clip: unguarded(clip))
        # With oneDNN's kernels the wrong rank aborts the process; with the others the size or the value goes through.
        with pytest.raises(GateError, match=r"died of SIGABRT at shape \[|to be refused. Received an answer"):
            gate.check(tmp_path, {"serving_default": signature}, 1e-5)

    def test_a_hanging_process_is_ended(self, published):
        model, result = published
        with pytest.raises(GateError, match=r"was still running after 0.01 s at loading it"):
            gate.check(result.path, {"serving_default": video_signature(model)}, 1e-5, timeout=0.01)

    def test_a_damaged_version_does_not_load(self, published, tmp_path):
        model = video_model()
        signature = {"serving_default": video_signature(model)}
        publishing._write(model, signature, tmp_path)
        (data,) = (tmp_path / "variables").glob("variables.data*")
        os.truncate(data, 100)
        with pytest.raises(GateError, match="Expected a SavedModel that loads"):
            gate.check(tmp_path, signature, 1e-5)


class TestFailuresLeaveNothing:
    @pytest.mark.parametrize("error", [GateError, KeyboardInterrupt])
    def test_at_the_gate(self, tmp_path, monkeypatch, error):
        def fail(*_):
            raise error

        monkeypatch.setattr(gate, "check", fail)
        with pytest.raises(error):
            publish_video(tmp_path / "models")
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize(("largest", "part"), [(2000, "variables"), (200_000, publishing.WARM_UP)])
    def test_when_no_larger_file_can_be_written(self, tmp_path, largest, part):
        # One example is a megabyte, the graph far less.
        clip = keras.Input((1, 256, 256, 4), name="clip")
        pooled = keras.layers.GlobalAveragePooling3D()(clip)
        model = keras.Model(clip, keras.layers.Dense(1000)(pooled))
        signature = video_signature(
            model,
            inputs={"clip": tf.TensorSpec((None, 1, 256, 256, 4), tf.float32)},
            example={"clip": np.zeros((1, 1, 256, 256, 4), np.float32)},
        )
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
        try:
            with pytest.raises(OSError, match=f"could not be written under .*{part}.*too large"):
                publish_video(tmp_path / "models", model, signature=signature)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert os.listdir(tmp_path) == []


class TestKindsOfModel:
    def test_half_precision_answers_in_float32(self, tmp_path):
        result = publish_video(tmp_path, video_model(policy="mixed_float16"), tolerance=2.0**-9)
        assert result.report["signatures"]["serving_default"]["outputs"]["scores"]["dtype"] == "float32"

    def test_words_by_a_table(self, tmp_path):
        words = keras.Input((3,), dtype="string", name="words")
        x = keras.layers.StringLookup(vocabulary=["a", "b", "längere"])(words)
        model = keras.Model(words, keras.layers.Flatten()(keras.layers.Embedding(5, 4)(x)))
        signature = Signature(
            lambda words: {"vectors": model(words, training=False)},
            {"words": tf.TensorSpec((None, 3), tf.string)},
            {"words": np.array([["a", "b", "other"], ["längere", "a", "x" * 100]])},
        )
        result = publish(model, {"serving_default": signature}, base=tmp_path, name="words")
        assert result.report["parity"]["largest"] <= 1e-5

    def test_two_inputs_and_integers(self, tmp_path):
        left, right = (keras.Input((4,), name=name, dtype="float32") for name in ("left", "right"))
        model = keras.Model([left, right], keras.layers.Dense(3)(keras.layers.Add()([left, right])))

        def function(left, right):
            scores = model([left, right], training=False)
            return {"scores": scores, "best": tf.argmax(scores, axis=1)}

        rows = np.arange(12, dtype=np.float32).reshape(3, 4)
        spec = tf.TensorSpec((None, 4), tf.float32)
        signature = Signature(function, {"left": spec, "right": spec}, {"left": rows, "right": -rows[::-1]})
        result = publish(model, {"serving_default": signature}, base=tmp_path, name="two")
        assert result.report["signatures"]["serving_default"]["outputs"]["best"]["dtype"] == "int64"
        # Without the guard the one row would be added to each of the three.
        (answer,) = ask(result.path, {"left": rows, "right": rows[:1]})
        assert answer.code == gate.INVALID_ARGUMENT and "one batch size" in answer.message
