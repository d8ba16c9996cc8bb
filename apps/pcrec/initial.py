"""Vectors that matrix factorisation begins with: a file of them, and the forms that show what they are worth.

The file is an .npz of user (users, d), item (items, d) and digest, that of the prepared folder they were made for.
"""

from __future__ import annotations

import os
import pathlib

import numpy as np

from apps.pcrec.data.prepared import Prepared
from tools.errors import InputError
from tools.files import read_arrays, replacing

FORMS = ("given", "shuffled", "random")


def write_vectors(path: str | os.PathLike, user: np.ndarray, item: np.ndarray, prepared: Prepared) -> None:
    """Writes vectors of the users and items of a prepared folder."""
    with replacing(pathlib.Path(path)) as partial:
        np.savez(partial, user=user, item=item, digest=np.array(prepared.digest))


def read_vectors(path: str | os.PathLike, prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
    """Vectors float32 (users, d) and (items, d) of a prepared folder.

    Raises:
        InputError: if the file is none, of another prepared folder, or holds numbers that are not finite.
    """
    arrays = read_arrays(path)
    if not {"user", "item", "digest"} <= set(arrays):
        raise InputError(
            f"Expected user, item and digest in {path}. Received {', '.join(sorted(arrays)) or 'nothing'}."
        )
    if str(arrays["digest"]) != prepared.digest:
        raise InputError(
            f"Expected vectors of the users and items of {prepared.path}. Received {path}, made for another prepared "
            "folder: were source and target swapped?"
        )
    user, item = arrays["user"].astype("float32"), arrays["item"].astype("float32")
    wanted = (len(prepared.users), len(prepared.items))
    if user.ndim != 2 or item.ndim != 2 or (len(user), len(item)) != wanted or user.shape[1] != item.shape[1]:
        raise InputError(
            f"Expected vectors of {wanted[0]} users and {wanted[1]} items in {path}. Received shapes {user.shape} and "
            f"{item.shape}."
        )
    if not (np.isfinite(user).all() and np.isfinite(item).all()):
        raise InputError(f"Expected finite numbers in {path}. Received others.")
    return user, item


def form(user: np.ndarray, item: np.ndarray, kind: str, norm: float | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The vectors in the form of an ablation.

    Args:
        user: (users, d).
        item: (items, d).
        kind: "given"; "shuffled", in which each user has the vector of another user and each item that of another
            item; "random", normal numbers with the norms of the given.
        norm: mean norm of all vectors to which they are scaled, or None to leave it.
        seed: of the draw.

    Raises:
        InputError: for another kind, or a norm that is not above 0.
    """
    if kind not in FORMS:
        raise InputError(f"Expected initial-form to be one of {', '.join(FORMS)}. Received {kind!r}.")
    if norm is not None and not 0 < norm < float("inf"):
        raise InputError(f"Expected initial-norm above 0. Received {norm}.")
    generator = np.random.default_rng(seed)
    parts = [user, item]
    if kind == "shuffled":
        parts = [generator.permutation(part) for part in parts]
    elif kind == "random":
        drawn = [generator.standard_normal(part.shape) for part in parts]
        norms = [np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
        parts = [
            number * old / np.linalg.norm(number, axis=1, keepdims=True)
            for number, old in zip(drawn, norms, strict=True)
        ]
    if norm is not None:
        mean = np.linalg.norm(np.concatenate(parts), axis=1).mean()
        parts = [part * (norm / max(mean, 1e-12)) for part in parts]
    return parts[0].astype("float32"), parts[1].astype("float32")
