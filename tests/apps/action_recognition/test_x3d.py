"""X3D against PyTorchVideo, PySlowFast's variant, and its checkpoints."""

import dataclasses
import re

import keras
import numpy as np
import pytest

from apps.action_recognition import checkpoints, models
from apps.action_recognition.models.x3d import rounded_filters
from keras_layers import ChannelwiseConv3D, SqueezeExcitation3D
from tests.conformance.models import CHECKS, ModelCase, clip_of, name_of, randomise
from tests.conformance.parity import read_card
from tools.errors import InputError
from tools.registry import Registry
from tools.weights import MismatchError

SMALL = {"depths": (1, 2, 1, 1), "widths": (8, 8, 16, 16)}
SHAPE = (4, 32, 32, 3)
REGISTRY = Registry("action_recognition")
REGISTRY.add(dataclasses.replace(models.info("x3d_xs"), arguments=SMALL, input_shape=SHAPE))


def create(**overrides):
    return REGISTRY.create("x3d_xs", **{"classes": 5, "classifier_activation": None, **overrides})


# Name in PyTorchVideo -> name in PySlowFast, in this order.
PYSLOWFAST_NAMES = (
    (r"blocks\.0\.conv\.conv_t", "s1.pathway0_stem.conv_xy"),
    (r"blocks\.0\.conv\.conv_xy", "s1.pathway0_stem.conv"),
    (r"blocks\.0\.norm", "s1.pathway0_stem.bn"),
    (r"blocks\.5\.pool\.pre_conv", "head.conv_5"),
    (r"blocks\.5\.pool\.pre_norm", "head.conv_5_bn"),
    (r"blocks\.5\.pool\.post_conv", "head.lin_5"),
    (r"blocks\.5\.proj", "head.projection"),
    (r"blocks\.(\d)\.res_blocks\.(\d+)\.", lambda match: f"s{int(match[1]) + 1}.pathway0_res{match[2]}."),
    (r"norm_b\.1\.block\.0", "se.fc1"),
    (r"norm_b\.1\.block\.2", "se.fc2"),
    (r"norm_b\.0", "b_bn"),
    (r"norm_([ac])", r"\1_bn"),
    (r"branch2\.conv_", "branch2."),
    (r"branch1_conv", "branch1"),
    (r"branch1_norm", "branch1_bn"),
)


def pyslowfast_checkpoint(arrays):
    """A PyTorchVideo checkpoint under PySlowFast's names, with a normalization of res2's shortcut that does nothing."""
    renamed = {}
    for name, array in arrays.items():
        for pattern, target in PYSLOWFAST_NAMES:
            name = re.sub(pattern, target, name)
        renamed[name] = array
    channels = len(renamed["s2.pathway0_res0.branch1.weight"])
    neutral = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0 - 1e-5}
    return renamed | {
        f"s2.pathway0_res0.branch1_bn.{field}": np.full(channels, value, np.float32) for field, value in neutral.items()
    }


@pytest.fixture(scope="module")
def card():
    return read_card("pytorchvideo_x3d_xs")


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_small_model_conforms(check, tmp_path):
    check(ModelCase(REGISTRY, "x3d_xs"), tmp_path)


def test_x3d_xs_answers_as_pytorchvideo_does_and_pyslowfasts_variant_as_well(card):
    model = models.create("x3d_xs", classifier_activation=None)
    checkpoints.assign(model, card.arrays, source="pytorchvideo")
    assert card.parameters == models.info("x3d_xs").parameters == 3_794_274
    card.assert_agrees(model(card.inputs[0], training=False))

    variant = models.create("x3d_xs", shortcut="pyslowfast", classifier_activation=None)
    checkpoints.assign(variant, pyslowfast_checkpoint(card.arrays), source="pyslowfast")
    assert sum(np.prod(weight.shape) for weight in variant.trainable_weights) == 3_794_322
    card.assert_agrees(variant(card.inputs[0], training=False))


@pytest.mark.slow
def test_x3d_m_answers_as_pytorchvideo_does():
    card = read_card("pytorchvideo_x3d_m")
    model = models.create("x3d_m", classifier_activation=None)
    checkpoints.assign(model, card.arrays, source="pytorchvideo")
    card.assert_agrees(model(card.inputs[0], training=False))


def test_states_the_published_figures():
    published = {
        "x3d_xs": (3_794_274, 0.605),
        "x3d_s": (3_794_274, 1.963),
        "x3d_m": (3_794_274, 4.732),
        "x3d_l": (6_153_384, 18.368),
    }
    for name, (parameters, billions) in published.items():
        assert models.info(name).parameters == parameters
        assert models.info(name).multiply_adds / 1e9 == pytest.approx(billions, rel=5e-4)


def test_every_other_block_has_squeeze_and_excitation():
    model = models.create("x3d_s")
    gates = [layer for layer in model.layers if isinstance(layer, SqueezeExcitation3D)]
    assert [layer.name for layer in gates[:4]] == [
        f"res{stage}_block{block}_squeeze_excitation" for stage, block in ((2, 1), (2, 3), (3, 1), (3, 3))
    ]
    assert [gates[index].filters for index in (0, 2, 5, -1)] == [8, 8, 16, 32]
    assert sum(isinstance(layer, ChannelwiseConv3D) for layer in model.layers) == 27
    assert not any(getattr(layer, "groups", 1) > 1 for layer in model._flatten_layers())


def test_rounded_filters():
    widths = {3.4: 8, 6.75: 8, 13.5: 16, 27: 32, 43.0: 40, 12: 16, 20: 24}
    assert {width: rounded_filters(width) for width in widths} == widths
    # Half an eighth below: the nearest multiple is under nine tenths.
    assert rounded_filters(11.9) == 16


def test_free_lengths_give_the_network_of_fixed_ones():
    fixed, free = create(), create(input_shape=(None, None, None, 3))
    randomise(fixed)
    free.set_weights(fixed.get_weights())
    clip = clip_of(SHAPE)
    np.testing.assert_allclose(free(clip), fixed(clip), rtol=1e-4, atol=1e-6)
    assert free(clip_of((7, 40, 48, 3))).shape == (1, 5)
    assert create(input_shape=(1, 8, 8, 3), include_top=False, pooling=None).output_shape == (None, 1, 1, 1, 36)


def test_headless_models_and_other_classes_read_a_whole_checkpoint(tmp_path, card):
    np.savez(tmp_path / "x3d.npz", **card.arrays)
    shape = (4, 64, 64, 3)
    model = models.create("x3d_xs", input_shape=shape, weights=tmp_path / "x3d.npz", include_top=False)
    expected = models.create("x3d_xs", input_shape=shape, weights=tmp_path / "x3d.npz")
    clip = clip_of(shape)
    pooled = keras.Model(expected.inputs, expected.get_layer("global_pool").output)
    np.testing.assert_allclose(model(clip), pooled(clip), rtol=1e-5, atol=1e-6)
    assert model.output_shape == (None, 432)

    other = models.create("x3d_xs", input_shape=shape, classes=7)
    before = other.get_layer("classifier").get_weights()
    checkpoints.load(other, tmp_path / "x3d.npz", classifier=False)
    np.testing.assert_array_equal(other.get_layer("classifier").get_weights()[0], before[0])
    np.testing.assert_array_equal(other.get_layer("fc1").get_weights()[0], expected.get_layer("fc1").get_weights()[0])


def test_the_first_line_says_which_variant_fits(card):
    native = {"depths": (3, 5, 11, 7), "widths": (24, 48, 96, 192)}
    ours, theirs = (create(**native, shortcut=name) for name in ("pytorchvideo", "pyslowfast"))
    pattern = r"depths \(3, 5, 11, 7\), the shortcut of {}.*Received X3D of .* the shortcut of {}, 400 classes"
    with pytest.raises(MismatchError, match=pattern.format("pyslowfast", "pytorchvideo")):
        checkpoints.assign(theirs, card.arrays, source="pytorchvideo")
    with pytest.raises(MismatchError, match=pattern.format("pytorchvideo", "pyslowfast")):
        checkpoints.assign(ours, pyslowfast_checkpoint(card.arrays), source="pyslowfast")
    with pytest.raises(MismatchError, match=r"X3D of depths \(1, 2, 1, 1\).*Received X3D of depths \(3, 5, 11, 7\)"):
        checkpoints.assign(create(), card.arrays, source="pytorchvideo")


def test_bottleneck_and_fc1_units_decide_the_shapes():
    model = create(bottleneck=1.5, fc1_units=24)
    shapes = {layer.name: tuple(layer.kernel.shape) for layer in model.layers if hasattr(layer, "kernel")}
    assert shapes["res2_block1_a"] == (1, 1, 1, 8, 12) and shapes["res5_block1_c"] == (1, 1, 1, 24, 16)
    assert shapes["conv5"] == (1, 1, 1, 16, 24) and shapes["fc1"] == (24, 24) and shapes["classifier"] == (24, 5)


def test_an_expanded_network_names_its_width(card):
    other = models.create("x3d_xs", bottleneck=1.0)
    with pytest.raises(MismatchError, match="192 channels in res5 and 192 inside its blocks"):
        checkpoints.assign(other, card.arrays, source="pytorchvideo")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depths": (1, 2)}, r"`depths` to be a positive integer or 4 of them. Received \(1, 2\)"),
        ({"widths": (8, 8, 8, 0)}, "`widths` to be a positive integer. Received 0"),
        ({"bottleneck": 0.0}, "`bottleneck` to be a number greater than 0. Received 0.0"),
        ({"bottleneck": 0.1}, r"`bottleneck \* widths` to be a positive integer. Received 0"),
        ({"fc1_units": 0}, "`fc1_units` to be a positive integer. Received 0"),
        ({"shortcut": "caffe"}, "`shortcut` to be one of 'pytorchvideo', 'pyslowfast'. Received 'caffe'"),
        ({"input_shape": (0, 32, 32, 3)}, r"`input_shape \(frames\)` to be a positive integer. Received 0"),
        ({"classes": 0}, "`classes` to be a positive integer. Received 0"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        create(**arguments)
