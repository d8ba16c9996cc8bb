"""Where a node stands in its subgraph, told by the eigenvectors of the normalised adjacency.

The matrix is D^-1/2 A D^-1/2. Column j of a subgraph of n nodes belongs to its j-th largest eigenvalue; there are
min(n - 2, dimensions) of them, the rest is 0; each row is divided by its norm.

Eigenvectors have no sign, and of an eigenvalue that occurs several times any rotation is as good. What two equal
subgraphs with other numbers of their nodes have in common are the squares, averaged over the eigenvectors of the
eigenvalue. So by the rule "absolute" an entry is the root of that average: for a simple eigenvalue |x|. The rule
"random" gives every eigenvector a sign by chance, as GCC's code does in effect.

Of a user-item graph the eigenvalues come in pairs of both signs, from the singular values of the block between the
sides; so it is enough to solve for the smaller side, and what belongs to the eigenvalue 0 is what the others leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from apps.pcrec.sampling.graph import ranges
from apps.pcrec.sampling.subgraphs import Subgraphs

SIGNS = ("absolute", "random")

# Eigenvalues nearer than this count as one.
_TOLERANCE = 1e-5
# Matrices are solved in stacks whose sizes are rounded up to this.
_STEP = 8
# Entries of the largest stack of matrices.
_STACK = 1 << 21


def positions(
    subgraphs: Subgraphs,
    left: np.ndarray | None,
    *,
    dimensions: int = 32,
    signs: str = "absolute",
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Positional features of every node.

    Args:
        subgraphs: disjoint subgraphs.
        left: bool (nodes,), which nodes are on the left side; None if the graph has no sides.
        dimensions: columns.
        signs: "absolute" or "random".
        rng: source of the signs, for "random".

    Returns:
        float32 (nodes, dimensions).
    """
    first = np.cumsum(subgraphs.sizes) - subgraphs.sizes
    places = np.arange(len(subgraphs.nodes)) - first[subgraphs.graphs]
    with np.errstate(divide="ignore"):
        scale = np.where(subgraphs.degrees > 0, 1 / np.sqrt(subgraphs.degrees), 0.0)
    values = scale[subgraphs.edges].prod(axis=1)
    features = np.zeros((len(subgraphs.nodes), dimensions))
    if left is not None and signs == "absolute":
        _of_sides(features, subgraphs, left, values)
    else:
        _of_any_graph(features, subgraphs, places, values, rng if signs == "random" else None)
    norms = np.sqrt(np.einsum("ij,ij->i", features, features))
    return (features / np.where(norms > 0, norms, 1.0)[:, None]).astype(np.float32)


def _stacks(sizes: np.ndarray, entries: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Subgraphs of about one size, and that size: indices that are solved together.

    Args:
        sizes: int64 (subgraphs,), of the square matrix of each.
        entries: int64 (subgraphs,), of the arrays that each takes, to keep a stack small.
    """
    rounded = -(-np.maximum(sizes, 1) // _STEP) * _STEP
    order = np.argsort(rounded, kind="stable")
    begin = 0
    for end in [*np.flatnonzero(np.diff(rounded[order])) + 1, len(order)]:
        alike = order[begin:end]
        begin = end
        if len(alike):
            count = max(1, _STACK // int(entries[alike].max()))
            for start in range(0, len(alike), count):
                yield alike[start : start + count], int(rounded[alike[0]])


def _columns(sizes: np.ndarray, ranks: np.ndarray, width: int, dimensions: int) -> np.ndarray:
    """Which solved column each feature takes: `width` for what belongs to 0, `width + 1` for none.

    The eigenvalues of a graph with sides are, from the largest: the singular values; 0; the negative singular values.
    """
    column = np.arange(dimensions)[None]
    sizes, ranks = sizes[:, None], ranks[:, None]
    chosen = np.where(column < ranks, column, np.where(column < sizes - ranks, width, sizes - 1 - column))
    return np.where(column < np.minimum(sizes - 2, dimensions), chosen, width + 1)


def _of_sides(features: np.ndarray, subgraphs: Subgraphs, left: np.ndarray, values: np.ndarray) -> None:
    dimensions = features.shape[1]
    graphs, sizes = subgraphs.graphs, subgraphs.sizes
    lefts = np.bincount(graphs, weights=left, minlength=len(sizes)).astype(np.int64)
    small = left == (2 * lefts <= sizes)[graphs]
    short = np.minimum(lefts, sizes - lefts)
    # The place of a node among those of its side.
    before = np.cumsum(small) - small
    firsts = np.cumsum(sizes) - sizes
    among_small = before - (np.cumsum(short) - short)[graphs]
    places = np.where(small, among_small, np.arange(len(graphs)) - firsts[graphs] - among_small)
    one, other = subgraphs.edges.T
    rows, columns = np.where(small[one], (one, other), (other, one))
    edges_of = _grouped(graphs[rows], len(sizes))
    for alike, width in _stacks(short, np.maximum(short, 1) * (sizes - short + 2)):
        slots = np.empty(len(sizes), np.int64)
        slots[alike] = np.arange(len(alike))
        edges = edges_of(alike)
        block = np.zeros((len(alike), width, int((sizes - short)[alike].max()) or 1))
        block[slots[graphs[rows[edges]]], places[rows[edges]], places[columns[edges]]] = values[edges]
        transposed = block.transpose(0, 2, 1)
        squares, vectors = np.linalg.eigh(block @ transposed)
        singular, vectors = np.sqrt(np.maximum(squares[:, ::-1], 0)), vectors[:, :, ::-1]
        # The largest are exactly 1; only what is not 0 has a partner on the other side.
        positive = singular > _TOLERANCE
        partners = transposed @ vectors * np.where(positive, 1 / np.maximum(singular, _TOLERANCE), 0)[:, None, :]
        vectors = np.where(positive[:, None, :], vectors, 0)
        nodes = np.flatnonzero(np.isin(graphs, alike)) if len(alike) < len(sizes) else np.arange(len(graphs))
        of = slots[graphs[nodes]]
        on_small = small[nodes]
        found = np.empty((len(nodes), width + 2))
        found[on_small, :width] = vectors[of[on_small], places[nodes[on_small]]] ** 2 / 2
        found[~on_small, :width] = partners[of[~on_small], places[nodes[~on_small]]] ** 2 / 2
        ranks = positive.sum(axis=1)
        left_over = np.maximum(1 - 2 * found[:, :width].sum(axis=1), 0)
        found[:, width] = left_over / np.maximum(sizes[alike] - 2 * ranks, 1)[of]
        found[:, width + 1] = 0
        _average(found[:, :width], singular, of)
        taken = _columns(sizes[alike], ranks, width, dimensions)
        features[nodes] = np.sqrt(np.take_along_axis(found, taken[of], axis=1))


def _of_any_graph(
    features: np.ndarray,
    subgraphs: Subgraphs,
    places: np.ndarray,
    values: np.ndarray,
    rng: np.random.Generator | None,
) -> None:
    dimensions = features.shape[1]
    graphs, sizes = subgraphs.graphs, subgraphs.sizes
    edges_of = _grouped(graphs[subgraphs.edges[:, 0]], len(sizes))
    for alike, width in _stacks(sizes, sizes**2):
        slots = np.empty(len(sizes), np.int64)
        slots[alike] = np.arange(len(alike))
        edges = edges_of(alike)
        one, other = subgraphs.edges[edges].T
        matrix = np.zeros((len(alike), width, width))
        matrix[slots[graphs[one]], places[one], places[other]] = values[edges]
        matrix[slots[graphs[one]], places[other], places[one]] = values[edges]
        # Padding has the eigenvalue -2, below all of a normalised adjacency.
        padding = np.arange(width)[None] >= sizes[alike][:, None]
        matrix[:, np.arange(width), np.arange(width)] -= 2.0 * padding
        eigenvalues, vectors = np.linalg.eigh(matrix)
        eigenvalues, vectors = eigenvalues[:, ::-1], vectors[:, :, ::-1]
        nodes = np.flatnonzero(np.isin(graphs, alike))
        of = slots[graphs[nodes]]
        found = vectors[of, places[nodes]]
        if rng is None:
            found = found**2
            _average(found, eigenvalues, of)
            found = np.sqrt(found)
        else:
            found = found * rng.choice((-1.0, 1.0), (len(alike), width))[of]
        count = min(width, dimensions)
        kept = np.arange(count)[None] < np.minimum(sizes[alike] - 2, dimensions)[:, None]
        features[nodes, :count] = np.where(kept[of], found[:, :count], 0)


def _average(squares: np.ndarray, eigenvalues: np.ndarray, of: np.ndarray) -> None:
    """Replaces the squares of each eigenvalue that occurs several times by their average, in place.

    Args:
        squares: (nodes, columns).
        eigenvalues: (subgraphs, columns), descending.
        of: the subgraph of each node.
    """
    begins = np.ones(eigenvalues.shape, bool)
    begins[:, 1:] = eigenvalues[:, :-1] - eigenvalues[:, 1:] > _TOLERANCE
    several = np.flatnonzero(~begins.all(axis=1)[of])
    if not len(several):
        return
    columns = np.arange(eigenvalues.shape[1])
    first = np.maximum.accumulate(np.where(begins, columns, 0), axis=1)
    ends = np.concatenate([begins[:, 1:], np.ones((len(begins), 1), bool)], axis=1)
    last = np.minimum.accumulate(np.where(ends, columns, len(columns))[:, ::-1], axis=1)[:, ::-1]
    sums = np.zeros((len(several), len(columns) + 1))
    np.cumsum(squares[several], axis=1, out=sums[:, 1:])
    first, last = first[of[several]], last[of[several]]
    total = np.take_along_axis(sums, last + 1, axis=1) - np.take_along_axis(sums, first, axis=1)
    squares[several] = np.maximum(total, 0) / (last - first + 1)


def _grouped(owners: np.ndarray, count: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function from subgraphs to the places in `owners` that name one of them."""
    order = np.argsort(owners, kind="stable")
    counts = np.bincount(owners, minlength=count)
    begins = np.cumsum(counts) - counts

    def places_of(chosen: np.ndarray) -> np.ndarray:
        return order[ranges(begins[chosen], counts[chosen])]

    return places_of
