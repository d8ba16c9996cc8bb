"""Graphs for the tests of sampling, and references in plain Python."""

import numpy as np

from apps.pcrec.sampling import Graph


def interactions(seed=0, users=30, items=20, count=150):
    """A bipartite graph with an isolated user and an isolated item, the last ones."""
    rng = np.random.default_rng(seed)
    # Some items are chosen far more often than others.
    chosen = (rng.random(count) ** 2 * (items - 1)).astype(int)
    return Graph.bipartite(rng.integers(0, users - 1, count), chosen, users, items)


def neighbours_of(graph, node):
    return graph.neighbours[graph.offsets[node] : graph.offsets[node + 1]].tolist()


def plain_walk(graph, seed, random, restart, steps, hops=None):
    """The nodes a walk with restart comes to, one step after the other."""
    visited = []
    while len(visited) < steps:
        at, taken = seed, 0
        while len(visited) < steps:
            at = random.choice(neighbours_of(graph, at))
            visited.append(at)
            taken += 1
            if random.random() < restart or taken == hops:
                break
    return visited


def distances(graph, seed):
    """Steps from a node to every node it can reach."""
    found, frontier = {seed: 0}, [seed]
    while frontier:
        frontier = [
            other
            for node in frontier
            for other in neighbours_of(graph, node)
            if other not in found and found.setdefault(other, found[node] + 1)
        ]
    return found
