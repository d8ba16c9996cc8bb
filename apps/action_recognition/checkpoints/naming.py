"""How a source of weights names the arrays of one family of networks, and in which words a network is told."""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from tools import weights
from tools.weights import Rule

Arrays = Mapping[str, np.ndarray]
Shapes = Mapping[str, tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class Naming:
    """The names of one source for one family of networks. A source has one for each family it publishes.

    Attributes:
        rules: from names in the checkpoint to paths of weights.
        prepare: makes arrays of the same meaning of those in the file before the rules are applied, for instance where
            two of them become one. None: they are taken as they are.
    """

    rules: tuple[Rule, ...]
    prepare: Callable[[Arrays], Arrays] | None = None

    def prepared(self, arrays: Arrays) -> Arrays:
        """The arrays to which the rules apply."""
        return self.prepare(arrays) if self.prepare else arrays

    def shapes(self, arrays: Arrays) -> dict[str, tuple[int, ...]]:
        """Shapes by path of the weight, of all arrays that a rule names."""
        renamed = weights.rename(self.prepared(arrays), self.rules).arrays
        return {target: array.shape for _, target, array in renamed}


def by_path(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Shapes by path, where this suite's own files give the kernel by its position in the layer."""
    return {re.sub(r"/0$", "/kernel", path): shape for path, shape in shapes.items()}


def class_words(kernels: Shapes) -> list[str]:
    """What the classifier says of a network, if it has one."""
    kernel = kernels.get("classifier/kernel")
    return [f"{kernel[-1]} classes"] if kernel else []


def count_blocks(paths: Iterable[str], pattern: str) -> dict[str, int]:
    """Number of blocks by stage.

    Args:
        paths: of weights.
        pattern: regular expression of the path of a weight that every block has once, with the groups stage and block.
    """
    matches = [match for path in paths if (match := re.fullmatch(pattern, path))]
    return collections.Counter(match[1] for match in sorted(matches, key=lambda match: match[1]))
