"""An undirected graph in compressed rows."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tools.errors import InputError


@dataclasses.dataclass(frozen=True)
class Graph:
    """An undirected graph without loops and without double edges.

    Attributes:
        offsets: int64 (nodes + 1,); the neighbours of node i are `neighbours[offsets[i]:offsets[i + 1]]`.
        neighbours: int32 (2 * edges,), ascending for each node.
        degrees: int64 (nodes,).
        owned_offsets: as `offsets`, of `owned`.
        owned: int32 (edges,); every edge once, at its end of the smaller degree. Of a hub with ten thousand neighbours
            a subgraph's edges are found from the neighbours that are in it.
        left: nodes with a number below this are one side of a bipartite graph, as users; None for any graph.
    """

    offsets: np.ndarray
    neighbours: np.ndarray
    degrees: np.ndarray
    owned_offsets: np.ndarray
    owned: np.ndarray
    left: int | None = None

    @classmethod
    def from_edges(cls, sources: Any, targets: Any, nodes: int, left: int | None = None) -> Graph:
        """A graph of edges in any order and direction; loops and doubles are left out.

        Args:
            sources: one end of each edge, integers from 0 to below `nodes`.
            targets: the other end.
            nodes: number of nodes, isolated ones included.
            left: number of nodes on the left side, if every edge leads from it to the right.

        Raises:
            InputError: if there are no nodes, an end is none of them, or an edge stays on one side.
        """
        ends = [_whole_numbers(array) for array in (sources, targets)]
        if nodes < 1 or len(ends[0]) != len(ends[1]):
            raise InputError(
                f"Expected at least one node and two ends of every edge. Received {nodes} nodes, {len(ends[0])} "
                f"sources and {len(ends[1])} targets."
            )
        low, high = np.minimum(*ends), np.maximum(*ends)
        if len(low) and (low.min() < 0 or high.max() >= nodes):
            raise InputError(f"Expected ends of edges from 0 to {nodes - 1}. Received {low.min()} to {high.max()}.")
        keys = low * nodes
        keys += high
        keys.sort()
        low, high = np.divmod(keys[_first_of_each(keys)], nodes)
        del keys, ends
        if left is not None and len(low) and (low.max() >= left or high.min() < left):
            raise InputError(
                f"Expected every edge to lead from a node below {left} to one from {left} on. Received one that stays "
                "on a side."
            )
        if (low == high).any():
            low, high = low[low != high], high[low != high]
        degrees = np.bincount(low, minlength=nodes) + np.bincount(high, minlength=nodes)
        offsets, neighbours = _rows(np.concatenate([low, high]), np.concatenate([high, low]), nodes)
        swap = degrees[low] > degrees[high]
        owned_offsets, owned = _rows(np.where(swap, high, low), np.where(swap, low, high), nodes)
        return cls(offsets, neighbours, degrees, owned_offsets, owned, left)

    @classmethod
    def bipartite(cls, users: Any, items: Any, user_count: int, item_count: int) -> Graph:
        """The graph of interactions: users are nodes 0 to `user_count` - 1, items follow.

        Args:
            users: of each interaction, integers from 0.
            items: of each interaction, integers from 0.
            user_count: number of users.
            item_count: number of items.

        Raises:
            InputError: if a number is out of range.
        """
        users, items = _whole_numbers(users), _whole_numbers(items)
        for name, numbers, count in (("users", users, user_count), ("items", items, item_count)):
            if len(numbers) and (numbers.min() < 0 or numbers.max() >= count):
                raise InputError(f"Expected {name} from 0 to {count - 1}. Received {numbers.min()} to {numbers.max()}.")
        return cls.from_edges(users, items + user_count, user_count + item_count, left=user_count)

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.degrees)

    @property
    def edges(self) -> int:
        """Number of undirected edges."""
        return len(self.owned)

    def checked(self, nodes: Any) -> np.ndarray:
        """Numbers of nodes as int64.

        Raises:
            InputError: if one is no node of this graph.
        """
        numbers = _whole_numbers(nodes)
        if len(numbers) and (numbers.min() < 0 or numbers.max() >= self.nodes):
            raise InputError(f"Expected nodes from 0 to {self.nodes - 1}. Received {numbers.min()} to {numbers.max()}.")
        return numbers

    def step(self, nodes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A random neighbour of each node, every one as likely; of a node without neighbours itself."""
        if not len(self.neighbours):
            return nodes
        degrees = self.degrees[nodes]
        # 32 random bits times the degree: what modulo or float32 would favour is here below degree / 2^32.
        bits = rng.integers(0, 1 << 32, len(nodes), dtype=np.uint32)
        chosen = (bits * degrees.astype(np.uint64) >> np.uint64(32)).astype(np.int64)
        places = np.minimum(self.offsets[nodes] + chosen, len(self.neighbours) - 1)
        return np.where(degrees > 0, self.neighbours[places], nodes)


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The numbers start, start + 1, ... of each count, one range behind the other."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - counts), counts)


def _first_of_each(values: np.ndarray) -> np.ndarray:
    """Of ascending values, where each occurs first."""
    first = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return first


def _whole_numbers(values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise InputError(f"Expected a list of integers. Received {array.dtype} of shape {array.shape}.")
    return array.astype(np.int64, copy=False)


def _rows(owners: np.ndarray, others: np.ndarray, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    keys = owners * nodes
    keys += others
    keys.sort()
    offsets = np.zeros(nodes + 1, np.int64)
    np.cumsum(np.bincount(owners, minlength=nodes), out=offsets[1:])
    keys %= nodes
    return offsets, keys.astype(np.int32)
