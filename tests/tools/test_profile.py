"""The profile against counts by hand, against TensorFlow's own graph, and at what it must not hide."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_layers import Conv2Plus1D, FiniteScalarQuantizer, ResidualVectorQuantizer, VectorQuantizer
from tools import profile as profiling
from tools.errors import InputError
from tools.profile import profile

layers = keras.layers


def of(layer: layers.Layer, *shape: int):
    inputs = keras.Input(shape)
    return profile(keras.Model(inputs, layer(inputs)))


@pytest.mark.parametrize(
    ("layer", "shape", "multiply_adds"),
    [
        (layers.Conv1D(5, 3, padding="causal"), (8, 4), 8 * 3 * 4 * 5),
        (layers.Conv2D(5, 3, strides=2, padding="same"), (8, 9, 4), 4 * 5 * 9 * 4 * 5),
        (layers.Conv2D(6, 3, groups=2), (8, 8, 4), 36 * 9 * 4 * 6 // 2),
        (layers.Conv3D(5, (1, 3, 3)), (4, 8, 8, 2), 4 * 36 * 9 * 2 * 5),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), (8, 8, 4), 36 * 9 * 4 * 2),
        (layers.SeparableConv2D(7, 3), (8, 8, 4), 36 * (9 * 4 + 4 * 7)),
        (layers.Conv2DTranspose(5, 4, strides=2, padding="same"), (8, 8, 3), 64 * 16 * 3 * 5),
        (layers.Dense(7), (10,), 70),
        (layers.Dense(7), (3, 4, 10), 3 * 4 * 70),
        (layers.EinsumDense("abc,cd->abd", output_shape=(None, 7)), (5, 10), 5 * 70),
        (layers.EinsumDense("...x,xy->...y", output_shape=(7,)), (2, 5, 10), 10 * 70),
        (layers.EinsumDense("abc,bcd->ad", output_shape=(7,)), (5, 10), 5 * 10 * 7),
        (layers.TimeDistributed(layers.Conv2D(5, 3)), (6, 8, 8, 2), 6 * 36 * 9 * 2 * 5),
        (VectorQuantizer(9, 3, heads=2), (5, 4, 6), 20 * 9 * 6),
        (ResidualVectorQuantizer(3, 9, 6), (5, 4, 6), 3 * 20 * 9 * 6),
        (FiniteScalarQuantizer((3, 3)), (5, 4, 2), 0),
        (layers.BatchNormalization(), (8, 8, 4), 0),
        (layers.MaxPooling2D(), (8, 8, 4), 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, layers.Layer) else None,
)
def test_counts_by_hand(layer, shape, multiply_adds):
    counted = of(layer, *shape)
    assert counted.multiply_adds == multiply_adds
    assert counted.uncounted == ()
    assert counted.layers[-1].parameters == layer.count_params()


@pytest.mark.parametrize(("shape", "heads"), [((5, 3), 1), ((5, 2), 2)])
def test_looking_codes_up_costs_nothing(shape, heads):
    indices = keras.Input(shape, dtype="int32")
    counted = profile(keras.Model(indices, VectorQuantizer(9, 3, heads=heads).lookup(indices)))
    assert counted.multiply_adds == 0 and counted.uncounted == ()


def test_attention_counts_projections_and_products():
    inputs = keras.Input((6, 8))
    model = keras.Model(inputs, layers.MultiHeadAttention(num_heads=2, key_dim=3, value_dim=5)(inputs, inputs))
    projections = 6 * (8 * 6 + 8 * 6 + 8 * 10 + 10 * 8)
    assert profile(model).multiply_adds == projections + 2 * 6 * 6 * (3 + 5)


def test_descends_into_composite_layers():
    counted = of(Conv2Plus1D(5, 3, 2, "symmetric", intermediate_filters=7), 4, 8, 8, 2)
    assert counted.multiply_adds == 4 * 16 * 9 * 2 * 7 + 2 * 16 * 3 * 7 * 5
    assert counted.parameters == 9 * 2 * 7 + 4 * 7 + 3 * 7 * 5
    assert counted.trainable_parameters == counted.parameters - 2 * 7
    assert counted.layers[-1].output_shape == (1, 2, 4, 4, 5)


def test_counts_every_call_of_a_shared_layer_and_of_a_nested_model():
    inner_inputs = keras.Input((4,))
    inner = keras.Model(inner_inputs, layers.Dense(4)(inner_inputs))
    dense, inputs = layers.Dense(4), keras.Input((4,))
    model = keras.Model(inputs, inner(dense(inner(dense(inputs)))))
    assert profile(model).multiply_adds == 4 * 16
    assert profile(model).parameters == 2 * 20


def test_agrees_with_the_graph_of_tensorflow():
    inputs = keras.Input((8, 20, 24, 3))
    x = Conv2Plus1D(6, (3, 5, 5), (1, 2, 2), "symmetric")(inputs)
    x = layers.Add()([Conv2Plus1D(8, 3, 2)(x), layers.Conv3D(8, 1, 2)(x)])
    model = keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling3D()(x)))
    graph = tf.function(model).get_concrete_function(tf.TensorSpec((1, 8, 20, 24, 3))).graph
    expected = 0
    for operation in graph.get_operations():
        if operation.type in ("Conv3D", "MatMul"):
            kernel = operation.inputs[1].shape
            expected += math.prod(operation.outputs[0].shape[:-1]) * math.prod(kernel)
    assert profile(model).multiply_adds == expected > 0


@keras.saving.register_keras_serializable(package="tests")
class Scale(layers.Layer):
    """A layer with a weight of which no rule knows."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],))

    def call(self, inputs):
        return inputs * self.scale


@keras.saving.register_keras_serializable(package="tests")
class DenseCell(layers.Layer):
    """A recurrent cell of layers of which rules know."""

    state_size = output_size = 3

    def build(self, input_shape):
        self.dense = layers.Dense(3, name="dense")
        self.dense.build(input_shape)

    def call(self, inputs, states):
        return self.dense(inputs), states


def test_reports_weights_that_no_rule_covers(monkeypatch):
    counted = of(Scale(name="scale"), 4)
    assert counted.uncounted == ("scale",)
    assert counted.layers[-1].uncounted == ("scale",)
    monkeypatch.setitem(profiling.RULES, Scale, lambda layer, inputs, outputs: inputs[0][-1])
    counted = of(Scale(), 4)
    assert (counted.uncounted, counted.multiply_adds) == ((), 4)


def test_reports_recurrent_layers_as_uncounted():
    # Their loop is traced once, and runs as often as the sequence is long.
    counted = of(layers.RNN(layers.StackedRNNCells([layers.GRUCell(3, name="cell")])), 5, 4)
    assert len(counted.uncounted) == 1
    assert "cell" in counted.uncounted[0]
    assert of(layers.LSTM(3), 5, 4).uncounted


def test_reports_layers_inside_loops_as_uncounted():
    inputs = keras.Input((5, 4))
    recurrent = layers.RNN(DenseCell(name="cell"))
    counted = profile(keras.Model(inputs, recurrent(inputs)))
    assert len(counted.uncounted) == 1
    assert counted.uncounted[0].endswith("dense")
    assert counted.multiply_adds == 0


def test_free_lengths_must_be_given():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, layers.Conv2D(5, 3, padding="same")(inputs))
    assert profile(model, (4, 6, 3)).multiply_adds == 24 * 27 * 5
    for shape in (None, (4, 6), (4, 6, 2), (4, 0, 3), (4, None, 3)):
        with pytest.raises(InputError, match="`input_shape` to give every length"):
            profile(model, shape)


def test_several_inputs():
    a, b = keras.Input((4,)), keras.Input((None, 3))
    model = keras.Model([a, b], [layers.Dense(2)(a), layers.Dense(5)(b)])
    assert profile(model, [(4,), (7, 3)]).multiply_adds == 8 + 7 * 15


def test_leaves_the_model_as_it_was():
    inputs = keras.Input((4, 4, 4, 2))
    model = keras.Model(inputs, layers.BatchNormalization()(Conv2Plus1D(3)(inputs)))
    before = model.get_weights()
    profile(model)
    assert not [layer.name for layer in model._flatten_layers() if "call" in vars(layer)]
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_model_that_is_not_built():
    with pytest.raises(InputError, match="to be built"):
        profile(keras.Sequential([layers.Dense(3)]))
