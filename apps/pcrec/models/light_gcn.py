"""LightGCN: matrix factorisation whose vectors are means over their neighbourhoods."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from keras_layers import LightGCNPropagation, RowEmbedding


def LightGCN(
    *,
    input_shape: Sequence[int] = (2,),
    classes: int = 64,
    users: int,
    items: int,
    depth: int = 3,
    initial_deviation: float = 0.1,
    seed: int = 0,
    name: str = "lightgcn",
) -> keras.Model:
    """The propagated vectors of users and items, and those they come from; users are the nodes 0 to users - 1.

    Inputs: nodes int32 (batch, 1 + input_shape[0]), the user and the items ranked for the user; all int32 (users +
    items,), the numbers of all nodes; edges int32 (edges, 2) in both directions. Output: (batch, 2, 1 + items,
    classes), as `keras_layers.losses.BPR` takes them: vectors to score by, then the embeddings.

    Args:
        input_shape: (items ranked for a user,); of BPR the item met and the negatives.
        classes: length of a vector.
        users: how many there are.
        items: how many there are.
        depth: steps of the propagation.
        initial_deviation: of the normal numbers that the embeddings begin with.
        seed: of them.
        name: of the model.

    Reference:
        He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation" (2020).
    """
    # === layers ===
    initializer = keras.initializers.RandomNormal(0.0, initial_deviation, seed)
    table = RowEmbedding(users + items, classes, initializer, name="nodes_table")
    propagation = LightGCNPropagation(depth, name="propagation")

    # === functional graph ===
    nodes = keras.Input((1 + input_shape[0],), dtype="int32", name="nodes")
    everything = keras.Input((), dtype="int32", name="all")
    edges = keras.Input((2,), dtype="int32", name="edges")
    embeddings = table(everything)
    propagated = propagation([embeddings, edges])
    chosen = [keras.ops.take(vectors, nodes, axis=0) for vectors in (propagated, embeddings)]
    outputs = keras.ops.stack(chosen, axis=1)
    return keras.Model({"nodes": nodes, "all": everything, "edges": edges}, outputs, name=name)
