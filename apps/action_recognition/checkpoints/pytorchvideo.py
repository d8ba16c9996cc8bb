"""PyTorchVideo's names: a network is a list of blocks, which are its stem, stages, poolings and head."""

from __future__ import annotations

from apps.action_recognition.checkpoints.naming import Naming
from tools.weights import Rule, torch_convolution, torch_dense, torch_normalization

BLOCK = r"res_blocks\.(?P<block>\d+)"


def _stem(pattern: str, prefix: str) -> tuple[Rule, ...]:
    return (
        *torch_convolution(rf"{pattern}\.conv", f"{prefix}conv1", rank=3),
        *torch_normalization(rf"{pattern}\.norm", f"{prefix}conv1_normalization"),
    )


def _stage(pattern: str, stage: str) -> tuple[Rule, ...]:
    """Rules of a stage of bottleneck blocks, for instance `_stage(r"blocks\\.1", "res2")`."""
    name, unit = f"{stage}_block{{block+1}}", rf"{pattern}\.{BLOCK}"
    return (
        *torch_convolution(rf"{unit}\.branch1_conv", f"{name}_shortcut", rank=3),
        *torch_normalization(rf"{unit}\.branch1_norm", f"{name}_shortcut_normalization"),
        *torch_convolution(rf"{unit}\.branch2\.conv_(?P<part>[abc])", f"{name}_{{part}}", rank=3),
        *torch_normalization(rf"{unit}\.branch2\.norm_(?P<part>[abc])", f"{name}_{{part}}_normalization"),
        # R(2+1)D: b is a convolution over time, and one over space.
        *torch_convolution(rf"{unit}\.branch2\.conv_b\.conv_t", f"{name}_b_temporal", rank=3),
        *torch_normalization(rf"{unit}\.branch2\.conv_b\.norm", f"{name}_b_temporal_normalization"),
        *torch_convolution(rf"{unit}\.branch2\.conv_b\.conv_xy", f"{name}_b", rank=3),
    )


# One pathway: blocks.0 is conv1, blocks.1 to blocks.4 are res2 to res5, blocks.5 is the head.
RESNET = Naming(
    (
        *_stem(r"blocks\.0", ""),
        *_stage(r"blocks\.(?P<stage>[1-4])", "res{stage+1}"),
        *torch_dense(r"blocks\.5\.proj", "classifier"),
    )
)
# The same with a pooling, blocks.2, after res2.
I3D_RESNET = Naming(
    (
        *_stem(r"blocks\.0", ""),
        *_stage(r"blocks\.1", "res2"),
        *_stage(r"blocks\.(?P<stage>[3-5])", "res{stage}"),
        *torch_dense(r"blocks\.6\.proj", "classifier"),
    )
)
# Two pathways, 0 slow and 1 fast; blocks.5 pools.
SLOWFAST = Naming(
    (
        *_stem(r"blocks\.0\.multipathway_blocks\.0", "slow_"),
        *_stem(r"blocks\.0\.multipathway_blocks\.1", "fast_"),
        *_stage(r"blocks\.(?P<stage>[1-4])\.multipathway_blocks\.0", "slow_res{stage+1}"),
        *_stage(r"blocks\.(?P<stage>[1-4])\.multipathway_blocks\.1", "fast_res{stage+1}"),
        *torch_convolution(r"blocks\.0\.multipathway_fusion\.conv_fast_to_slow", "pool1_lateral/convolution", rank=3),
        *torch_normalization(r"blocks\.0\.multipathway_fusion\.norm", "pool1_lateral/normalization"),
        *torch_convolution(
            r"blocks\.(?P<stage>[1-3])\.multipathway_fusion\.conv_fast_to_slow",
            "res{stage+1}_lateral/convolution",
            rank=3,
        ),
        *torch_normalization(
            r"blocks\.(?P<stage>[1-3])\.multipathway_fusion\.norm", "res{stage+1}_lateral/normalization"
        ),
        *torch_dense(r"blocks\.6\.proj", "classifier"),
    )
)
