"""The prepared folder: plain arrays that every later verb reads.

prepared.json      how it was made, statistics, digests: of ids and training part, and of what is held out
ids.npz            users, items: int64 or words, sorted; an index is a place in them
train.npz          user, item: int32 (rows,), and value, time where the log has them
validation.npz     the same, and negatives int32 (rows, n) where they were drawn
test.npz           as validation.npz
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.errors import InputError
from tools.files import read_arrays, read_json, write_json

if TYPE_CHECKING:
    import scipy.sparse

APPLICATION = "pcrec"
DESCRIPTION = "prepared.json"
IDS = "ids.npz"


@dataclasses.dataclass(frozen=True)
class Part:
    """Interactions of one part.

    Attributes:
        user: int32 (rows,).
        item: int32 (rows,).
        value: ratings, float64 (rows,), or None.
        time: (rows,), or None.
        negatives: items that a row's item is ranked among, int32 (rows, n), or None.
    """

    user: np.ndarray
    item: np.ndarray
    value: np.ndarray | None = None
    time: np.ndarray | None = None
    negatives: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user)

    def arrays(self) -> dict[str, np.ndarray]:
        """What there is, by name."""
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: array for name, array in found.items() if array is not None}


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """A log made ready.

    Attributes:
        path: of the folder.
        users: ids, sorted.
        items: ids, sorted.
        train: interactions to learn from.
        validation: interactions to choose by.
        test: interactions to judge by.
        description: prepared.json.
    """

    path: pathlib.Path
    users: np.ndarray
    items: np.ndarray
    train: Part
    validation: Part
    test: Part
    description: dict[str, Any]

    @property
    def digest(self) -> str:
        """Tells one prepared log from another: of the ids and the training part."""
        return self.description["digest"]

    def part(self, name: str) -> Part:
        """The part "train", "validation" or "test"."""
        return getattr(self, name)

    def matrix(self, *names: str) -> scipy.sparse.csr_matrix:
        """Ones where a user met an item in the parts of these names, float32 (users, items), columns sorted."""
        return self._matrix(names)

    @functools.cache  # noqa: B019 (a process reads few folders)
    def _matrix(self, names: tuple[str, ...]) -> scipy.sparse.csr_matrix:
        import scipy.sparse

        user = np.concatenate([self.part(name).user for name in names])
        item = np.concatenate([self.part(name).item for name in names])
        shape = (len(self.users), len(self.items))
        matrix = scipy.sparse.csr_matrix((np.ones(len(user), "float32"), (user, item)), shape)
        matrix.sum_duplicates()
        matrix.data[:] = 1.0
        return matrix


def digest_of(*arrays: np.ndarray) -> str:
    """SHA-256 of arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _digests(users: np.ndarray, items: np.ndarray, parts: dict[str, Part]) -> dict[str, str]:
    held_out = [array for name in ("validation", "test") for array in parts[name].arrays().values()]
    return {
        "digest": digest_of(users, items, parts["train"].user, parts["train"].item),
        "held_out_digest": digest_of(*held_out),
    }


def check_free(folder: pathlib.Path) -> None:
    """Raises an `InputError` if nothing can be written to the folder."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"Expected a new folder. Received {folder}, which holds something.")


def write_prepared(
    folder: str | os.PathLike,
    users: np.ndarray,
    items: np.ndarray,
    parts: dict[str, Part],
    description: dict[str, Any],
) -> Prepared:
    """Writes a prepared folder, whole or not at all.

    Args:
        folder: a new one.
        users: ids.
        items: ids.
        parts: "train", "validation" and "test".
        description: what prepared.json says beside the digest.

    Raises:
        InputError: if the folder holds something.
    """
    folder = pathlib.Path(folder).resolve()
    check_free(folder)
    description = {**description, **_digests(users, items, parts)}
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        np.savez(partial / IDS, users=users, items=items)
        for name, part in parts.items():
            np.savez(partial / f"{name}.npz", **part.arrays())
        write_json(partial / DESCRIPTION, description)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Prepared(folder, users, items, parts["train"], parts["validation"], parts["test"], description)


def read_prepared(folder: str | os.PathLike) -> Prepared:
    """Reads what `prepare` wrote.

    Raises:
        InputError: if the folder is none, or damaged.
    """
    folder = pathlib.Path(folder)
    if not (folder / DESCRIPTION).is_file():
        holds = "no such folder" if not folder.is_dir() else f"a folder without {DESCRIPTION}"
        raise InputError(f"Expected a folder that `kapps pcrec prepare` wrote. Received {folder}: {holds}.")
    description = read_json(folder / DESCRIPTION, "digest", "held_out_digest")
    ids = read_arrays(folder / IDS, "users", "items")
    parts = {}
    for name in ("train", "validation", "test"):
        arrays = read_arrays(folder / f"{name}.npz", "user", "item")
        try:
            parts[name] = Part(**arrays)
        except TypeError:
            raise InputError(
                f"Expected {folder / name}.npz to hold user and item. Received {sorted(arrays)}."
            ) from None
    for name, digest in _digests(ids["users"], ids["items"], parts).items():
        if digest != description[name]:
            changed = "ids or a training part" if name == "digest" else "a validation or test part"
            raise InputError(f"Expected {folder} as it was written. Received {changed} that was changed.")
    return Prepared(folder, ids["users"], ids["items"], parts["train"], parts["validation"], parts["test"], description)
