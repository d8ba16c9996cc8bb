"""What GIN tells apart is what the Weisfeiler-Lehman test of colours tells apart."""

import keras
import numpy as np
import pytest

from keras_layers import GINConv, JumpingKnowledgeReadout
from tests.keras_layers.graph.graphs import all_graphs, colours, cycle, union


def embeddings(adjacencies, aggregation="sum", convolutions=4):
    """One row a graph, of a network with random weights; every node begins with a 1."""
    keras.utils.set_random_seed(0)
    features, edges, numbers = union([(np.ones((len(links), 1), "float32"), links) for links in adjacencies])
    depths = [features]
    for _ in range(convolutions):
        depths.append(GINConv((32, 32), aggregation, activation="tanh", normalization=False)([depths[-1], edges]))
    return np.asarray(JumpingKnowledgeReadout(pooling="sum")([*depths, numbers]))


def far(one, other):
    return np.abs(one - other).max() > 1e-4 * np.abs(other).max()


@pytest.fixture(scope="module")
def five():
    """Every labelled graph of five nodes, its embedding and its colours."""
    adjacencies = list(all_graphs(5))
    return adjacencies, embeddings(adjacencies), [colours(links, 4) for links in adjacencies]


def test_on_five_nodes_it_finds_the_34_kinds_of_graphs(five):
    _, rows, names = five
    assert len(set(names)) == 34
    kinds = {name: rows[names.index(name)] for name in set(names)}
    for row, name in zip(rows, names, strict=True):
        assert not far(row, kinds[name])
    kinds = list(kinds.values())
    assert all(far(one, other) for number, one in enumerate(kinds) for other in kinds[:number])


def test_mean_and_max_tell_fewer(five):
    """Where every node has a neighbour and the same features, neither sees anything but the number of nodes."""
    adjacencies = [links for links in five[0] if links.sum(1).all()]
    for aggregation in ("mean", "max"):
        rows = embeddings(adjacencies, aggregation)
        assert not any(far(row, rows[0]) for row in rows)


def decalin_and_bicyclopentyl():
    """Two rings of six that share an edge, and two rings of five joined by one: ten nodes and eleven edges each."""
    decalin = cycle(10)
    decalin[0, 5] = decalin[5, 0] = 1
    joined = cycle(5, nodes=10) + cycle(5, begin=5, nodes=10)
    joined[0, 5] = joined[5, 0] = 1
    return decalin, joined


@pytest.mark.parametrize(
    "pair",
    [
        (cycle(6), cycle(3, nodes=6) + cycle(3, begin=3, nodes=6)),
        (cycle(8), cycle(4, nodes=8) + cycle(4, begin=4, nodes=8)),
        decalin_and_bicyclopentyl(),
    ],
    ids=["hexagon_and_triangles", "octagon_and_squares", "decalin_and_bicyclopentyl"],
)
def test_what_the_colours_take_for_one_it_takes_for_one(pair):
    assert colours(pair[0], 6) == colours(pair[1], 6)
    one, other = embeddings(pair, convolutions=6)
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_an_edge_more_or_elsewhere_is_seen():
    ring = cycle(8)
    chord, longer = ring.copy(), ring.copy()
    chord[0, 2] = chord[2, 0] = longer[0, 4] = longer[4, 0] = 1
    rows = embeddings([ring, chord, longer])
    assert far(rows[0], rows[1]) and far(rows[0], rows[2]) and far(rows[1], rows[2])
