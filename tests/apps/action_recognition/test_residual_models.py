"""Networks of residual blocks against their references: R3D, MC3, R(2+1)D of bottlenecks, Slow, SlowFast, I3D."""

import dataclasses
import re

import numpy as np
import pytest

from apps.action_recognition import checkpoints, models
from tests.conformance.models import CHECKS, ModelCase, clip_of, name_of, randomise
from tests.conformance.parity import read_card
from tools.errors import InputError
from tools.profile import profile
from tools.registry import Registry

# The smallest member of each family: what is small of it, and its input.
SMALL = {
    "r3d_18": ({"depth": 10, "widths": (8, 16, 24, 32)}, (8, 32, 32, 3)),
    "mc3_18": ({"depth": 10, "widths": (8, 16, 24, 32)}, (4, 32, 32, 3)),
    "r2plus1d_50": ({"depth": 14, "width": 8}, (4, 32, 32, 3)),
    "slow_r50": ({"depth": 14, "width": 8}, (4, 32, 32, 3)),
    "i3d_resnet50": ({"depth": 14, "width": 8}, (4, 32, 32, 3)),
    "slowfast_8x8_r50": ({"depth": 14, "width": 16}, (8, 32, 32, 3)),
}
SMALL_REGISTRY = Registry("action_recognition")
for _name, (_arguments, _shape) in SMALL.items():
    _info = models.info(_name)
    SMALL_REGISTRY.add(dataclasses.replace(_info, arguments={**_info.arguments, **_arguments}, input_shape=_shape))

CARDS = {
    "r3d_18": ("torchvision_r3d_18", "torchvision", {}),
    "i3d_resnet50": ("pytorchvideo_i3d_r50", "pytorchvideo", {}),
    "slow_r50": ("pytorchvideo_slow_r50", "pytorchvideo", {}),
    "slowfast_8x8_r50": ("pytorchvideo_slowfast_r50", "pytorchvideo", {"inputs": "pathways"}),
}


def create(name, **overrides):
    return SMALL_REGISTRY.create(name, **{"classes": 5, **overrides})


def copy_weights(source, target):
    """By path: the order of the layers depends on inputs and outputs."""
    checkpoints.assign(target, {weight.path: weight.numpy() for weight in source.weights}, source="keras")


# What takes seconds (a process of its own, the edge) is quick for the one that holds every layer of the others.
QUICK = {"slowfast_8x8_r50": CHECKS}


@pytest.mark.parametrize(
    ("name", "check"),
    [
        pytest.param(
            name,
            check,
            marks=[] if check in QUICK.get(name, CHECKS[:3]) else pytest.mark.slow,
            id=f"{name}-{name_of(check)}",
        )
        for name in SMALL
        for check in CHECKS
    ],
)
def test_small_models_conform(name, check, tmp_path):
    check(ModelCase(SMALL_REGISTRY, name), tmp_path)


@pytest.mark.parametrize(
    "name",
    [name if name in ("r3d_18", "i3d_resnet50") else pytest.param(name, marks=pytest.mark.slow) for name in CARDS],
)
def test_answers_as_the_reference_does(name):
    card, source, arguments = CARDS[name]
    card = read_card(card)
    model = models.create(name, classifier_activation=None, **arguments)
    checkpoints.assign(model, card.arrays, source=source)
    assert card.parameters == models.info(name).parameters
    card.assert_agrees(model(list(card.inputs) if len(card.inputs) > 1 else card.inputs[0], training=False))


def test_the_registry_states_the_published_figures():
    published = {
        # parameters, billions of multiply-adds
        "r3d_18": (33_371_472, 40.70),
        "mc3_18": (11_695_440, 43.34),
        "slow_r50": (32_454_096, 54.52),
        "slowfast_4x16_r50": (34_480_216, 36.10),
        "slowfast_8x8_r50": (34_566_488, 65.71),
        "slowfast_8x8_r101": (62_826_968, 125.9),
        "slowfast_16x8_r101_50_50": (53_774_808, 213.0),
    }
    for name, (parameters, billions) in published.items():
        assert models.info(name).parameters == parameters
        assert models.info(name).multiply_adds / 1e9 == pytest.approx(billions, rel=5e-4)
    assert models.info("r2plus1d_50").parameters == 28_107_600
    assert models.info("i3d_resnet50").parameters == 28_043_472


@pytest.mark.parametrize("name", ["r2plus1d_50", "slow_r50", "i3d_resnet50", "slowfast_8x8_r50"])
def test_a_block_of_bottlenecks_begins_as_its_shortcut(name):
    scales = {weight.path: weight.numpy() for weight in create(name).weights if weight.name == "gamma"}
    assert {path for path, scale in scales.items() if not scale.any()} == {path for path in scales if "_c_norm" in path}
    assert all((scale == scale[0]).all() and scale[0] in (0, 1) for scale in scales.values())


# PyTorchVideo prints what its counter finds: 1.7 and 1.2 % more than the convolutions and the classifier have.
@pytest.mark.parametrize(("name", "billions", "more"), [("r2plus1d_50", 76.45, 1.017), ("i3d_resnet50", 37.53, 1.012)])
def test_multiply_adds_at_the_testing_crop(name, billions, more):
    frames = models.info(name).input_shape[0]
    counted = profile(models.create(name, input_shape=(frames, 256, 256, 3)))
    assert billions / (counted.multiply_adds / 1e9) == pytest.approx(more, abs=1e-3)


@pytest.mark.parametrize(("name", "billions"), [("slowfast_4x16_r50", 27.64), ("slowfast_8x8_r50", 50.31)])
def test_multiply_adds_at_the_training_crop(name, billions):
    counted = profile(models.create(name, input_shape=(32, 224, 224, 3)))
    assert counted.multiply_adds / 1e9 == pytest.approx(billions, rel=5e-4)


def test_a_clip_and_its_pathways_give_the_same_answer():
    clip, pathways = create("slowfast_8x8_r50"), create("slowfast_8x8_r50", inputs="pathways")
    assert [tensor.name for tensor in clip.inputs] == ["clip"]
    assert [tensor.name for tensor in pathways.inputs] == ["slow", "fast"]
    randomise(clip)
    copy_weights(clip, pathways)
    fast = clip_of((8, 32, 32, 3), batch=2)
    slow = fast[:, [0, 7]]
    np.testing.assert_allclose(pathways({"slow": slow, "fast": fast}), clip(fast), rtol=1e-5, atol=1e-6)
    assert np.abs(np.asarray(pathways([slow[:, ::-1], fast])) - np.asarray(clip(fast))).max() > 1e-5


@pytest.mark.parametrize("name", ["mc3_18", "r2plus1d_50", "slowfast_8x8_r50"])
def test_free_lengths_give_the_network_of_fixed_ones(name):
    shape = SMALL[name][1]
    fixed, free = create(name), create(name, input_shape=(None, None, None, 3))
    randomise(fixed)
    free.set_weights(fixed.get_weights())
    clip = clip_of(shape)
    np.testing.assert_allclose(free(clip), fixed(clip), rtol=1e-4, atol=1e-6)
    assert free(np.zeros((1, 16, 40, 48, 3), np.float32)).shape == (1, 5)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("r3d_18", (1, 2, 2, 32)),
        ("mc3_18", (4, 2, 2, 32)),
        ("r2plus1d_50", (1, 1, 1, 256)),
        ("slow_r50", (4, 1, 1, 256)),
        ("i3d_resnet50", (2, 1, 1, 256)),
    ],
)
def test_parts_of_the_head(name, shape):
    feature_map, pooled = (create(name, include_top=False, pooling=pooling) for pooling in (None, "avg"))
    pooled.set_weights(feature_map.get_weights())
    clip = clip_of(SMALL[name][1])
    features = np.asarray(feature_map(clip))
    assert features.shape == (1, *shape)
    np.testing.assert_allclose(pooled(clip), features.mean((1, 2, 3)), rtol=1e-4, atol=1e-6)
    assert create(name).get_layer("global_pool").output.shape == (None, shape[-1])
    assert create(name).get_layer("classifier").output.shape == (None, 5)


def test_slowfast_without_pooling_gives_the_maps_of_both_pathways():
    maps, pooled = (create("slowfast_8x8_r50", include_top=False, pooling=pooling) for pooling in (None, "max"))
    copy_weights(maps, pooled)
    clip = clip_of((8, 32, 32, 3))
    features = {name: np.asarray(value) for name, value in maps(clip).items()}
    assert {name: value.shape for name, value in features.items()} == {
        "slow": (1, 2, 1, 1, 512),
        "fast": (1, 8, 1, 1, 64),
    }
    largest = np.concatenate([features[name].max((1, 2, 3)) for name in ("slow", "fast")], axis=-1)
    np.testing.assert_allclose(pooled(clip), largest, rtol=1e-5)
    assert pooled.get_layer("global_pool").output.shape == (None, 576)


def test_mc3_keeps_its_frames_and_r3d_does_not():
    frames = {
        name: create(name, input_shape=(8, 32, 32, 3)).get_layer("conv5_block1_activation").output.shape[1]
        for name in ("r3d_18", "mc3_18")
    }
    assert frames == {"r3d_18": 1, "mc3_18": 8}


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("r3d_18", {"depth": 50}, "`depth` to be one of 10, 18, 34. Received 50"),
        ("r3d_18", {"temporal_kernels": (3, 2, 1, 1)}, r"`temporal_kernels` to be odd. Received \(3, 2, 1, 1\)"),
        ("r3d_18", {"temporal_kernels": (3, 1)}, "`temporal_kernels` to be a positive integer or 4 of them"),
        ("r3d_18", {"widths": (64, 0, 1, 1)}, "`widths` to be a positive integer. Received 0"),
        ("r3d_18", {"classes": 0}, "`classes` to be a positive integer. Received 0"),
        ("r2plus1d_50", {"depth": 34}, "`depth` to be one of 14, 50, 101. Received 34"),
        ("slow_r50", {"width": 0}, "`width` to be a positive integer. Received 0"),
        ("slow_r50", {"dropout": 1.0}, "`dropout` to be a number of at least 0 and less than 1. Received 1.0"),
        ("slow_r50", {"input_shape": (8, 0, 64, 3)}, r"`input_shape \(height\)` to be a positive integer. Received 0"),
        ("slow_r50", {"input_shape": (64, 64, 3)}, r"\(frames, height, width, channels\). Received \(64, 64, 3\)"),
        ("i3d_resnet50", {"input_shape": (1, 64, 64, 3)}, r"`input_shape \(frames\)` to be at least 2. Received 1"),
        ("slowfast_8x8_r50", {"input_shape": (2, 64, 64, 3)}, r"\(frames\)` to be at least 4. Received 2"),
        ("slowfast_8x8_r50", {"input_shape": (30, 64, 64, 3)}, r"to be a multiple of 4. Received 30"),
        ("slowfast_8x8_r50", {"inputs": "both"}, "`inputs` to be one of 'clip', 'pathways'. Received 'both'"),
        ("slowfast_8x8_r50", {"rate": 0}, "`rate` to be a positive integer. Received 0"),
        ("slowfast_8x8_r50", {"lateral_kernel": 6}, "`lateral_kernel` to be odd. Received 6"),
        ("slowfast_8x8_r50", {"width": 20}, "`width` to be a multiple of 8. Received 20"),
        ("slowfast_8x8_r50", {"temporal_res4_blocks": 0}, "`temporal_res4_blocks` to be a positive integer"),
    ],
)
def test_refuses_bad_arguments(name, arguments, message):
    with pytest.raises(InputError, match=message):
        create(name, **arguments)


# PyTorchVideo's names -> PySlowFast's: blocks count from 0 and stages from 1, and in I3D a pooling is a block.
PYSLOWFAST_NAMES = {
    r"^blocks\.(\d)\.multipathway_fusion\.conv_fast_to_slow": lambda m: f"s{int(m[1]) + 1}_fuse.conv_f2s",
    r"^blocks\.(\d)\.multipathway_fusion\.norm": lambda m: f"s{int(m[1]) + 1}_fuse.bn",
    r"^blocks\.0\.multipathway_blocks\.(\d)\.(\w+)": lambda m: f"s1.pathway{m[1]}_stem.{m[2]}",
    r"^blocks\.(\d)\.multipathway_blocks\.(\d)\.res_blocks\.(\d+)": (
        lambda m: f"s{int(m[1]) + 1}.pathway{m[2]}_res{m[3]}"
    ),
    r"^blocks\.0\.(\w+)": r"s1.pathway0_stem.\1",
    r"^blocks\.1\.res_blocks\.(\d+)": r"s2.pathway0_res\1",
    r"^blocks\.(\d)\.res_blocks\.(\d+)": r"s\1.pathway0_res\2",
    r"^blocks\.\d\.proj": "head.projection",
    r"(stem)\.norm": r"\1.bn",
    r"branch1_conv": "branch1",
    r"branch1_norm": "branch1_bn",
    r"branch2\.conv_": "branch2.",
    r"branch2\.norm_([abc])": r"branch2.\1_bn",
}


def pyslowfast_name(name):
    for pattern, replacement in PYSLOWFAST_NAMES.items():
        name = re.sub(pattern, replacement, name)
    return name


@pytest.mark.parametrize("name", ["slowfast_8x8_r50", "i3d_resnet50"])
def test_pyslowfast_names_the_same_weights(name):
    arrays = read_card(CARDS[name][0]).arrays
    renamed = {pyslowfast_name(key): array for key, array in arrays.items()}
    assert len(renamed) == len(arrays)
    assert not any(key.startswith("blocks") for key in renamed)
    model, other = (models.create(name, input_shape=(8, 32, 32, 3)) for _ in range(2))
    checkpoints.assign(model, arrays, source="pytorchvideo")
    checkpoints.assign(other, renamed, source="pyslowfast")
    for weight, value in zip(model.weights, other.weights, strict=True):
        assert weight.path == value.path
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize(
    ("name", "card", "own", "received"),
    [
        (
            "slowfast_4x16_r50",
            "slowfast_8x8_r50",
            "lateral kernel 5, 6 of 6 blocks of res4 temporal, 400 classes, as slowfast_4x16_r50",
            "lateral kernel 7, 6 of 6 blocks of res4 temporal, 400 classes, as slowfast_8x8_r50",
        ),
        ("slowfast_16x8_r101_50_50", "slowfast_8x8_r50", "depth 101, lateral kernel 5, 6 of 23 blocks", "depth 50"),
        ("slow_r50", "i3d_resnet50", "Slow of depth 50, 400 classes, as slow_r50", "as i3d_resnet50"),
        ("mc3_18", "r3d_18", "MC3 of depth 18, temporal kernels 3, 1, 1, 1", "R3D of depth 18"),
        ("r2plus1d_18", "r3d_18", r"R(2+1)D of depth 18", "R3D of depth 18, temporal kernels 3, 3, 3, 3"),
    ],
)
def test_weights_of_another_variant_are_refused_by_its_name(name, card, own, received):
    card, source, _ = CARDS[card]
    model = models.create(name, input_shape=(8, 32, 32, 3))
    with pytest.raises(InputError) as caught:
        checkpoints.assign(model, read_card(card).arrays, source=source)
    first = str(caught.value).split("\n")[0]
    assert own in first.split("Received")[0]
    assert received in first.split("Received")[1]
