"""Images from files: arrays, folders of pictures, or MNIST's own format; and the batches of a training."""

from __future__ import annotations

import gzip
import math
import os
import pathlib
import struct
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.errors import InputError
from tools.files import read_arrays

if TYPE_CHECKING:
    import tensorflow as tf

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
# Four bytes: two of zero, the code of unsigned bytes, the number of axes.
IDX_MAGIC = 0x00000803


def read_images(path: str | os.PathLike, grey: bool = False) -> np.ndarray:
    """Images as uint8 (images, height, width, channels).

    Args:
        path: a folder, in which all pictures (.jpg, .png, .bmp, .webp) at any depth are read in the order of their
            names; an .npy or .npz file (its array "images", or its only one) of integers 0 to 255, (images, height,
            width) or with a last axis of channels; MNIST's idx3 file, packed by gzip or not; or, for all their frames
            one after the other, an .npz file of clips or a folder of videos as `videos.data.read_clips` takes them.
        grey: read pictures as grey, one channel, in place of red, green and blue. Arrays stay as they are.

    Raises:
        InputError: if there is nothing, or anything but whole images of one size with values 0 to 255.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        return _read_folder(path, grey)
    if not path.exists():
        raise InputError(f"Expected images. Received {path}: no such file or folder.")
    if path.suffix == ".npz":
        arrays = read_arrays(path)
        if "clips" in arrays and "images" not in arrays:
            return _frames_of(path, grey)
        return checked_images(_images_array(arrays, path), str(path))
    if path.suffix == ".npy":
        try:
            return checked_images(np.load(path, allow_pickle=False), str(path))
        except InputError:
            raise
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"Expected an .npy file of numbers. Received {path}: {error}.") from None
    if ".idx3" in path.name or "idx3-ubyte" in path.name:
        return checked_images(read_idx(path), str(path))
    raise InputError(f"Expected a folder of pictures, an .npy, .npz or idx3 file. Received {path}.")


def checked_images(images: np.ndarray, source: str) -> np.ndarray:
    """The array as uint8 (images, height, width, channels).

    Raises:
        InputError: if it is empty, of another rank, not of integers, or out of range; `source` names it.
    """
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4:
        raise InputError(f"Expected images (images, height, width, channels) in {source}. Received {images.shape}.")
    if not images.size:
        raise InputError(f"Expected at least one image in {source}. Received shape {images.shape}.")
    if images.dtype.kind not in "iu":
        raise InputError(f"Expected integer pixels of 0 to 255 in {source}. Received {images.dtype}.")
    low, high = int(images.min()), int(images.max())
    if low < 0 or high > 255:
        raise InputError(f"Expected pixels of 0 to 255 in {source}. Received {low if low < 0 else high}.")
    return np.ascontiguousarray(images, np.uint8)


def _images_array(arrays: dict[str, np.ndarray], path: pathlib.Path) -> np.ndarray:
    if "images" not in arrays and len(arrays) != 1:
        raise InputError(f"Expected an array `images` in {path}. Received {', '.join(sorted(arrays)) or 'none'}.")
    return arrays["images"] if "images" in arrays else next(iter(arrays.values()))


def picture_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """The pictures in a folder, at any depth, in the order in which they are read."""
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in PICTURES)


def _read_folder(folder: pathlib.Path, grey: bool) -> np.ndarray:
    import cv2

    from tools.commands import progress

    files = picture_files(folder)
    if not files and _has_videos(folder):
        return _frames_of(folder, grey)
    if not files:
        raise InputError(f"Expected pictures ({', '.join(PICTURES)}) in {folder}. Received a folder without any.")
    images: np.ndarray | None = None
    for index, file in enumerate(progress(files, len(files), f"reading {folder}")):
        data = np.frombuffer(file.read_bytes(), np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR_RGB) if data.size else None
        if picture is None:
            raise InputError(f"Expected {file} to be a picture. Received a file that cannot be decoded.")
        picture = picture[..., None] if grey else picture
        if images is None:
            images = np.empty((len(files), *picture.shape), np.uint8)
        if picture.shape != images.shape[1:]:
            raise InputError(
                f"Expected pictures of one size, {_size(images.shape[1:])} as {files[0]}. "
                f"Received {file} of {_size(picture.shape)}."
            )
        images[index] = picture
    return images


def _frames_of(path: pathlib.Path, grey: bool) -> np.ndarray:
    from apps.vq_vae.videos.data import read_clips

    frames = read_clips(path, grey).frames
    return frames.reshape(-1, *frames.shape[2:])


def _has_videos(folder: pathlib.Path) -> bool:
    from apps.vq_vae.videos.data import video_files

    return bool(video_files(folder))


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def read_idx(path: pathlib.Path, magic: int = IDX_MAGIC) -> np.ndarray:
    """Bytes of a file in MNIST's format, packed by gzip or not.

    Args:
        path: of the file.
        magic: its first four bytes, of which the last is the number of axes.

    Raises:
        InputError: if the file is another or a part.
    """
    axes = magic & 0xFF
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        found, *shape = struct.unpack(f">{1 + axes}I", data[: 4 + 4 * axes])
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise InputError(f"Expected an idx{axes} file. Received {path}: {error}.") from None
    if found != magic or len(data) != 4 + 4 * axes + math.prod(shape):
        raise InputError(
            f"Expected {path} to hold whole arrays of bytes in idx{axes} format. Received another or a part."
        )
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


# === Training ===


def variance(images: np.ndarray) -> float:
    """Variance of all pixels of all images and channels, pixels / 255; by whole numbers, so without rounding.

    Raises:
        InputError: if all pixels are equal.
    """
    counts = np.bincount(images.reshape(-1), minlength=256)
    values = np.arange(256) / 255
    mean = counts @ values / images.size
    found = float(counts @ np.square(values - mean) / images.size)
    if not found > 0:
        raise InputError(f"Expected images that vary. Received {len(images)} whose pixels are all {images.flat[0]}.")
    return found


def spread(images: np.ndarray, count: int) -> np.ndarray:
    """At most `count` images, at even distances: the first ones of a folder of class folders are all of one class."""
    return images[evenly(len(images), count)]


def evenly(total: int, most: int) -> np.ndarray:
    """At most `most` numbers of `total` things, at even distances, the first and the last among them."""
    return np.linspace(0, total - 1, min(most, total)).round().astype(int)


def scaled(images: Any) -> Any:
    """Whole pixels as the networks take them: float32, pixels / 255 - 0.5. Arrays and tensors alike."""
    if isinstance(images, np.ndarray):
        return images.astype(np.float32) / 255 - np.float32(0.5)
    import tensorflow as tf

    return tf.cast(images, tf.float32) / 255 - 0.5


def batches(
    images: np.ndarray, batch: int, steps_per_epoch: int, epochs: int, seed: int
) -> Callable[[int], tf.data.Dataset]:
    """What `tools.training.fit` takes: given the epochs done, the batches (images, images) of all that remain.

    The images are gone through again and again, each time in another order, which is a function of seed and pass.
    """
    import tensorflow as tf

    rows = order(len(images), batch * steps_per_epoch * epochs, seed).reshape(-1, batch)
    pixels = tf.constant(images)

    def make_dataset(done: int) -> tf.data.Dataset:
        chosen = tf.data.Dataset.from_tensor_slices(rows[done * steps_per_epoch :])
        return chosen.map(lambda row: _twice(scaled(tf.gather(pixels, row)))).prefetch(4)

    return make_dataset


def validation_batches(images: np.ndarray, batch: int) -> tf.data.Dataset:
    """All images in order, as `batches` gives them."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(images).batch(batch).map(lambda pixels: _twice(scaled(pixels)))


def order(count: int, length: int, seed: int) -> np.ndarray:
    """The first `length` numbers of permutations of `count` after each other, int32; one that begins is the same
    however many follow."""
    passes = -(-length // count)
    rows = [np.random.default_rng((seed, number)).permutation(count).astype(np.int32) for number in range(passes)]
    return np.concatenate(rows)[:length]


def _twice(images: Any) -> tuple[Any, Any]:
    return images, images
