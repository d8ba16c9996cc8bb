"""The quantisers of code books as LiteRT files: built-in operators only, and codes that are Keras'."""

import keras
import numpy as np
import pytest

from keras_layers import FiniteScalarQuantizer, ResidualVectorQuantizer, VectorQuantizer, VectorQuantizerEMA
from tools.lite import Runner, convert

QUANTIZERS = {
    "gradient": lambda: VectorQuantizer(64, 8, initializer="normal", seed=0),
    "heads": lambda: VectorQuantizerEMA(16, 4, heads=2, initializer="normal", seed=0),
    "cosine": lambda: VectorQuantizerEMA(64, 8, initializer="normal", similarity="cosine", seed=0),
    "residual": lambda: ResidualVectorQuantizer(2, 16, 8, initializer="normal", seed=0),
    "scalar": lambda: FiniteScalarQuantizer((5,) * 8),
}
# Least share of equal codes. In int8 a distance is one of 256 numbers, and the codes nearest to a border flip.
SHARES = {"float32": 1.0, "float16": 0.99, "int8": 0.8}
CLIPS = np.random.default_rng(0).standard_normal((64, 6, 6, 8)).astype("float32")


@pytest.mark.slow
@pytest.mark.parametrize("precision", SHARES)
@pytest.mark.parametrize("name", ["gradient", "heads"])
def test_codes_and_vectors_of_a_file(name, precision, tmp_path):
    quantizer = QUANTIZERS[name]()
    latent = keras.Input((6, 6, 8), name="latent")
    codes = quantizer.encode(latent)
    codes = keras.layers.Identity(name="codes", dtype="int32")(codes)
    model = keras.Model(latent, {"codes": codes})
    report = convert(model, tmp_path / "m.tflite", precision=precision, representative=CLIPS, seconds=0.05)
    found = Runner(tmp_path / "m.tflite")(CLIPS)
    assert found.dtype == np.int32
    share = (found == np.asarray(quantizer.encode(CLIPS))).mean()
    assert share >= SHARES[precision]
    assert report["agreement"]["codes"]["equal_share"] == pytest.approx(
        (found[:16] == model(CLIPS[:16])["codes"]).mean()
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", QUANTIZERS)
def test_vectors_of_a_float_file(name, tmp_path):
    quantizer = QUANTIZERS[name]()
    latent = keras.Input((6, 6, 8), name="latent")
    model = keras.Model(latent, quantizer(latent))
    convert(model, tmp_path / "m.tflite", representative=CLIPS, seconds=0.05)
    np.testing.assert_allclose(Runner(tmp_path / "m.tflite")(CLIPS), model(CLIPS), atol=1e-5)


@pytest.mark.slow
def test_a_decoder_takes_codes(tmp_path):
    quantizer = QUANTIZERS["gradient"]()
    indices = keras.Input((6, 6), dtype="int32", name="indices")
    model = keras.Model(indices, keras.layers.Dense(3)(quantizer.lookup(indices)))
    codes = np.random.default_rng(1).integers(0, 64, (4, 6, 6)).astype("int32")
    convert(model, tmp_path / "m.tflite", representative={"indices": codes}, seconds=0.05)
    np.testing.assert_allclose(Runner(tmp_path / "m.tflite")(codes), model(codes), atol=1e-5)
