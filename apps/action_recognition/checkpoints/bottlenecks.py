"""In which words the networks of bottleneck blocks are told, whatever the source of their weights."""

from __future__ import annotations

from apps.action_recognition.checkpoints.naming import Shapes, by_path, class_words, count_blocks

# (depth, lateral kernel, blocks of res4 that convolve over time) -> registered name.
SLOWFAST = {
    (50, 5, 6): "slowfast_4x16_r50",
    (50, 7, 6): "slowfast_8x8_r50",
    (101, 5, 23): "slowfast_8x8_r101",
    (101, 5, 6): "slowfast_16x8_r101_50_50",
}


def describe_slowfast(shapes: Shapes) -> str | None:
    """Which SlowFast network has weights of these shapes."""
    kernels = by_path(shapes)
    counts = count_blocks(kernels, r"slow_res(\d+)_block(\d+)_a/kernel")
    if not counts:
        return None
    depth, lateral = 2 + 3 * sum(counts.values()), kernels.get("pool1_lateral/convolution/kernel", ("unknown",))[0]
    temporal = sum(_length(kernels, f"slow_res4_block{block + 1}") > 1 for block in range(counts["4"]))
    name = SLOWFAST.get((depth, lateral, temporal))
    parts = [
        f"depth {depth}",
        f"lateral kernel {lateral}",
        f"{temporal} of {counts['4']} blocks of res4 temporal",
        *class_words(kernels),
        *([f"as {name}"] if name else []),
    ]
    return f"SlowFast of {', '.join(parts)}"


def describe_resnet(shapes: Shapes) -> str | None:
    """Which network of bottlenecks in one pathway has weights of these shapes."""
    kernels = by_path(shapes)
    counts = count_blocks(kernels, r"res(\d+)_block(\d+)_a/kernel")
    if not counts:
        return None
    if "res2_block1_b_temporal/kernel" in kernels:
        family, name = "R(2+1)D of bottlenecks", "r2plus1d_50"
    elif _length(kernels, "res2_block1") > 1:
        family, name = "I3D on ResNet", "i3d_resnet50"
    else:
        family, name = "Slow", "slow_r50"
    depth = 2 + 3 * sum(counts.values())
    parts = [f"depth {depth}", *class_words(kernels), *([f"as {name}"] if depth == 50 else [])]
    return f"{family} of {', '.join(parts)}"


def _length(kernels: Shapes, block: str) -> int:
    """Length in time of the first convolution of a block."""
    return kernels.get(f"{block}_a/kernel", (0,))[0]
