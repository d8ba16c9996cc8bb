"""Where views are made, linear algebra keeps to one thread."""

import numpy as np
import pytest
import tensorflow as tf
import threadpoolctl

from apps.pcrec.sampling import Graph, ViewSampler, embed
from apps.pcrec.sampling.stream import one_thread


@pytest.fixture
def two_threads():
    with threadpoolctl.threadpool_limits(limits=2, user_api="blas"):
        if threads() != {2}:
            pytest.skip("this linear algebra has one thread only")
        yield


def threads() -> set[int]:
    return {one["num_threads"] for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"}


def test_one_thread_and_then_as_before(two_threads):
    with one_thread():
        assert threads() == {1}
    assert threads() == {2}


def test_nodes_are_embedded_with_one_thread(two_threads, monkeypatch):
    seen = []
    views = ViewSampler.views

    def watched(self, seeds, rng):
        seen.append(threads())
        return views(self, seeds, rng)

    def sizes(inputs, training):
        return tf.math.bincount(inputs["graphs"], dtype=tf.float32)[:, None]

    monkeypatch.setattr(ViewSampler, "views", watched)
    rng = np.random.default_rng(0)
    graph = Graph.bipartite(rng.integers(0, 30, 150), rng.integers(0, 20, 150), 30, 20)
    vectors = embed(sizes, ViewSampler(graph, budget=16, dimensions=4), views=1, batch_size=16)
    assert vectors.shape == (50, 1) and vectors.min() >= 1
    assert seen == [{1}] * 4
    assert threads() == {2}
