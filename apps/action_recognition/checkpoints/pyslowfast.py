"""PySlowFast's names of networks of bottlenecks: stages s1 to s5, in each of them the pathways."""

from __future__ import annotations

from apps.action_recognition.checkpoints.naming import Naming
from tools.weights import Rule, torch_convolution, torch_dense, torch_normalization


def _pathway(number: int, prefix: str) -> tuple[Rule, ...]:
    """Rules of one pathway, whose layers have a prefix here."""
    stem, unit = rf"s1\.pathway{number}_stem", rf"s(?P<stage>[2-5])\.pathway{number}_res(?P<block>\d+)"
    name = f"{prefix}res{{stage}}_block{{block+1}}"
    return (
        *torch_convolution(rf"{stem}\.conv", f"{prefix}conv1", rank=3),
        *torch_normalization(rf"{stem}\.bn", f"{prefix}conv1_normalization"),
        *torch_convolution(rf"{unit}\.branch1", f"{name}_shortcut", rank=3),
        *torch_normalization(rf"{unit}\.branch1_bn", f"{name}_shortcut_normalization"),
        *torch_convolution(rf"{unit}\.branch2\.(?P<part>[abc])", f"{name}_{{part}}", rank=3),
        *torch_normalization(rf"{unit}\.branch2\.(?P<part>[abc])_bn", f"{name}_{{part}}_normalization"),
    )


CLASSIFIER = torch_dense(r"head\.projection", "classifier")
# Slow and I3D alike: their poolings hold no weights, and no number.
RESNET = Naming((*_pathway(0, ""), *CLASSIFIER))
SLOWFAST = Naming(
    (
        *_pathway(0, "slow_"),
        *_pathway(1, "fast_"),
        *torch_convolution(r"s1_fuse\.conv_f2s", "pool1_lateral/convolution", rank=3),
        *torch_normalization(r"s1_fuse\.bn", "pool1_lateral/normalization"),
        *torch_convolution(r"s(?P<stage>[2-4])_fuse\.conv_f2s", "res{stage}_lateral/convolution", rank=3),
        *torch_normalization(r"s(?P<stage>[2-4])_fuse\.bn", "res{stage}_lateral/normalization"),
        *CLASSIFIER,
    )
)
