"""VectorQuantizer and VectorQuantizerEMA against Sonnet's numbers, the formulas in NumPy, and finite differences."""

import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_layers import VectorQuantizer, VectorQuantizerEMA
from tests.conformance.layers import CHECKS, LayerCase, name_of

REFERENCE = pathlib.Path(__file__).parents[2] / "reference" / "vq" / "sonnet_ema.json"
BOTH = [VectorQuantizer, VectorQuantizerEMA]
SHARED = {
    "codes": 6,
    "dimension": 4,
    "heads": 2,
    "commitment_cost": 0.5,
    "loss_reduction": "sum",
    "decay": 0.9,
    "initializer": "normal",
    "similarity": "cosine",
    "revival_threshold": 0.1,
    "revival_interval": 2,
    "seed": 3,
}
SMALL = {"codes": 5, "dimension": 3, "initializer": "normal", "seed": 1}
CASES = [
    LayerCase("gradient", VectorQuantizer, SMALL, (2, 4, 3), free_axes=(0, 1)),
    LayerCase("gradient_every_argument", VectorQuantizer, SHARED, (3, 2, 8), free_axes=(0, 1), complete=True),
    LayerCase("ema", VectorQuantizerEMA, SMALL, (2, 2, 3, 3), free_axes=(0, 1, 2)),
    LayerCase("ema_rank_2", VectorQuantizerEMA, SMALL, (6, 3)),
    LayerCase(
        "ema_every_argument",
        VectorQuantizerEMA,
        {**SHARED, "epsilon": 1e-3, "start": "sonnet"},
        (3, 2, 8),
        free_axes=(0, 1),
        complete=True,
    ),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def made(kind, codebook, **arguments):
    """A built quantiser with a code book (codes, dimension), or (heads, codes, dimension)."""
    codebook = codebook if codebook.ndim == 3 else codebook[None]
    heads, codes, dimension = codebook.shape
    layer = kind(codes, dimension, heads=heads, name="vq", **arguments)
    layer.build((None, heads * dimension))
    layer.codebook.assign(codebook)
    if hasattr(layer, "sums") and layer.start != "sonnet":
        layer.sums.assign(codebook)
    return layer


def state(layer):
    return {weight.name: array(weight).copy() for weight in layer.weights}


def test_equals_sonnet():
    card = json.loads(REFERENCE.read_text())
    arguments = {name: card[name] for name in ("commitment_cost", "decay", "epsilon")}
    layer = made(VectorQuantizerEMA, np.array(card["initial_codebook"]), start="sonnet", **arguments)
    for step in card["training_steps"]:
        inputs = np.array(step["input"], "float32")
        np.testing.assert_array_equal(layer.encode(inputs), step["encoding_indices"])
        layer.batch_perplexity.reset_state()
        np.testing.assert_allclose(layer(inputs, training=True), step["quantize"], rtol=0, atol=1e-5)
        assert float(sum(layer.losses)) == pytest.approx(step["loss"], abs=1e-5)
        assert float(layer.batch_perplexity.result()) == pytest.approx(step["perplexity"], abs=1e-4)
        np.testing.assert_allclose(layer.codebook[0], step["codebook_after"], rtol=0, atol=1e-5)
    before = state(layer)
    step = card["inference"]
    np.testing.assert_allclose(layer(np.array(step["input"], "float32")), step["quantize"], rtol=0, atol=1e-5)
    assert float(sum(layer.losses)) == pytest.approx(step["loss"], abs=1e-5)
    for name, value in state(layer).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


@pytest.mark.parametrize("start", ["ones", "zeros", "sonnet"])
def test_a_hundred_steps_follow_the_formula(start):
    decay, epsilon, codes = 0.95, 1e-4, 12
    codebook = normal(codes, 4, seed=1).astype("float64")
    layer = made(VectorQuantizerEMA, codebook, decay=decay, epsilon=epsilon, start=start)
    batches = normal(100, 20, 4) * 0.8 + 0.3
    step = tf.function(lambda batch: layer(batch, training=True))
    counts = np.full(codes, 1.0 if start == "ones" else 0.0)
    sums = np.zeros_like(codebook) if start == "sonnet" else codebook.copy()
    for number, batch in enumerate(batches.astype("float64"), 1):
        step(batch.astype("float32"))
        chosen = ((batch[:, None] - codebook[None]) ** 2).sum(-1).argmin(1)
        counts = decay * counts + (1 - decay) * np.bincount(chosen, minlength=codes)
        added = np.zeros_like(sums)
        np.add.at(added, chosen, batch)
        sums = decay * sums + (1 - decay) * added
        weight = 1 - decay**number if start == "sonnet" else 1.0
        debiased, total = counts / weight, counts.sum() / weight
        codebook = sums / weight / ((debiased + epsilon) / (total + codes * epsilon) * total)[:, None]
    # What "zeros" has thrown away is very large, and right to so many digits.
    np.testing.assert_allclose(array(layer.codebook)[0], codebook, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(array(layer.counts)[0], counts, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(array(layer.sums)[0], sums, rtol=1e-4, atol=1e-5)
    assert float(layer.steps) == 100


@pytest.mark.parametrize(("start", "norm"), [("ones", (7, 9)), ("sonnet", (0, 0)), ("zeros", (1e5, 1e7))])
def test_what_becomes_of_a_code_that_nobody_chooses(start, norm):
    codebook = np.concatenate([normal(7, 64), 8 * np.eye(1, 64) + 100 * np.eye(1, 64, 3)]).astype("float32")
    codebook[-1, 3] = 0
    codebook[-1] *= -1
    layer = made(VectorQuantizerEMA, codebook, start=start)
    layer(np.repeat(codebook[:-1], 50, axis=0), training=True)
    assert norm[0] <= np.linalg.norm(array(layer.codebook)[0, -1]) <= norm[1]


def losses_and_gradients(layer, inputs, mask, weights):
    """The added loss, the gradients of the loss, and that of `sum(weights * outputs)`, all at a training step."""
    inputs = tf.constant(inputs)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        outputs = layer(inputs, mask=mask, training=True)
        loss = tf.add_n(layer.losses)
        score = tf.reduce_sum(outputs * weights)
    to_codes = tape.gradient(loss, layer.trainable_variables)
    return float(loss), tape.gradient(loss, inputs), to_codes, tape.gradient(score, inputs)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", BOTH)
def test_gradients_equal_finite_differences(kind, masked, reduction):
    beta, codebook = 0.3, normal(2, 5, 3, seed=1)
    inputs, weights = normal(2, 4, 6).astype("float64"), normal(2, 4, 6, seed=2)
    mask = np.array([[True, False, True, True], [False, True, True, True]]) if masked else None

    def layer():
        return made(kind, codebook, commitment_cost=beta, loss_reduction=reduction, dtype="float64")

    def loss(some, codes=None):
        one = layer()
        if codes is not None:
            one.codebook.assign(codes)
        one(some, mask=mask)
        return float(sum(one.losses))

    def numerical(function, at, step=1e-6):
        result = np.zeros_like(at)
        for place in np.ndindex(at.shape):
            moved = np.zeros_like(at)
            moved[place] = step
            result[place] = (function(at + moved) - function(at - moved)) / (2 * step)
        return result

    value, to_inputs, to_codes, straight = losses_and_gradients(layer(), inputs, mask, weights)
    assert value == pytest.approx(loss(inputs), rel=1e-6)
    # Both terms of the gradient form have the value of the squared distance; each moves one side.
    terms = 1 + beta if kind is VectorQuantizer else beta
    np.testing.assert_allclose(to_inputs, numerical(loss, inputs) * beta / terms, atol=1e-7)
    np.testing.assert_allclose(straight, weights)
    if kind is VectorQuantizer:
        expected = numerical(lambda codes: loss(inputs, codes), codebook.astype("float64")) / terms
        np.testing.assert_allclose(to_codes[0], expected, atol=1e-7)
    else:
        assert not to_codes
    if masked:
        assert not np.asarray(to_inputs)[~mask].any()


@pytest.mark.parametrize("kind", BOTH)
def test_masked_positions_count_for_nothing(kind):
    codebook, inputs = normal(7, 4, seed=1), normal(3, 5, 4)
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]], bool)
    spoilt = np.where(mask[..., None], inputs, [[[np.nan, np.inf, 1e30, -5.0]]]).astype("float32")
    layers, results = [], []
    for some, its_mask in ((spoilt, mask), (inputs[mask], None)):
        layer = made(kind, codebook, revival_threshold=1.0, seed=4)
        results.append(losses_and_gradients(layer, some, its_mask, np.ones_like(some)))
        layers.append(layer)
    (loss, gradient, to_codes, _), (right, right_gradient, right_codes, _) = results
    assert loss == pytest.approx(right, rel=1e-6)
    np.testing.assert_allclose(np.asarray(gradient)[mask], right_gradient, rtol=1e-5, atol=1e-8)
    assert not np.asarray(gradient)[~mask].any()
    for one, other in zip(to_codes, right_codes, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    # Revived codes are drawn of the positions that count: with the same numbers, the same vectors.
    for name, value in state(layers[1]).items():
        np.testing.assert_allclose(state(layers[0])[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
    for one, other in zip(layers[0].metrics, layers[1].metrics, strict=True):
        assert float(one.result()) == pytest.approx(float(other.result()), rel=1e-6)


def test_the_mask_of_keras_is_heeded_and_handed_on():
    inputs = normal(2, 4, 3)
    inputs[0, 2:] = 0
    value = keras.Input((4, 3))
    layer = VectorQuantizerEMA(8, 3, seed=0, name="vq")
    outputs = layer(keras.layers.Masking()(value))
    model = keras.Model(value, keras.layers.GlobalAveragePooling1D()(outputs))
    model.compile("sgd")
    model.fit(inputs, verbose=0)
    assert float(keras.ops.sum(layer.epoch_usage.counts)) == 6
    expected = array(layer(inputs[:1, :2])).mean(axis=1)
    np.testing.assert_allclose(model(inputs)[:1], expected, rtol=1e-5)


def test_a_mask_of_fewer_axes_covers_whole_rows():
    layer = made(VectorQuantizerEMA, normal(5, 2))
    layer(normal(3, 4, 4, 2), mask=np.array([True, False, True]), training=True)
    assert float(keras.ops.sum(layer.epoch_usage.counts)) == 32
    with pytest.raises(ValueError, match="at most 3 axes"):
        layer(normal(3, 4, 4, 2), mask=np.ones((3, 4, 4, 2), bool))


@pytest.mark.parametrize("nothing", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", BOTH)
def test_what_is_not_finite_leaves_everything_as_it_was(kind, nothing):
    layer = made(kind, normal(6, 4), revival_threshold=2.0, seed=0)
    good, bad = normal(2, 5, 4, seed=1), normal(2, 5, 4, seed=2)
    layer(good, training=True)
    before = state(layer)
    bad[1, 2, 0] = nothing
    loss, _, to_codes, _ = losses_and_gradients(layer, bad, None, np.ones_like(bad))
    assert not np.isfinite(loss)
    assert all(not np.asarray(gradient).any() for gradient in to_codes)
    after = state(layer)
    assert after.pop("refused_steps") == before.pop("refused_steps") + 1
    for name in before.keys() - {"batch_statistics"}:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    assert np.isfinite(layer(bad)).all()
    assert np.isin(layer.encode(bad), range(6)).all()


def test_a_batch_that_is_masked_altogether_changes_nothing():
    for start in ("ones", "sonnet"):
        layer = made(VectorQuantizerEMA, normal(6, 4), start=start)
        before = state(layer)
        layer(normal(2, 3, 4), mask=np.zeros((2, 3), bool), training=True)
        assert float(sum(layer.losses)) == 0
        for name, value in state(layer).items():
            np.testing.assert_array_equal(value, before[name], err_msg=name)


@pytest.mark.parametrize("kind", BOTH)
def test_inference_and_a_frozen_layer_keep_their_state(kind):
    layer = made(kind, normal(6, 4), revival_threshold=2.0, initializer="kmeans")
    before = state(layer)
    layer(normal(9, 4)), layer.encode(normal(9, 4))
    layer.trainable = False
    layer(normal(9, 4), training=True)
    for name, value in state(layer).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


@pytest.mark.parametrize("kind", BOTH)
def test_dead_codes_become_vectors_of_the_batch_and_stay(kind):
    codebook = np.concatenate([normal(3, 4), 50 + normal(3, 4, seed=1)])
    layer = made(kind, codebook, decay=0.5, revival_threshold=0.6, seed=0)
    batch = normal(40, 4, seed=2)
    layer(batch, training=True)
    revived = array(layer.codebook)[0, 3:]
    assert [np.abs(batch - code).sum(-1).min() for code in revived] == pytest.approx([0, 0, 0], abs=1e-6)
    np.testing.assert_allclose(array(layer.counts)[0, 3:], 0.6)
    if kind is VectorQuantizerEMA:
        np.testing.assert_allclose(array(layer.sums)[0, 3:], 0.6 * revived, rtol=1e-6)
        # Chosen by itself alone, a revived code stays where it is: its statistics are its own.
        layer(np.repeat(revived, 20, axis=0), training=True)
        np.testing.assert_allclose(array(layer.codebook)[0, 3:], revived, rtol=1e-3, atol=1e-4)


def test_revival_waits_for_its_interval():
    layer = made(VectorQuantizerEMA, 50 + normal(4, 3), decay=0.1, revival_threshold=0.5, revival_interval=3)
    for step in range(1, 4):
        layer(np.zeros((8, 3), "float32"), training=True)
        assert (np.abs(array(layer.codebook)[0]).max() < 1) == (step == 3)


@pytest.mark.parametrize("kind", BOTH)
def test_every_head_has_a_code_book_of_its_own(kind):
    codebook, inputs = normal(3, 5, 4), normal(2, 6, 12, seed=1)
    layer = made(kind, codebook)
    parts = np.split(inputs, 3, axis=-1)
    alone = [made(kind, one) for one in codebook]
    codes = [one.encode(part) for one, part in zip(alone, parts, strict=True)]
    np.testing.assert_array_equal(layer.encode(inputs), np.stack(codes, -1))
    outputs = layer(inputs, training=True)
    np.testing.assert_array_equal(
        outputs, np.concatenate([a(p, training=True) for a, p in zip(alone, parts, strict=True)], -1)
    )
    assert float(sum(layer.losses)) == pytest.approx(np.mean([float(sum(one.losses)) for one in alone]), rel=1e-6)
    np.testing.assert_allclose(layer.codebook, np.concatenate([one.codebook for one in alone]), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", BOTH)
def test_cosine_looks_at_the_direction_alone(kind):
    layer = made(kind, normal(6, 4) * np.arange(1, 7)[:, None].astype("float32"), similarity="cosine")
    inputs = normal(30, 4, seed=1)
    lengths = np.linalg.norm(inputs, axis=-1, keepdims=True) * np.linalg.norm(array(layer.codebook)[0], axis=-1)
    expected = (inputs @ array(layer.codebook)[0].T / lengths).argmax(-1)
    np.testing.assert_array_equal(layer.encode(inputs), expected)
    np.testing.assert_array_equal(layer.encode(1000 * inputs), expected)
    outputs = array(layer(inputs, training=True))
    np.testing.assert_allclose(np.linalg.norm(outputs, axis=-1), 1, rtol=1e-5)
    assert np.isfinite(layer(np.zeros((1, 4), "float32"))).all()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("kind", BOTH)
def test_statistics_are_float32_under_mixed_precision(kind, policy):
    codebook, inputs = normal(6, 4), keras.ops.cast(normal(50, 4, seed=1), policy.removeprefix("mixed_"))
    layer, exact = made(kind, codebook, dtype=policy), made(kind, codebook)
    outputs = layer(inputs, training=True)
    exact(keras.ops.cast(inputs, "float32"), training=True)
    assert float(sum(layer.losses)) == pytest.approx(float(sum(exact.losses)), rel=1e-6)
    for name, value in state(exact).items():
        np.testing.assert_allclose(state(layer)[name], value, rtol=1e-6, atol=1e-7, err_msg=name)
    assert outputs.dtype == policy.removeprefix("mixed_") and layer.lookup([1]).dtype == outputs.dtype


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"codes": 0}, r"`codes` to be a positive integer\. Received 0"),
        ({"dimension": 2.5}, r"`dimension` .* Received 2\.5"),
        ({"heads": -1}, r"`heads` .* Received -1"),
        ({"commitment_cost": -0.1}, r"`commitment_cost` to be a number of at least 0"),
        ({"loss_reduction": "max"}, r"`loss_reduction` to be one of 'mean', 'sum'"),
        ({"decay": 1.0}, r"`decay` .* less than 1"),
        ({"epsilon": 0}, r"`epsilon` .* greater than 0"),
        ({"start": "twos"}, r"`start` to be one of 'ones', 'zeros', 'sonnet'"),
        ({"initializer": "k-means"}, r"`initializer` to be one of 'uniform'.* Received 'k-means'"),
        ({"similarity": "dot"}, r"`similarity` to be one of 'euclidean', 'cosine'"),
        ({"revival_threshold": float("nan")}, r"`revival_threshold` .* Received nan"),
        ({"revival_interval": 0}, r"`revival_interval` .* Received 0"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=f"Expected .*{message}"):
        VectorQuantizerEMA(**{"codes": 8, "dimension": 4, **arguments})
