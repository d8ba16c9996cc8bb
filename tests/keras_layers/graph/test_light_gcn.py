"""LightGCNPropagation against matrices, and its contract."""

import numpy as np
import pytest

from keras_layers import LightGCNPropagation
from tests.conformance.layers import CHECKS, SeveralInputsCase, name_of
from tests.keras_layers.graph.graphs import edges_of, padded, random_graph

GRAPH = random_graph(0)


def listed():
    return [GRAPH[0], edges_of(GRAPH[1])]


def dense():
    return list(padded([GRAPH, random_graph(1, nodes=4)])[:2])


CASES = [
    SeveralInputsCase(
        "every_argument",
        LightGCNPropagation,
        {"depth": 2},
        ((9, 5), (len(listed()[1]), 2)),
        free_axes=((0,), (0,)),
        values=listed,
        complete=True,
    ),
    SeveralInputsCase(
        "dense", LightGCNPropagation, {}, ((2, 9, 5), (2, 9, 9)), free_axes=((0, 1), (0, 1, 2)), values=dense
    ),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def propagated(features, adjacency, depth):
    """By powers of D^-1/2 A D^-1/2 in float64."""
    reaching, leaving = adjacency.sum(1), adjacency.sum(0)
    scale = [np.where(d > 0, 1 / np.sqrt(np.maximum(d, 1e-30)), 0) for d in (reaching, leaving)]
    matrix = scale[0][:, None] * adjacency * scale[1][None]
    states = [features.astype("float64")]
    for _ in range(depth):
        states.append(matrix @ states[-1])
    return np.mean(states, axis=0)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("directed", [False, True])
def test_equals_matrices(depth, directed):
    features, adjacency = GRAPH
    adjacency = np.triu(adjacency) if directed else adjacency
    expected = propagated(features, adjacency, depth)
    layer = LightGCNPropagation(depth)
    edges = np.concatenate([edges_of(adjacency), np.full((3, 2), -1, "int32")])
    np.testing.assert_allclose(layer([features, edges]), expected, rtol=1e-5, atol=1e-6)
    dense = LightGCNPropagation(depth)([features[None], adjacency[None]])
    np.testing.assert_allclose(dense[0], expected, rtol=1e-5, atol=1e-6)


def test_a_node_without_edges_keeps_its_share():
    features, adjacency = GRAPH
    answer = np.asarray(LightGCNPropagation(3)([features, edges_of(adjacency)]))
    np.testing.assert_allclose(answer[-1], features[-1] / 4, rtol=1e-6)


def test_the_root_of_the_degrees_is_a_fixed_point():
    """sqrt(degree) is the eigenvector of the eigenvalue 1."""
    adjacency = random_graph(3, nodes=8)[1][:7, :7]
    adjacency = np.maximum(adjacency, np.eye(7, k=1) + np.eye(7, k=-1)).astype("float32")
    roots = np.sqrt(adjacency.sum(1, keepdims=True))
    np.testing.assert_allclose(LightGCNPropagation(3)([roots, edges_of(adjacency)]), roots, rtol=1e-5)


def test_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match=r"`depth` to be a positive integer. Received 0"):
        LightGCNPropagation(0)
    with pytest.raises(ValueError, match="Expected features"):
        LightGCNPropagation().build([(None, 4), (None, 2), (None,)])
