"""The three uses of every quantiser: alone, in Functional models, saved, exported; and what they refuse."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_layers import FiniteScalarQuantizer, ResidualVectorQuantizer, VectorQuantizer, VectorQuantizerEMA

QUANTIZERS = {
    "gradient": lambda: VectorQuantizer(11, 4, initializer="normal", seed=0, name="vq"),
    "ema": lambda: VectorQuantizerEMA(11, 4, initializer="data", revival_threshold=0.1, seed=0, name="vq"),
    "heads": lambda: VectorQuantizerEMA(11, 2, heads=2, initializer="kmeans", seed=0, name="vq"),
    "cosine": lambda: VectorQuantizer(11, 4, similarity="cosine", initializer="normal", seed=0, name="vq"),
    "residual": lambda: ResidualVectorQuantizer(3, 11, 4, initializer="data", seed=0, name="vq"),
    "scalar": lambda: FiniteScalarQuantizer((3, 4, 5, 2), name="vq"),
}
INPUTS = np.random.default_rng(0).standard_normal((12, 3, 2, 4)).astype("float32")


def three_models(quantizer):
    """Functional models of the three uses, all of one layer."""
    latent = keras.Input((3, 2, 4), name="latent")
    quantize = keras.Model(latent, quantizer(latent))
    encode = keras.Model(latent, quantizer.encode(latent))
    indices = keras.Input(encode.output_shape[1:], dtype="int32", name="indices")
    return quantize, encode, keras.Model(indices, quantizer.lookup(indices))


@pytest.mark.parametrize("name", QUANTIZERS)
def test_functional_models_of_the_three_uses_train_save_and_export(name, tmp_path):
    quantizer = QUANTIZERS[name]()
    models = three_models(quantizer)
    models[0].compile("sgd", "mse")
    history = models[0].fit(INPUTS, INPUTS, epochs=2, batch_size=6, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    codes = models[1](INPUTS)
    assert codes.dtype == "int32" and models[1].outputs[0].dtype == "int32"
    np.testing.assert_allclose(models[2](codes), models[0](INPUTS), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(quantizer.encode(INPUTS), codes)
    for number, model in enumerate(models):
        given = codes if number == 2 else INPUTS
        model.save(tmp_path / "model.keras")
        restored = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(restored(given), model(given))
        model.export(tmp_path / f"export{number}", format="tf_saved_model", verbose=False)
        loaded = tf.saved_model.load(tmp_path / f"export{number}")
        np.testing.assert_allclose(loaded.serve(given), model(given), rtol=1e-6, atol=1e-6)
        assert not writes(loaded.signatures["serving_default"])


def writes(function):
    """Operations of a graph, and of the functions it calls, that change a variable."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for one in graph.library.function for node in one.node_def)]
    return {node.op for node in nodes if "Assign" in node.op}


@pytest.mark.parametrize("name", QUANTIZERS)
def test_losses_and_usage_are_logged_by_fit(name):
    model = three_models(QUANTIZERS[name]())[0]
    model.compile("sgd")
    if name == "scalar":
        return
    logs = model.fit(INPUTS, batch_size=6, verbose=0).history
    prefix = "vq_1" if name == "residual" else "vq"
    assert logs["loss"][0] > 0
    assert 1 <= logs[f"{prefix}_perplexity"][0] <= 11
    assert 1 <= logs[f"{prefix}_epoch_perplexity"][0] <= 11
    assert 0 < logs[f"{prefix}_usage"][0] <= 1
    # Nothing is counted outside training: an evaluation adds no perplexity to the next epoch.
    assert model.evaluate(INPUTS, verbose=0, return_dict=True)[f"{prefix}_usage"] == 0


@pytest.mark.parametrize("name", QUANTIZERS)
def test_one_model_may_use_codes_and_vectors_at_once(name, tmp_path):
    quantizer = QUANTIZERS[name]()
    latent = keras.Input((None, 4), name="latent")
    codes = quantizer.encode(latent)
    model = keras.Model(latent, {"codes": codes, "vectors": quantizer.lookup(codes)})
    inputs = INPUTS.reshape(12, 6, 4)
    model.save(tmp_path / "model.keras")
    answers = keras.saving.load_model(tmp_path / "model.keras")(inputs)
    np.testing.assert_allclose(answers["vectors"], quantizer(inputs), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(answers["codes"], quantizer.encode(inputs))


@pytest.mark.parametrize("name", QUANTIZERS)
def test_inputs_and_indices_that_do_not_fit_are_refused(name):
    quantizer = QUANTIZERS[name]()
    with pytest.raises(ValueError, match=r"input of 'vq' of shape \(batch, \.\.\., 4\)\. Received shape \(2, 5\)"):
        quantizer(np.zeros((2, 5), "float32"))
    with pytest.raises(ValueError, match=r"of shape \(batch, \.\.\., 4\)"):
        quantizer.encode(keras.Input((7, 3)))
    with pytest.raises(ValueError, match=r"of shape \(batch, \.\.\., 4\)"):
        quantizer.compute_output_shape((4,))
    codes = quantizer.encode(INPUTS)
    with pytest.raises(ValueError, match=r"integer indices for 'vq'. Received float32"):
        quantizer.lookup(keras.ops.cast(codes, "float32"))
    for wrong in (-1, quantizer.code_count):
        indices = np.array(codes)
        indices.flat[3] = wrong
        with pytest.raises(ValueError, match=rf"at least 0 and less than {quantizer.code_count}\. Received {wrong}\."):
            quantizer.lookup(indices)
    with pytest.raises(ValueError, match="`task` to be one of"):
        quantizer(INPUTS, task="decode")
    if quantizer.columns:
        with pytest.raises(ValueError, match=rf"indices of 'vq' of shape \(\.\.\., {quantizer.columns}\)"):
            quantizer.lookup(np.zeros((2, 5), "int32"))


@pytest.mark.parametrize("name", QUANTIZERS)
def test_in_a_graph_an_index_out_of_range_is_the_nearest_in_range(name):
    quantizer = QUANTIZERS[name]()
    codes = np.array(quantizer.encode(INPUTS))
    wrong, right = codes.copy(), codes.copy()
    wrong.flat[:2] = [-7, quantizer.code_count + 5]
    right.flat[:2] = [0, quantizer.code_count - 1]
    np.testing.assert_array_equal(tf.function(quantizer.lookup)(tf.constant(wrong)), quantizer.lookup(right))


@pytest.mark.parametrize("name", ["gradient", "heads", "residual", "scalar"])
def test_a_list_or_a_number_may_be_looked_up(name):
    quantizer = QUANTIZERS[name]()
    columns = quantizer.columns or 1
    one = [1] * columns if quantizer.columns else 1
    assert tuple(quantizer.lookup(one).shape) == (4,)
    assert tuple(quantizer.lookup([one, one]).shape) == (2, 4)


@pytest.mark.parametrize("name", QUANTIZERS)
def test_the_gradient_passes_straight_through(name):
    quantizer, weights = QUANTIZERS[name](), np.arange(INPUTS.size, dtype="float32").reshape(INPUTS.shape)
    inputs = tf.constant(0.5 * INPUTS)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        score = tf.reduce_sum(quantizer(inputs, training=True) * weights)
    gradient = tape.gradient(score, inputs)
    if name == "scalar":
        # Past the rounding, through the bound: positive everywhere.
        assert (np.asarray(gradient)[weights > 0] / weights[weights > 0] > 0).all()
    elif name == "cosine":
        # Through the normalisation: no part along the input.
        np.testing.assert_allclose(np.sum(gradient * inputs, axis=-1), 0, atol=1e-2)
    else:
        np.testing.assert_array_equal(gradient, weights)
