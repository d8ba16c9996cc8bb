"""Two replicas learn as one, and PyTorch as TensorFlow. Each in a process of its own."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[3]


def run(program, **environment):
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]


REPLICAS = """
import numpy as np, tensorflow as tf, keras
from keras_layers import CodebookGuard, VectorQuantizer, VectorQuantizerEMA
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
inputs = np.random.default_rng(0).normal(size=(64, 3, 4)).astype("float32")
names = ["ones", "sonnet", "gradient"]

def train(data, **fit):
    keras.utils.set_random_seed(0)
    latent = keras.Input((3, 4))
    quantizers = [
        VectorQuantizerEMA(8, 4, start="ones", initializer="normal", seed=1, name="ones"),
        VectorQuantizerEMA(8, 2, heads=2, start="sonnet", initializer="normal", seed=1, name="sonnet"),
        VectorQuantizer(8, 4, initializer="normal", seed=1, name="gradient"),
    ]
    model = keras.Model(latent, [quantizer(latent) for quantizer in quantizers])
    model.compile(keras.optimizers.SGD(0.1))
    logs = model.fit(data, epochs=2, batch_size=16, shuffle=False, verbose=0, **fit).history
    weights = {w.path: w.numpy() for q in quantizers for w in q.weights}
    return weights, {name: value for name, value in logs.items() if name != "loss"}, model, latent

alone, logs, _, _ = train(inputs)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
with strategy.scope():
    together, its_logs, model, latent = train(inputs)
for path, value in alone.items():
    np.testing.assert_allclose(together[path], value, rtol=1e-5, atol=1e-6, err_msg=path)
for name, value in logs.items():
    np.testing.assert_allclose(its_logs[name], value, rtol=1e-5, err_msg=name)

# A vector that is not finite on one replica stops both.
inputs[1, 0, 0] = np.nan
try:
    model.fit(inputs[:16], batch_size=16, shuffle=False, verbose=0, callbacks=[CodebookGuard()])
    raise AssertionError("not stopped")
except ValueError as error:
    assert "epoch 1, step 1" in str(error), error
for path, value in together.items():
    if not path.endswith(("refused_steps", "batch_statistics")):
        now = next(w for w in model.weights if w.path == path)
        np.testing.assert_array_equal(now.numpy(), value, err_msg=path)
"""


@pytest.mark.slow
def test_two_replicas_learn_as_one():
    run(REPLICAS)


DRAWN = """
import numpy as np, tensorflow as tf, keras
from keras_layers import VectorQuantizerEMA
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
inputs = np.random.default_rng(0).normal(size=(64, 3, 4)).astype("float32")
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    latent = keras.Input((3, 4))
    quantizer = VectorQuantizerEMA(8, 4, initializer="kmeans", revival_threshold=1.5, seed=1)
    model = keras.Model(latent, quantizer(latent))
    model.compile("sgd")
    model.fit(inputs, epochs=2, batch_size=16, verbose=0)
for weight in quantizer.weights:
    one, other = weight.value.values
    np.testing.assert_array_equal(one, other, err_msg=weight.path)
assert quantizer.initialized.numpy() == 1 and np.isfinite(quantizer.codebook.numpy()).all()
"""


@pytest.mark.slow
def test_what_is_drawn_of_the_data_is_one_for_all_replicas():
    run(DRAWN)


PYTORCH = """
import json, numpy as np, keras
from keras_layers import CodebookGuard, FiniteScalarQuantizer, ResidualVectorQuantizer
from keras_layers import VectorQuantizer, VectorQuantizerEMA
assert keras.backend.backend() == "torch"
card = json.load(open("tests/reference/vq/sonnet_ema.json"))
layer = VectorQuantizerEMA(16, 8, decay=card["decay"], start="sonnet")
layer.build((None, 8))
layer.codebook.assign(np.array(card["initial_codebook"])[None])
numpy = keras.ops.convert_to_numpy
for step in card["training_steps"]:
    outputs = layer(np.array(step["input"], "float32"), training=True)
    np.testing.assert_allclose(numpy(outputs), step["quantize"], atol=1e-5)
    np.testing.assert_allclose(float(layer.losses[0]), step["loss"], atol=1e-5)
    np.testing.assert_allclose(numpy(layer.codebook)[0], step["codebook_after"], atol=1e-5)

inputs = np.random.default_rng(0).normal(size=(32, 5, 4)).astype("float32")
for quantizer in (
    VectorQuantizer(8, 4, initializer="kmeans", revival_threshold=0.1),
    VectorQuantizerEMA(8, 2, heads=2, initializer="data", similarity="cosine"),
    ResidualVectorQuantizer(2, 8, 4),
    FiniteScalarQuantizer((3, 4, 5, 2)),
):
    latent = keras.Input((5, 4))
    model = keras.Model(latent, quantizer(keras.layers.Dense(4)(latent)))
    model.compile("adam", "mse")
    logs = model.fit(inputs, inputs, epochs=2, verbose=0, callbacks=[CodebookGuard()]).history
    assert np.isfinite(logs["loss"]).all(), logs
    np.testing.assert_allclose(
        numpy(quantizer.lookup(quantizer.encode(inputs))), numpy(quantizer(inputs)), rtol=1e-5, atol=1e-6
    )
"""


@pytest.mark.slow
def test_pytorch():
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    run(PYTORCH, KERAS_BACKEND="torch")
