"""The rewritten model is the model, without 3-D operations."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_layers import (
    ChannelwiseConv3D,
    ClipCheck,
    Conv2Plus1D,
    FramePadding,
    FrameRateResampling,
    InflatedInception,
    LateralConnection,
    SelfGating,
    SeparableInception,
    SqueezeExcitation3D,
    TemporalDifference,
    TemporalTransition,
    WindowedAveragePooling3D,
)
from tools.errors import InputError
from tools.lite import rewrite

KERNELS = [(1, 1, 1), (1, 3, 3), (3, 1, 1), (3, 3, 3), (2, 3, 2), (1, 2, 4), (4, 1, 1)]


@pytest.fixture
def of(graphs):
    """Builds a model of one step after the other, with random weights."""

    def build(*steps, shape=(4, 7, 6, 3)):
        x = inputs = keras.Input(shape, name="clip")
        for step in steps:
            x = step(x)
        return graphs.randomise(keras.Model(inputs, x))

    return build


def outputs(model, clips):
    results = model(clips, training=False)
    return [keras.ops.convert_to_numpy(value) for value in keras.tree.flatten(results)]


def assert_equal(model, edge=None, batch=2, relative=1e-5):
    """The same outputs, and no tensor of more than four axes but inputs and outputs."""
    edge = edge or rewrite(model)
    clips = np.random.default_rng(1).standard_normal((batch, *model.inputs[0].shape[1:])).astype("float32")
    for expected, received in zip(outputs(model, clips), outputs(edge, clips), strict=True):
        assert received.shape == expected.shape
        assert np.sqrt(((received - expected) ** 2).mean()) <= relative * np.sqrt((expected**2).mean()) + 1e-12
    assert not any("3D" in type(layer).__name__ for layer in edge.layers)
    return edge


@pytest.mark.parametrize("seed", range(30))
def test_random_graph_is_equal(seed, graphs):
    model = graphs.random_model(seed)
    edge = assert_equal(model)
    assert edge.output_names == model.output_names
    assert [tensor.name for tensor in edge.inputs] == ["clip"]
    assert set(edge.output) == {"features", "scores", "map"}


@pytest.mark.parametrize("padding", ["same", "valid", "symmetric"])
@pytest.mark.parametrize("strides", [1, 2, (2, 1, 1), (1, 2, 2)])
def test_conv2plus1d_is_equal_and_its_normalisation_folded(padding, strides, of):
    model = of(Conv2Plus1D(5, 3, strides, padding=padding), layers.BatchNormalization(), shape=(6, 8, 9, 3))
    edge = assert_equal(model)
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in edge.layers)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("strides", [1, 2, (1, 2, 2), (2, 1, 1), (3, 2, 1)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_convolution_is_equal(kernel, strides, padding, of):
    assert_equal(of(layers.Conv3D(4, kernel, strides, padding=padding), shape=(5, 8, 9, 2)), batch=1)


@pytest.mark.parametrize("kernel", [(3, 3, 3), (1, 3, 3), (3, 1, 1)])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_channelwise_convolution_is_equal(kernel, strides, multiplier, of):
    convolution = layers.Conv3D(3 * multiplier, kernel, strides, padding="same", groups=3)
    assert_equal(of(convolution, layers.BatchNormalization()))


@pytest.mark.parametrize("padding", ["same", "valid", "symmetric"])
@pytest.mark.parametrize(
    ("kernel", "strides", "dilation"),
    [(3, 1, 1), (3, (1, 2, 2), 1), ((5, 1, 1), 1, 1), ((4, 1, 1), 1, 1), ((2, 3, 4), (2, 1, 1), 1), (3, (1, 2, 2), 2)],
)
def test_channelwise_layer_is_equal_and_its_normalisation_folded(padding, kernel, strides, dilation, of):
    layer = ChannelwiseConv3D(kernel, strides, padding, dilation, use_bias=True)
    edge = assert_equal(of(layer, layers.BatchNormalization(), shape=(7, 8, 9, 3)))
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in edge.layers)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kind", [layers.MaxPooling3D, layers.AveragePooling3D])
@pytest.mark.parametrize(
    ("window", "strides"), [(2, None), (3, 2), ((1, 3, 3), (1, 2, 2)), ((2, 1, 1), 1), ((1, 1, 1), 2)]
)
def test_pooling_is_equal(kind, window, strides, padding, of):
    # All negative, so that a maximum over padded zeros would show.
    assert_equal(of(layers.Rescaling(0.1, -9.0), kind(window, strides, padding), shape=(5, 7, 6, 2)))


@pytest.mark.parametrize(
    "steps",
    [
        [layers.ZeroPadding3D(((0, 2), (1, 0), (3, 1))), layers.ZeroPadding3D(1), layers.Conv3D(2, 3)],
        [layers.ZeroPadding3D(2), layers.MaxPooling3D(3)],
        [TemporalDifference(), layers.Conv3D(2, 3)],
        [layers.ZeroPadding3D(1), ChannelwiseConv3D(3, padding="valid")],
        [SqueezeExcitation3D(2), layers.Activation("silu"), layers.Conv3D(2, 1)],
        [ChannelwiseConv3D(3), layers.BatchNormalization(), SqueezeExcitation3D(2, "silu")],
        [TemporalTransition((1, 3, 4), 3), layers.Conv3D(2, 1)],
        [layers.Conv3D(3, 1), TemporalTransition((3, 6), 2, 5, pool_size=(1, 2, 3))],
        [FrameRateResampling(2), layers.Conv3D(2, (1, 3, 3))],
        [FrameRateResampling(4), layers.Conv3D(2, (1, 3, 3))],
        [LateralConnection(5, kernel_size=7, rate=4), layers.Conv3D(2, (1, 3, 3))],
        [LateralConnection(5, kernel_size=3, rate=2, normalization=False)],
        [WindowedAveragePooling3D()],
        [WindowedAveragePooling3D(4), layers.Dense(2)],
        [WindowedAveragePooling3D(2, 2)],
        [InflatedInception((3, 2, 4, 2, 3, 2)), layers.Conv3D(2, 3)],
        [SeparableInception((3, 2, 4, 2, 3, 2), gating=True), SelfGating(use_bias=True), layers.Conv3D(2, (3, 1, 1))],
        [SeparableInception((3, 2, 4, 2, 3, 2), temporal_normalization=False, scale=False), layers.ReLU()],
        [FramePadding(2, 1), layers.Conv3D(2, 3), FramePadding(0, 3), FramePadding(0, 0), layers.GlobalMaxPooling3D()],
        [layers.Cropping3D(((1, 0), (2, 1), (0, 3)))],
        [layers.UpSampling3D((2, 3, 1))],
        [layers.TimeDistributed(layers.Conv2D(4, 3)), layers.GlobalMaxPooling3D()],
        [layers.TimeDistributed(layers.Flatten()), layers.LSTM(4)],
        [layers.Reshape((2, 2, 7, 18)), layers.Conv3D(3, 2), layers.Flatten(), layers.Dense(2)],
        [layers.BatchNormalization(), layers.ReLU(), layers.LayerNormalization(), layers.Softmax()],
        [layers.Conv3D(4, 1, activation="relu"), layers.BatchNormalization()],
        [lambda x: keras.ops.relu(x) * 2.0 - 1.0],
        [lambda x: x * keras.ops.sigmoid(layers.GlobalAveragePooling3D(keepdims=True)(x))],
    ],
    ids=lambda steps: "-".join(type(step).__name__ for step in steps),
)
def test_steps_are_equal(steps, of):
    assert_equal(of(*steps))


def test_normalisation_is_not_folded_where_the_convolution_is_read_twice(graphs):
    inputs = keras.Input((4, 6, 6, 2))
    x = layers.Conv3D(3, 3, padding="same")(inputs)
    assert_equal(graphs.randomise(keras.Model(inputs, [layers.BatchNormalization()(x), x])))


def test_nested_models_and_shared_layers_are_equal(graphs, of):
    part = of(Conv2Plus1D(3, 3), layers.ReLU(), shape=(4, 6, 6, 3))
    first, second = keras.Input((4, 6, 6, 3), name="rgb"), keras.Input((4, 6, 6, 3), name="flow")
    joined = layers.Concatenate()([part(part(first)), part(second)])
    inner = keras.Sequential([layers.Conv3D(4, 1), layers.BatchNormalization(), layers.GlobalAveragePooling3D()])
    model = graphs.randomise(keras.Model({"rgb": first, "flow": second}, inner(joined)), 3)
    edge = rewrite(model)
    generator = np.random.default_rng(0)
    clips = {name: generator.standard_normal((2, 4, 6, 6, 3)).astype("float32") for name in ("rgb", "flow")}
    np.testing.assert_allclose(outputs(edge, clips)[0], outputs(model, clips)[0], rtol=1e-4, atol=1e-6)


def test_open_sizes_are_given_by_input_shape(graphs):
    inputs = keras.Input((None, None, None, 3), name="clip")
    x = layers.Conv3D(4, 3, padding="same")(inputs)
    model = graphs.randomise(keras.Model(inputs, layers.GlobalAveragePooling3D()(x)))
    clips = np.random.default_rng(0).standard_normal((2, 4, 6, 8, 3)).astype("float32")
    edge = rewrite(model, (4, 6, 8, 3))
    np.testing.assert_allclose(outputs(edge, clips)[0], outputs(model, clips)[0], rtol=1e-4, atol=1e-6)
    with pytest.raises(InputError, match="input_shape"):
        rewrite(model)
    with pytest.raises(InputError, match="to fit"):
        rewrite(model, (4, 6, 8, 1))


def test_open_sizes_must_be_as_long_as_the_model_says(of):
    model = of(ClipCheck((3, 2, 2)), layers.Conv3D(4, 2), shape=(None, None, None, 3))
    closed = of(ClipCheck((3, 2, 2)), layers.Conv3D(4, 2), shape=(4, 6, 5, 3))
    closed.set_weights(model.get_weights())
    assert_equal(closed, rewrite(model, input_shape=(4, 6, 5, 3)))
    with pytest.raises(InputError, match=r"at least 3 frames\. Received 2"):
        rewrite(model, input_shape=(2, 6, 5, 3))


def test_rewriting_leaves_the_model_as_it_was(tmp_path, graphs):
    model = graphs.random_model(3)
    weights = [weight.copy() for weight in model.get_weights()]
    rewrite(model)
    rewrite(model)
    assert all((a == b).all() for a, b in zip(weights, model.get_weights(), strict=True))
    model.save(tmp_path / "m.keras")
    assert_equal(model, rewrite(keras.saving.load_model(tmp_path / "m.keras")))


def test_a_half_precision_model_is_rewritten_in_float32(graphs):
    inputs = keras.Input((4, 6, 6, 3), name="clip")
    x = Conv2Plus1D(4, 3, dtype="mixed_float16")(inputs)
    x = layers.Dense(3, dtype="mixed_float16")(layers.GlobalAveragePooling3D(dtype="mixed_float16")(x))
    model = graphs.randomise(keras.Model(inputs, layers.Activation("softmax", dtype="float32")(x)))
    edge = assert_equal(model, relative=1e-2)
    assert {layer.compute_dtype for layer in edge.layers} == {"float32"}


@keras.saving.register_keras_serializable(package="tests")
class Own(keras.layers.Layer):
    """A layer without a rule."""

    def call(self, inputs):
        return inputs + 1


@keras.saving.register_keras_serializable(package="tests")
class OwnConv3D(layers.Conv3D):
    """A subclass may compute something else."""


@pytest.mark.parametrize(
    "layer", [Own(name="mine"), OwnConv3D(2, 3, name="mine"), layers.GroupNormalization(3, name="mine")]
)
def test_a_layer_without_a_rule_is_named(layer, of):
    with pytest.raises(InputError, match=rf"one of .*Conv3D.*Received layer 'mine' of class {type(layer).__name__}"):
        rewrite(of(layer))


def test_what_a_rule_does_not_cover_is_named(of):
    with pytest.raises(InputError, match="groups of layer 'grouped'"):
        rewrite(of(layers.Conv3D(4, 3, groups=2, name="grouped"), shape=(4, 6, 6, 4)))
    with pytest.raises(InputError, match="axis of layer 'rows'"):
        rewrite(of(layers.BatchNormalization(axis=2, name="rows")))


def test_a_subclassed_model_is_refused():
    class Subclassed(keras.Model):
        pass

    with pytest.raises(InputError, match="Functional"):
        rewrite(Subclassed())
