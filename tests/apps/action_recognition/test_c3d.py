"""C3D against c3d-pytorch, its two alignments of poolings, and its checkpoints."""

import dataclasses

import numpy as np
import pytest

from apps.action_recognition import checkpoints, models
from tests.conformance.models import CHECKS, ModelCase, name_of, randomise
from tests.conformance.parity import read_card
from tools.errors import InputError
from tools.registry import Registry
from tools.weights import MismatchError

SMALL = {"widths": (4, 6, 8, 8, 10), "hidden": 12}
SHAPE = (16, 48, 40, 3)
REGISTRY = Registry("action_recognition")
REGISTRY.add(dataclasses.replace(models.info("c3d"), arguments=SMALL, input_shape=SHAPE))


def create(**overrides):
    return REGISTRY.create("c3d", **{"input_shape": SHAPE, "classes": 5, **overrides})


def torch_checkpoint(model):
    """The model's weights under the names and in the layouts of PyTorch, for maps of `channels` before fc6."""
    arrays = {}
    for layer in model.layers:
        if not layer.weights or layer.name == "fc6":
            continue
        kernel, bias = layer.get_weights()
        name = "fc8" if layer.name == "classifier" else layer.name
        arrays[f"{name}.weight"] = kernel.transpose(4, 3, 0, 1, 2) if kernel.ndim == 5 else kernel.T
        arrays[f"{name}.bias"] = bias
    _, frames, height, width, channels = model.get_layer("pool5").output.shape
    kernel, bias = model.get_layer("fc6").get_weights()
    map_kernel = kernel.reshape(frames, height, width, channels, -1).transpose(4, 3, 0, 1, 2)
    return {**arrays, "fc6.weight": map_kernel.reshape(kernel.T.shape), "fc6.bias": bias}


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_small_model_conforms(check, tmp_path):
    check(ModelCase(REGISTRY, "c3d"), tmp_path)


@pytest.mark.slow
def test_answers_as_c3d_pytorch_does():
    card = read_card("c3d_pytorch")
    model = models.create("c3d", classes=487, classifier_activation=None)
    checkpoints.assign(model, card.arrays, source="c3d_pytorch")
    card.assert_agrees(model(card.inputs[0], training=False))


def test_has_the_published_parameters():
    expected = {400: 79_634_576, 101: 78_409_573, 487: 79_991_015}
    model = models.create("c3d")
    trunk = model.count_params() - 400 * 4097
    assert {classes: trunk + classes * 4097 for classes in expected} == expected
    assert models.info("c3d").parameters == expected[400]
    assert models.info("c3d").multiply_adds / 1e9 == pytest.approx(38.5, rel=2e-3)
    assert model.get_layer("global_pool").output.shape == (None, 4096)


def test_checkpoints_are_read_position_by_position(tmp_path):
    source = create()
    randomise(source)
    np.savez(tmp_path / "c3d.npz", **torch_checkpoint(source))
    model = create(weights=tmp_path / "c3d.npz")
    for new, expected in zip(model.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(new, expected)
    headless = create(weights=tmp_path / "c3d.npz", include_top=False)
    np.testing.assert_array_equal(headless.get_layer("fc7").get_weights()[0], source.get_layer("fc7").get_weights()[0])


def test_weights_of_another_size_are_refused_by_name():
    arrays = torch_checkpoint(create())
    with pytest.raises(MismatchError, match=r"C3D of 9 positions.*Received C3D of 4 positions before fc6, 12 hidden"):
        checkpoints.assign(create(input_shape=(16, 64, 64, 3)), arrays, source="c3d_pytorch")
    arrays["fc6.weight"] = arrays["fc6.weight"][:, :-1]
    with pytest.raises(MismatchError, match="1 shapes differ"):
        checkpoints.assign(create(), arrays, source="c3d_pytorch")


@pytest.mark.parametrize("alignment", ["pytorch", "caffe"])
def test_pool5_of_an_odd_map_is_aligned_as_told(alignment):
    # 112 pixels, as natively: pool5 reads 7 rows and columns, of which the one begins before the map, the other at it.
    model = create(input_shape=(16, 112, 112, 3), pool_alignment=alignment)
    randomise(model)
    parts = [model.get_layer(name).output for name in ("conv5b", "pool5")]
    clip = np.random.default_rng(0).standard_normal((1, 16, 112, 112, 3)).astype(np.float32)
    before, after = (np.asarray(part) for part in type(model)(model.inputs, parts)(clip))
    assert before.shape[1:4] == (2, 7, 7) and after.shape[1:4] == (1, 4, 4)
    pads = (1, 1) if alignment == "pytorch" else (0, 1)
    padded = np.pad(before, [(0, 0), (0, 0), pads, pads, (0, 0)], constant_values=-np.inf)[:, :, :8, :8]
    windows = padded.reshape(1, 1, 2, 4, 2, 4, 2, -1)
    np.testing.assert_array_equal(after, windows.max((2, 4, 6)))


def test_the_alignments_share_their_weights_and_differ_in_the_answer():
    shape = (16, 112, 112, 3)
    ours, theirs = (
        create(input_shape=shape, pool_alignment=name, classifier_activation=None) for name in ("pytorch", "caffe")
    )
    randomise(ours)
    theirs.set_weights(ours.get_weights())
    clip = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    logits = [np.asarray(model(clip)) for model in (ours, theirs)]
    assert np.abs(logits[0] - logits[1]).max() > 0.05 * np.abs(logits[0]).max()


def test_random_weights_are_the_authors():
    model = create(widths=(64, 64, 64, 64, 64), hidden=256)
    for layer in model.layers:
        if not layer.weights or layer.name == "classifier":
            continue
        kernel, bias = layer.get_weights()
        assert np.std(kernel) == pytest.approx(0.005 if layer.name.startswith("fc") else 0.01, rel=0.05)
        np.testing.assert_array_equal(bias, 0.0 if layer.name == "conv1" else 1.0)


def test_the_embedding_is_fc7():
    top, headless, feature_map = create(), create(include_top=False), create(include_top=False, pooling=None)
    randomise(top)
    for model in (headless, feature_map):
        model.set_weights(top.get_weights()[:-2])
    clip = np.random.default_rng(0).standard_normal((2, *SHAPE)).astype(np.float32)
    embedding = np.asarray(headless(clip))
    assert embedding.shape == (2, 12) and feature_map.output_shape == (None, 1, 1, 1, 12)
    np.testing.assert_array_equal(np.asarray(feature_map(clip)).reshape(2, 12), embedding)
    kernel, bias = top.get_layer("classifier").get_weights()
    logits = embedding @ kernel + bias
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(top(clip), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (8, 112, 112, 3)}, r"`input_shape \(frames\)` to be at least 16. Received 8"),
        ({"input_shape": (16, 15, 112, 3)}, r"`input_shape \(height\)` to be at least 16. Received 15"),
        ({"input_shape": (None, 112, 112, 3)}, r"`input_shape \(frames\)` to be a positive integer. Received None"),
        ({"pool_alignment": "torch"}, "`pool_alignment` to be one of 'pytorch', 'caffe'. Received 'torch'"),
        ({"widths": (1, 2)}, r"`widths` to be a positive integer or 5 of them. Received \(1, 2\)"),
        ({"hidden": 0}, "`hidden` to be a positive integer. Received 0"),
        ({"dropout": 1}, "`dropout` to be a number of at least 0 and less than 1. Received 1"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        create(**arguments)


def test_short_clips_fit_the_other_alignment():
    assert create(input_shape=(8, 16, 16, 3), pool_alignment="caffe").output_shape == (None, 5)
