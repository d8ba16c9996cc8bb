"""Learning rates and SGD against their formulas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tools.errors import InputError
from tools.training import SGD, Adam, WarmUp, make_learning_rate, make_optimizer


def rates(schedule, steps):
    return np.array([float(keras.ops.convert_to_numpy(schedule(step))) for step in range(steps)])


def test_the_recipe_warms_up_linearly_and_falls_at_its_milestones():
    schedule = make_learning_rate(
        0.01, steps_per_epoch=4, epochs=45, milestones=(20, 30, 40), warm_up_epochs=10, warm_up_start=0.001
    )
    steps = np.arange(45 * 4)
    expected = np.where(steps < 40, 0.01 * (0.001 + 0.999 * steps / 40), 0.01)
    for milestone in (20, 30, 40):
        expected = np.where(steps >= milestone * 4, expected * 0.1, expected)
    np.testing.assert_allclose(rates(schedule, 45 * 4), expected, rtol=1e-5)


def test_cosine_falls_to_zero_at_the_end():
    schedule = make_learning_rate(0.4, steps_per_epoch=10, epochs=6, schedule="cosine", warm_up_epochs=1)
    steps = np.arange(60)
    expected = np.where(steps < 10, 0.4 * steps / 10, 0.2 * (1 + np.cos(np.pi * (steps - 10) / 50)))
    np.testing.assert_allclose(rates(schedule, 60), expected, rtol=1e-4, atol=1e-6)


def test_a_constant_rate_is_constant():
    np.testing.assert_allclose(rates(make_learning_rate(0.3, steps_per_epoch=2, epochs=3, schedule="constant"), 6), 0.3)


def test_a_schedule_is_serialisable():
    schedule = make_learning_rate(0.1, steps_per_epoch=3, epochs=6, milestones=(4,), warm_up_epochs=2)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert isinstance(again, WarmUp)
    np.testing.assert_array_equal(rates(again, 18), rates(schedule, 18))


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        ({"schedule": "stair"}, "schedule"),
        ({"warm_up_epochs": 9}, "warm_up_epochs"),
        ({"milestones": (1,), "warm_up_epochs": 2}, "milestones"),
        ({"peak": 0.0}, "learning rate"),
        ({"peak": float("nan")}, "learning rate"),
        ({"peak": float("inf")}, "learning rate"),
        ({"factor": -1.0}, "decay_factor"),
        ({"warm_up_start": 5.0}, "warm_up_start"),
    ],
)
def test_figures_that_do_not_fit_are_refused(arguments, culprit):
    with pytest.raises(InputError, match=culprit):
        make_learning_rate(**{"peak": 0.1, "steps_per_epoch": 2, "epochs": 6, **arguments})


def model_with(kernel, bias):
    inputs = keras.Input((kernel.shape[0],))
    model = keras.Model(inputs, keras.layers.Dense(kernel.shape[1])(inputs))
    model.set_weights([kernel, bias])
    return model


@pytest.mark.parametrize("decay_vectors", [False, True])
def test_sgd_decays_through_the_momentum_like_the_papers(decay_vectors):
    generator = np.random.default_rng(0)
    kernel, bias = (generator.normal(size=shape).astype("float32") for shape in ((3, 2), (2,)))
    gradients = generator.normal(size=(4, 3, 2)).astype("float32"), generator.normal(size=(4, 2)).astype("float32")
    model = model_with(kernel, bias)
    optimizer = make_optimizer("sgd", 0.1, model, momentum=0.9, weight_decay=0.2, decay_vectors=decay_vectors)
    for step in range(4):
        optimizer.apply([gradients[0][step], gradients[1][step]], model.trainable_variables)
    # torch.optim.SGD: v <- momentum v + (g + decay w); w <- w - rate v
    for variable, steps, decay, received in (
        (kernel, gradients[0], 0.2, model.get_weights()[0]),
        (bias, gradients[1], 0.2 if decay_vectors else 0.0, model.get_weights()[1]),
    ):
        expected, velocity = variable.astype("float64"), 0.0
        for gradient in steps:
            velocity = 0.9 * velocity + gradient + decay * expected
            expected = expected - 0.1 * velocity
        np.testing.assert_allclose(received, expected, rtol=1e-5)


def test_adam_decays_through_the_moments_like_pytorch():
    generator = np.random.default_rng(0)
    kernel, bias = (generator.normal(size=shape).astype("float32") for shape in ((3, 2), (2,)))
    gradients = generator.normal(size=(4, 3, 2)).astype("float32")
    model = model_with(kernel, bias)
    optimizer = Adam(0.1, l2=0.2)
    optimizer.exclude_from_weight_decay([model.trainable_variables[1]])
    for gradient in gradients:
        optimizer.apply([gradient, np.zeros(2, "float32")], model.trainable_variables)
    # torch.optim.Adam: g <- g + decay w, then the moments of g.
    expected, mean, square = kernel.astype("float64"), 0.0, 0.0
    for step, gradient in enumerate(gradients, 1):
        gradient = gradient + 0.2 * expected
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        expected = expected - 0.1 * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-7)
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(model.get_weights()[1], bias)


def test_adam_decays_the_rows_of_an_embedding_too():
    layer = keras.layers.Embedding(3, 2, embeddings_initializer="ones")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(tf.constant([1])))
    rows = tape.gradient(loss, layer.trainable_variables)
    assert isinstance(rows[0], tf.IndexedSlices)
    Adam(0.1, l2=0.2).apply(rows, layer.trainable_variables)
    np.testing.assert_allclose(layer.get_weights()[0], 0.9, rtol=1e-5)


def test_a_linear_schedule_ends_at_0():
    rate = make_learning_rate(0.2, steps_per_epoch=10, epochs=10, schedule="linear", warm_up_epochs=1)
    np.testing.assert_allclose([float(rate(step)) for step in (0, 5, 10, 55, 100)], [0, 0.1, 0.2, 0.1, 0], atol=1e-7)


def test_adamw_leaves_vectors_out_of_the_decay():
    model = model_with(np.ones((2, 2), "float32"), np.ones(2, "float32"))
    optimizer = make_optimizer("adamw", 0.1, model, weight_decay=0.5)
    optimizer.apply([np.zeros((2, 2), "float32"), np.zeros(2, "float32")], model.trainable_variables)
    np.testing.assert_allclose(model.get_weights()[0], 0.95)
    np.testing.assert_allclose(model.get_weights()[1], 1.0)


def test_gradients_are_clipped_together():
    model = model_with(np.zeros((1, 1), "float32"), np.zeros(1, "float32"))
    optimizer = make_optimizer("sgd", 1.0, model, momentum=0.0, clip_norm=1.0)
    optimizer.apply([np.full((1, 1), 3.0, "float32"), np.full(1, 4.0, "float32")], model.trainable_variables)
    np.testing.assert_allclose([model.get_weights()[0][0, 0], model.get_weights()[1][0]], [-0.6, -0.8], rtol=1e-6)


def test_both_are_serialisable():
    for optimizer in (SGD(0.1, momentum=0.8, l2=0.3), Adam(0.1, beta_1=0.8, l2=0.3)):
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
        assert type(again) is type(optimizer) and again.get_config() == optimizer.get_config() and again.l2 == 0.3


@pytest.mark.parametrize(
    ("name", "arguments", "culprit"),
    [
        ("adagrad", {}, "optimizer"),
        ("sgd", {"momentum": 1.0}, "momentum"),
        ("sgd", {"weight_decay": -1.0}, "weight_decay"),
        ("sgd", {"weight_decay": float("nan")}, "weight_decay"),
        ("sgd", {"clip_norm": 0.0}, "clip_norm"),
    ],
)
def test_values_out_of_range_are_refused(name, arguments, culprit):
    with pytest.raises(InputError, match=culprit):
        make_optimizer(name, 0.1, model_with(np.zeros((1, 1)), np.zeros(1)), **arguments)
