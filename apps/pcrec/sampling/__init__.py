"""Subgraphs around nodes of a large graph, as views for contrastive pre-training.

    graph = Graph.bipartite(users, items, user_count, item_count)
    sampler = ViewSampler(graph)
    views = sampler.views(seeds, rng)              many subgraphs as one disjoint union
    dataset = pair_dataset(sampler, batch_size=32, steps=1000, seed=0)

The names load on first use, so that a command line can be built without NumPy.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Graph": "apps.pcrec.sampling.graph",
    "ViewSampler": "apps.pcrec.sampling.views",
    "Views": "apps.pcrec.sampling.views",
    "embed": "apps.pcrec.sampling.stream",
    "pair_dataset": "apps.pcrec.sampling.stream",
    "random_walks": "apps.pcrec.sampling.walks",
    "view_dataset": "apps.pcrec.sampling.stream",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
