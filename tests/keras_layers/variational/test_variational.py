"""Drawn latents follow their distributions, and VIMCO's gradient is TensorFlow Probability's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_layers import CategoricalSampling, GaussianSampling, importance_bound, vimco_loss
from tests.conformance.layers import CHECKS, LayerCase, check_precision, check_training, name_of

GAUSSIAN = [
    LayerCase("map", GaussianSampling, {"weight": 0.5, "seed": 3}, (3, 4, 5, 6), free_axes=(0, 1, 2), complete=True),
    LayerCase("vector", GaussianSampling, {}, (3, 6)),
]
CATEGORICAL = [
    LayerCase("map", CategoricalSampling, {"samples": 4, "seed": 3}, (3, 4, 5, 6), free_axes=(0, 1, 2), complete=True),
    LayerCase("sequence", CategoricalSampling, {"samples": 2}, (3, 4, 6)),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", GAUSSIAN, ids=name_of)
def test_conformance_of_gaussian_sampling(check, case, tmp_path):
    check(case, tmp_path)


# Its outputs are integers and logarithms of float32 under every policy, and more of them in training than in inference:
# what these two checks would say is tested below.
@pytest.mark.parametrize(
    "check", [check for check in CHECKS if check not in (check_precision, check_training)], ids=name_of
)
@pytest.mark.parametrize("case", CATEGORICAL, ids=name_of)
def test_conformance_of_categorical_sampling(check, case, tmp_path):
    check(case, tmp_path)


# === Gaussian ===


def test_the_divergence_is_that_of_tensorflow_probability():
    import tensorflow_probability as tfp

    inputs = np.random.default_rng(0).standard_normal((5, 3, 8)).astype("float32")
    mean, logarithm = np.split(inputs, 2, axis=-1)
    normal = tfp.distributions.Normal(mean, np.exp(logarithm / 2))
    expected = tfp.distributions.kl_divergence(normal, tfp.distributions.Normal(0.0, 1.0)).numpy().sum(axis=(1, 2))
    layer = GaussianSampling(weight=0.25)
    np.testing.assert_allclose(layer.divergence(tf.constant(inputs)), expected, rtol=1e-5)
    layer(inputs)
    np.testing.assert_allclose(layer.losses, [0.25 * expected.mean()], rtol=1e-5)


def test_samples_have_the_mean_and_the_deviation():
    inputs = np.tile(np.array([[1.5, -2.0, np.log(0.25), np.log(9.0)]], "float32"), (20_000, 1))
    layer = GaussianSampling(seed=0)
    drawn = layer(inputs, training=True).numpy()
    np.testing.assert_allclose(drawn.mean(axis=0), [1.5, -2.0], atol=0.07)
    np.testing.assert_allclose(drawn.std(axis=0), [0.5, 3.0], rtol=0.03)
    np.testing.assert_array_equal(layer(inputs[:2], training=False), inputs[:2, :2])
    assert not np.array_equal(layer.sample(tf.constant(inputs)), drawn)


def test_the_gradient_goes_through_the_noise():
    layer = GaussianSampling(weight=0.0, seed=0)
    inputs = tf.constant([[0.3, 0.8]])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        drawn = layer(inputs, training=True)
    gradient = tape.gradient(drawn, inputs).numpy()
    # dz/dm = 1 and dz/dlog v = (z - m) / 2.
    np.testing.assert_allclose(gradient, [[1.0, (drawn.numpy()[0, 0] - 0.3) / 2]], rtol=1e-5)


def test_an_odd_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="even number of channels"):
        GaussianSampling()(np.zeros((2, 3), "float32"))


# === Categorical ===


def test_codes_are_as_frequent_as_they_are_probable():
    logits = np.log(np.array([[[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]], "float32"))
    codes, log_q = CategoricalSampling(samples=20_000, seed=0)(logits, training=True)
    codes = codes.numpy()
    assert codes.shape == (20_000, 2)
    for position in range(2):
        shares = np.bincount(codes[:, position], minlength=3) / len(codes)
        np.testing.assert_allclose(shares, np.exp(logits[0, position]), atol=0.015)
    expected = logits[0, 0, codes[:, 0]] + logits[0, 1, codes[:, 1]]
    np.testing.assert_allclose(log_q.numpy()[0], expected, rtol=1e-5)


def test_samples_of_an_example_follow_each_other():
    # Logits that leave no choice tell the examples apart.
    logits = 100 * np.eye(4, dtype="float32")[:, None]
    codes, log_q = CategoricalSampling(samples=3)(logits, training=True)
    np.testing.assert_array_equal(codes[:, 0], np.repeat([0, 1, 2, 3], 3))
    np.testing.assert_allclose(log_q, np.zeros((4, 3)), atol=1e-5)


def test_outside_of_training_the_most_probable_codes_are_taken():
    logits = np.random.default_rng(0).standard_normal((3, 5, 7)).astype("float32")
    codes, log_q = CategoricalSampling(samples=3)(logits, training=False)
    np.testing.assert_array_equal(codes, logits.argmax(axis=-1))
    expected = tf.nn.log_softmax(logits).numpy().max(axis=-1).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(log_q, expected, rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_probabilities_are_float32_under_half_precision(policy):
    layer = CategoricalSampling(samples=3, seed=0, dtype=policy)
    logits = np.random.default_rng(0).standard_normal((2, 400, 30)).astype("float32")
    for training in (True, False):
        codes, log_q = layer(logits, training=training)
        assert codes.dtype == "int32" and log_q.dtype == "float32"
    expected = tf.nn.log_softmax(logits).numpy().max(axis=-1).sum(axis=-1, keepdims=True)
    # In half precision a sum of 400 would be off by whole nats.
    np.testing.assert_allclose(log_q, expected, rtol=3e-3)
    _, symbolic = layer(keras.Input((400, 30)))
    assert symbolic.dtype == "float32"


@pytest.mark.parametrize("samples", [0, -1, 2.5, True])
def test_samples_are_a_positive_integer(samples):
    with pytest.raises(ValueError, match="Expected `samples`"):
        CategoricalSampling(samples)


# === Bounds ===


def test_the_bound_is_the_logarithm_of_the_mean_weight():
    log_weights = np.random.default_rng(0).standard_normal((4, 6)) * 3
    expected = np.log(np.exp(log_weights).mean(axis=1))
    np.testing.assert_allclose(importance_bound(tf.constant(log_weights)), expected, rtol=1e-6)
    loss = vimco_loss(tf.constant(log_weights), tf.constant(log_weights))
    np.testing.assert_allclose(loss, -expected, rtol=1e-6)


def test_far_weights_do_not_overflow():
    log_weights = tf.constant([[-9000.0, -9003.0, -9500.0]])
    loss = vimco_loss(log_weights, tf.zeros((1, 3)))
    np.testing.assert_allclose(loss, [9000 - np.log((1 + np.exp(-3)) / 3)], rtol=1e-6)


def test_vimco_needs_two_samples():
    with pytest.raises(ValueError, match="2 samples or more"):
        vimco_loss(tf.zeros((3, 1)), tf.zeros((3, 1)))


def small_problem():
    """Logits of q and p(x | z) for 3 positions of 4 codes; their tables are the parameters."""
    generator = np.random.default_rng(5)
    encoder = tf.Variable(generator.standard_normal((3, 4)), dtype="float64")
    decoder = tf.Variable(generator.standard_normal((3, 4)), dtype="float64")
    return encoder, decoder


def log_p(decoder, codes):
    """log p(x, z) of codes (..., 3): a table of log p(x | z), and the uniform prior."""
    table = tf.math.log_sigmoid(decoder)
    return tf.reduce_sum(tf.reduce_sum(tf.one_hot(codes, 4, dtype="float64") * table, -1), -1) - 3 * np.log(4)


def test_the_gradient_is_that_of_tensorflow_probability():
    import tensorflow_probability as tfp

    encoder, decoder = small_problem()
    samples, batches, drawn = 6, 5, []

    def remembered(codes):
        drawn.append(codes)
        return log_p(decoder, codes)

    with tf.GradientTape() as tape:
        q = tfp.distributions.Independent(tfp.distributions.Categorical(logits=encoder), 1)
        expected = tfp.vi.csiszar_vimco(
            f=tfp.vi.kl_reverse,
            p_log_prob=remembered,
            q=q,
            num_draws=samples,
            num_batch_draws=batches,
            seed=(3, 7),
        )
    wanted = tape.gradient(expected, [encoder, decoder])
    with tf.GradientTape() as tape:
        q = tfp.distributions.Independent(tfp.distributions.Categorical(logits=encoder), 1)
        codes = tf.transpose(drawn[0], (1, 0, 2))
        log_q = q.log_prob(codes)
        found = tf.reduce_mean(vimco_loss(log_p(decoder, codes) - log_q, log_q))
    gradients = tape.gradient(found, [encoder, decoder])
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    for gradient, other in zip(gradients, wanted, strict=True):
        assert np.abs(other).max() > 1e-3
        np.testing.assert_allclose(gradient, other, rtol=1e-8, atol=1e-12)


def test_the_gradient_is_that_of_the_expected_bound():
    # All 64 pairs of codes of one position of 8: the expectation over the samples can be written out.
    logits = tf.Variable(np.random.default_rng(1).standard_normal(8))
    values = tf.constant(np.random.default_rng(2).standard_normal(8))
    first, second = (index.reshape(-1) for index in np.mgrid[:8, :8])
    with tf.GradientTape(persistent=True) as tape:
        log_q = tf.nn.log_softmax(logits)
        pairs = tf.stack([tf.gather(log_q, first), tf.gather(log_q, second)], axis=1)
        log_weights = tf.stack([tf.gather(values, first), tf.gather(values, second)], axis=1) - pairs
        probability = tf.exp(tf.reduce_sum(pairs, axis=1))
        exact = -tf.reduce_sum(probability * importance_bound(log_weights))
        estimate = tf.reduce_sum(tf.stop_gradient(probability) * vimco_loss(log_weights, pairs))
    np.testing.assert_allclose(tape.gradient(estimate, logits), tape.gradient(exact, logits), rtol=1e-8)


class OneHotBound(keras.layers.Layer):
    """The bound for images that are pairs of one-hot vectors, decoded as the codes themselves."""

    def call(self, codes, log_q, images, training=False):
        decoded = keras.ops.one_hot(codes, 2)
        samples = 8 if training else 1
        error = keras.ops.sum(keras.ops.square(decoded - keras.ops.repeat(images, samples, axis=0)), axis=(1, 2))
        log_weights = keras.ops.reshape(-50.0 * error, (-1, samples)) - log_q
        self.add_loss(keras.ops.mean(vimco_loss(log_weights, log_q) if training else -log_weights))
        return decoded


def test_fit_learns_a_discrete_latent():
    images = np.eye(2, dtype="float32")[np.random.default_rng(0).integers(0, 2, (256, 3))]
    inputs = keras.Input((3, 2))
    codes, log_q = CategoricalSampling(samples=8, seed=0)(keras.layers.Dense(2, kernel_initializer="zeros")(inputs))
    model = keras.Model(inputs, OneHotBound()(codes, log_q, inputs))
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(images, epochs=6, batch_size=32, verbose=0)
    np.testing.assert_array_equal(model.predict(images, verbose=0), images)


def test_a_sample_without_weight_leaves_the_gradient_finite():
    log_weights, log_q = tf.constant([[-np.inf, 0.0, 1.0]]), tf.constant([[0.0, 0.0, 0.0]])
    np.testing.assert_allclose(vimco_loss(log_weights, log_q), [-np.log((1 + np.e) / 3)], rtol=1e-6)
    with pytest.raises(ValueError, match="Expected `log_q` of the shape"):
        vimco_loss(log_weights, log_q[:, :1])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_large_variance_in_half_precision(policy):
    layer = GaussianSampling(seed=0, dtype=policy)
    inputs = np.array([[0.5, 20.0]], "float32")
    drawn = layer(np.repeat(inputs, 100, axis=0), training=True)
    # The deviation, 22,026, is within half precision; the variance is not.
    assert np.isfinite(drawn.numpy().astype("float32")).mean() > 0.9
    np.testing.assert_allclose(layer.losses[0], 0.5 * (0.25 + np.exp(20.0) - 21.0), rtol=1e-3)
