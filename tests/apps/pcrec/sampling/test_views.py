"""What a view holds, and how seeds of random numbers and start nodes decide it."""

import numpy as np
import pytest

from apps.pcrec.sampling import Graph, ViewSampler
from tests.apps.pcrec.sampling.graphs import interactions
from tools.errors import InputError

GRAPH = interactions()
SAMPLER = ViewSampler(GRAPH, budget=30)


def assert_same(one, other):
    for name, array in vars(one).items():
        np.testing.assert_array_equal(array, getattr(other, name), err_msg=name)


def test_a_view_is_whole():
    seeds = np.array([3, 40, 29, 3])
    views = SAMPLER.views(seeds, np.random.default_rng(0))
    first = np.searchsorted(views.graphs, np.arange(4))
    assert views.nodes[first].tolist() == seeds.tolist()
    assert np.flatnonzero(views.seeds[:, 0]).tolist() == first.tolist()
    np.testing.assert_array_equal(np.bincount(views.edges[:, 1], minlength=len(views.nodes)), views.degrees)
    reverse = {tuple(edge) for edge in views.edges[:, ::-1].tolist()}
    assert {tuple(edge) for edge in views.edges.tolist()} == reverse
    assert views.degrees[first[2]] == 0 and (views.graphs == 2).sum() == 1
    types = {name: array.dtype.name for name, array in views.inputs().items()}
    assert types == {
        "positions": "float32",
        "degrees": "int32",
        "seeds": "float32",
        "edges": "int32",
        "graphs": "int32",
    }


def test_a_pair_is_two_other_views_of_the_same_seeds():
    seeds = np.array([3, 40, 29, 7])
    one, other = SAMPLER.pair(seeds, np.random.default_rng(0))
    whole = SAMPLER.views(np.concatenate([seeds, seeds]), np.random.default_rng(0))
    for view in (one, other):
        first = np.searchsorted(view.graphs, np.arange(4))
        assert view.nodes[first].tolist() == seeds.tolist()
        assert view.edges.min() >= 0 and view.edges.max() < len(view.nodes)
        np.testing.assert_array_equal(np.bincount(view.edges[:, 1], minlength=len(view.nodes)), view.degrees)
    assert len(one.nodes) + len(other.nodes) == len(whole.nodes)
    assert one.nodes.tolist() != other.nodes.tolist()


def test_random_numbers_decide_everything():
    seeds = np.arange(10)
    same = [SAMPLER.views(seeds, np.random.default_rng(seed)) for seed in (5, 5, 6)]
    assert_same(same[0], same[1])
    assert same[0].nodes.tolist() != same[2].nodes.tolist()


def test_start_nodes_go_by_a_power_of_the_degree():
    starts = SAMPLER.start_nodes(40_000, np.random.default_rng(0))
    weights = GRAPH.degrees**0.75
    expected = 40_000 * weights / weights.sum()
    counts = np.bincount(starts, minlength=GRAPH.nodes)
    assert not counts[GRAPH.degrees == 0].any()
    used = expected > 0
    # Chi-squared: three deviations above its mean.
    freedom = used.sum() - 1
    statistic = ((counts[used] - expected[used]) ** 2 / expected[used]).sum()
    assert statistic < freedom + 4 * np.sqrt(2 * freedom)
    alone = ViewSampler(Graph.from_edges([], [], 3))
    assert set(alone.start_nodes(100, np.random.default_rng(0))) == {0, 1, 2}


def test_a_graph_of_one_node():
    views = ViewSampler(Graph.from_edges([], [], 1)).views(np.array([0, 0]), np.random.default_rng(0))
    assert views.nodes.tolist() == [0, 0] and views.edges.shape == (0, 2) and not views.positions.any()


def test_neighbourhood_views_of_a_small_graph_are_the_same_each_time():
    sampler = ViewSampler(GRAPH, method="neighbourhood", hops=2, budget=1000)
    assert_same(*sampler.pair(np.array([0, 35]), np.random.default_rng(0)))


def test_any_graph_may_be_sampled():
    graph = Graph.from_edges([0, 1, 2, 3, 0], [1, 2, 0, 0, 4], 5)
    views = ViewSampler(graph).views(np.array([0]), np.random.default_rng(0))
    assert sorted(views.nodes.tolist()) == [0, 1, 2, 3, 4] and views.degrees[0] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "dance"}, "method to be one of walk, neighbourhood. Received 'dance'"),
        ({"signs": "plus"}, "signs to be one of absolute, random. Received 'plus'"),
        ({"restart": 0.0}, "restart above 0 and at most 1. Received 0"),
        ({"budget": 0}, "budget to be at least 1. Received 0"),
        ({"dimensions": 0}, "dimensions to be at least 1"),
        ({"hops": 0}, "hops to be at least 1"),
        ({"method": "neighbourhood"}, "Expected hops with method 'neighbourhood'"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        ViewSampler(GRAPH, **arguments)


def test_refuses_a_seed_that_is_no_node():
    with pytest.raises(InputError, match=r"nodes from 0 to 49\. Received 50 to 50"):
        SAMPLER.views(np.array([50]), np.random.default_rng(0))
