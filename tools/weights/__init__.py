"""Checkpoints of this and other frameworks: read them as arrays by name, and assign them to a model by rules."""

from tools.weights.files import FORMATS, read
from tools.weights.mapping import (
    MismatchError,
    Rule,
    assign,
    rename,
    torch_convolution,
    torch_dense,
    torch_normalization,
    variables,
)

__all__ = [
    "FORMATS",
    "MismatchError",
    "Rule",
    "assign",
    "read",
    "rename",
    "torch_convolution",
    "torch_dense",
    "torch_normalization",
    "variables",
]
