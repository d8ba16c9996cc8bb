"""The subgraphs that sets of nodes induce, many at once."""

from __future__ import annotations

import dataclasses

import numpy as np

from apps.pcrec.sampling.graph import Graph, ranges


@dataclasses.dataclass(frozen=True)
class Subgraphs:
    """Induced subgraphs as one disjoint union.

    Attributes:
        nodes: int64 (nodes,), numbers in the whole graph; the seed is the first node of each subgraph, the others
            follow in ascending order.
        graphs: int64 (nodes,), the subgraph of each node, ascending.
        sizes: int64 (subgraphs,), nodes of each.
        edges: int64 (edges, 2), places in `nodes`; every edge once.
        degrees: int64 (nodes,), within the subgraph.
    """

    nodes: np.ndarray
    graphs: np.ndarray
    sizes: np.ndarray
    edges: np.ndarray
    degrees: np.ndarray


def induced(graph: Graph, seeds: np.ndarray, rows: np.ndarray, nodes: np.ndarray) -> Subgraphs:
    """The subgraph that each seed and the nodes found for it induce.

    Args:
        graph: the graph.
        seeds: int64 (seeds,).
        rows: int64, the index of the seed for which each node was found.
        nodes: int64, the nodes, in any order and with repetitions.
    """
    span = graph.nodes + 1
    keys = np.concatenate([_keys(rows, nodes, seeds, span), np.arange(len(seeds)) * span])
    keys.sort()
    keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])] if len(keys) else keys
    owners, numbers = np.divmod(keys, span)
    numbers = np.where(numbers == 0, seeds[owners], numbers - 1)
    starts = graph.owned_offsets[numbers]
    counts = graph.owned_offsets[numbers + 1] - starts
    sources = np.repeat(np.arange(len(keys)), counts)
    wanted = _keys(owners[sources], graph.owned[ranges(starts, counts)], seeds, span)
    targets = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    there = keys[targets] == wanted
    edges = np.stack([sources[there], targets[there]], axis=1)
    return Subgraphs(
        nodes=numbers,
        graphs=owners,
        sizes=np.bincount(owners, minlength=len(seeds)),
        edges=edges,
        degrees=np.bincount(edges.ravel(), minlength=len(keys)),
    )


def _keys(rows: np.ndarray, nodes: np.ndarray, seeds: np.ndarray, span: int) -> np.ndarray:
    """Numbers that sort by subgraph, the seed first, then by node."""
    return rows * span + np.where(nodes == seeds[rows], 0, nodes + 1)
