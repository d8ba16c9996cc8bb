"""Perplexity and the share of codes in use."""

import json

import keras
import numpy as np
import pytest

from keras_layers import CodebookUsage, Perplexity, VectorQuantizerEMA
from keras_layers.quantization.usage import perplexity_of


def test_perplexity_equals_the_formula():
    counts = np.array([5.0, 0.0, 3.0, 2.0])
    shares = counts[counts > 0] / 10
    assert float(perplexity_of(counts)) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-5)
    np.testing.assert_allclose(perplexity_of(np.array([[7.0, 7.0], [0.0, 9.0], [0.0, 0.0]])), [2, 1, 0], rtol=1e-5)


@pytest.mark.parametrize("metric", [Perplexity, CodebookUsage])
def test_batches_add_up_and_reset(metric):
    whole, parts = metric(8), metric(8)
    indices = np.random.default_rng(0).integers(0, 7, (6, 5))
    whole.update_state(indices)
    for row in indices:
        parts.update_state(row)
    assert float(whole.result()) == pytest.approx(float(parts.result()))
    parts.reset_state()
    assert float(parts.result()) == 0


def test_weights_of_zero_leave_out_and_heads_are_averaged():
    indices = np.array([[[0, 3], [1, 3]], [[2, 1], [3, 1]]])
    perplexity, usage = Perplexity(4, heads=2), CodebookUsage(4, heads=2)
    for metric in (perplexity, usage):
        metric.update_state(indices)
    assert float(perplexity.result()) == pytest.approx((4 + 2) / 2, rel=1e-5)
    assert float(usage.result()) == pytest.approx((1 + 0.5) / 2)
    usage.reset_state()
    usage.update_state(indices, sample_weight=[1, 0])
    assert float(usage.result()) == pytest.approx((0.5 + 0.25) / 2)


def test_of_an_output_of_indices_in_compile():
    latent = keras.Input((5, 4))
    quantizer = VectorQuantizerEMA(8, 4, initializer="normal", seed=0)
    codes = keras.layers.Identity(name="codes", dtype="int32")(quantizer.encode(latent))
    model = keras.Model(latent, {"codes": codes, "vectors": quantizer(latent)})
    model.compile("sgd", loss={"vectors": "mse"}, metrics={"codes": [Perplexity(8), CodebookUsage(8)]})
    inputs = np.random.default_rng(0).standard_normal((16, 5, 4)).astype("float32")
    logs = model.evaluate(inputs, {"codes": np.zeros((16, 5)), "vectors": inputs}, verbose=0, return_dict=True)
    counts = np.bincount(np.ravel(quantizer.encode(inputs)), minlength=8)
    assert logs["codes_perplexity"] == pytest.approx(float(perplexity_of(counts.astype("float32"))), rel=1e-5)
    assert logs["codes_codebook_usage"] == pytest.approx((counts > 0).mean())


def test_the_layer_reports_batches_and_epoch():
    layer = VectorQuantizerEMA(4, 1, initializer="normal", name="vq")
    layer.build((None, 1))
    for value in (0.0, 10.0):
        # Each batch chooses one code, the two batches two.
        layer.codebook.assign(np.array([[[0.0], [10.0], [50.0], [60.0]]]))
        layer(np.full((6, 1), value, "float32"), training=True)
    assert float(layer.batch_perplexity.result()) == pytest.approx(1, rel=1e-5)
    assert float(layer.epoch_perplexity.result()) == pytest.approx(2, rel=1e-5)
    assert float(layer.epoch_usage.result()) == 0.5
    assert [metric.name for metric in layer.metrics] == ["vq_perplexity", "vq_epoch_perplexity", "vq_usage"]


@pytest.mark.parametrize("metric", [Perplexity, CodebookUsage])
def test_configuration(metric):
    text = json.dumps(keras.saving.serialize_keras_object(metric(5, heads=3, name="m")))
    restored = keras.saving.deserialize_keras_object(json.loads(text))
    assert (type(restored), restored.codes, restored.heads, restored.name) == (metric, 5, 3, "m")
    with pytest.raises(ValueError, match="`codes` to be a positive integer"):
        metric(0)
