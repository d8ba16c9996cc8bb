"""Graphs of edges in any order."""

import numpy as np
import pytest

from apps.pcrec.sampling import Graph
from apps.pcrec.sampling.graph import ranges
from tests.apps.pcrec.sampling.graphs import interactions, neighbours_of
from tools.errors import InputError


def test_loops_and_doubles_are_left_out_and_neighbours_ascend():
    graph = Graph.from_edges([3, 0, 0, 1, 2, 1], [0, 3, 1, 0, 2, 2], 5)
    assert [neighbours_of(graph, node) for node in range(5)] == [[1, 3], [0, 2], [1], [0], []]
    assert (graph.nodes, graph.edges, graph.degrees.tolist()) == (5, 3, [2, 2, 1, 1, 0])


def test_every_edge_is_owned_once_by_its_end_of_smaller_degree():
    graph = interactions()
    owners = np.repeat(np.arange(graph.nodes), np.diff(graph.owned_offsets))
    edges = {tuple(sorted(edge)) for edge in zip(owners.tolist(), graph.owned.tolist(), strict=True)}
    assert len(edges) == graph.edges == len(graph.neighbours) // 2
    assert (graph.degrees[owners] <= graph.degrees[graph.owned]).all()
    assert edges == {
        (node, other) for node in range(graph.nodes) for other in neighbours_of(graph, node) if other > node
    }


def test_bipartite_numbers_items_behind_users():
    graph = Graph.bipartite([0, 1, 1], [0, 0, 2], 2, 3)
    assert [neighbours_of(graph, node) for node in range(5)] == [[2], [2, 4], [0, 1], [], [1]]
    assert graph.left == 2


def test_a_graph_of_one_node_and_one_without_edges():
    for nodes in (1, 4):
        graph = Graph.from_edges([], [], nodes)
        assert (graph.nodes, graph.edges) == (nodes, 0)
        assert graph.step(np.arange(nodes), np.random.default_rng(0)).tolist() == list(range(nodes))


def test_steps_are_uniform_over_the_neighbours():
    graph = Graph.from_edges([0, 0, 0, 1], [1, 2, 3, 2], 5)
    rng = np.random.default_rng(0)
    counts = np.bincount(graph.step(np.zeros(30_000, np.int64), rng), minlength=5)
    assert counts[[0, 4]].tolist() == [0, 0]
    # Chi-squared with 2 degrees of freedom: above 13.8 once in a thousand.
    assert ((counts[1:4] - 10_000) ** 2 / 10_000).sum() < 13.8
    assert (graph.step(np.full(9, 4), rng) == 4).all()


def test_ranges():
    assert ranges(np.array([5, 9, 2]), np.array([2, 0, 3])).tolist() == [5, 6, 2, 3, 4]
    assert ranges(np.array([], int), np.array([], int)).tolist() == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Graph.from_edges([], [], 0), "at least one node"),
        (lambda: Graph.from_edges([0], [1, 2], 3), "two ends of every edge. Received 3 nodes, 1 sources and 2 targets"),
        (lambda: Graph.from_edges([0], [3], 3), "from 0 to 2. Received 0 to 3"),
        (lambda: Graph.from_edges([-1], [1], 3), "Received -1 to 1"),
        (lambda: Graph.from_edges([0.5], [1], 3), "list of integers. Received float64"),
        (lambda: Graph.from_edges([[0]], [[1]], 3), "list of integers"),
        (lambda: Graph.from_edges([0], [1], 3, left=2), "Received one that stays"),
        (lambda: Graph.bipartite([2], [0], 2, 3), "Expected users from 0 to 1. Received 2 to 2"),
        (lambda: Graph.bipartite([0], [3], 2, 3), "Expected items from 0 to 2. Received 3 to 3"),
        (lambda: interactions().checked([50]), "Expected nodes from 0 to 49. Received 50 to 50"),
    ],
)
def test_refuses(make, message):
    with pytest.raises(InputError, match=message):
        make()
