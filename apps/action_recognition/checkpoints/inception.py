"""What the sources of I3D and S3D weights share, and in which words these networks are told."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from apps.action_recognition.checkpoints.naming import Arrays, Shapes, by_path, class_words

# A module's convolution as the papers number it, by branch and place -> its name here. One branch of DeepMind's
# Mixed_5b has 0a where all others have 0b: only the size tells the two places apart.
CONVOLUTIONS = {
    r"Branch_0/Conv3d_0a_1x1": "branch0",
    r"Branch_(?P<branch>[12])/Conv3d_0a_1x1": "branch{branch}_reduce",
    r"Branch_(?P<branch>[12])/Conv3d_0[ab]_3x3": "branch{branch}",
    r"Branch_3/Conv3d_0b_1x1": "branch3",
}


def units() -> Iterator[tuple[str, str]]:
    """(pattern in DeepMind's names, path here) of every convolution but the classifier."""
    yield r"(?P<layer>Conv3d_\w+)", "{layer}"
    for pattern, name in CONVOLUTIONS.items():
        yield rf"(?P<module>Mixed_\w+)/{pattern}", f"{{module}}/{name}"


def without_positions(arrays: Arrays, pattern: str, axes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The classifier, a convolution of 1x1x1 in these networks, as the dense layer that it is here.

    Args:
        arrays: of a checkpoint.
        pattern: regular expression of the whole name of the classifier's kernel.
        axes: those of its kernel that are 1 long.
    """
    return {
        name: array.squeeze(axes)
        if re.fullmatch(pattern, name) and array.ndim == 5 and all(array.shape[axis] == 1 for axis in axes)
        else array
        for name, array in arrays.items()
    }


def describe_i3d(shapes: Shapes) -> str | None:
    """Which I3D has weights of these shapes."""
    kernels = by_path(shapes)
    if "Mixed_3b/branch1/kernel" not in kernels:
        return None
    return f"I3D of {', '.join([*_channel_words(kernels, 'Conv3d_1a_7x7/kernel'), *class_words(kernels)])}"


def describe_s3d(shapes: Shapes) -> str | None:
    """Which S3D has weights of these shapes."""
    kernels = by_path(shapes)
    if "Mixed_3b/branch1_spatial/kernel" not in kernels:
        return None
    family = "S3D-G" if "Mixed_3b/branch0_gating/transform/kernel" in kernels else "S3D"
    separable = "Conv3d_1a_7x7_spatial/kernel" in kernels
    stem = f"Conv3d_1a_7x7{'_spatial' if separable else ''}/kernel"
    variant = "torchvision" if separable else "slim"
    parts = [f"variant {variant}", *_channel_words(kernels, stem), *class_words(kernels)]
    return f"{family} of {', '.join(parts)}"


def _channel_words(kernels: Shapes, stem: str) -> list[str]:
    shape = kernels.get(stem, ())
    return [f"{shape[3]} input channels"] if len(shape) == 5 else []
