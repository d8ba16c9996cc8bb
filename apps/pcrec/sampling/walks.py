"""Which nodes a subgraph has: those that random walks with restart visit, or those within some steps."""

from __future__ import annotations

import math

import numpy as np

from apps.pcrec.sampling.graph import Graph, ranges


def walk_lengths(degrees: np.ndarray, restart: float, budget: int) -> np.ndarray:
    """Steps of all walks from each seed together, int64: at least `budget`, more from a hub.

    max(budget, degree^0.75 e / (e - 1) / restart), rounded, as in GCC's code.
    """
    reach = degrees**0.75 * math.e / (math.e - 1) / restart + 0.5
    return np.maximum(budget, reach.astype(np.int64))


def random_walks(
    graph: Graph,
    seeds: np.ndarray,
    rng: np.random.Generator,
    *,
    restart: float = 0.8,
    budget: int = 256,
    hops: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Walks from each seed, again and again, until its steps are used up.

    A walk takes a step to a random neighbour, and after every step ends with probability `restart`; the next one begins
    at the seed. All walks of all seeds take their first steps at once, then those that go on their second, and so on.

    Args:
        graph: the graph.
        seeds: int64 (seeds,).
        rng: source of all random numbers.
        restart: probability to end a walk after a step.
        budget: steps from each seed at least; see `walk_lengths`.
        hops: steps after which a walk ends in any case; None for no limit.

    Returns:
        For every step the index of its seed, int64 (steps,), ascending, and the node it came to, int64 (steps,).
    """
    steps = walk_lengths(graph.degrees[seeds], restart, budget)
    ends = np.cumsum(steps)
    total = int(ends[-1]) if len(ends) else 0
    # A last entry ends the last walk.
    begins = np.empty(total + 1, bool)
    begins[:-1] = rng.random(total, dtype=np.float32) < restart
    begins[ends - steps] = True
    begins[-1] = True
    if hops is not None:
        places = np.arange(total + 1)
        begins |= (places - np.maximum.accumulate(np.where(begins, places, 0))) % hops == 0
    rows = np.repeat(np.arange(len(seeds)), steps)
    nodes = np.empty(total, np.int64)
    places = np.flatnonzero(begins[:-1])
    at = seeds[rows[places]]
    while len(places):
        at = graph.step(at, rng)
        nodes[places] = at
        onward = ~begins[places + 1]
        places, at = places[onward] + 1, at[onward]
    return rows, nodes


def neighbourhoods(
    graph: Graph, seeds: np.ndarray, rng: np.random.Generator, *, hops: int, budget: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """The nodes within `hops` steps of each seed.

    Where they are more than `budget`, the nearer distances are kept whole, and of the first distance that does not fit
    a uniform sample is kept; of what lies behind that distance nothing.

    Args:
        graph: the graph.
        seeds: int64 (seeds,).
        rng: source of all random numbers.
        hops: largest distance from the seed.
        budget: largest number of nodes of each seed, itself included.

    Returns:
        For every node the index of its seed, int64, ascending, and its number, int64; without the seeds themselves.
    """
    span = graph.nodes
    rows = np.arange(len(seeds))
    known = np.sort(rows * span + seeds)
    frontier = known
    sizes = np.ones(len(seeds), np.int64)
    for _ in range(hops):
        owners, nodes = np.divmod(frontier, span)
        counts = graph.degrees[nodes]
        reached = np.repeat(owners, counts) * span + graph.neighbours[ranges(graph.offsets[nodes], counts)]
        reached = _absent(np.unique(reached), known)
        room = budget - sizes
        owners = reached // span
        counts = np.bincount(owners, minlength=len(seeds))
        # The order of random numbers within each seed; what comes first stays.
        order = np.lexsort((rng.random(len(reached)), owners))
        rank = np.arange(len(reached)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = np.sort(reached[order[rank < room[owners]]])
        known = np.sort(np.concatenate([known, kept]))
        sizes += np.bincount(kept // span, minlength=len(seeds))
        # A distance that was sampled ends the growth.
        frontier = kept[(counts <= room)[kept // span]]
    rows, nodes = np.divmod(known, span)
    others = nodes != seeds[rows]
    return rows[others], nodes[others]


def _absent(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The values that are not in `known`, both ascending."""
    places = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return values[known[places] != values]
