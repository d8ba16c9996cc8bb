"""torchvision's names of residual networks; those of VMZ's and the IG-65M weights in PyTorch are the same."""

from __future__ import annotations

from apps.action_recognition.checkpoints.naming import Naming, Shapes, by_path, class_words, count_blocks
from keras_layers.video import parameter_matched_filters
from tools.weights import torch_convolution, torch_dense, torch_normalization

CONVOLUTION = r"layer(?P<stage>\d+)\.(?P<block>\d+)\.conv(?P<convolution>\d+)"
SHORTCUT = r"layer(?P<stage>\d+)\.(?P<block>\d+)\.downsample"
BLOCK = "conv{stage+1}_block{block+1}"
# (depth, channel rule) and (depth, lengths in time) -> registered name.
R2PLUS1D_NAMES = {(18, "torchvision"): "r2plus1d_18", (18, "vmz"): "r2plus1d_18_vmz", (34, "vmz"): "r2plus1d_34"}
R3D_NAMES = {(18, (3, 3, 3, 3)): "r3d_18", (34, (3, 3, 3, 3)): "r3d_34", (18, (3, 1, 1, 1)): "mc3_18"}
SHARED = (
    *torch_normalization(rf"{CONVOLUTION}\.1", f"{BLOCK}_conv{{convolution}}_normalization"),
    *torch_convolution(rf"{SHORTCUT}\.0", f"{BLOCK}_shortcut", rank=3),
    *torch_normalization(rf"{SHORTCUT}\.1", f"{BLOCK}_shortcut_normalization"),
    *torch_dense("fc", "classifier"),
)

R2PLUS1D = Naming(
    (
        *torch_convolution(r"stem\.0", "conv1/spatial", rank=3),
        *torch_normalization(r"stem\.1", "conv1/normalization"),
        *torch_convolution(r"stem\.3", "conv1/temporal", rank=3),
        *torch_normalization(r"stem\.4", "conv1_normalization"),
        *torch_convolution(rf"{CONVOLUTION}\.0\.0", f"{BLOCK}_conv{{convolution}}/spatial", rank=3),
        *torch_normalization(rf"{CONVOLUTION}\.0\.1", f"{BLOCK}_conv{{convolution}}/normalization"),
        *torch_convolution(rf"{CONVOLUTION}\.0\.3", f"{BLOCK}_conv{{convolution}}/temporal", rank=3),
        *SHARED,
    )
)

R3D = Naming(
    (
        *torch_convolution(r"stem\.0", "conv1", rank=3),
        *torch_normalization(r"stem\.1", "conv1_normalization"),
        *torch_convolution(rf"{CONVOLUTION}\.0", f"{BLOCK}_conv{{convolution}}", rank=3),
        *SHARED,
    )
)


def describe_r2plus1d(shapes: Shapes) -> str | None:
    """Which R(2+1)D network has weights of these shapes."""
    kernels = by_path(shapes)
    counts = count_blocks(kernels, r"conv(\d+)_block(\d+)_conv1/spatial/kernel")
    if not counts:
        return None
    depth, rule = 2 + 2 * sum(counts.values()), _channel_rule(kernels)
    parts = [f"depth {depth}", f"channel rule {rule}", *class_words(kernels)]
    return f"R(2+1)D of {', '.join([*parts, *_registered(R2PLUS1D_NAMES.get((depth, rule)))])}"


def _channel_rule(kernels: Shapes) -> str:
    # conv3_block1 is the first block in which the rules part: its width changes.
    first, second, last = (
        kernels.get(f"conv3_block1_{name}/kernel", ()) for name in ("conv1/spatial", "conv2/spatial", "conv2/temporal")
    )
    if not all(len(shape) == 5 for shape in (first, second, last)):
        return "unknown"
    if second[-1] == first[-1]:
        return "torchvision"
    return "vmz" if second[-1] == parameter_matched_filters(3, second[-2], last[-1]) else "unknown"


def describe_r3d(shapes: Shapes) -> str | None:
    """Which R3D or MC3 network has weights of these shapes."""
    kernels = by_path(shapes)
    counts = count_blocks(kernels, r"conv(\d+)_block(\d+)_conv1/kernel")
    if not counts:
        return None
    depth = 2 + 2 * sum(counts.values())
    lengths = tuple(kernels[f"conv{stage}_block1_conv1/kernel"][0] for stage in sorted(counts))
    family = {(3, 3, 3, 3): "R3D", (3, 1, 1, 1): "MC3"}.get(lengths, "residual network")
    parts = [f"depth {depth}", f"temporal kernels {', '.join(map(str, lengths))}", *class_words(kernels)]
    return f"{family} of {', '.join([*parts, *_registered(R3D_NAMES.get((depth, lengths)))])}"


def _registered(name: str | None) -> list[str]:
    return [f"as {name}"] if name else []
