"""The names of X3D, PyTorchVideo's and PySlowFast's."""

from __future__ import annotations

import math
import re

import numpy as np

from apps.action_recognition.checkpoints.naming import Arrays, Naming, Shapes, by_path, class_words
from apps.action_recognition.models.x3d import BOTTLENECK, WIDTHS
from tools.weights import Rule, torch_convolution, torch_dense, torch_normalization

# 1x1x1 convolutions of pooled features: dense layers here.
DENSE = re.compile(r".*\.(norm_b\.1\.block\.[02]|post_conv|se\.fc[12]|lin_5)\.weight")


def _as_matrices(arrays: Arrays) -> dict[str, np.ndarray]:
    return {
        name: array.reshape(array.shape[:2])
        if array.ndim == 5 and math.prod(array.shape[2:]) == 1 and DENSE.fullmatch(name)
        else array
        for name, array in arrays.items()
    }


def _stages(
    unit: str, name: str, shortcut: tuple[str, str], parts: tuple[str, str], gates: tuple[str, str]
) -> tuple[Rule, ...]:
    """Rules of all blocks.

    Args:
        unit: pattern of a block.
        name: of the block here.
        shortcut: patterns of its shortcut's convolution and normalization.
        parts: the same of its three convolutions, with a group "part".
        gates: of the two dense layers of its squeeze-and-excitation.
    """
    return (
        *torch_convolution(rf"{unit}\.{shortcut[0]}", f"{name}_shortcut", rank=3),
        *torch_normalization(rf"{unit}\.{shortcut[1]}", f"{name}_shortcut_normalization"),
        *torch_convolution(rf"{unit}\.branch2\.{parts[0]}", f"{name}_{{part}}", rank=3),
        *torch_normalization(rf"{unit}\.branch2\.{parts[1]}", f"{name}_{{part}}_normalization"),
        *torch_dense(rf"{unit}\.branch2\.{gates[0]}", f"{name}_squeeze_excitation/squeeze"),
        *torch_dense(rf"{unit}\.branch2\.{gates[1]}", f"{name}_squeeze_excitation/excite"),
    )


def _ends(stem: tuple[str, str, str], head: tuple[str, str, str, str]) -> tuple[Rule, ...]:
    """Rules of conv1 (over space, over time, normalization) and of conv5, its normalization, fc1 and classifier."""
    return (
        *torch_convolution(stem[0], "conv1_spatial", rank=3),
        *torch_convolution(stem[1], "conv1_temporal", rank=3),
        *torch_normalization(stem[2], "conv1_normalization"),
        *torch_convolution(head[0], "conv5", rank=3),
        *torch_normalization(head[1], "conv5_normalization"),
        Rule(rf"{head[2]}\.weight", "fc1/kernel", (1, 0)),
        *torch_dense(head[3], "classifier"),
    )


# In PyTorchVideo "conv_t" of the stem is the convolution over space, and "conv_xy" that over time.
PYTORCHVIDEO = Naming(
    (
        *_ends(
            (r"blocks\.0\.conv\.conv_t", r"blocks\.0\.conv\.conv_xy", r"blocks\.0\.norm"),
            (
                r"blocks\.5\.pool\.pre_conv",
                r"blocks\.5\.pool\.pre_norm",
                r"blocks\.5\.pool\.post_conv",
                r"blocks\.5\.proj",
            ),
        ),
        *_stages(
            r"blocks\.(?P<stage>[1-4])\.res_blocks\.(?P<block>\d+)",
            "res{stage+1}_block{block+1}",
            ("branch1_conv", "branch1_norm"),
            ("conv_(?P<part>[abc])", r"norm_(?P<part>a|b(?=\.0)|c)(?:\.0)?"),
            (r"norm_b\.1\.block\.0", r"norm_b\.1\.block\.2"),
        ),
    ),
    prepare=_as_matrices,
)
PYSLOWFAST = Naming(
    (
        *_ends(
            (r"s1\.pathway0_stem\.conv_xy", r"s1\.pathway0_stem\.conv", r"s1\.pathway0_stem\.bn"),
            (r"head\.conv_5", r"head\.conv_5_bn", r"head\.lin_5", r"head\.projection"),
        ),
        *_stages(
            r"s(?P<stage>[2-5])\.pathway0_res(?P<block>\d+)",
            "res{stage}_block{block+1}",
            ("branch1", "branch1_bn"),
            ("(?P<part>[abc])", "(?P<part>[abc])_bn"),
            (r"se\.fc1", r"se\.fc2"),
        ),
    ),
    prepare=_as_matrices,
)


def describe_x3d(shapes: Shapes) -> str | None:
    """Which X3D has weights of these shapes."""
    kernels = by_path(shapes)
    if "conv1_temporal/kernel" not in kernels:
        return None
    counts = [
        sum(bool(re.fullmatch(rf"res{stage}_block\d+_b/kernel", path)) for path in kernels) for stage in range(2, 6)
    ]
    normalised = any(path.startswith("res2_block1_shortcut_normalization/") for path in kernels)
    variant = "pyslowfast" if normalised else "pytorchvideo"
    parts = [f"depths {tuple(counts)}", f"the shortcut of {variant}", *class_words(kernels), *_expanded(kernels)]
    return f"X3D of {', '.join(parts)}"


def _expanded(kernels: Shapes) -> list[str]:
    """What the last stage has other than the published networks: their words are for the depths alone."""
    inner, outer = kernels.get("res5_block1_c/kernel", (0, 0))[-2:]
    if (inner, outer) in ((0, 0), (int(BOTTLENECK * WIDTHS[-1]), WIDTHS[-1])):
        return []
    return [f"{outer} channels in res5 and {inner} inside its blocks"]
