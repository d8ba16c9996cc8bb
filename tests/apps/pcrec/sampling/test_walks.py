"""Walks have the distribution of a plain walk, and neighbourhoods hold what they should."""

import random

import numpy as np
import pytest

from apps.pcrec.sampling import random_walks
from apps.pcrec.sampling.walks import neighbourhoods, walk_lengths
from tests.apps.pcrec.sampling.graphs import distances, interactions, plain_walk

GRAPH = interactions()
HUB = int(GRAPH.degrees.argmax())


def chi_squared(one, other):
    """Of two samples of counts over the same nodes, and its degrees of freedom; rare nodes together."""
    rare = one + other < 20
    one = np.append(one[~rare], one[rare].sum())
    other = np.append(other[~rare], other[rare].sum())
    used = one + other > 0
    one, other = one[used], other[used]
    ratio = np.sqrt(other.sum() / one.sum())
    return ((one * ratio - other / ratio) ** 2 / (one + other)).sum(), len(one) - 1


@pytest.mark.parametrize(("restart", "hops"), [(0.8, None), (0.3, None), (0.3, 2)])
def test_visits_have_the_distribution_of_a_plain_walk(restart, hops):
    """Of what walks visit, and of how many nodes they find: the same as step by step, by chi-squared."""
    repeats = 300
    for seed in (0, HUB):
        _, nodes = random_walks(
            GRAPH, np.full(repeats, seed), np.random.default_rng(1), restart=restart, budget=20, hops=hops
        )
        per_seed = int(walk_lengths(GRAPH.degrees[[seed]], restart, 20)[0])
        assert len(nodes) == repeats * per_seed
        source = random.Random(0)
        walks = [plain_walk(GRAPH, seed, source, restart, per_seed, hops) for _ in range(repeats)]
        counts = [np.bincount(array, minlength=GRAPH.nodes) for array in (nodes, np.concatenate(walks))]
        statistic, freedom = chi_squared(*counts)
        # Visits of one walk hang together, which widens the statistic: three deviations above the mean, doubled.
        assert statistic < 2 * (freedom + 3 * np.sqrt(2 * freedom))
        sizes = np.array([len(set(row)) for row in nodes.reshape(repeats, per_seed).tolist()])
        right = np.array([len(set(walk)) for walk in walks])
        error = np.sqrt((sizes.var() + right.var()) / repeats)
        assert abs(sizes.mean() - right.mean()) < 4 * error + 1e-9


def test_a_wrong_restart_would_be_seen():
    """The comparison above tells 0.8 from 0.7."""
    repeats, per_seed = 300, 20
    _, nodes = random_walks(GRAPH, np.full(repeats, 0), np.random.default_rng(1), restart=0.7, budget=per_seed)
    source = random.Random(0)
    walks = np.concatenate([plain_walk(GRAPH, 0, source, 0.8, per_seed) for _ in range(repeats)])
    statistic, freedom = chi_squared(*(np.bincount(array, minlength=GRAPH.nodes) for array in (nodes, walks)))
    assert statistic > 2 * (freedom + 3 * np.sqrt(2 * freedom))


def test_walks_follow_edges_and_are_cut_at_the_hops():
    for hops in (1, 2, 3):
        rows, nodes = random_walks(GRAPH, np.array([0, HUB]), np.random.default_rng(0), restart=0.05, hops=hops)
        for row, seed in enumerate((0, HUB)):
            reached = distances(GRAPH, seed)
            steps = [reached[node] for node in nodes[rows == row].tolist()]
            assert max(steps) == hops


def test_lengths_are_the_published_ones():
    """max(256, int(degree^0.75 e / (e - 1) / 0.8 + 0.5))."""
    assert walk_lengths(np.array([0, 10, 562, 563, 10_000]), 0.8, 256).tolist() == [256, 256, 256, 256, 1977]
    assert walk_lengths(np.array([1000]), 0.8, 256).tolist() == [352]


def test_an_isolated_node_stays_where_it_is():
    isolated = 29
    assert GRAPH.degrees[isolated] == 0
    rows, nodes = random_walks(GRAPH, np.array([isolated, 0]), np.random.default_rng(0), budget=10)
    assert (nodes[rows == 0] == isolated).all() and isolated not in nodes[rows == 1]


def test_without_seeds_there_is_nothing():
    for found in (
        random_walks(GRAPH, np.zeros(0, np.int64), np.random.default_rng(0)),
        neighbourhoods(GRAPH, np.zeros(0, np.int64), np.random.default_rng(0), hops=2),
    ):
        assert [len(array) for array in found] == [0, 0]


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_neighbourhoods_are_those_by_distance(hops):
    seeds = np.array([0, HUB, 29, 0])
    rows, nodes = neighbourhoods(GRAPH, seeds, np.random.default_rng(0), hops=hops, budget=100)
    for row, seed in enumerate(seeds.tolist()):
        right = sorted(node for node, distance in distances(GRAPH, seed).items() if 0 < distance <= hops)
        assert nodes[rows == row].tolist() == right


def test_a_neighbourhood_too_large_keeps_what_is_near_and_samples_the_rest():
    near = [node for node, distance in distances(GRAPH, 0).items() if distance == 1]
    next_ones = {node for node, distance in distances(GRAPH, 0).items() if distance == 2}
    budget = len(near) + 1 + 4
    assert len(next_ones) > 8
    repeats = 2000
    rows, nodes = neighbourhoods(GRAPH, np.zeros(repeats, np.int64), np.random.default_rng(0), hops=3, budget=budget)
    assert (np.bincount(rows) == budget - 1).all()
    counts = np.bincount(nodes, minlength=GRAPH.nodes)
    assert (counts[near] == repeats).all()
    assert set(np.flatnonzero(counts)) == set(near) | next_ones
    sampled = counts[sorted(next_ones)]
    expected = repeats * 4 / len(next_ones)
    assert ((sampled - expected) ** 2 / expected).sum() < 3 * len(next_ones)
