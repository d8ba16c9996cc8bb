"""Vectors that matrix factorisation begins with: a file of them, and the forms that show what they are worth.

The file is an .npz of user (users, d), item (items, d) and digest, that of the prepared folder they were made for.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

import numpy as np

from apps.pcrec.data.prepared import Prepared
from tools.errors import InputError
from tools.files import read_arrays, replacing


def write_vectors(path: str | os.PathLike, user: np.ndarray, item: np.ndarray, prepared: Prepared) -> None:
    """Writes vectors of the users and items of a prepared folder."""
    # Given a path, NumPy would add .npz to its name.
    with replacing(pathlib.Path(path)) as partial, open(partial, "wb") as file:
        np.savez(file, user=user, item=item, digest=np.array(prepared.digest))


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
    for name in ("user", "item"):
        if arrays[name].dtype.kind not in "fiu":
            raise InputError(f"Expected {name} in {path} to be real numbers. Received {arrays[name].dtype}.")
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


# === forms ===

Degrees = tuple[np.ndarray, np.ndarray]
Form = Callable[[list[np.ndarray], Degrees, np.random.Generator], list[np.ndarray]]


def _given(parts: list[np.ndarray], degrees: Degrees, generator: np.random.Generator) -> list[np.ndarray]:
    return parts


def _centred(parts: list[np.ndarray], degrees: Degrees, generator: np.random.Generator) -> list[np.ndarray]:
    mean = np.concatenate(parts).mean(axis=0)
    return [part - mean for part in parts]


def _shuffled(parts: list[np.ndarray], degrees: Degrees, generator: np.random.Generator) -> list[np.ndarray]:
    return [generator.permutation(part) for part in parts]


def _random(parts: list[np.ndarray], degrees: Degrees, generator: np.random.Generator) -> list[np.ndarray]:
    return [_with_norms_of(part, generator.standard_normal(part.shape)) for part in parts]


def _degree(parts: list[np.ndarray], degrees: Degrees, generator: np.random.Generator) -> list[np.ndarray]:
    channels = parts[0].shape[1]
    # Random Fourier features: nodes of near degrees have near vectors.
    frequency, phase = generator.standard_normal(channels), generator.uniform(0.0, 2 * np.pi, channels)
    waves = [np.cos(np.log1p(counts)[:, None] * frequency + phase) for counts in degrees]
    return [_with_norms_of(part, wave) for part, wave in zip(parts, waves, strict=True)]


def _with_norms_of(part: np.ndarray, directions: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    return directions * np.linalg.norm(part, axis=1, keepdims=True) / np.maximum(norms, 1e-12)


# What each form makes of the vectors, with what they are compared to tell what they are worth.
FORMS: dict[str, Form] = {
    "given": _given,
    "centred": _centred,
    "shuffled": _shuffled,
    "random": _random,
    "degree": _degree,
}


def degrees_of(prepared: Prepared) -> Degrees:
    """Training interactions of each user and of each item."""
    train = prepared.train
    return (
        np.bincount(train.user, minlength=len(prepared.users)),
        np.bincount(train.item, minlength=len(prepared.items)),
    )


def degree_explained(user: np.ndarray, item: np.ndarray, degrees: Degrees) -> float:
    """How much of the degrees a linear map of the vectors tells: R^2 of log(1 + degree) over users and items, 0 to 1.

    Near 1, the vectors are hardly more than the degree in other words.

    Args:
        user: (users, d).
        item: (items, d).
        degrees: of `degrees_of`.
    """
    vectors = np.concatenate([user, item]).astype("float64")
    wanted = np.log1p(np.concatenate(degrees))
    wanted -= wanted.mean()
    total = wanted @ wanted
    if not total:
        return 0.0
    vectors -= vectors.mean(axis=0)
    left = wanted - vectors @ np.linalg.lstsq(vectors, wanted, rcond=None)[0]
    return float(1 - left @ left / total)


def form(
    user: np.ndarray, item: np.ndarray, kind: str, norm: float | None, seed: int, degrees: Degrees
) -> tuple[np.ndarray, np.ndarray]:
    """The vectors in the form of an ablation.

    Args:
        user: (users, d).
        item: (items, d).
        kind: "given"; "centred", less their mean over users and items; "shuffled", in which each user has the vector
            of another user and each item that of another item; "random", normal numbers with the norms of the given;
            "degree", waves of the logarithm of the degree, with the norms of the given.
        norm: mean norm of all vectors to which they are scaled, or None to leave it.
        seed: of the draw.
        degrees: of `degrees_of`.

    Raises:
        InputError: for another kind, or a norm that is not above 0.
    """
    if kind not in FORMS:
        raise InputError(f"Expected initial-form to be one of {', '.join(FORMS)}. Received {kind!r}.")
    if norm is not None and not 0 < norm < float("inf"):
        raise InputError(f"Expected initial-norm above 0. Received {norm}.")
    parts = FORMS[kind]([user, item], degrees, np.random.default_rng(seed))
    if norm is not None:
        mean = np.linalg.norm(np.concatenate(parts), axis=1).mean()
        parts = [part * (norm / max(mean, 1e-12)) for part in parts]
    return parts[0].astype("float32"), parts[1].astype("float32")
