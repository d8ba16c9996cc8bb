"""Views: what a graph encoder is told of the surroundings of a node."""

from __future__ import annotations

import dataclasses

import numpy as np

from apps.pcrec.sampling.graph import Graph
from apps.pcrec.sampling.spectral import SIGNS, positions
from apps.pcrec.sampling.subgraphs import Subgraphs, induced
from apps.pcrec.sampling.walks import neighbourhoods, random_walks
from tools.errors import InputError

METHODS = ("walk", "neighbourhood")

# Larger degrees within a subgraph count as this one: GCC's.
LARGEST_DEGREE = 512


@dataclasses.dataclass(frozen=True)
class Views:
    """Subgraphs with the features of their nodes, as one disjoint union.

    Attributes:
        nodes: int64 (nodes,), numbers in the whole graph; the seed is the first of each subgraph.
        graphs: int32 (nodes,), the subgraph of each node, ascending from 0.
        positions: float32 (nodes, dimensions); see `apps.pcrec.sampling.spectral`.
        degrees: int32 (nodes,), within the subgraph, at most `LARGEST_DEGREE`.
        seeds: float32 (nodes, 1), 1 for the seed.
        edges: int32 (edges, 2), source and target, places in `nodes`; every edge in both directions.
    """

    nodes: np.ndarray
    graphs: np.ndarray
    positions: np.ndarray
    degrees: np.ndarray
    seeds: np.ndarray
    edges: np.ndarray

    def inputs(self) -> dict[str, np.ndarray]:
        """The inputs of `apps.pcrec.models.gin.GINEncoder` by name."""
        return {name: getattr(self, name) for name in ("positions", "degrees", "seeds", "edges", "graphs")}

    def split(self, count: int) -> tuple[Views, Views]:
        """The first `count` subgraphs, and the rest."""
        node = np.searchsorted(self.graphs, count)
        edge = np.searchsorted(self.edges[:, 0], node)
        arrays = {name: getattr(self, name) for name in ("nodes", "positions", "degrees", "seeds")}
        return (
            Views(graphs=self.graphs[:node], edges=self.edges[:edge], **{n: a[:node] for n, a in arrays.items()}),
            Views(
                graphs=self.graphs[node:] - np.int32(count),
                edges=self.edges[edge:] - np.int32(node),
                **{name: array[node:] for name, array in arrays.items()},
            ),
        )


@dataclasses.dataclass(frozen=True)
class ViewSampler:
    """Samples views of nodes of one graph.

    Attributes:
        graph: the graph.
        method: "walk" (nodes that random walks with restart visit, GCC's) or "neighbourhood" (all within `hops` steps,
            at most `budget`).
        restart: probability that a walk ends after a step. GCC's 0.8.
        budget: steps of all walks from a seed at least, or nodes of a neighbourhood at most. GCC's 256.
        hops: steps after which a walk ends in any case (None for no limit), or radius of the neighbourhood.
        dimensions: positional features.
        signs: of the positional features, "absolute" or "random".
        power: a start node is drawn with a probability in proportion to its degree to this power. GCC's 0.75.
    """

    graph: Graph
    method: str = "walk"
    restart: float = 0.8
    budget: int = 256
    hops: int | None = None
    dimensions: int = 32
    signs: str = "absolute"
    power: float = 0.75

    def __post_init__(self) -> None:
        for name, choices in (("method", METHODS), ("signs", SIGNS)):
            if getattr(self, name) not in choices:
                raise InputError(
                    f"Expected {name} to be one of {', '.join(choices)}. Received {getattr(self, name)!r}."
                )
        if not 0 < self.restart <= 1:
            raise InputError(f"Expected restart above 0 and at most 1. Received {self.restart}.")
        for name in ("budget", "dimensions", "hops"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"Expected {name} to be at least 1. Received {value}.")
        if self.method == "neighbourhood" and self.hops is None:
            raise InputError("Expected hops with method 'neighbourhood'. Received none.")

    def start_nodes(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Nodes to begin at, int64 (count,), with repetitions; isolated ones only where there are no others."""
        return np.searchsorted(self._cumulative(), rng.random(count), side="right")

    def _cumulative(self) -> np.ndarray:
        cumulative = self.__dict__.get("_of_degrees")
        if cumulative is None:
            weights = np.where(self.graph.degrees > 0, self.graph.degrees.astype(float) ** self.power, 0.0)
            cumulative = np.cumsum(weights if weights.any() else np.ones(self.graph.nodes))
            # Below 1, which no random number reaches, up to the last node with a weight.
            cumulative = cumulative / cumulative[-1]
            object.__setattr__(self, "_of_degrees", cumulative)
        return cumulative

    def subgraphs(self, seeds: np.ndarray, rng: np.random.Generator) -> Subgraphs:
        """A random subgraph around each seed.

        Raises:
            InputError: if a seed is no node of the graph.
        """
        seeds = self.graph.checked(seeds)
        if self.method == "walk":
            found = random_walks(self.graph, seeds, rng, restart=self.restart, budget=self.budget, hops=self.hops)
        else:
            found = neighbourhoods(self.graph, seeds, rng, hops=self.hops, budget=self.budget)
        return induced(self.graph, seeds, *found)

    def views(self, seeds: np.ndarray, rng: np.random.Generator) -> Views:
        """A view of each seed.

        Raises:
            InputError: if a seed is no node of the graph.
        """
        subgraphs = self.subgraphs(seeds, rng)
        left = None if self.graph.left is None else subgraphs.nodes < self.graph.left
        features = positions(subgraphs, left, dimensions=self.dimensions, signs=self.signs, rng=rng)
        flags = np.zeros((len(subgraphs.nodes), 1), np.float32)
        flags[np.cumsum(subgraphs.sizes) - subgraphs.sizes] = 1
        edges = np.concatenate([subgraphs.edges, subgraphs.edges[:, ::-1]])
        edges = edges[np.argsort(edges[:, 0], kind="stable")]
        return Views(
            nodes=subgraphs.nodes,
            graphs=subgraphs.graphs.astype(np.int32),
            positions=features,
            degrees=np.minimum(subgraphs.degrees, LARGEST_DEGREE).astype(np.int32),
            seeds=flags,
            edges=edges.astype(np.int32),
        )

    def pair(self, seeds: np.ndarray, rng: np.random.Generator) -> tuple[Views, Views]:
        """Two independent views of each seed.

        Raises:
            InputError: if a seed is no node of the graph.
        """
        return self.views(np.concatenate([seeds, seeds]), rng).split(len(seeds))
