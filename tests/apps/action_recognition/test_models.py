"""Every registered model against its table, its contract, and the reference implementation."""

import inspect
import pathlib
import re

import keras
import numpy as np
import pytest

from apps.action_recognition import checkpoints, models
from apps.action_recognition.data import PRESETS
from tests.conformance.models import CHECKS, ModelCase, check_facts, check_forward, name_of, small_input
from tests.conformance.parity import CARDS, read_card
from tools.errors import InputError

SMALL = (8, 32, 32, 3)


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_the_small_model_conforms(check, tmp_path):
    check(ModelCase(models.REGISTRY, "r2plus1d_tiny", SMALL), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("name", models.names())
def test_every_model_conforms(name, check, tmp_path):
    native = check is check_forward
    check(ModelCase(models.REGISTRY, name, None if native else small_input(models.info(name))), tmp_path)


@pytest.mark.parametrize("name", models.names())
def test_parameters_and_multiply_adds_are_those_of_the_table(name):
    check_facts(models.REGISTRY, name)


def test_the_registry_states_the_published_parameters():
    published = {"r2plus1d_18": 31_505_325, "r2plus1d_18_vmz": 33_370_839, "r2plus1d_34": 63_697_175}
    assert {name: models.info(name).parameters for name in published} == published
    # In billions, as the model zoos print them.
    published = {"r2plus1d_18": 40.52, "r2plus1d_18_vmz": 41.50, "r2plus1d_34": 152.4}
    for name, billions in published.items():
        assert models.info(name).multiply_adds / 1e9 == pytest.approx(billions, rel=5e-4)


def test_r2plus1d_18_answers_as_torchvision_does():
    card = read_card("torchvision_r2plus1d_18")
    model = models.create("r2plus1d_18", classifier_activation=None)
    checkpoints.assign(model, card.arrays, source="torchvision")
    assert card.parameters == models.info("r2plus1d_18").parameters
    card.assert_agrees(model(card.inputs[0], training=False))


def test_every_parity_card_is_used():
    tests = "".join(path.read_text(encoding="utf-8") for path in pathlib.Path(__file__).parent.glob("test_*.py"))
    cards = {path.stem for path in CARDS.glob("*.json")}
    assert len(cards) >= 11
    assert not {card for card in cards if f'"{card}"' not in tests}


def test_the_two_channel_rules():
    # (channels between, epsilon) of the block that first widens; VMZ's network is the authors' own.
    expected = {
        "r2plus1d_18": ((230, 230), 1e-5),
        "r2plus1d_18_vmz": ((230, 288), 1e-3),
        "r2plus1d_34": ((230, 288), 1e-3),
    }
    for name, (between, epsilon) in expected.items():
        model = models.create(name)
        convolutions = [model.get_layer(f"conv3_block1_conv{number}") for number in (1, 2)]
        assert tuple(layer.spatial.filters for layer in convolutions) == between
        normalizations = [
            layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)
        ]
        assert {(layer.epsilon, layer.momentum) for layer in normalizations} == {(epsilon, 0.9)}


def test_the_preprocessing_of_every_model_is_known():
    assert {models.info(name).preprocessing for name in models.names()} <= PRESETS.keys()


def test_free_lengths_give_the_network_of_fixed_ones():
    fixed = models.create("r2plus1d_tiny", input_shape=SMALL)
    free = models.create("r2plus1d_tiny", input_shape=(None, None, None, 3))
    free.set_weights(fixed.get_weights())
    clip = np.random.default_rng(0).standard_normal((1, *SMALL)).astype(np.float32)
    np.testing.assert_allclose(free(clip), fixed(clip), rtol=1e-5, atol=1e-6)
    assert free(np.zeros((1, 11, 40, 48, 3), np.float32)).shape == (1, 400)


def test_parts_of_the_head():
    def make(**arguments):
        return models.create("r2plus1d_tiny", input_shape=SMALL, classes=7, **arguments)

    full, clip = make(dropout=0.5), np.random.default_rng(0).standard_normal((1, *SMALL)).astype(np.float32)
    assert full.get_layer("global_pool").output.shape == (None, 128)
    assert full.get_layer("classifier").output.shape == (None, 7)
    assert [tensor.name for tensor in full.inputs] == ["clip"]
    assert not np.allclose(full(clip, training=True), full(clip, training=True))

    feature_map, pooled, largest = (make(include_top=False, pooling=pooling) for pooling in (None, "avg", "max"))
    for model in (pooled, largest):
        model.set_weights(feature_map.get_weights())
    features = np.asarray(feature_map(clip))
    assert features.shape == (1, 1, 2, 2, 128)
    np.testing.assert_allclose(pooled(clip), features.mean((1, 2, 3)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(largest(clip), features.max((1, 2, 3)), rtol=1e-6)

    logits = make(classifier_activation=None)
    logits.set_weights(full.get_weights())
    exponential = np.exp(np.asarray(logits(clip), np.float64))
    np.testing.assert_allclose(full(clip, training=False), exponential / exponential.sum(), rtol=1e-4)


def test_the_difference_modality_is_the_network_on_differences():
    def make(frames, **arguments):
        return models.create("r2plus1d_tiny", input_shape=(frames, 32, 32, 3), classes=7, **arguments)

    plain, difference = make(8), make(9, modality="rgb_difference")
    difference.set_weights(plain.get_weights())
    clip = np.random.default_rng(0).standard_normal((2, 9, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(difference(clip), plain(clip[:, 1:] - clip[:, :-1]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(difference(clip + 3.0), difference(clip), rtol=1e-3, atol=1e-5)


def test_a_clip_shorter_than_the_strides_is_padded_as_the_reference_pads_it():
    model = models.create("r2plus1d_tiny", input_shape=(1, 8, 8, 3), include_top=False, pooling=None)
    assert model.output_shape == (None, 1, 1, 1, 128)


def test_the_docstring_of_a_constructor_names_every_argument_once():
    for constructor in {models.info(name).constructor for name in models.names()}:
        text = inspect.getdoc(constructor)
        told = re.findall(r"^    (\w+): ", text.partition("Args:\n")[2].partition("Returns:\n")[0], re.M)
        assert told == list(inspect.signature(constructor).parameters), constructor.__name__
        assert "{" not in text and "Raises:\n    InputError: " in text
        assert max(map(len, text.splitlines())) <= 116


def test_any_number_of_channels():
    assert models.create("r2plus1d_tiny", input_shape=(8, 32, 32, 2)).input_shape == (None, 8, 32, 32, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 50}, "`depth` to be one of 10, 18, 34. Received 50"),
        ({"channel_rule": "caffe"}, "`channel_rule` to be one of 'torchvision', 'vmz'. Received 'caffe'"),
        ({"widths": (16, 32)}, r"`widths` to be a positive integer or 4 of them. Received \(16, 32\)"),
        ({"classes": 0}, "`classes` to be a positive integer. Received 0"),
        ({"dropout": 1.0}, "`dropout` to be a number of at least 0 and less than 1. Received 1.0"),
        ({"input_shape": (56, 56, 3)}, r"\(frames, height, width, channels\). Received \(56, 56, 3\)"),
        ({"input_shape": (0, 56, 56, 3)}, r"input_shape \(frames\)` to be a positive integer. Received 0"),
        ({"modality": "flow"}, "`modality` to be one of 'rgb', 'rgb_difference'. Received 'flow'"),
        ({"input_shape": (1, 56, 56, 3), "modality": "rgb_difference"}, r"\(frames\)` to be at least 2. Received 1"),
        ({"input_shape": (8, 56, 56, None)}, "channels.* to be a positive integer. Received None"),
        ({"pooling": None}, "`pooling` to be one of 'avg', 'max'. Received None"),
        ({"include_top": False, "pooling": "sum"}, "`pooling` to be one of 'avg', 'max'. Received 'sum'"),
        ({"classifier_activation": "softmaxx"}, "`classifier_activation`.*softmaxx"),
        ({"weights": "no/such/file.npz"}, "no/such/file.npz, which does not exist"),
        ({"include_top": "no"}, "`include_top` to be True or False. Received 'no'"),
        ({"name": "a/b"}, "`name` to be None or a text without a slash. Received 'a/b'"),
        ({"name": 5}, "`name` to be None or a text without a slash. Received 5"),
        ({"blocks": 3}, "Received blocks"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        models.create("r2plus1d_tiny", **{"input_shape": SMALL, **arguments})


def test_a_model_may_have_a_name_of_its_own():
    assert models.create("r2plus1d_tiny", input_shape=SMALL, name="mine").name == "mine"


def test_refuses_unknown_names():
    with pytest.raises(InputError, match=r"one of r2plus1d_18, .*Received 'resnet'"):
        models.create("resnet")


def test_the_table_holds_plain_values():
    rows = {row["name"]: row for row in models.table()}
    assert list(rows) == models.names()
    assert rows["r2plus1d_18"]["input"] == "16x112x112x3"
    assert rows["r2plus1d_18"]["constructor"] == "R2Plus1D"
