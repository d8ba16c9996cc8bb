"""Images from files, and the order in which a training sees them."""

import gzip
import struct

import cv2
import numpy as np
import pytest

from apps.vq_vae.images.data import batches, order, read_images, scaled, spread, validation_batches, variance
from tools.errors import InputError


def idx(images: np.ndarray) -> bytes:
    return struct.pack(">IIII", 0x803, *images.shape) + images.tobytes()


def test_arrays(small_images, small_file, tmp_path):
    np.testing.assert_array_equal(read_images(small_file), small_images)
    np.save(tmp_path / "one.npy", small_images[..., 0].astype(np.int64))
    np.testing.assert_array_equal(read_images(tmp_path / "one.npy"), small_images[..., :1])
    np.savez(tmp_path / "named.npz", pixels=small_images)
    np.testing.assert_array_equal(read_images(tmp_path / "named.npz"), small_images)


def test_idx(small_images, tmp_path):
    grey = np.ascontiguousarray(small_images[..., 0])
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(grey))
    (tmp_path / "images.idx3.gz").write_bytes(gzip.compress(idx(grey)))
    for path in tmp_path.iterdir():
        np.testing.assert_array_equal(read_images(path)[..., 0], grey)


def test_folders(small_images, tmp_path):
    (tmp_path / "discs" / "deep").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "discs" / "b.png"), small_images[1][..., ::-1])
    cv2.imwrite(str(tmp_path / "discs" / "deep" / "c.PNG"), small_images[2][..., ::-1])
    cv2.imwrite(str(tmp_path / "discs" / "a.png"), small_images[0][..., ::-1])
    (tmp_path / "discs" / "README.md").write_text("not a picture")
    np.testing.assert_array_equal(read_images(tmp_path / "discs"), small_images[:3])
    assert read_images(tmp_path / "discs", grey=True).shape == (3, 8, 12, 1)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 8, 8, 3), np.float32), "integer pixels of 0 to 255"),
        (np.zeros((2, 8, 8, 3), bool), "integer pixels"),
        (np.full((2, 8, 8), 256), "Received 256"),
        (np.full((2, 8, 8), -1, np.int8), "Received -1"),
        (np.zeros((8, 8), np.uint8), "Received (8, 8)"),
        (np.zeros((0, 8, 8, 3), np.uint8), "at least one image"),
        (np.zeros((2, 8, 0, 3), np.uint8), "at least one image"),
        (np.array(["cat"]), "Received (1,)"),
    ],
)
def test_bad_arrays_are_one_line(array, words, tmp_path):
    np.save(tmp_path / "bad.npy", array)
    np.savez(tmp_path / "bad.npz", images=array)
    for name in ("bad.npy", "bad.npz"):
        with pytest.raises(InputError) as caught:
            read_images(tmp_path / name)
        message = str(caught.value)
        assert words in message and name in message and "\n" not in message


def test_bad_files_are_one_line(small_images, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    cv2.imwrite(str(tmp_path / "mixed" / "a.png"), small_images[0])
    cv2.imwrite(str(tmp_path / "mixed" / "b.png"), small_images[0][:, :5])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_bytes(b"no picture")
    (tmp_path / "blank").mkdir()
    (tmp_path / "blank" / "a.jpg").write_bytes(b"")
    (tmp_path / "short.idx3").write_bytes(idx(np.zeros((2, 3, 3), np.uint8))[:-1])
    (tmp_path / "tiny.idx3").write_bytes(b"\0\0")
    (tmp_path / "cut.idx3.gz").write_bytes(gzip.compress(bytes(1000))[:-9])
    (tmp_path / "text.npy").write_text("not an array")
    (tmp_path / "images.txt").write_text("not an image")
    np.savez(tmp_path / "two.npz", a=small_images, b=small_images)
    cases = {
        "absent": "no such file",
        "empty": "a folder without any",
        "mixed": "of 5x8",
        "broken": "cannot be decoded",
        "blank": "cannot be decoded",
        "short.idx3": "whole arrays of bytes",
        "tiny.idx3": "an idx3 file",
        "cut.idx3.gz": "an idx3 file",
        "text.npy": "an .npy file",
        "images.txt": "a folder of pictures",
        "two.npz": "an array `images`",
    }
    for name, words in cases.items():
        with pytest.raises(InputError) as caught:
            read_images(tmp_path / name)
        assert words in str(caught.value) and "\n" not in str(caught.value), name


def test_variance_and_scale(small_images):
    assert variance(small_images) == pytest.approx(np.var(small_images / 255.0), rel=1e-9)
    with pytest.raises(InputError, match="images that vary"):
        variance(np.full((2, 4, 4, 1), 7, np.uint8))
    assert scaled(np.array([0, 255], np.uint8)).tolist() == [-0.5, 0.5]


def test_a_spread_reaches_both_ends():
    found = spread(np.arange(10), 4)
    assert found.tolist() == [0, 3, 6, 9]
    assert spread(np.arange(3), 9).tolist() == [0, 1, 2]


def test_order_is_of_whole_passes_and_goes_on():
    rows = order(10, 35, seed=3)
    for begin in (0, 10, 20):
        assert sorted(rows[begin : begin + 10]) == list(range(10))
    assert not np.array_equal(rows[:10], rows[10:20])
    np.testing.assert_array_equal(order(10, 12, seed=3), rows[:12])
    assert not np.array_equal(order(10, 35, seed=4), rows)


def test_batches_of_a_resumed_run_are_the_rest(small_images):
    make = batches(small_images, batch=8, steps_per_epoch=5, epochs=4, seed=0)
    whole = [np.asarray(images) for images, _ in make(0)]
    rest = [np.asarray(images) for images, _ in make(2)]
    assert len(whole) == 20 and len(rest) == 10 and whole[0].shape == (8, 8, 12, 3)
    np.testing.assert_array_equal(rest, whole[10:])
    inputs, targets = next(iter(make(0)))
    np.testing.assert_array_equal(inputs, targets)
    found = np.concatenate([images for images, _ in validation_batches(small_images, 40)])
    np.testing.assert_array_equal(found, scaled(small_images))
