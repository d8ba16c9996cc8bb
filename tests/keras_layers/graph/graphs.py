"""Small graphs, in both forms that the layers take, and references in NumPy."""

import itertools

import numpy as np


def random_graph(seed, nodes=9, channels=5):
    """Features, symmetric adjacency without loops, and one node without neighbours, the last."""
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.random((nodes, nodes)) < 0.4, 1)
    upper[:, -1] = False
    adjacency = (upper | upper.T).astype("float32")
    return rng.standard_normal((nodes, channels)).astype("float32"), adjacency


def edges_of(adjacency):
    """Rows (source, target): entry (i, j) is what i receives from j."""
    targets, sources = np.nonzero(adjacency)
    return np.stack([sources, targets], axis=1).astype("int32")


def union(graphs):
    """Features, edges and the graph of each node, of several pairs of features and adjacency."""
    features, edges, numbers, begin = [], [], [], 0
    for number, (nodes, adjacency) in enumerate(graphs):
        features.append(nodes)
        edges.append(edges_of(adjacency) + begin)
        numbers.append(np.full(len(nodes), number, "int32"))
        begin += len(nodes)
    return np.concatenate(features), np.concatenate(edges), np.concatenate(numbers)


def padded(graphs, length=None):
    """Features, adjacency and mask of a dense batch."""
    length = length or max(len(nodes) for nodes, _ in graphs)
    features = np.zeros((len(graphs), length, graphs[0][0].shape[1]), "float32")
    adjacency = np.zeros((len(graphs), length, length), "float32")
    mask = np.zeros((len(graphs), length), "float32")
    for number, (nodes, links) in enumerate(graphs):
        count = len(nodes)
        features[number, :count] = nodes
        adjacency[number, :count, :count] = links
        mask[number, :count] = 1
    return features, adjacency, mask


def received(features, adjacency, how):
    """What each node receives, node by node."""
    rows = []
    for links in adjacency:
        neighbours = features[links != 0]
        rows.append(getattr(np, how)(neighbours, axis=0) if len(neighbours) else np.zeros(features.shape[1]))
    return np.array(rows)


def all_graphs(nodes):
    """The adjacency of every labelled graph of so many nodes."""
    pairs = list(itertools.combinations(range(nodes), 2))
    for chosen in itertools.product((0, 1), repeat=len(pairs)):
        adjacency = np.zeros((nodes, nodes), "float32")
        for (one, other), linked in zip(pairs, chosen, strict=True):
            adjacency[one, other] = adjacency[other, one] = linked
        yield adjacency


def colours(adjacency, rounds):
    """What the Weisfeiler-Lehman test knows of a graph: the sorted colours of its nodes after each round."""
    names = [()] * len(adjacency)
    for _ in range(rounds):
        names = [(names[i], tuple(sorted(names[j] for j in np.flatnonzero(adjacency[i])))) for i in range(len(names))]
    return tuple(sorted(names))


def cycle(length, begin=0, nodes=None):
    """A ring of `length` nodes from number `begin` on, among `nodes`."""
    adjacency = np.zeros((nodes or length,) * 2, "float32")
    for node in range(length):
        one, other = begin + node, begin + (node + 1) % length
        adjacency[one, other] = adjacency[other, one] = 1
    return adjacency
