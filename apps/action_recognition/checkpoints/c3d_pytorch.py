"""The names of C3D in PyTorch (c3d-pytorch, and the weights that its ports share)."""

from __future__ import annotations

import numpy as np

from apps.action_recognition.checkpoints.naming import Arrays, Naming, Shapes, by_path, class_words
from tools.weights import torch_convolution, torch_dense


def _positions_before_channels(arrays: Arrays) -> dict[str, np.ndarray]:
    """fc6 reads a map flattened as (channels, positions) in PyTorch, as (positions, channels) here."""
    arrays = dict(arrays)
    kernel, last = arrays.get("fc6.weight"), arrays.get("conv5b.weight")
    if kernel is not None and last is not None and kernel.ndim == 2 and kernel.shape[1] % last.shape[0] == 0:
        units, inputs = kernel.shape
        arrays["fc6.weight"] = kernel.reshape(units, last.shape[0], -1).swapaxes(1, 2).reshape(units, inputs)
    return arrays


C3D = Naming(
    (
        *torch_convolution(r"(?P<name>conv\d[ab]?)", "{name}", rank=3, bias=True),
        *torch_dense(r"(?P<name>fc[67])", "{name}"),
        *torch_dense("fc8", "classifier"),
    ),
    prepare=_positions_before_channels,
)


def describe_c3d(shapes: Shapes) -> str | None:
    """Which C3D has weights of these shapes."""
    kernels = by_path(shapes)
    fc6 = kernels.get("fc6/kernel")
    if "conv5b/kernel" not in kernels or not fc6:
        return None
    positions = fc6[0] // kernels["conv5b/kernel"][-1]
    return (
        f"C3D of {', '.join([f'{positions} positions before fc6', f'{fc6[-1]} hidden units', *class_words(kernels)])}"
    )
