"""The losses wherever Keras takes a loss: labels, shapes, weights, masks, reductions, precision, saving, training."""

import inspect
import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_layers import losses
from tests.keras_layers.losses.cases import CASES, TRAINABLE

Y = np.array([[0, 1], [0, 0]])
F = np.array([[0.6, 0.4], [0.4, 0.6]], "float32")
# Keras' own example, evaluated for all eleven: per sample, mean, weights (1, 0) with two reductions.
EXAMPLE = {
    "l1_hinge": (1.1, 1.5, 0.55, 1.1),
    "l2_hinge": (1.46, 2.26, 0.73, 1.46),
    "zero_one": (0.5, 1, 0.25, 0.5),
    "perceptron": (0.3, 0.5, 0.15, 0.3),
    "smoothed_l1_hinge": (0.64, 1, 0.32, 0.64),
    "modified_huber": (1.46, 2.26, 0.73, 1.46),
    "dwd_margin": (1.1, 1.5, 0.55, 1.1),
    "l2_margin": (1.46, 2.26, 0.73, 1.46),
    "sigmoid": (1.07855, 1.458499, 0.539275, 1.07855),
    "logit_margin": (0.775252, 0.975252, 0.387626, 0.775252),
    "exp": (1.246219, 1.656972, 0.62311, 1.246219),
}
NAMES = losses.names()


def test_every_loss_has_its_name():
    assert list(EXAMPLE.keys() ^ set(NAMES)) == []
    for name, loss in losses.MARGIN_LOSSES.items():
        assert loss().name == name
        assert type(losses.get(name)) is type(losses.get(loss.__name__)) is loss
        assert losses.get(losses.get(name)).name == name
        arguments = loss.__doc__.partition("    Args:\n")[2].partition("    Input shape:\n")[0]
        told = re.findall(r"^        (\w+): ", arguments, re.MULTILINE)
        own = [*inspect.signature(loss).parameters.keys() - {"kwargs"} - {"labels", "reduction", "name", "dtype"}]
        assert told == [*own, "labels", "reduction", "name", "dtype"]
        assert "{arguments}" not in loss.__doc__ and loss.__doc__.count("    Args:\n") == 1


@pytest.mark.parametrize(
    ("identifier", "arguments", "words"),
    [
        ("hinge", {}, "Expected a loss of zero_one, .* Received 'hinge'"),
        (3, {}, "Received 3"),
        (losses.ExpLoss(), {"q": 1}, "arguments only with the name"),
    ],
)
def test_get_refuses(identifier, arguments, words):
    with pytest.raises(ValueError, match=words):
        losses.get(identifier, **arguments)


@pytest.mark.parametrize("name", NAMES)
def test_reductions_and_weights(name):
    first, second, weighted, by_weight = EXAMPLE[name]
    near = {"rel": 1e-5}
    np.testing.assert_allclose(losses.get(name, reduction=None)(Y, F), [first, second], rtol=1e-5)
    np.testing.assert_allclose(losses.get(name, reduction="none")(Y, F), [first, second], rtol=1e-5)
    for reduction in ("sum_over_batch_size", "mean", "mean_with_sample_weight"):
        assert float(losses.get(name, reduction=reduction)(Y, F)) == pytest.approx((first + second) / 2, **near)
    assert float(losses.get(name, reduction="sum")(Y, F)) == pytest.approx(first + second, **near)
    weights = np.array([1.0, 0.0])
    assert float(losses.get(name)(Y, F, weights)) == pytest.approx(weighted, **near)
    assert float(losses.get(name)(Y, F, 2.0)) == pytest.approx(first + second, **near)
    assert float(losses.get(name)(Y, F, np.zeros(2))) == 0
    assert float(losses.get(name, reduction="mean_with_sample_weight")(Y, F, weights)) == pytest.approx(
        by_weight, **near
    )
    with pytest.raises(ValueError, match="reduction"):
        losses.get(name, reduction="average")


def test_labels_are_read_each_by_itself():
    f = np.array([0.5, -2.0, 0.3, 1.5], "float32")
    right = [losses.L1HingeLoss(reduction=None)(y, f) for y in ([1, -1, -1, 1], [1, 0, 0, 1], [1, 0, -1, True])]
    for result in right:
        np.testing.assert_allclose(result, [0.5, 0, 1.3, 0])
    # Of a batch without a positive, and without a negative, example: the same as one by one.
    loss = losses.L1HingeLoss()
    assert float(loss([0, 0], [0.5, 0.5])) == float(loss([-1, -1], [0.5, 0.5])) == 1.5
    assert float(loss([1, 1], [0.5, 0.5])) == 0.5


@pytest.mark.parametrize(
    ("labels", "wrong"),
    [("auto", 0.5), ("auto", 2), ("signed", 0), ("binary", -1), ("soft", 1.5), ("soft", -1), ("auto", np.nan)],
)
def test_labels_outside_of_the_coding_are_refused(labels, wrong):
    loss = losses.LogitMarginLoss(labels=labels)
    with pytest.raises(ValueError, match="Expected labels that are"):
        loss([1, wrong], [0.5, 0.5])
    compiled = tf.function(loss, jit_compile=True)
    for call in (loss, compiled):
        assert np.isnan(call(tf.constant([1.0, wrong]), tf.constant([0.5, 0.5])))


def test_soft_labels_are_an_expectation():
    loss = losses.LogitMarginLoss(labels="soft")
    f = np.array([0.5, -2.0, 3.0], "float32")
    expected = keras.losses.BinaryCrossentropy(from_logits=True)(np.array([0.9, 0.2, 1.0]), f)
    assert float(loss([0.9, 0.2, 1.0], f)) == pytest.approx(float(expected), rel=1e-6)
    # Of the class without probability the loss may be infinite.
    for labels in ([1.0], tf.constant([1.0])):
        assert float(losses.ExpLoss(labels="soft", dtype="float16")(labels, [1e4])) == 0


def test_shapes_never_broadcast():
    y, f = np.array([1, 0, 1, 0]), np.arange(4, dtype="float32")
    loss = losses.L1HingeLoss(reduction=None)
    expected = loss(y, f)
    assert expected.shape == (4,)
    for true, predicted in ((y, f[:, None]), (y[:, None], f), (y[:, None], f[:, None])):
        np.testing.assert_array_equal(loss(true, predicted), expected)
    weights = np.array([1, 2, 3, 4.0])
    for predicted in (f, f[:, None]):
        assert float(losses.L1HingeLoss()(y, predicted, weights)) == pytest.approx(float(np.mean(weights * expected)))
    for true, predicted in (
        ((4,), (4, 2)),
        ((4,), (3,)),
        ((4, 1), (4, 2)),
        ((1,), (4,)),
        ((4, 2, 1), (4,)),
        ((), (4,)),
    ):
        with pytest.raises(ValueError, match="Expected labels of the shape"):
            loss(np.ones(true), np.ones(predicted, "float32"))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("known", "right", "wrong"),
    [
        ((None, None), ((4, 1), (4, 1)), [((4, 1), (4, 3)), ((2, 3), (3, 2)), ((1, 3), (2, 3)), ((6, 1), (2, 3))]),
        # A graph drops a reshape between shapes with one free axis.
        ((None, 1), ((4, 1), (4, 1)), [((1, 1), (4, 1)), ((4, 1), (1, 1))]),
    ],
)
def test_shapes_that_only_the_step_knows_never_broadcast(known, right, wrong, compiled):
    loss = losses.L1HingeLoss(reduction=None)
    binary = tf.function(loss, input_signature=[tf.TensorSpec(known)] * 2, jit_compile=compiled)
    flat = tf.function(loss, input_signature=[tf.TensorSpec((None,)), tf.TensorSpec(known)], jit_compile=compiled)
    flipped = tf.function(loss, input_signature=[tf.TensorSpec(known), tf.TensorSpec((None,))], jit_compile=compiled)
    assert binary(*map(tf.ones, right)).shape == (4,)
    assert flat(tf.ones(4), tf.ones((4, 1))).shape == flipped(tf.ones((4, 1)), tf.ones(4)).shape == (4,)
    for true, predicted in wrong:
        with pytest.raises(tf.errors.InvalidArgumentError):
            binary(tf.ones(true), tf.ones(predicted))
    with pytest.raises(tf.errors.InvalidArgumentError):
        flat(tf.ones(1), tf.ones((4, 1)))
    with pytest.raises(tf.errors.InvalidArgumentError):
        flipped(tf.ones((1, 1)), tf.ones(4))


def masked(scores, mask):
    scores = tf.convert_to_tensor(scores, "float32")
    scores._keras_mask = tf.constant(mask)
    return scores


def test_masks_leave_out_and_their_labels_do_not_matter():
    # Values are averaged over the last axis, so a mask of time steps comes with an axis of features.
    scores = [[[0.5], [7.0]], [[0.2], [0.4]]]
    y = np.array([[[1], [-100]], [[0], [1]]])
    mask = [[True, False], [True, True]]
    for fitting in (mask, np.array(mask)[..., None]):
        for labels in (y, y[..., 0], tf.constant(y)):
            assert float(losses.L1HingeLoss()(labels, masked(scores, fitting))) == pytest.approx((0.5 + 1.2 + 0.6) / 3)
    # A mask of whole rows.
    assert float(losses.L1HingeLoss()(y, masked(scores, [[False], [True]]))) == pytest.approx((1.2 + 0.6) / 2)
    assert float(losses.L1HingeLoss()(y, masked(scores, np.zeros((2, 2), "bool")))) == 0


@pytest.mark.parametrize("form", [losses.L1HingeLoss, losses.OneVersusRest])
def test_masks_of_what_takes_no_attribute_are_found(form):
    """Keras keeps those beside, as it does for what JAX traces."""
    scores, y = np.eye(3, dtype="float32") / 2, np.array([0, 1, -100])
    if form is losses.L1HingeLoss:
        scores, y = scores[:, 0], np.array([1, 0, -100])
    expected = float(form()(y[:2], scores[:2]))
    keras.src.backend.set_keras_mask(scores, np.array([True, True, False]))
    assert float(form()(y, scores)) == pytest.approx(expected)
    metric = losses.MarginMetric(form())
    metric.update_state(y, scores)
    assert float(metric.result()) == pytest.approx(expected)


@pytest.mark.parametrize("labels", ["auto", "soft"])
@pytest.mark.parametrize("compiled", [False, True])
def test_masks_go_with_weights_and_gradients(labels, compiled):
    loss = losses.LogitMarginLoss(labels=labels)

    def step(y, f, mask, weights):
        with tf.GradientTape() as tape:
            tape.watch(f)
            scores = tf.identity(f)
            scores._keras_mask = mask
            value = loss(y, scores, weights)
        return value, tape.gradient(value, f)

    value, gradient = (tf.function(step) if compiled else step)(
        tf.constant([1.0, 0.0, -100.0]),
        tf.constant([0.5, -0.25, 3.0]),
        tf.constant([True, True, False]),
        tf.constant([1.0, 3.0, 5.0]),
    )
    assert float(value) == pytest.approx((np.log1p(np.exp(-0.5)) + 3 * np.log1p(np.exp(-0.25))) / 2, rel=1e-6)
    expected = [-1 / (1 + np.exp(0.5)) / 2, 3 / (1 + np.exp(0.25)) / 2, 0]
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


@pytest.mark.parametrize(("labels", "wrong"), [("auto", 2), ("binary", -1), ("soft", 1.5)])
def test_labels_that_a_mask_keeps_are_checked(labels, wrong):
    loss = losses.LogitMarginLoss(labels=labels)
    scores = masked([[0.5], [0.2], [0.4]], [True, True, False])
    assert np.isfinite(loss(np.array([1, 0, -100]), scores))
    with pytest.raises(ValueError, match=f"Expected labels that are .* Received {wrong}"):
        loss(np.array([1, wrong, -100]), scores)
    assert np.isnan(loss(tf.constant([1.0, wrong, -100.0]), scores))


@pytest.mark.parametrize("form", [losses.L1HingeLoss, losses.OneVersusRest])
@pytest.mark.parametrize("mask", [(3, 3), (3, 3, 1), (2,), (2, 1), ()])
def test_masks_that_do_not_fit_are_refused(form, mask):
    with pytest.raises(ValueError, match=r"Expected a mask of the shape of the losses, \(3,\)\. Received"):
        form()(np.ones((3, 3)) * np.eye(3), masked(np.ones((3, 3)), np.ones(mask, "bool")))
    with pytest.raises(ValueError, match="Expected a mask of the shape of the losses"):
        form()(np.ones((3, 3, 3)) * np.eye(3), masked(np.ones((3, 3, 3)), np.ones((3,), "bool")))


@pytest.mark.parametrize("weights", [[1.0, 2.0, 5.0], [[1.0], [2.0], [5.0]]])
def test_a_metric_takes_mask_and_weights_together(weights):
    scores = tf.constant([0.5, -0.5, 3.0])
    scores._keras_mask = tf.constant([True, True, False])
    metric = losses.MarginMetric("l1_hinge")
    metric.update_state(np.array([1, 1, 0]), scores, sample_weight=np.array(weights))
    assert float(metric.result()) == pytest.approx((1 * 0.5 + 2 * 1.5) / 3)


def test_a_metric_of_another_loss_is_refused():
    with pytest.raises(ValueError, match="to be a margin loss or a multi-class form"):
        losses.MarginMetric(keras.losses.Hinge())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_dtype_and_configuration_round_trip(dtype):
    for loss in (
        *(losses.get(name, dtype=dtype, labels="binary", reduction="sum", name="mine") for name in NAMES),
        losses.SmoothedL1HingeLoss(0.3, dtype=dtype, labels="binary", reduction="sum", name="mine"),
        losses.DWDMarginLoss(q=2.5, dtype=dtype, labels="binary", reduction="sum", name="mine"),
    ):
        text = json.dumps(keras.saving.serialize_keras_object(loss))
        restored = keras.saving.deserialize_keras_object(json.loads(text))
        assert type(restored) is type(loss) and restored.get_config() == loss.get_config()
        assert restored.dtype == dtype == loss(Y, F).dtype.name
        assert losses.get(json.loads(text))(Y, F) == keras.losses.get(json.loads(text))(Y, F) == loss(Y, F)


@pytest.mark.parametrize("wrong", [0, -1, 0.0, float("nan"), "one", True, None])
def test_gamma_and_q_must_be_positive(wrong):
    with pytest.raises(ValueError, match="`gamma` to be a number greater than 0"):
        losses.SmoothedL1HingeLoss(gamma=wrong)
    with pytest.raises(ValueError, match="`q` to be a number greater than 0"):
        losses.DWDMarginLoss(q=wrong)


def test_a_wrong_coding_is_refused():
    with pytest.raises(ValueError, match="`labels` to be one of 'auto', 'signed', 'binary', 'soft'"):
        losses.ExpLoss(labels="boolean")


def small_model(policy=None):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(4, activation="tanh", dtype=policy)(inputs)
    return keras.Model(inputs, keras.layers.Dense(1, dtype=policy)(hidden))


def toy():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 2)).astype("float32")
    return x, (x[:, 0] > 0).astype("int32")


TRAINED = ("perceptron", "dwd_margin", "sigmoid")


@pytest.mark.parametrize(
    "name",
    [
        name if name in TRAINED else pytest.param(name, marks=pytest.mark.slow)
        for name in NAMES
        if name != "zero_one"  # has no gradient
    ],
)
def test_training_lowers_the_loss_and_the_model_loads(name, tmp_path):
    x, y = toy()
    model = small_model()
    model.compile("adam", losses.get(name), metrics=[losses.MarginMetric("zero_one")])
    before = model.evaluate(x, y, verbose=0)[0]
    model.fit(x, y, epochs=3, batch_size=16, verbose=0, class_weight={0: 1.0, 1: 2.0})
    after = model.evaluate(x, y, verbose=0, return_dict=True)
    assert after["loss"] < before
    predicted = model.predict(x, verbose=0)[:, 0]
    assert after["zero_one"] == pytest.approx(np.mean(np.where(y == 1, predicted, -predicted) < 0), abs=1e-6)
    if name == "dwd_margin":
        model.save(tmp_path / "model.keras")
        restored = keras.saving.load_model(tmp_path / "model.keras")
        assert type(restored.loss) is losses.DWDMarginLoss
        assert restored.evaluate(x, y, verbose=0, return_dict=True) == pytest.approx(after)


def test_weights_of_classes_multiply_their_losses():
    x, y = toy()
    model = small_model()
    model.compile(keras.optimizers.SGD(0.0), losses.L1HingeLoss())
    values = np.asarray(losses.L1HingeLoss(reduction=None)(y, model(x)))
    expected = np.mean(np.where(y == 1, 3.0, 0.5) * values)
    assert expected != pytest.approx(values.mean(), rel=1e-2)
    assert float(model.train_on_batch(x, y, class_weight={0: 0.5, 1: 3.0})) == pytest.approx(expected, rel=1e-5)


def test_mixed_precision_computes_the_loss_in_float32():
    # float16 holds the score and not e^20, 4.9e8.
    score = tf.constant([20.0], "float16")
    value = losses.ExpLoss()([0], score)
    assert value.dtype == "float32" and float(value) == pytest.approx(np.exp(20), rel=1e-5)
    inputs = keras.Input((1,))
    dense = keras.layers.Dense(1, dtype="mixed_float16", kernel_initializer="ones")
    model = keras.Model(inputs, dense(inputs))
    assert model.output.dtype == "float16"
    model.compile(keras.optimizers.SGD(0.0), losses.ExpLoss())
    x, y = np.array([[20.0], [19.0]], "float32"), np.array([0, 0])
    assert float(model.evaluate(x, y, verbose=0)) == pytest.approx(np.exp([20, 19]).mean(), rel=1e-5)
    assert model.fit(x, y, verbose=0).history["loss"][0] == pytest.approx(np.exp([20, 19]).mean(), rel=1e-5)


def test_the_share_of_mistakes_evaluates_but_does_not_train():
    x, y = toy()
    model = small_model()
    model.compile("adam", losses.ZeroOneLoss())
    assert 0 <= model.evaluate(x, y, verbose=0) <= 1
    with pytest.raises(ValueError, match="train with LogitMarginLoss or L1HingeLoss and add MarginMetric"):
        model.fit(x, y, epochs=1, verbose=0)
    assert float(losses.ZeroOneLoss()([1, 0], [-0.0, 0.0])) == 0


COMPILED = ("L1HingeLoss", "DWDMarginLoss(2)", "ExpLoss")


@pytest.mark.parametrize(
    "name", [name if name in COMPILED else pytest.param(name, marks=pytest.mark.slow) for name in TRAINABLE]
)
def test_one_kernel_and_one_trace(name):
    traces = []

    @tf.function(jit_compile=True)
    def step(y, f):
        traces.append(1)
        with tf.GradientTape() as tape:
            tape.watch(f)
            loss = CASES[name](y, f)
        return loss, tape.gradient(loss, f)

    y, f = tf.constant([1.0, 0.0, 1.0]), tf.constant([0.25, 0.5, -3.0])
    for scale in (1.0, 2.0):
        value, gradient = step(y, f * scale)
        signed = np.array([1, -1, 1.0])
        np.testing.assert_allclose(value, np.mean(CASES[name].value(signed * f * scale)), rtol=1e-5)
        np.testing.assert_allclose(
            gradient, signed * CASES[name].derivative(signed * f * scale) / 3, rtol=1e-4, atol=1e-7
        )
    assert len(traces) == 1


def test_the_metric_is_the_mean_of_everything_seen():
    metric = losses.MarginMetric(losses.L1HingeLoss(), name="hinge")
    y = np.array([[0, 1, 0, 1], [0, 0, 1, 1]])
    f = np.array([[-0.3, 0.2, -0.1, 1.6], [-0.25, -1, 0.5, 0.6]], "float32")
    metric.update_state(y[:1], f[:1])
    metric.update_state(y[1:], f[1:])
    assert float(metric.result()) == pytest.approx(0.50625)
    metric.reset_state()
    metric.update_state(y, f, sample_weight=[1.5, 2.0])
    assert float(metric.result()) == pytest.approx(0.49286, abs=1e-5)
    squared = losses.MarginMetric("l2_hinge")
    squared.update_state(y, f)
    assert float(squared.result()) == pytest.approx(0.36406, abs=1e-5)
    restored = losses.MarginMetric.from_config(json.loads(json.dumps(metric.get_config())))
    restored.update_state(y, f)
    assert restored.name == "hinge" and float(restored.result()) == pytest.approx(0.50625)
    with pytest.raises(ValueError, match="Expected a loss of"):
        losses.MarginMetric("accuracy")
