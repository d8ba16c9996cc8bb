"""The names of DenseNet3D in the code of T3D's authors."""

from __future__ import annotations

import re

from apps.action_recognition.checkpoints.naming import Naming, Shapes, by_path, class_words
from tools.weights import torch_convolution, torch_dense, torch_normalization

LAYER = r"features\.denseblock(?P<stage>\d+)\.denselayer(?P<layer>\d+)"
TRANSITION = r"features\.transition(?P<stage>\d+)"
# Its layers are called "norm.1", "conv.2": PyTorch has since forbidden the point, and converted files leave it out.
NUMBER = r"\.?(?P<number>[12])"

DENSENET3D = Naming(
    (
        *torch_convolution(r"features\.conv0", "conv1", rank=3),
        *torch_normalization(r"features\.norm0", "conv1_normalization"),
        *torch_convolution(rf"{LAYER}\.conv{NUMBER}", "dense{stage}_layer{layer}_conv{number}", rank=3),
        *torch_normalization(rf"{LAYER}\.norm{NUMBER}", "dense{stage}_layer{layer}_conv{number}_normalization"),
        *torch_convolution(rf"{TRANSITION}\.conv", "transition{stage}", rank=3),
        *torch_normalization(rf"{TRANSITION}\.norm", "transition{stage}_normalization"),
        *torch_normalization(r"features\.norm5", "dense4_normalization"),
        *torch_dense("classifier", "classifier"),
    )
)


def describe_densenet3d(shapes: Shapes) -> str | None:
    """Which DenseNet3D or T3D has weights of these shapes."""
    kernels = by_path(shapes)
    counts = [
        sum(bool(re.fullmatch(rf"dense{stage}_layer\d+_conv2/kernel", path)) for path in kernels)
        for stage in range(1, 5)
    ]
    if not any(counts):
        return None
    kind = "T3D" if any(path.startswith("transition1/branch") for path in kernels) else "DenseNet3D"
    first = kernels.get("dense1_layer1_conv2/kernel", ())
    growth = [f"growth {first[-1]}"] if first else []
    return f"{kind} of {', '.join([f'depths {tuple(counts)}', *growth, *class_words(kernels)])}"
