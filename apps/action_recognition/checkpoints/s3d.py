"""torchvision's names of S3D, which numbers the layers."""

from __future__ import annotations

import numpy as np

from apps.action_recognition.checkpoints import inception
from apps.action_recognition.checkpoints.naming import Arrays, Naming
from tools.weights import Rule, torch_convolution, torch_dense, torch_normalization

# Position among the features -> module.
MODULES = {
    5: "Mixed_3b",
    6: "Mixed_3c",
    8: "Mixed_4b",
    9: "Mixed_4c",
    10: "Mixed_4d",
    11: "Mixed_4e",
    12: "Mixed_4f",
    14: "Mixed_5b",
    15: "Mixed_5c",
}
# Position of a convolution and its normalization in a module -> its name here.
CONVOLUTIONS = {
    r"branch0": "branch0",
    r"branch(?P<branch>[12])\.0": "branch{branch}_reduce",
    r"branch(?P<branch>[12])\.1\.0": "branch{branch}_spatial",
    r"branch(?P<branch>[12])\.1\.1": "branch{branch}_temporal",
    r"branch3\.1": "branch3",
}


def _unit(pattern: str, path: str) -> tuple[Rule, ...]:
    return (
        *torch_convolution(rf"{pattern}\.0", path, rank=3),
        *torch_normalization(rf"{pattern}\.1", f"{path}_normalization"),
    )


UNITS = (
    (r"features\.0\.0", "Conv3d_1a_7x7_spatial"),
    (r"features\.0\.1", "Conv3d_1a_7x7_temporal"),
    (r"features\.2", "Conv3d_2b_1x1"),
    (r"features\.3\.0", "Conv3d_2c_3x3_spatial"),
    (r"features\.3\.1", "Conv3d_2c_3x3_temporal"),
    *(
        (rf"features\.{position}\.{pattern}", f"{module}/{name}")
        for position, module in MODULES.items()
        for pattern, name in CONVOLUTIONS.items()
    ),
)


def _prepare(arrays: Arrays) -> dict[str, np.ndarray]:
    return inception.without_positions(arrays, r"classifier\.1\.weight", (2, 3, 4))


TORCHVISION = Naming(
    (*(rule for unit in UNITS for rule in _unit(*unit)), *torch_dense(r"classifier\.1", "classifier")),
    prepare=_prepare,
)
