"""Published and own checkpoints of the action recognition models: what their arrays are called, and which fit."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from keras_layers.video import parameter_matched_filters
from tools import weights
from tools.errors import InputError
from tools.weights import Rule, torch_convolution, torch_dense, torch_normalization

if TYPE_CHECKING:
    import keras

CONVOLUTION = r"layer(?P<stage>\d+)\.(?P<block>\d+)\.conv(?P<convolution>\d+)"
SHORTCUT = r"layer(?P<stage>\d+)\.(?P<block>\d+)\.downsample"
CLASSIFIER = r"classifier/\w+"
BLOCK = "conv{stage+1}_block{block+1}"

# Source -> rules. "torchvision" are also the names of VMZ's and the IG-65M weights in PyTorch.
SOURCES: dict[str, tuple[Rule, ...]] = {
    "torchvision": (
        *torch_convolution(r"stem\.0", "conv1/spatial", rank=3),
        *torch_normalization(r"stem\.1", "conv1/normalization"),
        *torch_convolution(r"stem\.3", "conv1/temporal", rank=3),
        *torch_normalization(r"stem\.4", "conv1_normalization"),
        *torch_convolution(rf"{CONVOLUTION}\.0\.0", f"{BLOCK}_conv{{convolution}}/spatial", rank=3),
        *torch_normalization(rf"{CONVOLUTION}\.0\.1", f"{BLOCK}_conv{{convolution}}/normalization"),
        *torch_convolution(rf"{CONVOLUTION}\.0\.3", f"{BLOCK}_conv{{convolution}}/temporal", rank=3),
        *torch_normalization(rf"{CONVOLUTION}\.1", f"{BLOCK}_conv{{convolution}}_normalization"),
        *torch_convolution(rf"{SHORTCUT}\.0", f"{BLOCK}_shortcut", rank=3),
        *torch_normalization(rf"{SHORTCUT}\.1", f"{BLOCK}_shortcut_normalization"),
        *torch_dense("fc", "classifier"),
    ),
    "keras": (Rule(r"(?P<name>.+)", "{name}"),),
}


def load(model: keras.Model, path: str | os.PathLike, *, classifier: bool = True) -> None:
    """Reads a checkpoint and assigns it, by the rules of the source whose names it has.

    Args:
        model: an R(2+1)D model.
        path: any file that `tools.weights.read` reads.
        classifier: whether the classifier is loaded too. False leaves that of the model, if it has one, as it is: for
            other classes than those of the checkpoint.

    Raises:
        InputError: if the file cannot be read or does not fit; the model is unchanged then.
    """
    arrays = weights.read(path)
    foreign = [source for source in SOURCES if source != "keras" and weights.rename(arrays, SOURCES[source]).arrays]
    try:
        assign(model, arrays, source=foreign[0] if foreign else "keras", classifier=classifier)
    except weights.MismatchError as error:
        raise error.with_headline(f"{path}: {error.headline}") from error


def assign(
    model: keras.Model, arrays: Mapping[str, np.ndarray], source: str = "torchvision", *, classifier: bool = True
) -> None:
    """Gives every weight of the model its array; if anything does not fit, changes nothing.

    Args:
        model: an R(2+1)D model.
        arrays: by name in the checkpoint, as `tools.weights.read` returns them.
        source: whose names they are, a key of `SOURCES`: "torchvision", or "keras" for this suite's own files.
        classifier: whether the classifier is assigned too, as in `load`.

    Raises:
        InputError: if the source is unknown, or anything is left over, missing, of another shape, or not finite
            floating-point numbers. The first line says which model the checkpoint is of.
    """
    if source not in SOURCES:
        raise InputError(f"Expected `source` to be one of {', '.join(SOURCES)}. Received {source!r}.")
    try:
        weights.assign(model, arrays, SOURCES[source], keep=None if classifier else CLASSIFIER)
    except weights.MismatchError as error:
        own = describe({path: tuple(weight.shape) for path, weight in weights.variables(model).items()})
        received = describe(
            {target: array.shape for _, target, array in weights.rename(arrays, SOURCES[source]).arrays}
        )
        if received == own:
            received = f"an altered or incomplete checkpoint of that model ({received})"
        raise error.with_headline(
            f"Expected the weights of model {model.name!r} ({own}). Received {received}:"
        ) from error


def describe(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Says in words which R(2+1)D network has weights of these shapes, by path (or by position in the layer)."""
    kernels = {re.sub(r"/0$", "/kernel", path): shape for path, shape in shapes.items()}
    blocks: dict[str, set[str]] = {}
    for path in kernels:
        if match := re.fullmatch(r"(conv\d+)_block(\d+)_conv1/spatial/kernel", path):
            blocks.setdefault(match[1], set()).add(match[2])
    if not blocks:
        return "arrays of no R(2+1)D network"
    counts = [len(blocks[stage]) for stage in sorted(blocks)]
    parts = [f"depth {2 + 2 * sum(counts)}", f"channel rule {_channel_rule(kernels)}"]
    if "classifier/kernel" in kernels:
        parts.append(f"{kernels['classifier/kernel'][-1]} classes")
    return f"R(2+1)D of {', '.join(parts)}"


def _channel_rule(kernels: Mapping[str, tuple[int, ...]]) -> str:
    # conv3_block1 is the first block in which the rules part: its width changes.
    first, second, last = (
        kernels.get(f"conv3_block1_{name}/kernel", ()) for name in ("conv1/spatial", "conv2/spatial", "conv2/temporal")
    )
    if not all(len(shape) == 5 for shape in (first, second, last)):
        return "unknown"
    if second[-1] == first[-1]:
        return "torchvision"
    return "vmz" if second[-1] == parameter_matched_filters(3, second[-2], last[-1]) else "unknown"
