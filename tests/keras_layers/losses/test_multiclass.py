"""The forms for more than two classes."""

import json

import keras
import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf

from keras_layers import losses

RNG = np.random.default_rng(0)
Y, F = RNG.integers(0, 4, 40), RNG.normal(0, 2, (40, 4)).astype("float32")
ONE_HOT = np.eye(4)[Y]


@pytest.mark.parametrize("name", losses.names())
def test_one_versus_rest_is_the_sum_of_binary_losses(name):
    loss = losses.OneVersusRest(name, reduction=None)
    binary = losses.get(name, reduction=None)
    expected = sum(np.asarray(binary((k == Y).astype(int), F[:, k])) for k in range(4))
    for labels in (Y, Y[:, None], ONE_HOT, 2 * ONE_HOT - 1):
        np.testing.assert_allclose(loss(labels, F), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in losses.names() if name != "l2_margin"])
def test_crammer_singer_is_the_loss_of_the_margin(name):
    margin = np.array([row[y] - max(np.delete(row, y)) for row, y in zip(F, Y, strict=True)])
    loss = losses.CrammerSinger(name, reduction=None)
    for labels in (Y, Y[:, None], ONE_HOT):
        np.testing.assert_allclose(loss(labels, F), losses.get(name).value(margin), rtol=1e-5, atol=1e-6)


def test_crammer_singer_equals_peers():
    ours = float(losses.CrammerSinger("l1_hinge")(Y, F))
    assert ours == pytest.approx(sklearn.metrics.hinge_loss(Y, F, labels=range(4)), rel=1e-5)
    # Keras counts rivals below 0 as 0; of scores that are all positive that is the same.
    positive = F - F.min() + 1
    theirs = keras.losses.CategoricalHinge()(ONE_HOT, positive)
    assert float(losses.CrammerSinger("l1_hinge")(Y, positive)) == pytest.approx(float(theirs), rel=1e-5)
    mistakes = np.mean(F.argmax(1) != Y)
    assert float(losses.CrammerSinger("zero_one")(Y, F)) == pytest.approx(mistakes)


def test_a_loss_that_punishes_large_margins_has_no_such_form():
    with pytest.raises(ValueError, match="OneVersusRest takes it"):
        losses.CrammerSinger("l2_margin")
    with pytest.raises(ValueError, match="to be a margin loss"):
        losses.OneVersusRest(keras.losses.Hinge())


@pytest.mark.parametrize(
    ("labels", "scores"), [((40,), (40, 1)), ((40,), (40,)), ((40, 2), (40, 4)), ((3,), (40, 4)), ((), (40, 4))]
)
def test_shapes_that_do_not_fit(labels, scores):
    with pytest.raises(ValueError, match="Expected"):
        losses.OneVersusRest()(np.zeros(labels), np.zeros(scores, "float32"))


def test_labels_without_a_class_are_not_a_number():
    for form in (losses.OneVersusRest, losses.CrammerSinger):
        for wrong in ([4, 0], [-1, 0], [0.5, 0]):
            assert np.isnan(form()(tf.constant(wrong), F[:2]))
            with pytest.raises(ValueError, match=f"numbers of classes, 0 to 3. Received {wrong[0]}"):
                form()(wrong, F[:2])
        assert np.isnan(form()(np.zeros((2, 4)), F[:2]))


@pytest.mark.parametrize("form", [losses.OneVersusRest, losses.CrammerSinger])
def test_round_trip_metric_and_training(form):
    loss = form(losses.DWDMarginLoss(q=2.5), reduction="sum", name="mine", dtype="float64")
    text = json.dumps(keras.saving.serialize_keras_object(loss))
    restored = keras.saving.deserialize_keras_object(json.loads(text))
    assert restored.get_config() == loss.get_config() and restored.dtype == "float64"
    assert float(restored(Y, F)) == float(loss(Y, F))
    metric = losses.MarginMetric(form("zero_one"))
    metric.update_state(Y, F)
    assert float(metric.result()) == pytest.approx(float(form("zero_one")(Y, F)), rel=1e-6)
    with tf.GradientTape() as tape:
        scores = tf.constant(F)
        tape.watch(scores)
        value = form("logit_margin")(Y, scores)
    assert np.isfinite(tape.gradient(value, scores)).all()


@pytest.mark.parametrize("form", [losses.OneVersusRest, losses.CrammerSinger])
def test_masks_leave_out_and_their_labels_do_not_matter(form):
    expected = form(reduction=None)(Y[:2], F[:2]).numpy().mean()
    for labels in (np.array([*Y[:2], -100]), np.array([*Y[:2], -100])[:, None], np.vstack([ONE_HOT[:2], np.zeros(4)])):
        scores = tf.Variable(F[:3])
        with tf.GradientTape() as tape:
            masked = tf.identity(scores)
            masked._keras_mask = tf.constant([True, True, False])
            loss = form()(labels, masked)
        gradient = tape.gradient(loss, scores).numpy()
        assert float(loss) == pytest.approx(expected, rel=1e-6)
        assert np.isfinite(gradient).all() and (gradient[2] == 0).all() and (gradient[:2] != 0).any()


@pytest.mark.parametrize("form", [losses.OneVersusRest, losses.CrammerSinger])
def test_masks_go_with_weights_in_a_metric_too(form):
    values = form(reduction=None)(Y[:2], F[:2]).numpy()
    scores = tf.constant(F[:3])
    scores._keras_mask = tf.constant([True, True, False])
    labels, weights = np.array([*Y[:2], -100]), np.array([1.0, 3.0, 5.0])
    assert float(form()(labels, scores, weights)) == pytest.approx((values[0] + 3 * values[1]) / 2, rel=1e-6)
    metric = losses.MarginMetric(form())
    metric.update_state(labels, scores, sample_weight=weights)
    assert float(metric.result()) == pytest.approx((values[0] + 3 * values[1]) / 4, rel=1e-6)


def test_numbers_that_a_mask_keeps_are_checked():
    scores = tf.constant(F[:3])
    scores._keras_mask = tf.constant([True, True, False])
    for labels in (np.array([1, 4, -100]), np.array([[1], [4], [-100]])):
        with pytest.raises(ValueError, match=r"numbers of classes, 0 to 3\. Received 4"):
            losses.OneVersusRest()(labels, scores)

    @tf.function
    def step(mask):
        inside = tf.identity(scores)
        inside._keras_mask = mask
        return losses.OneVersusRest()(np.array([1, 2, -100]), inside)

    assert np.isfinite(step(scores._keras_mask))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("labels", [(), (1,), (4,)])
def test_rows_that_only_the_step_knows_never_broadcast(labels, compiled):
    loss = losses.OneVersusRest(reduction=None)
    specs = [tf.TensorSpec((None, *labels)), tf.TensorSpec((None, 4))]
    step = tf.function(loss, input_signature=specs, jit_compile=compiled)
    one = tf.one_hot([0, 0, 0], 4) if labels == (4,) else tf.zeros((3, *labels))
    assert step(one, tf.ones((3, 4))).shape == (3,)
    for true, predicted in ((one, tf.ones((1, 4))), (one[:1], tf.ones((3, 4)))):
        with pytest.raises(tf.errors.InvalidArgumentError):
            step(true, predicted)


def test_half_precision_holds_every_number_of_a_class():
    scores = np.zeros((2, 600), "float32")
    scores[0, 257] = scores[1, 599] = 3.0
    assert float(losses.CrammerSinger("zero_one", dtype="bfloat16")(np.array([257, 599]), scores)) == 0
    assert float(losses.CrammerSinger("zero_one", dtype="bfloat16")(np.array([256, 599]), scores)) == 0.5
