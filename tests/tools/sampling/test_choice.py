"""One code from logits: its distribution, and what temperature, top-k and top-p leave."""

import numpy as np
import pytest
import tensorflow as tf

from tools.sampling import choose, uniforms

PROBABILITIES = np.array([0.05, 0.4, 0.3, 0.2, 0.05])
LOGITS = np.log(PROBABILITIES).astype(np.float32)


def chosen(uniform, logits=LOGITS, **options) -> np.ndarray:
    uniform = np.asarray(uniform, np.float32)
    rows = tf.tile(tf.constant(logits)[None], (len(uniform), 1))
    each = {"temperature": 1.0, **options}
    tensors = {
        name: tf.fill([len(uniform)], tf.constant(value, tf.int32 if name == "top_k" else tf.float32))
        for name, value in each.items()
    }
    return choose(rows, tf.constant(uniform), **tensors).numpy()


def shares(**options) -> np.ndarray:
    """The share of each code over numbers spread evenly: the probabilities, to the last digit but three."""
    found = chosen((np.arange(20_000) + 0.5) / 20_000, **options)
    return np.bincount(found, minlength=len(LOGITS)) / len(found)


def test_shares_are_the_probabilities():
    np.testing.assert_allclose(shares(), PROBABILITIES, atol=1e-4)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature(temperature):
    expected = PROBABILITIES ** (1 / temperature)
    np.testing.assert_allclose(shares(temperature=temperature), expected / expected.sum(), atol=1e-4)


def test_temperature_zero_takes_the_most_likely():
    np.testing.assert_array_equal(shares(temperature=0.0), [0, 1, 0, 0, 0])


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"top_k": 1}, [1]),
        ({"top_k": 3}, [1, 2, 3]),
        ({"top_k": 0}, [0, 1, 2, 3, 4]),
        ({"top_k": 99}, [0, 1, 2, 3, 4]),
        ({"top_p": 0.01}, [1]),
        ({"top_p": 0.5}, [1, 2]),
        ({"top_p": 0.85}, [1, 2, 3]),
        ({"top_p": 1.0}, [0, 1, 2, 3, 4]),
        # Of the two that are left, 0.4 / 0.7 reaches 0.5.
        ({"top_k": 2, "top_p": 0.5}, [1]),
        ({"top_k": 2, "top_p": 0.6}, [1, 2]),
        # The least two tie.
        ({"top_k": 4}, [0, 1, 2, 3, 4]),
    ],
)
def test_top_k_and_top_p(options, kept):
    expected = np.where(np.isin(np.arange(5), kept), PROBABILITIES, 0)
    np.testing.assert_allclose(shares(**options), expected / expected.sum(), atol=1e-4)


def test_top_p_counts_after_the_temperature():
    # Squared and normalised: 0.53, 0.30, 0.13, ...
    assert set(np.flatnonzero(shares(temperature=0.5, top_p=0.52))) == {1}
    assert set(np.flatnonzero(shares(temperature=1.0, top_p=0.52))) == {1, 2}


def test_options_are_those_of_the_row():
    logits = tf.tile(tf.constant(LOGITS)[None], (3, 1))
    last = tf.fill([3], np.float32(1 - 2**-24))
    found = choose(logits, last, tf.constant([1.0, 0.0, 1.0]), top_k=tf.constant([0, 0, 2]))
    np.testing.assert_array_equal(found, [4, 1, 2])


def test_the_ends_of_the_interval_take_codes_of_some_probability():
    logits = np.array([-200.0, 0.0, 0.0, -200.0], np.float32)
    np.testing.assert_array_equal(chosen([0.0, 1 - 2**-24], logits), [1, 2])
    many = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    many[4000:] = -1e9
    assert chosen([1 - 2**-24], many)[0] < 4000


def test_half_precision_logits():
    found = choose(tf.constant([[0.0, 3.0]], tf.float16), tf.constant([0.5]), tf.constant([1.0]))
    np.testing.assert_array_equal(found, [1])


def test_numbers_depend_on_seed_and_stream_alone():
    together = uniforms(tf.constant([3, 4, 3]), 50).numpy()
    np.testing.assert_array_equal(together[0], together[2])
    np.testing.assert_array_equal(uniforms(tf.constant([4], tf.int64), 50)[0], together[1])
    np.testing.assert_array_equal(uniforms(tf.constant([4]), 20).numpy().shape, (1, 20))
    other = uniforms(tf.constant([3]), 50, stream=1).numpy()[0]
    for numbers in (together[1], other):
        assert np.abs(numbers - together[0]).min() > 0
    many = uniforms(tf.range(-100, 100), 100).numpy()
    assert many.min() >= 0 and many.max() < 1
    # Within four standard errors of a uniform mean.
    assert abs(many.mean() - 0.5) < 4 * np.sqrt(1 / 12 / many.size)
