"""The TU sets as the authors of GIN give them: a text file of graphs, and ten folds.

The first line is the number of graphs. A graph is a line "nodes label", and for each node a line
"tag degree neighbours".
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np

from apps.pcrec.sampling.graph import ranges
from tools.errors import InputError

FOLDS = 10
FEATURES = ("tags", "degrees")


@dataclasses.dataclass(frozen=True)
class GraphSet:
    """Graphs with a feature each node and a class each graph, as one disjoint union.

    Attributes:
        name: of the set.
        features: which feature, "tags" or "degrees".
        tags: int64 (nodes,), the feature of each node as a number from 0 to below `channels`.
        node_offsets: int64 (graphs + 1,); graph i has the nodes from `node_offsets[i]` on.
        edges: int32 (edges, 2), numbers within the graph, in both directions.
        edge_offsets: int64 (graphs + 1,).
        labels: int64 (graphs,), from 0 to below `classes`.
        channels: values that a feature has.
        classes: number of classes.
    """

    name: str
    features: str
    tags: np.ndarray
    node_offsets: np.ndarray
    edges: np.ndarray
    edge_offsets: np.ndarray
    labels: np.ndarray
    channels: int
    classes: int

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, chosen: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The inputs of a `GINClassifier` for some graphs, and their classes.

        Args:
            chosen: int64, numbers of graphs.
        """
        sizes = np.diff(self.node_offsets)[chosen]
        counts = np.diff(self.edge_offsets)[chosen]
        nodes = ranges(self.node_offsets[chosen], sizes)
        edges = self.edges[ranges(self.edge_offsets[chosen], counts)]
        begins = np.repeat(np.cumsum(sizes) - sizes, counts)
        features = np.zeros((len(nodes), self.channels), np.float32)
        features[np.arange(len(nodes)), self.tags[nodes]] = 1
        inputs = {
            "features": features,
            "edges": (edges + begins[:, None]).astype(np.int32),
            "graphs": np.repeat(np.arange(len(chosen), dtype=np.int32), sizes),
        }
        return inputs, self.labels[chosen].astype(np.int32)

    def facts(self) -> dict[str, Any]:
        """What is told of the set, as plain values."""
        sizes = np.diff(self.node_offsets)
        return {
            "name": self.name,
            "graphs": len(self),
            "classes": self.classes,
            "features": self.features,
            "channels": self.channels,
            "mean_nodes": round(float(sizes.mean()), 2),
            "mean_edges": round(len(self.edges) / 2 / len(self), 2),
            "largest_class": int(np.bincount(self.labels).max()),
        }


def read_graphs(folder: str | os.PathLike, features: str | None = None) -> GraphSet:
    """Reads FOLDER/<name of the folder>.txt.

    Args:
        folder: of one set.
        features: "tags" or "degrees" of the nodes; None for tags, or for degrees where all tags are one.

    Raises:
        InputError: if the file is absent or damaged; it names the line.
    """
    folder = pathlib.Path(folder)
    path = folder / f"{folder.resolve().name}.txt"
    if features not in (None, *FEATURES):
        raise InputError(f"Expected features to be one of {', '.join(FEATURES)}. Received {features!r}.")
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Expected the graphs in {path}. Received none: {error}.") from None
    reader = _Lines(path, lines)
    labels, tags, sizes, edges, counts = [], [], [], [], []
    for _ in range(reader.numbers(1)[0]):
        size, label, *_ = reader.numbers(2)
        if not size:
            raise reader.error("a graph of 1 node or more")
        links = set()
        for node in range(size):
            tag, degree, *others = reader.numbers(2)
            if degree < 0 or degree > len(others) or any(not 0 <= other < size for other in others[:degree]):
                raise reader.error(f"{degree} neighbours from 0 to {size - 1}")
            tags.append(tag)
            links.update((node, other) for other in others[:degree])
        links |= {(other, node) for node, other in links}
        labels.append(label)
        sizes.append(size)
        edges.extend(sorted(links))
        counts.append(len(links))
    return _graph_set(folder.resolve().name, features, labels, tags, sizes, edges, counts)


def read_fold(folder: str | os.PathLike, fold: int, graphs: int) -> tuple[np.ndarray, np.ndarray]:
    """The graphs that fold 1 to 10 trains on and those it is tested on, from FOLDER/10fold_idx.

    Raises:
        InputError: if a file is absent or damaged, or the two lists are no division of the graphs.
    """
    lists = []
    for part in ("train", "test"):
        path = pathlib.Path(folder) / "10fold_idx" / f"{part}_idx-{fold}.txt"
        try:
            lists.append(np.array(path.read_text().split(), dtype=np.int64))
        except (OSError, ValueError) as error:
            raise InputError(f"Expected numbers of graphs in {path}. Received none: {error}.") from None
    if not np.array_equal(np.sort(np.concatenate(lists)), np.arange(graphs)):
        raise InputError(
            f"Expected fold {fold} of {folder} to name each of the {graphs} graphs once. "
            f"Received {len(lists[0])} to train on and {len(lists[1])} to test."
        )
    return lists[0], lists[1]


class _Lines:
    """Lines of integers, one after the other."""

    def __init__(self, path: pathlib.Path, lines: list[str]):
        self.path, self.lines, self.number = path, lines, 0

    def numbers(self, least: int) -> list[int]:
        """The integers of the next line, at least so many."""
        self.number += 1
        try:
            # Behind the neighbours a line may hold attributes, which are no integers.
            words = self.lines[self.number - 1].split()
            values = [int(float(word)) for word in words]
        except (IndexError, ValueError, OverflowError):
            raise self.error("integers") from None
        if len(values) < least or values[0] < 0:
            raise self.error(f"at least {least} integers")
        return values

    def error(self, expected: str) -> InputError:
        line = self.lines[self.number - 1] if self.number <= len(self.lines) else "the end of the file"
        return InputError(f"Expected {expected} in line {self.number} of {self.path}. Received {line[:80]!r}.")


def _graph_set(
    name: str,
    features: str | None,
    labels: list[int],
    tags: list[int],
    sizes: list[int],
    edges: list[tuple[int, int]],
    counts: list[int],
) -> GraphSet:
    if not labels or not tags:
        raise InputError(f"Expected graphs with nodes in {name}. Received {len(labels)} graphs, {len(tags)} nodes.")
    node_offsets = np.concatenate([[0], np.cumsum(sizes)])
    edge_offsets = np.concatenate([[0], np.cumsum(counts)])
    pairs = np.array(edges, np.int64).reshape(-1, 2)
    features = features or ("tags" if len(set(tags)) > 1 else "degrees")
    values = np.array(tags)
    if features == "degrees":
        values = np.bincount(pairs[:, 0] + np.repeat(node_offsets[:-1], counts), minlength=len(tags))
    known, numbers = np.unique(values, return_inverse=True)
    classes, numbered = np.unique(labels, return_inverse=True)
    return GraphSet(
        name=name,
        features=features,
        tags=numbers,
        node_offsets=node_offsets,
        edges=pairs.astype(np.int32),
        edge_offsets=edge_offsets,
        labels=numbered,
        channels=len(known),
        classes=len(classes),
    )
