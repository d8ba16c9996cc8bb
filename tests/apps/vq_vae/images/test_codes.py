"""Labels from folders, arrays and idx1 files, their numbers, and the codes of images."""

import gzip
import struct
import types

import cv2
import numpy as np
import pytest

from apps.vq_vae.images.codes import encode, labelled, make_codes, numbered, read_labels, shortened
from apps.vq_vae.images.data import read_images, scaled
from apps.vq_vae.images.runs import load_run
from apps.vq_vae.models import encoder_of
from tools.errors import InputError


def write_idx1(path, labels):
    data = struct.pack(">II", 0x801, len(labels)) + bytes(labels)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def test_the_class_of_a_picture_is_the_first_folder(tmp_path):
    # In the order in which the images are read, though other pictures lie deeper.
    for value, name in enumerate(("cat/b.png", "cat/a/z.png", "ape/x.png")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.full((4, 4, 3), value, np.uint8))
    images, words = read_images(tmp_path), read_labels(tmp_path)
    numbers, names = labelled(images, tmp_path, None, None)
    assert names == ("ape", "cat")
    values = {0: "cat", 1: "cat", 2: "ape"}
    assert [values[int(image[0, 0, 0])] for image in images] == words.tolist() == [names[number] for number in numbers]
    cv2.imwrite(str(tmp_path / "stray.png"), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(InputError, match=r"in a folder of its class below .* Received .*stray\.png"):
        read_labels(tmp_path)


@pytest.mark.parametrize("name", ["labels.idx1", "labels.idx1.gz", "t10k-labels-idx1-ubyte.gz"])
def test_idx1(tmp_path, name):
    assert read_labels("images", write_idx1(tmp_path / name, [7, 2, 1])).tolist() == [7, 2, 1]


def test_arrays(tmp_path):
    np.savez(tmp_path / "all.npz", images=np.zeros((2, 4, 4), np.uint8), labels=np.array(["b", "a"]))
    np.save(tmp_path / "labels.npy", np.array([3, 5]))
    assert read_labels(tmp_path / "all.npz").tolist() == ["b", "a"]
    assert read_labels("images.npy", tmp_path / "labels.npy").tolist() == [3, 5]
    assert read_labels("images.npy", tmp_path / "all.npz").tolist() == ["b", "a"]


def test_labels_that_are_none(tmp_path):
    np.savez(tmp_path / "bare.npz", images=np.zeros((2, 4, 4), np.uint8))
    np.savez(tmp_path / "shares.npz", labels=np.array([0.5, 1.0]))
    np.savez(tmp_path / "below.npz", labels=np.array([0, -1]))
    np.savez(tmp_path / "hot.npz", labels=np.eye(2, dtype=int))
    np.save(tmp_path / "images.npy", np.zeros((2, 4, 4), np.uint8))
    (tmp_path / "damaged.npy").write_bytes(b"no numbers")
    (tmp_path / "labels.txt").write_text("0\n1\n")
    whole = write_idx1(tmp_path / "whole.idx1", [1, 2, 3])
    (tmp_path / "short.idx1").write_bytes(whole.read_bytes()[:-1])
    (tmp_path / "other.idx1").write_bytes(b"\0\0\x08\x03" + whole.read_bytes()[4:])
    cases = {
        ("bare.npz", None): "an array `labels` in",
        ("shares.npz", None): "integers or words. Received float64 (2,)",
        ("hot.npz", None): "integers or words. Received int64 (2, 2)",
        ("below.npz", None): "at least 0 in",
        ("images.npy", None): "or --labels with an idx1",
        ("images.npy", "none.idx1"): "no such file",
        ("images.npy", "damaged.npy"): "an .npy file of labels",
        ("images.npy", "labels.txt"): "--labels with an idx1, .npy or .npz file",
        ("images.npy", "short.idx1"): "whole arrays of bytes in idx1 format",
        ("images.npy", "other.idx1"): "whole arrays of bytes in idx1 format",
    }
    for (data, labels), words in cases.items():
        with pytest.raises(InputError) as caught:
            read_labels(tmp_path / data, None if labels is None else tmp_path / labels)
        assert words in str(caught.value) and "\n" not in str(caught.value), (data, labels)


def test_numbers_and_names():
    # As numbers, not as words: 10 after 9.
    numbers, names = numbered(np.array([10, 9, 10, 0]), None, "file")
    assert names == ("0", "9", "10") and numbers.tolist() == [2, 1, 2, 0] and numbers.dtype == np.int32
    assert numbered(np.array(["9", "10"]), names, "file")[0].tolist() == [1, 2]
    with pytest.raises(InputError, match=r"labels of the training: 0, 9, 10\. Received '4' in file"):
        numbered(np.array([9, 4]), names, "file")
    assert shortened([str(number) for number in range(20)], 3) == "0, 1, 2, ... (20 in all)"


def test_codes_are_those_of_the_encoder(trained_run, labelled_file, small_images, tmp_path):
    run = load_run(trained_run)
    expected = np.asarray(encoder_of(run.model)(scaled(small_images)))
    np.testing.assert_array_equal(encode(run, small_images, batch=40), expected)
    plain = make_codes(run, types.SimpleNamespace(classes=False), str(labelled_file))
    assert plain.conditions == {} and plain.codes.dtype == np.int32
    np.testing.assert_array_equal(plain.codes, expected)
    classes = make_codes(run, types.SimpleNamespace(classes=True), str(labelled_file))
    assert classes.names == {"label": ("bright", "dark")}
    with pytest.raises(InputError, match=r"a label for each of the 96 images in .*Received 3 in .*idx1"):
        make_codes(
            run,
            types.SimpleNamespace(classes=True),
            str(labelled_file),
            str(write_idx1(tmp_path / "few.idx1", [0, 1, 2])),
        )


@pytest.mark.real_data
def test_the_labels_of_mnist(real_data):
    folder = real_data / "images"
    labels = read_labels(folder / "mnist_t10k_images.idx3.gz", folder / "mnist_t10k_labels.idx1.gz")
    assert labels[:5].tolist() == [7, 2, 1, 0, 4] and len(labels) == 10_000
