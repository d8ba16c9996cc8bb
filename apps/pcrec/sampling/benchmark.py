"""How fast views are made, and how large a graph may be.

    python -m apps.pcrec.sampling.benchmark views INTERACTIONS      milliseconds a view, beside a plain Python walk
    python -m apps.pcrec.sampling.benchmark scale [--edges N]       a generated graph: seconds to build, memory, views

INTERACTIONS is a CSV file with a header whose first two columns are a user and an item. Times are processor time of one
core: the linear algebra is told to use one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable

# Read by the linear algebra when NumPy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from apps.pcrec.sampling.graph import Graph
from apps.pcrec.sampling.spectral import positions
from apps.pcrec.sampling.subgraphs import induced
from apps.pcrec.sampling.views import ViewSampler
from apps.pcrec.sampling.walks import random_walks, walk_lengths
from tools.bench.isolated import peak_memory
from tools.commands import table

ROUNDS = 5
VIEWS = 512
PLAIN_VIEWS = 60


def main(arguments: list[str] | None = None) -> int:
    """Runs one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("views", "scale"))
    parser.add_argument("interactions", nargs="?")
    parser.add_argument("--edges", type=int, default=10_000_000, help="of the generated graph (default 10,000,000)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    if (options.what == "views") != (options.interactions is not None):
        parser.error("expected views with INTERACTIONS, or scale without")
    result = of_views(read(options.interactions)) if options.what == "views" else of_scale(options.edges)
    print(json.dumps(result, indent=2) if options.json else table([list(row) for row in result.items()], ["", "value"]))
    return 0


def read(path: str) -> Graph:
    """The graph of a CSV file of interactions."""
    rows = np.loadtxt(path, delimiter=",", skiprows=1, usecols=(0, 1), dtype=np.int64)
    users, items = (np.unique(column, return_inverse=True)[1] for column in rows.T)
    return Graph.bipartite(users, items, int(users.max()) + 1, int(items.max()) + 1)


def of_views(graph: Graph) -> dict[str, float]:
    """Milliseconds of one core for a view, by its parts, and for the plain way, one view after the other."""
    sampler, rng = ViewSampler(graph), np.random.default_rng(0)
    rounds, sizes = [], []
    for _ in range(ROUNDS):
        seeds = sampler.start_nodes(VIEWS, rng)
        clock = [time.process_time()]
        visits = random_walks(graph, seeds, rng)
        clock.append(time.process_time())
        subgraphs = induced(graph, seeds, *visits)
        clock.append(time.process_time())
        positions(subgraphs, subgraphs.nodes < graph.left)
        clock.append(time.process_time())
        sampler.views(seeds, rng)
        clock.append(time.process_time())
        rounds.append(np.diff(clock) / VIEWS * 1e3)
        sizes.append(subgraphs.sizes.mean())
    walk, edges, spectral, whole = np.median(rounds, axis=0)
    seeds = sampler.start_nodes(PLAIN_VIEWS, rng)
    of_batch = [_milliseconds(lambda: sampler.pair(sampler.start_nodes(32, rng), rng), 64) for _ in range(ROUNDS)]
    return {
        "nodes": graph.nodes,
        "edges": graph.edges,
        "mean_nodes_of_a_view": round(float(np.mean(sizes)), 1),
        "walk_ms": round(float(walk), 4),
        "edges_ms": round(float(edges), 4),
        "spectral_ms": round(float(spectral), 4),
        f"view_ms_of_{VIEWS}": round(float(whole), 4),
        "view_ms_of_32_pairs": round(float(np.median(of_batch)), 4),
        "plain_view_ms": round(_milliseconds(lambda: _plain_views(graph, seeds), PLAIN_VIEWS), 3),
    }


def of_scale(edges: int) -> dict[str, float]:
    """A user-item graph with popular items: seconds of one core to build it, memory, milliseconds a view."""
    rng = np.random.default_rng(0)
    before = peak_memory()
    user_count, item_count = max(edges // 20, 2), max(edges // 100, 2)
    users = rng.integers(0, user_count, edges)
    # The most popular of 100,000 items has one in 300 of all interactions, as in logs of films.
    items = np.minimum((item_count * rng.random(edges) ** 2).astype(np.int64), item_count - 1)
    started = time.process_time()
    graph = Graph.bipartite(users, items, user_count, item_count)
    built = time.process_time() - started
    del users, items
    sampler = ViewSampler(graph)
    after_building = peak_memory()
    of_starts = [
        _milliseconds(lambda: sampler.views(sampler.start_nodes(VIEWS, rng), rng), VIEWS) for _ in range(ROUNDS)
    ]
    of_any = [
        _milliseconds(lambda: sampler.views(rng.integers(0, graph.nodes, VIEWS), rng), VIEWS) for _ in range(ROUNDS)
    ]
    arrays = (graph.offsets, graph.neighbours, graph.degrees, graph.owned_offsets, graph.owned)
    return {
        "nodes": graph.nodes,
        "edges": graph.edges,
        "largest_degree": int(graph.degrees.max()),
        "build_seconds": round(built, 2),
        "graph_megabytes": round(sum(array.nbytes for array in arrays) / 1e6, 1),
        "peak_megabytes_of_building": round((after_building - before) / 1e6, 1),
        "peak_megabytes": round((peak_memory() - before) / 1e6, 1),
        "view_ms_of_start_nodes": round(float(np.median(of_starts)), 4),
        "view_ms_of_any_nodes": round(float(np.median(of_any)), 4),
    }


def _milliseconds(work: Callable[[], object], items: int) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) / items * 1e3


def _plain_views(graph: Graph, seeds: np.ndarray) -> None:
    """Walks, induced subgraphs and eigenvectors in plain Python, one seed after the other."""
    source = random.Random(0)
    adjacent = {}

    def neighbours(node: int) -> list[int]:
        if node not in adjacent:
            adjacent[node] = graph.neighbours[graph.offsets[node] : graph.offsets[node + 1]].tolist()
        return adjacent[node]

    for seed, steps in zip(seeds.tolist(), walk_lengths(graph.degrees[seeds], 0.8, 256).tolist(), strict=True):
        visited = {seed: 0}
        while steps:
            at = seed
            while steps:
                at = source.choice(neighbours(at))
                visited.setdefault(at, len(visited))
                steps -= 1
                if source.random() < 0.8:
                    break
        matrix = np.zeros((len(visited), len(visited)))
        for node, place in visited.items():
            for other in neighbours(node):
                if other in visited:
                    matrix[place, visited[other]] = 1
        degrees = matrix.sum(axis=1)
        np.linalg.eigh(matrix / np.sqrt(degrees[:, None] * degrees[None]))


if __name__ == "__main__":
    sys.exit(main())
