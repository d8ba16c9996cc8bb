"""Positional features against eigenvectors one subgraph at a time, and what they must not depend on."""

import numpy as np
import pytest

from apps.pcrec.sampling import Graph, random_walks
from apps.pcrec.sampling.spectral import positions
from apps.pcrec.sampling.subgraphs import induced
from tests.apps.pcrec.sampling.graphs import interactions


def sampled(graph, count=60, budget=40, seed=0):
    rng = np.random.default_rng(seed)
    seeds = np.concatenate([rng.integers(0, graph.nodes, count), [29]])
    return induced(graph, seeds, *random_walks(graph, seeds, rng, budget=budget, restart=0.5))


def matrix_of(subgraphs, number):
    """The normalised adjacency of one subgraph."""
    first = np.searchsorted(subgraphs.graphs, number)
    size = subgraphs.sizes[number]
    matrix = np.zeros((size, size))
    own = subgraphs.graphs[subgraphs.edges[:, 0]] == number
    for one, other in subgraphs.edges[own] - first:
        matrix[one, other] = matrix[other, one] = 1
    degrees = np.maximum(matrix.sum(1), 1)
    return matrix / np.sqrt(degrees[:, None] * degrees[None]), slice(first, first + size)


def by_projections(matrix, dimensions):
    """For each of the largest eigenvalues the root of the diagonal of its projection over its multiplicity."""
    size = len(matrix)
    eigenvalues, vectors = np.linalg.eigh(matrix)
    features = np.zeros((size, dimensions))
    for column in range(min(size - 2, dimensions)):
        place = size - 1 - column
        alike = np.abs(eigenvalues - eigenvalues[place]) < 1e-6
        features[:, column] = np.sqrt((vectors[:, alike] ** 2).sum(1) / alike.sum())
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(norms > 0, norms, 1)


@pytest.mark.parametrize("dimensions", [4, 32])
@pytest.mark.parametrize("sides", [True, False])
def test_equal_eigenvectors_one_by_one(sides, dimensions):
    """By the block between the sides, and by the whole matrix."""
    graph = interactions()
    subgraphs = sampled(graph)
    assert subgraphs.sizes.min() == 1 and subgraphs.sizes.max() > 20
    left = subgraphs.nodes < graph.left if sides else None
    features = positions(subgraphs, left, dimensions=dimensions)
    assert features.dtype == np.float32 and features.shape == (len(subgraphs.nodes), dimensions)
    for number in range(len(subgraphs.sizes)):
        matrix, own = matrix_of(subgraphs, number)
        np.testing.assert_allclose(features[own], by_projections(matrix, dimensions), atol=2e-6)


def test_eigenvalues_of_both_signs_and_none_left_over():
    """Four single edges: the eigenvalues 1 and -1, four times each, six columns of eight."""
    graph = Graph.bipartite([0, 1, 2, 3], [0, 1, 2, 3], 4, 4)
    nodes = np.arange(8)
    subgraphs = induced(graph, np.array([0]), np.zeros(8, np.int64), nodes)
    by_sides = positions(subgraphs, subgraphs.nodes < 4)
    np.testing.assert_allclose(by_sides, positions(subgraphs, None), atol=1e-6)
    np.testing.assert_allclose(by_sides[:, :6], 1 / np.sqrt(6), atol=1e-6)
    assert not by_sides[:, 6:].any()


def test_numbers_of_the_nodes_change_nothing():
    """The same subgraph of a graph with other numbers: the same features, node by node."""
    rng = np.random.default_rng(3)
    users, items = rng.integers(0, 12, 40), rng.integers(0, 9, 40)
    graph = Graph.bipartite(users, items, 12, 9)
    new_user, new_item = rng.permutation(12), rng.permutation(9)
    other = Graph.bipartite(new_user[users], new_item[items], 12, 9)
    renumbered = np.concatenate([new_user, 12 + new_item])
    chosen = rng.permutation(21)[:15]
    rows = np.zeros(15, np.int64)
    one = induced(graph, chosen[:1], rows, chosen)
    two = induced(other, renumbered[chosen[:1]], rows, renumbered[chosen])
    first, second = positions(one, one.nodes < 12), positions(two, two.nodes < 12)
    order = [two.nodes.tolist().index(node) for node in renumbered[one.nodes]]
    np.testing.assert_allclose(first, second[order], atol=1e-6)


def test_random_signs_are_of_eigenvectors():
    graph = interactions()
    subgraphs = sampled(graph, count=10)
    left = subgraphs.nodes < graph.left
    one, other = (
        positions(subgraphs, left, signs="random", rng=np.random.default_rng(seed)).astype("float64") for seed in (0, 1)
    )
    # A sign each column of a subgraph.
    np.testing.assert_allclose(np.abs(one), np.abs(other), atol=1e-6)
    assert (np.sign(one) != np.sign(other)).any()
    for number in range(10):
        matrix, own = matrix_of(subgraphs, number)
        if len(matrix) < 6:
            continue
        eigenvalues, vectors = np.linalg.eigh(matrix)
        count = min(len(matrix) - 2, 32)
        raw = vectors[:, ::-1][:, :count]
        raw = raw / np.linalg.norm(raw, axis=1, keepdims=True)
        simple = np.diff(eigenvalues, prepend=-9, append=9)
        alone = (np.minimum(simple[1:], simple[:-1]) > 1e-6)[::-1][:count]
        np.testing.assert_allclose(np.abs(one[own][:, :count][:, alone]), np.abs(raw[:, alone]), atol=1e-5)


def test_rows_have_norm_one_or_zero():
    graph = interactions()
    subgraphs = sampled(graph)
    norms = np.linalg.norm(positions(subgraphs, subgraphs.nodes < graph.left), axis=1)
    small = subgraphs.sizes[subgraphs.graphs] <= 2
    np.testing.assert_allclose(norms[~small], 1, atol=1e-5)
    assert not norms[small].any()
