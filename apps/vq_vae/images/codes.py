"""From images to codes, and the classes of images."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apps.vq_vae.images.data import picture_files, read_idx, scaled
from apps.vq_vae.images.runs import Run
from apps.vq_vae.prior.code_sets import CodeSet
from tools.errors import InputError
from tools.files import read_arrays

# Four bytes: two of zero, the code of unsigned bytes, the number of axes.
IDX1_MAGIC = 0x00000801


def make_codes(
    run: Run,
    config: Any,
    data: str,
    labels: str | None = None,
    names: Mapping[str, Sequence[str]] | None = None,
) -> CodeSet:
    """The codes of images, and with classes the condition "label".

    Args:
        run: an autoencoder of images.
        config: the `PriorConfig`; `classes` says whether labels are read.
        data: images; see `images.data.read_images`.
        labels: a file of labels; None for those that the images have. See `read_labels`.
        names: of the classes of the training, where these are validation images.

    Raises:
        InputError: if there are no images of the size that the run takes, or no label for each.
    """
    images = run.read(data)
    conditions, found = {}, {}
    if config.classes:
        known = None if names is None else names["label"]
        conditions["label"], found["label"] = labelled(images, data, labels, known)
    return CodeSet(encode(run, images), conditions, found)


def encode(run: Run, images: np.ndarray, batch: int = 256) -> np.ndarray:
    """The codes of images uint8, int32 (images, height, width), or with a last axis of codes a position."""
    from tools.commands import progress

    starts = range(0, len(images), batch)
    return np.concatenate(
        [
            np.asarray(run.encoder(scaled(images[start : start + batch]), training=False))
            for start in progress(starts, len(starts), "encoding, batches")
        ]
    )


def read_labels(data: str | os.PathLike, labels: str | os.PathLike | None = None) -> np.ndarray:
    """The label of each image, integers or words.

    Args:
        data: the images. Without `labels`, the class of a picture is the first folder below `data`, and an .npz file
            has an array "labels".
        labels: an idx1 file, as MNIST's, packed by gzip or not; an .npy file; or an .npz file with an array "labels".

    Raises:
        InputError: if there are none, or anything but whole numbers of at least 0 or words.
    """
    path = pathlib.Path(data if labels is None else labels)
    if labels is None and path.is_dir():
        return np.array([_class_folder(file, path) for file in picture_files(path)])
    if not path.is_file():
        raise InputError(f"Expected labels. Received {path}: no such file.")
    if path.suffix == ".npz":
        arrays = read_arrays(path)
        if "labels" not in arrays:
            raise InputError(f"Expected an array `labels` in {path}. Received {', '.join(sorted(arrays)) or 'none'}.")
        return _checked_labels(arrays["labels"], path)
    if labels is not None and path.suffix == ".npy":
        try:
            return _checked_labels(np.load(path, allow_pickle=False), path)
        except InputError:
            raise
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"Expected an .npy file of labels. Received {path}: {error}.") from None
    if labels is not None and (".idx1" in path.name or "idx1-ubyte" in path.name):
        return read_idx(path, IDX1_MAGIC)
    raise InputError(
        "Expected labels: class folders, an array `labels` in an .npz file, or --labels with an idx1, .npy or .npz "
        f"file. Received {path}."
    )


def labelled(
    images: np.ndarray, data: str | os.PathLike, labels: str | os.PathLike | None, names: Sequence[str] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The number of the class of each image, int32, and the names of the classes.

    Args:
        images: that were read from `data`.
        data: as of `read_labels`.
        labels: as of `read_labels`.
        names: of the classes, where they are known already.

    Raises:
        InputError: if there is not a label for each image, or one is of another class.
    """
    words = read_labels(data, labels)
    if len(words) != len(images):
        raise InputError(
            f"Expected a label for each of the {len(images)} images in {data}. "
            f"Received {len(words)} in {labels or data}."
        )
    return numbered(words, names, str(labels or data))


def numbered(words: np.ndarray, names: Sequence[str] | None, source: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels as numbers of their classes, int32, and the names of the classes.

    Args:
        words: the labels, integers or words.
        names: of the classes, where they are known already; otherwise the labels in their order.
        source: of the labels, for the message.

    Raises:
        InputError: for a label of another class.
    """
    found, numbers = np.unique(words, return_inverse=True)
    written = [str(word) for word in found]
    names = tuple(written if names is None else names)
    unknown = [word for word in written if word not in names]
    if unknown:
        raise InputError(f"Expected labels of the training: {shortened(names)}. Received {unknown[0]!r} in {source}.")
    return np.array([names.index(word) for word in written], np.int32)[numbers], names


def shortened(names: Sequence[str], most: int = 12) -> str:
    """Names with commas, for a message of one line."""
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


def _class_folder(file: pathlib.Path, folder: pathlib.Path) -> str:
    parts = file.relative_to(folder).parts
    if len(parts) < 2:
        raise InputError(f"Expected every picture in a folder of its class below {folder}. Received {file}.")
    return parts[0]


def _checked_labels(labels: np.ndarray, path: pathlib.Path) -> np.ndarray:
    if labels.ndim != 1 or not labels.size or labels.dtype.kind not in "iuU":
        raise InputError(
            f"Expected labels (images,) in {path}, integers or words. Received {labels.dtype} {labels.shape}."
        )
    if labels.dtype.kind != "U" and labels.min() < 0:
        raise InputError(f"Expected labels of at least 0 in {path}. Received {labels.min()}.")
    return labels
