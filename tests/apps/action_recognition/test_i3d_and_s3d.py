"""I3D, S3D and S3D-G against their references, their checkpoints, and the contract of models."""

import dataclasses
import json
import pathlib

import keras
import numpy as np
import pytest

from apps.action_recognition import checkpoints, models
from tests.conformance.models import (
    CHECKS,
    ModelCase,
    check_edge,
    check_forward,
    check_gradients,
    check_half_precision,
    check_publishing,
    check_saving,
    clip_of,
    name_of,
    randomise,
)
from tests.conformance.parity import read_card
from tools.errors import InputError
from tools.registry import Registry
from tools.weights import MismatchError

REFERENCE = pathlib.Path(__file__).resolve().parents[2] / "reference"
SHAPE = (8, 32, 32, 3)
NAMES = ("i3d", "s3d", "s3d_g")
REGISTRY = Registry("action_recognition")
for _name in NAMES:
    _info = models.info(_name)
    _arguments = {**_info.arguments, "width_multiplier": 0.125}
    REGISTRY.add(dataclasses.replace(_info, arguments=_arguments, input_shape=SHAPE))


def create(name="i3d", **overrides):
    return REGISTRY.create(name, **{"classes": 5, "classifier_activation": None, **overrides})


def random_arrays(shapes):
    rng = np.random.default_rng(0)
    return {name: rng.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_small_i3d_conforms(check, tmp_path):
    check(ModelCase(REGISTRY, "i3d"), tmp_path)


@pytest.mark.parametrize("check", [check_forward, check_gradients, check_half_precision], ids=name_of)
@pytest.mark.parametrize("name", ["s3d", "s3d_g"])
def test_small_s3d_conforms(name, check, tmp_path):
    check(ModelCase(REGISTRY, name), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("check", [check_saving, check_publishing, check_edge], ids=name_of)
@pytest.mark.parametrize("name", ["s3d", "s3d_g"])
def test_small_s3d_leaves_the_project(name, check, tmp_path):
    check(ModelCase(REGISTRY, name), tmp_path)


# === Parity ===


@pytest.mark.parametrize(
    ("name", "card_name", "source", "scales"),
    [("i3d", "pytorch_i3d_rgb", "pytorch_i3d", 7_280), ("s3d", "torchvision_s3d", "torchvision", 0)],
)
def test_answers_as_the_reference_does(name, card_name, source, scales):
    card = read_card(card_name)
    model = models.create(name, input_shape=card.inputs[0].shape[1:], classes=400, classifier_activation=None)
    checkpoints.assign(model, card.arrays, source=source)
    assert card.parameters == models.info(name).parameters + scales
    card.assert_agrees(model(card.inputs[0], training=False))


def test_published_parameters():
    expected = {"i3d": 12_689_984, "s3d": 8_320_048, "s3d_g": 9_518_848}
    assert {name: models.info(name).parameters for name in expected} == expected
    # In billions, as published.
    billions = {"i3d": 111.15, "i3d_flow": 102.3, "s3d": 71.92}
    for name, count in billions.items():
        assert models.info(name).multiply_adds / 1e9 == pytest.approx(count, rel=5e-4)


# === Graph ===


@pytest.mark.parametrize("name", NAMES)
def test_end_points_have_the_shapes_of_the_paper(name):
    model = models.create(name, input_shape=(64, 224, 224, 3))
    expected = {
        "MaxPool3d_2a_3x3": (32, 56, 56, 64),
        "MaxPool3d_3a_3x3": (32, 28, 28, 192),
        "Mixed_3b": (32, 28, 28, 256),
        "Mixed_3c": (32, 28, 28, 480),
        "MaxPool3d_4a_3x3": (16, 14, 14, 480),
        "Mixed_4b": (16, 14, 14, 512),
        "Mixed_4e": (16, 14, 14, 528),
        "Mixed_4f": (16, 14, 14, 832),
        "MaxPool3d_5a_2x2": (8, 7, 7, 832),
        "Mixed_5c": (8, 7, 7, 1024),
    }
    assert {layer: model.get_layer(layer).output.shape[1:] for layer in expected} == expected
    assert model.get_layer("global_pool").output.shape == (None, 1024)


@pytest.mark.parametrize("name", NAMES)
def test_normalizations_are_those_of_the_reference(name):
    layers = [layer for layer in create(name)._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    assert {(layer.epsilon, layer.momentum, layer.scale) for layer in layers} == {(1e-3, 0.999, name == "s3d")}


def test_the_head_takes_the_mean_of_what_windows_are_answered():
    shape = (24, 256, 288, 3)
    whole, head = create(input_shape=shape, include_top=False, pooling=None), create(input_shape=shape)
    randomise(head)
    whole.set_weights(head.get_weights()[:-2])
    features = np.asarray(whole(clip_of(shape)))
    assert features.shape[1:4] == (3, 8, 9)
    kernel, bias = head.get_layer("classifier").get_weights()
    answers = [
        features[:, t : t + 2, y : y + 7, x : x + 7].mean((1, 2, 3)) @ kernel + bias
        for t in range(2)
        for y in range(2)
        for x in range(3)
    ]
    np.testing.assert_allclose(head(clip_of(shape)), np.mean(answers, axis=0), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_free_lengths_give_the_network_of_fixed_ones(name):
    fixed, free = create(name), create(name, input_shape=(None, None, None, 3))
    randomise(fixed)
    free.set_weights(fixed.get_weights())
    np.testing.assert_allclose(free(clip_of(SHAPE)), fixed(clip_of(SHAPE)), rtol=1e-4, atol=1e-5)


def test_s3d_g_begins_as_a_network_on_frames_but_for_its_poolings():
    # The convolutions over time hand on their input, and have biases of zero.
    model = create("s3d_g")
    temporal = [weight for weight in model.weights if "_temporal/" in weight.path]
    assert len(temporal) == 2 + 9 * 4
    for weight in temporal:
        identity = np.zeros(weight.shape, np.float32)
        if weight.path.endswith("kernel"):
            identity[1, 0, 0] = np.eye(weight.shape[-1])
        np.testing.assert_array_equal(weight, identity)


def test_width_multiplier():
    filters = {multiplier: create("i3d", width_multiplier=multiplier) for multiplier in (0.125, 0.5)}
    assert filters[0.125].get_layer("Conv3d_2c_3x3").filters == 24
    assert filters[0.125].get_layer("Conv3d_1a_7x7").filters == 16
    assert filters[0.5].get_layer("Mixed_5c").filters == (192, 96, 192, 24, 64, 64)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("s3d", {"variant": "kylemin"}, "`variant` to be one of 'torchvision', 'slim'. Received 'kylemin'"),
        ("s3d", {"input_shape": (4, 32, 32, 3)}, r"`input_shape \(frames\)` to be at least 5. Received 4"),
        ("s3d", {"input_shape": (8, 16, 32, 3)}, r"`input_shape \(height\)` to be at least 17. Received 16"),
        ("i3d", {"width_multiplier": 0}, "`width_multiplier` to be a number greater than 0. Received 0"),
        ("i3d", {"pooling": None}, "`pooling` to be one of 'avg', 'max'. Received None"),
        ("i3d", {"input_shape": (8, 32, 32)}, r"\(frames, height, width, channels\). Received \(8, 32, 32\)"),
    ],
)
def test_refuses_bad_arguments(name, arguments, message):
    with pytest.raises(InputError, match=message):
        create(name, **arguments)


def test_the_shortest_clips():
    assert create("s3d", input_shape=(5, 17, 17, 3), include_top=False, pooling=None).output_shape[1:4] == (1, 1, 1)
    assert create("i3d", input_shape=(1, 1, 1, 3), include_top=False, pooling=None).output_shape[1:4] == (1, 1, 1)


# === Checkpoints ===


@pytest.fixture(scope="module")
def variables():
    text = (REFERENCE / "checkpoints" / "kinetics_i3d_variables.json").read_text()
    return {name: random_arrays(shapes) for name, shapes in json.loads(text)["variables"].items()}


@pytest.mark.parametrize(("checkpoint", "name"), [("rgb_imagenet", "i3d"), ("flow_imagenet", "i3d_flow")])
def test_every_variable_of_deepminds_checkpoints_has_its_place(variables, checkpoint, name):
    arrays = variables[checkpoint]
    channels = models.info(name).input_shape[-1]
    trainable = sum(array.size for path, array in arrays.items() if "moving" not in path)
    assert trainable == models.info(name).parameters
    model = models.create(name, input_shape=(8, 32, 32, channels))
    checkpoints.assign(model, arrays, source="kinetics_i3d")
    scope = f"{checkpoint.split('_')[0].replace('rgb', 'RGB').replace('flow', 'Flow')}/inception_i3d"
    placed = {
        "Conv3d_1a_7x7/kernel": "Conv3d_1a_7x7/conv_3d/w",
        "Conv3d_2c_3x3_normalization/moving_variance": "Conv3d_2c_3x3/batch_norm/moving_variance",
        "Mixed_4c/branch1_reduce/kernel": "Mixed_4c/Branch_1/Conv3d_0a_1x1/conv_3d/w",
        "Mixed_5b/branch2/kernel": "Mixed_5b/Branch_2/Conv3d_0a_3x3/conv_3d/w",
        "Mixed_5c/branch3_normalization/beta": "Mixed_5c/Branch_3/Conv3d_0b_1x1/batch_norm/beta",
        "classifier/bias": "Logits/Conv3d_0c_1x1/conv_3d/b",
    }
    by_path = {weight.path: weight for weight in model.weights}
    for path, variable in placed.items():
        np.testing.assert_array_equal(by_path[path], arrays[f"{scope}/{variable}"])
    np.testing.assert_array_equal(
        by_path["classifier/kernel"], arrays[f"{scope}/Logits/Conv3d_0c_1x1/conv_3d/w"][0, 0, 0]
    )

    # The checkpoint of Kinetics-600 has no scope, and Sonnet's statistics have all five axes.
    bare = {
        path.removeprefix(f"{scope}/"): array.reshape(1, 1, 1, 1, -1) if "batch_norm" in path else array
        for path, array in arrays.items()
    }
    again = models.create(name, input_shape=(8, 32, 32, channels))
    checkpoints.assign(again, bare, source="kinetics_i3d")
    for first, second in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_scales_are_folded_exactly():
    shapes = {name: array.shape for name, array in read_card("pytorch_i3d_rgb").arrays.items()}
    arrays = random_arrays(shapes)
    folded = {name: array for name, array in arrays.items() if not name.endswith("bn.weight")}
    for name, scale in arrays.items():
        if name.endswith("bn.weight"):
            unit = name.removesuffix(".bn.weight")
            folded[f"{unit}.conv3d.weight"] = arrays[f"{unit}.conv3d.weight"] * scale[:, None, None, None, None]
            folded[f"{unit}.bn.running_mean"] = arrays[f"{unit}.bn.running_mean"] * scale
    first, second = (models.create("i3d", input_shape=SHAPE) for _ in range(2))
    checkpoints.assign(first, arrays, source="pytorch_i3d")
    checkpoints.assign(second, folded, source="pytorch_i3d")
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)

    # A scale that fits nothing is reported, not dropped.
    arrays["Mixed_3b.b0.bn.weight"] = np.ones(7, np.float32)
    with pytest.raises(MismatchError) as caught:
        checkpoints.assign(first, arrays, source="pytorch_i3d")
    assert caught.value.leftover == ("Mixed_3b.b0.bn.weight",)


@pytest.mark.parametrize(
    ("name", "card_name", "source", "expected"),
    [
        ("i3d_flow", "pytorch_i3d_rgb", "pytorch_i3d", "Received I3D of 3 input channels, 400 classes"),
        ("s3d_g", "torchvision_s3d", "torchvision", "Received S3D of variant torchvision, 3 input channels, 400 cl"),
        ("i3d", "torchvision_s3d", "torchvision", "Received S3D of variant torchvision"),
        ("s3d", "pytorch_i3d_rgb", "pytorch_i3d", "Received I3D of 3 input channels"),
    ],
)
def test_weights_of_another_network_are_told(name, card_name, source, expected):
    arrays = random_arrays({path: array.shape for path, array in read_card(card_name).arrays.items()})
    channels = models.info(name).input_shape[-1]
    model = models.create(name, input_shape=(8, 32, 32, channels))
    with pytest.raises(MismatchError, match=expected) as caught:
        checkpoints.assign(model, arrays, source=source)
    own = {"i3d": "(I3D of 3", "i3d_flow": "(I3D of 2", "s3d": "(S3D of variant t", "s3d_g": "(S3D-G of variant slim"}
    assert own[name] in str(caught.value).split("\n")[0]


def test_other_classes_keep_their_own_classifier(tmp_path, variables):
    np.savez(tmp_path / "i3d.npz", **variables["rgb_imagenet"])
    model = models.create("i3d", input_shape=SHAPE, include_top=False, weights=tmp_path / "i3d.npz")
    expected = variables["rgb_imagenet"]["RGB/inception_i3d/Mixed_5c/Branch_0/Conv3d_0a_1x1/conv_3d/w"]
    np.testing.assert_array_equal(model.get_layer("Mixed_5c").branches[0][0].kernel, expected)


@pytest.mark.parametrize("name", ["i3d", "s3d_g"])
def test_own_files_are_read_again(name, tmp_path):
    model = create(name)
    randomise(model)
    model.save_weights(tmp_path / "own.weights.h5")
    restored = create(name, weights=tmp_path / "own.weights.h5")
    for first, second in zip(model.get_weights(), restored.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
