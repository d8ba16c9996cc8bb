"""Inflation of image networks: what a still clip is answered, how kernels become longer, and what is refused."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_layers import CenteredIdentity, inflate
from keras_layers.video import inflate_kernel
from tests.keras_layers.video.test_conv2plus1d import convolve

SIZE = 16


@pytest.fixture(autouse=True)
def fixed_weights():
    keras.utils.set_random_seed(0)


def randomise(model):
    rng = np.random.default_rng(1)
    model.set_weights(
        [
            weight * rng.uniform(0.8, 1.2, weight.shape) + 0.1 * rng.random(weight.shape)
            for weight in model.get_weights()
        ]
    )
    return model


def network(padding="same", top="pool", size=SIZE):
    """A small image network with every kind of layer that has a twin."""
    image = keras.Input((size, size, 3), name="image")
    x = layers.Rescaling(2.0, -1.0)(image)
    x = layers.ZeroPadding2D(((1, 2), (2, 1)))(x)
    x = layers.Conv2D(6, 5, 2, padding=padding, use_bias=False, name="stem")(x)
    x = layers.BatchNormalization(axis=3)(x)
    x = layers.ReLU()(x)
    x = layers.MaxPooling2D(3, 2, "same", name="pool")(x)
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    y = layers.Conv2D(6, 3, padding="same", dilation_rate=2, activation="gelu", name="dilated")(y)
    gates = layers.GlobalAveragePooling2D(keepdims=True)(y)
    gates = layers.Conv2D(6, 1, activation="sigmoid", name="gates")(gates)
    x = layers.Add()([x, layers.Multiply()([y, gates])])
    x = keras.Sequential([keras.Input(x.shape[1:]), layers.Conv2D(4, 3, padding="same"), layers.LayerNormalization()])(
        x
    )
    x = keras.ops.relu(x) * 2.0
    x = layers.Concatenate(axis=3)([x, layers.AveragePooling2D(2, 1, "same")(x)])
    x = layers.SeparableConv2D(5, 3, padding="same")(x)
    x = layers.UpSampling2D(2)(x)
    x = layers.Cropping2D(1)(x)
    if top == "map":
        return randomise(keras.Model(image, x, name="network"))
    x = layers.GlobalAveragePooling2D()(x) if top == "pool" else layers.Flatten()(x)
    x = layers.Dropout(0.5)(x)
    return randomise(keras.Model(image, layers.Dense(4)(x), name="network"))


def still(frames=5, size=SIZE):
    frame = np.random.default_rng(0).random((2, size, size, 3), dtype=np.float32)
    return frame, np.repeat(frame[:, None], frames, axis=1)


@pytest.mark.parametrize("top", ["pool", "flatten"])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"temporal_size": 4},
        {"temporal_strides": 2},
        {"temporal_size": {"stem": 7, "gates": 3}, "temporal_strides": {"stem": 3}},
        {"temporal_size": lambda layer: 1 + 2 * (layer.name == "dilated"), "rule": "center"},
        {"rule": "center", "padding": "zeros"},
    ],
)
def test_a_still_clip_is_answered_as_its_frame(top, padding, arguments):
    image_network = network(padding, top)
    twin = inflate(image_network, **arguments)
    frame, clip = still()
    expected = np.asarray(image_network(frame))
    assert np.ptp(expected) > 1e-2
    np.testing.assert_allclose(twin(clip), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_every_frame_of_a_feature_map():
    image_network = network(top="map")
    frame, clip = still()
    expected = np.asarray(image_network(frame))
    for frames in (None, 5):
        twin = inflate(image_network, frames=frames)
        assert twin.input_shape == (None, frames, SIZE, SIZE, 3)
        outputs = np.asarray(twin(clip))
        assert outputs.shape == (2, 5, *expected.shape[1:])
        for number in range(5):
            np.testing.assert_allclose(outputs[:, number], expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_zeros_beyond_the_ends_disturb_the_ends_alone():
    image_network = network(top="map")
    frame, clip = still(15)
    twin = inflate(image_network, temporal_size={"stem": 3, "dilated": 3}, padding="zeros")
    # The gates look at the whole clip: without them only the frames near the ends may differ.
    twin.get_layer("gates").set_weights([np.zeros((1, 1, 1, 6, 6)), np.full(6, 30.0)])
    image_network.get_layer("gates").set_weights([np.zeros((1, 1, 6, 6)), np.full(6, 30.0)])
    expected, outputs = np.asarray(image_network(frame)), np.asarray(twin(clip))
    np.testing.assert_allclose(outputs[:, 7], expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert np.abs(outputs[:, 0] - expected).max() > 0.05 * np.abs(expected).max()


def test_the_center_rule_looks_at_one_frame_and_the_mean_rule_at_more():
    image = keras.Input((6, 6, 2))
    image_network = randomise(keras.Model(image, layers.Conv2D(3, 3, name="one")(image)))
    clip = np.random.default_rng(0).random((1, 5, 6, 6, 2), dtype=np.float32)
    kernel, bias = image_network.get_weights()
    for rule in ("center", "mean"):
        outputs = inflate(image_network, rule=rule)(clip)
        padded = np.pad(clip, [(0, 0), (1, 1), (0, 0), (0, 0), (0, 0)], mode="edge")
        expected = convolve(padded, inflate_kernel(kernel, 3, rule), (1, 1, 1), "valid") + bias
        np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
    alone = np.stack([np.asarray(image_network(clip[:, number])) for number in range(5)], axis=1)
    np.testing.assert_allclose(inflate(image_network, rule="center")(clip), alone, rtol=1e-4, atol=1e-5)
    assert np.abs(np.asarray(inflate(image_network)(clip)) - alone).max() > 0.1


def test_layers_keep_their_names_and_kernels_become_cubic():
    twin = inflate(network(), temporal_strides={"stem": 2, "pool": 2})
    assert twin.name == "network_3d"
    assert [tensor.name for tensor in twin.inputs] == ["clip"]
    assert twin.get_layer("stem").kernel.shape == (5, 5, 5, 3, 6)
    assert twin.get_layer("stem").strides == (2, 2, 2)
    assert twin.get_layer("pool").pool_size == (2, 3, 3)
    assert twin.get_layer("depthwise").kernel.shape == (3, 3, 3, 1, 6)
    assert twin.get_layer("gates").kernel.shape == (1, 1, 1, 6, 6)


def test_the_twin_is_saved_trained_and_apart_from_the_network(tmp_path):
    image_network = network()
    before = image_network.get_weights()
    twin = inflate(image_network)
    _, clip = still()
    twin.save(tmp_path / "twin.keras")
    restored = keras.saving.load_model(tmp_path / "twin.keras")
    np.testing.assert_allclose(restored(clip), twin(clip), rtol=1e-5, atol=1e-6)
    twin.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    twin.fit(clip, np.ones((2, 4)), verbose=0)
    assert not np.array_equal(twin.get_weights()[0], restored.get_weights()[0])
    for old, new in zip(before, image_network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_shared_layer_is_shared():
    image, shared = keras.Input((8, 8, 3)), layers.Conv2D(3, 3, padding="same")
    image_network = randomise(keras.Model(image, layers.GlobalMaxPooling2D()(shared(shared(image)))))
    twin = inflate(image_network)
    assert len(twin.weights) == 2
    frame, clip = still(size=8)
    np.testing.assert_allclose(twin(clip), image_network(frame), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "application", [keras.applications.ResNet50, keras.applications.MobileNetV3Small, keras.applications.InceptionV3]
)
def test_a_network_of_keras_applications(application):
    size = 75 if application is keras.applications.InceptionV3 else 64
    image_network = application(weights=None, include_top=False, pooling="avg", input_shape=(size, size, 3))
    frame, clip = still(3, size)
    expected = np.asarray(image_network(frame))
    twin = inflate(image_network, temporal_size=3)
    np.testing.assert_allclose(twin(clip), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_kernels():
    kernel = np.random.default_rng(0).standard_normal((3, 3, 2, 4)).astype(np.float32)
    mean, center = inflate_kernel(kernel, 4), inflate_kernel(kernel, 4, "center")
    assert mean.dtype == center.dtype == np.float32
    np.testing.assert_array_equal(mean, np.stack([kernel / 4] * 4))
    np.testing.assert_array_equal(center[1], kernel)
    assert not center[[0, 2, 3]].any()
    for inflated in (mean, center):
        np.testing.assert_allclose(inflated.sum(0), kernel, rtol=1e-6)


def test_centered_identity_hands_on_its_input():
    clip = np.random.default_rng(0).standard_normal((1, 4, 5, 5, 3)).astype(np.float32)
    for size in (1, 2, 3, (5, 1, 1), (4, 3, 1)):
        convolution = layers.Conv3D(3, size, padding="same", kernel_initializer=CenteredIdentity(2.0))
        np.testing.assert_allclose(convolution(clip), 2 * clip, rtol=1e-6)
    wider = layers.Conv3D(5, 3, padding="same", kernel_initializer=CenteredIdentity())
    np.testing.assert_array_equal(np.asarray(wider(clip))[..., :3], clip)
    assert CenteredIdentity.from_config(CenteredIdentity(0.5).get_config()).gain == 0.5
    with pytest.raises(ValueError, match=r"a convolution's kernel. Received \(3, 4\)"):
        CenteredIdentity()((3, 4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rule": "sum"}, "`rule` to be one of 'mean', 'center'. Received 'sum'"),
        ({"padding": "same"}, "`padding` to be one of 'repeat', 'zeros'. Received 'same'"),
        ({"frames": 0}, "`frames` to be a positive integer. Received 0"),
        ({"temporal_size": 0}, "`temporal_size` to be a positive integer. Received 0"),
        ({"temporal_strides": {"stem": -1}}, "`temporal_strides` to be a positive integer. Received -1"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        inflate(network(), **arguments)


def test_refuses_what_it_cannot_inflate():
    image = keras.Input((8, 8, 3))
    pair = keras.Model([image, keras.Input((8, 8, 3))], layers.Conv2D(2, 3)(image))
    with pytest.raises(ValueError, match=r"one input \(batch, height, width, channels\). Received \(None, 8, 8, 3\), "):
        inflate(pair)
    with pytest.raises(ValueError, match="Received a model that is not built"):
        inflate(keras.Sequential([layers.Conv2D(2, 3)]))
    with pytest.raises(ValueError, match=r"on every position alone\. Received .* of Mean"):
        inflate(keras.Model(image, keras.ops.mean(image, axis=(1, 2))))
    with pytest.raises(ValueError, match="'conv' to have its channels last"):
        inflate(keras.Model(image, layers.Conv2D(2, 3, data_format="channels_first", name="conv")(image)))
    free = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match="fixed height and width where layer 'conv' has padding 'same' and strides"):
        inflate(keras.Model(free, layers.Conv2D(2, 3, 2, "same", name="conv")(free)))
