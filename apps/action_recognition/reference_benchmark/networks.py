"""The reference implementations in PyTorch beside which our networks are timed (extra `[bench]`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

# torchvision declares fake kernels for operators that its compiled part, made for CUDA, does not register beside a
# PyTorch for the CPU. None of the video networks uses them.
MISSING_OPERATORS = ("nms", "qnms")


@dataclasses.dataclass(frozen=True)
class Reference:
    """A reference implementation of a registered network, with as many parameters.

    Attributes:
        package: "torchvision" or "pytorchvideo".
        builder: name of the function that builds it, in torchvision.models.video or pytorchvideo.models.hub.
        alpha: ratio of the frame rates of two pathways that are fed as two inputs; None for one input.
    """

    package: str
    builder: str
    alpha: int | None = None

    def inputs(self, clips: Any) -> Callable[[], Any]:
        """Makes what the network takes of a tensor of clips (batch, channels, frames, height, width)."""
        if self.alpha is None:
            return lambda: clips
        slow = clips[:, :, :: self.alpha].contiguous()
        # A new list each time, because the network writes into it.
        return lambda: [slow, clips]


REFERENCES = {
    "r3d_18": Reference("torchvision", "r3d_18"),
    "r2plus1d_18": Reference("torchvision", "r2plus1d_18"),
    "s3d": Reference("torchvision", "s3d"),
    "x3d_s": Reference("pytorchvideo", "x3d_s"),
    "x3d_m": Reference("pytorchvideo", "x3d_m"),
    "slowfast_8x8_r50": Reference("pytorchvideo", "slowfast_r50", alpha=4),
    "i3d_resnet50": Reference("pytorchvideo", "i3d_r50"),
}


def builders(package: str) -> Any:
    """The module of a package's network builders, imported beside whichever PyTorch is installed."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in MISSING_OPERATORS:
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    if package == "torchvision":
        from torchvision.models import video as module
    else:
        from pytorchvideo.models import hub as module
    return module
