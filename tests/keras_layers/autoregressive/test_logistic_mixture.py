"""LogisticMixture against its contract and TensorFlow Probability's rounded logistics."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_layers import LogisticMixture
from tests.conformance.layers import CHECKS, LayerCase, name_of

CASES = [
    LayerCase("defaults", LogisticMixture, {}, (2, 5, 6), free_axes=(0, 1)),
    LayerCase("every_argument", LogisticMixture, {"levels": 7}, (2, 3, 4, 9), free_axes=(0, 1, 2), complete=True),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def parameters(count: int = 3) -> np.ndarray:
    generator = np.random.default_rng(0)
    logits, means = generator.standard_normal((50, count)), generator.uniform(-1.2, 1.2, (50, count))
    return np.concatenate([logits, means, generator.uniform(-4, 0, (50, count))], axis=1).astype("float32")


@pytest.mark.parametrize("levels", [2, 16, 256])
def test_it_is_the_mixture_of_tensorflow_probability(levels):
    import tensorflow_probability as tfp

    logits, means, scales = (part.astype("float64") for part in np.split(parameters(), 3, axis=1))
    # In units of levels, where TFP rounds up: P(v) = F(v) - F(v - 1).
    units = (levels - 1) / 2
    logistic = tfp.distributions.Logistic((means + 1) * units - 0.5, np.exp(scales) * units)
    mixture = tfp.distributions.MixtureSameFamily(
        tfp.distributions.Categorical(logits=logits),
        tfp.distributions.QuantizedDistribution(logistic, low=0.0, high=levels - 1.0),
    )
    expected = mixture.log_prob(np.arange(levels, dtype="float64")[:, None]).numpy().T
    found = LogisticMixture(levels)(parameters()).numpy()
    likely = expected > -12
    np.testing.assert_allclose(found[likely], expected[likely], atol=2e-3)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1.0, atol=1e-5)


def test_far_levels_keep_a_slope():
    layer, inputs = LogisticMixture(), tf.constant([[0.0, -0.95, -7.0]])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = -layer(inputs)[0, 250]
    gradient = tape.gradient(loss, inputs).numpy()[0]
    assert np.isfinite(loss) and np.isfinite(gradient).all()
    # The mean must rise; at the least scale the gradient of the scale is cut off.
    assert gradient[1] < -100


def test_it_learns_a_distribution_of_two_peaks():
    generator = np.random.default_rng(0)
    peaks = np.where(generator.random(4000) < 0.3, 40, 200)
    values = np.clip(np.round(generator.normal(peaks, 6)), 0, 255).astype("int32")
    inputs = keras.Input((1,))
    start = keras.initializers.Constant([0.0, 0.0, -0.5, 0.5, -2.0, -2.0])
    outputs = LogisticMixture()(keras.layers.Dense(6, use_bias=False, kernel_initializer=start)(inputs))
    model = keras.Model(inputs, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss)
    model.fit(np.ones((4000, 1)), values, batch_size=200, epochs=8, verbose=0)
    shares = np.exp(model.predict(np.ones((1, 1)), verbose=0)[0])
    assert shares[:120].sum() == pytest.approx(0.3, abs=0.03)
    # The entropy of what was drawn: 3.85 bits of a peak and 0.88 of which.
    bits = -np.log2(shares[values]).mean()
    assert 5.4 < bits < 5.6


@pytest.mark.parametrize("levels", [1, 0, 2.5, None])
def test_levels_out_of_range(levels):
    with pytest.raises(ValueError, match="Expected `levels`"):
        LogisticMixture(levels)


def test_channels_that_are_no_multiple_of_three():
    with pytest.raises(ValueError, match=r"\(\.\.\., 3 \* components\)"):
        LogisticMixture()(np.zeros((2, 4), "float32"))
