"""Signatures for Classify and Regress: what they must take and give, and what stands in the file."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tools.errors import InputError
from tools.saved_model import GateError, Signature, gate, graph, publish
from tools.saved_model.signatures import check_outputs, check_signature

TEXT = {"inputs": tf.TensorSpec((None,), tf.string)}
EXAMPLE = {"inputs": np.array([b"a", b"bb"], object)}


def lengths(inputs):
    size = tf.cast(tf.strings.length(inputs), tf.float32)
    return tf.stack([size, -size], axis=1)


def classify(inputs):
    return {"classes": tf.strings.as_string(lengths(inputs)), "scores": lengths(inputs)}


CLASSIFY = Signature(classify, TEXT, EXAMPLE, method="classify")
REGRESS = Signature(lambda inputs: {"outputs": lengths(inputs)[:, 0]}, TEXT, EXAMPLE, method="regress")


@pytest.fixture
def model():
    inputs = keras.Input((1,))
    return keras.Model(inputs, keras.layers.Dense(1)(inputs))


def plain(model):
    spec = {"x": tf.TensorSpec((None, 1), tf.float32)}
    return Signature(lambda x: {"y": model(x)}, spec, {"x": np.ones((2, 1), np.float32)})


def test_the_file_says_for_which_call_each_signature_is(model, tmp_path):
    signatures = {"serving_default": plain(model), "classify": CLASSIFY, "regress": REGRESS}
    published = publish(model, signatures, base=tmp_path, name="words")
    found = graph.read(published.path).meta_graphs[0].signature_def
    assert {name: found[name].method_name.rpartition("/")[2] for name in signatures} == {
        "serving_default": "predict",
        "classify": "classify",
        "regress": "regress",
    }
    assert published.report["signatures"]["classify"]["outputs"]["classes"]["dtype"] == "string"
    loaded = tf.saved_model.load(str(published.path))
    assert loaded.signatures["classify"](inputs=tf.constant(["abc"]))["classes"].numpy()[0, 0] == b"3.000000"


def test_other_words_do_not_pass_the_gate(model, tmp_path):
    wrong = dataclasses.replace(
        CLASSIFY, expected=lambda inputs: {**classify(tf.constant(inputs["inputs"])), "classes": [[b"x", b"y"]]}
    )
    with pytest.raises(GateError, match="output 'classes'"):
        publish(model, {"serving_default": plain(model), "classify": wrong}, base=tmp_path, name="words")
    assert not list(tmp_path.iterdir()) and gate.INVALID_ARGUMENT == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"method": "explain"}, "method to be one of predict, classify, regress"), ({"inputs": {}}, "at least one input")],
)
def test_signatures_that_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        check_signature("one", dataclasses.replace(CLASSIFY, **changes))


def test_only_examples_are_classified(model):
    with pytest.raises(InputError, match="the one input 'inputs', string, for classify"):
        check_signature("one", dataclasses.replace(plain(model), method="classify"))


@pytest.mark.parametrize(
    ("method", "outputs"),
    [
        ("classify", {"scores": tf.zeros((2,))}),
        ("classify", {"scores": tf.zeros((2, 2)), "more": tf.zeros((2, 2))}),
        ("regress", {"outputs": tf.zeros((2, 1, 1))}),
        ("regress", {"scores": tf.zeros((2,))}),
    ],
)
def test_outputs_that_are_refused(method, outputs):
    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def function(inputs):
        batch = tf.shape(inputs)[0]
        return {
            name: tf.ensure_shape(
                tf.zeros(tf.concat([[batch], value.shape[1:]], 0), value.dtype), (None, *value.shape[1:])
            )
            for name, value in outputs.items()
        }

    with pytest.raises(InputError, match=r"Signature 'one': Expected (classes|outputs)"):
        check_outputs("one", function.get_concrete_function().structured_outputs, method)
