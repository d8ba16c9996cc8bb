"""Induced subgraphs against plain Python."""

import numpy as np

from apps.pcrec.sampling import random_walks
from apps.pcrec.sampling.subgraphs import induced
from tests.apps.pcrec.sampling.graphs import interactions, neighbours_of


def test_nodes_edges_and_degrees_equal_plain_python():
    graph = interactions()
    seeds = np.array([5, 0, 29, 45, 5])
    rows, nodes = random_walks(graph, seeds, np.random.default_rng(0), budget=15)
    subgraphs = induced(graph, seeds, rows, nodes)
    for number, seed in enumerate(seeds.tolist()):
        chosen = subgraphs.nodes[subgraphs.graphs == number].tolist()
        visited = set(nodes[rows == number].tolist()) | {seed}
        assert chosen == [seed, *sorted(visited - {seed})]
        assert subgraphs.sizes[number] == len(chosen)
        right = {
            (one, other) for one in visited for other in neighbours_of(graph, one) if other in visited and one < other
        }
        own = subgraphs.graphs[subgraphs.edges[:, 0]] == number
        found = subgraphs.nodes[subgraphs.edges[own]]
        assert {tuple(sorted(edge)) for edge in found.tolist()} == right and own.sum() == len(right)
        degrees = [sum(node in edge for edge in right) for node in chosen]
        assert subgraphs.degrees[subgraphs.graphs == number].tolist() == degrees
    assert (subgraphs.graphs[subgraphs.edges[:, 0]] == subgraphs.graphs[subgraphs.edges[:, 1]]).all()


def test_no_seeds():
    nothing = np.zeros(0, np.int64)
    subgraphs = induced(interactions(), nothing, nothing, nothing)
    assert len(subgraphs.nodes) == len(subgraphs.edges) == len(subgraphs.sizes) == 0
