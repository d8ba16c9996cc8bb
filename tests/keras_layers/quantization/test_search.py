"""The chunked search: the same codes as all distances at once, in memory that positions times codes do not need."""

import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_layers.quantization import search

ROOT = pathlib.Path(__file__).parents[3]


@pytest.mark.parametrize("positions", [0, 1, 9, 10, 11, 20, 47])
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("length", ["known", "free"])
def test_equals_all_distances_at_once(monkeypatch, positions, heads, length):
    monkeypatch.setattr(search, "SCORES", 10 * heads * 7)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((positions, heads, 4)).astype("float32")
    codebook = rng.standard_normal((heads, 7, 4)).astype("float32")
    shape = [positions if length == "known" else None, heads, 4]
    find = tf.function(search.nearest, input_signature=[tf.TensorSpec(shape), tf.TensorSpec((heads, 7, 4))])
    distances = ((vectors[:, :, None] - codebook) ** 2).sum(-1)
    for indices, errors in (find(vectors, codebook), search.nearest(tf.constant(vectors), codebook)):
        assert indices.dtype == "int32" and tuple(indices.shape) == (positions, heads)
        np.testing.assert_array_equal(indices, distances.argmin(-1))
        np.testing.assert_allclose(errors, distances.min(-1).sum(-1), rtol=1e-5, atol=1e-6)
    assert search.nearest(tf.constant(vectors), codebook, with_errors=False)[1] is None


def test_of_equal_codes_the_first_is_chosen():
    codebook = np.zeros((1, 4, 2), "float32")
    codebook[0, 0] = 9
    indices, _ = search.nearest(tf.zeros((3, 1, 2)), tf.constant(codebook))
    np.testing.assert_array_equal(indices[:, 0], [1, 1, 1])


def test_near_vectors_keep_a_small_distance():
    """Far from the origin `||x||^2 - 2 x.e + ||e||^2` would lose it."""
    codebook = np.full((1, 2, 3), 1000.0, "float32") + np.array([[[0.0], [1.0]]], "float32")
    _, errors = search.nearest(tf.constant(codebook[:, 0] + 0.01)[None], tf.constant(codebook))
    assert float(errors[0]) == pytest.approx(3e-4, rel=0.05)


def test_counts_and_sums_equal_numpy():
    rng = np.random.default_rng(0)
    vectors, indices = rng.standard_normal((50, 2, 3)).astype("float32"), rng.integers(0, 5, (50, 2)).astype("int32")
    mask = rng.random(50) > 0.4
    spoilt = np.where(mask[:, None, None], vectors, np.nan).astype("float32")
    counts = search.count_codes(tf.constant(indices), 5, tf.constant(mask))
    sums = search.sum_by_code(tf.constant(spoilt), tf.constant(indices), 5, tf.constant(mask))
    for head in range(2):
        chosen = indices[mask, head]
        np.testing.assert_array_equal(counts[head], np.bincount(chosen, minlength=5))
        expected = [vectors[mask, head][chosen == code].sum(0) for code in range(5)]
        np.testing.assert_allclose(sums[head], expected, rtol=1e-5, atol=1e-6)


def test_straight_through_is_exact_in_half_precision():
    inputs, outputs = keras.ops.array([1000.0], "float16"), keras.ops.array([0.1], "float16")
    assert float(search.straight_through(inputs, outputs)[0]) == float(outputs[0])
    assert float((inputs + (outputs - inputs))[0]) != float(outputs[0])


PROGRAM = """
import json, sys
import numpy as np, tensorflow as tf, keras
from keras_layers import VectorQuantizer, VectorQuantizerEMA
from tools.bench import peak_memory

quantizers = [VectorQuantizerEMA(4096, 4, seed=0), VectorQuantizer(4096, 4, seed=0)]

def step(vectors):
    answers = []
    for quantizer in quantizers:
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            loss = tf.reduce_sum(quantizer(vectors, training=True)) + tf.add_n(quantizer.losses)
        answers += tape.gradient(loss, [vectors, *quantizer.trainable_variables])
        answers.append(quantizer.encode(vectors))
    return answers

step = tf.function(step, input_signature=[tf.TensorSpec((None, 4))])
peaks = []
for positions in (4096, int(sys.argv[1])):
    step(tf.random.normal((positions, 4)))
    peaks.append(peak_memory())
print(json.dumps(peaks))
"""


def test_memory_does_not_grow_with_positions_times_codes():
    positions = 65_536
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(positions)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    few, many = json.loads(done.stdout.splitlines()[-1])
    # A matrix of scores, or of one-hot codes, would take 1,074 MB.
    assert (many - few) / 1e6 < 100
