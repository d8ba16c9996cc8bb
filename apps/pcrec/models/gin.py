"""Graph isomorphism networks: the encoder that is pre-trained, and the classifier of whole graphs.

Both take graphs as one disjoint union with a list of edges, for training; or, with `nodes`, one padded graph
an example, for files of fixed shapes. Both forms have the same weights in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_layers import GINConv, JumpingKnowledgeReadout, MomentumContrast

# As PyTorch begins a linear layer, and so the reference: uniform up to 1 / sqrt(inputs).
REFERENCE_INITIALIZER = {"scale": 1 / 3, "mode": "fan_in", "distribution": "uniform"}

# The inputs of `GINEncoder`, which `apps.pcrec.sampling.Views.inputs` makes.
ENCODER_INPUTS = ("positions", "degrees", "seeds", "edges", "graphs")


def GINEncoder(
    *,
    input_shape: Sequence[int] = (32,),
    classes: int = 64,
    units: int = 64,
    convolutions: int = 4,
    aggregation: str = "sum",
    pooling: str = "sum",
    learn_epsilon: bool = False,
    dropout: float = 0.5,
    largest_degree: int = 512,
    degree_units: int = 16,
    nodes: int | None = None,
    name: str = "gin_encoder",
) -> keras.Model:
    """GCC's encoder: from the subgraph around a node to a vector of norm 1.

    GCC's code normalises and rectifies the output of a convolution twice in a row; here it is done once, as in the
    paper of GIN.

    ```
    positions, degrees -> embedding, seeds --> GINConv --> ... --> GINConv
            |                                     |                   |
            +--> pool, dense, dropout             +--> ...            +--> ... --> sum --> norm 1
    ```

    Inputs: positions (nodes, input_shape[0]), degrees (nodes,) int32 and seeds (nodes, 1) of each node, edges
    (edges, 2) int32 and graphs (nodes,) int32, as `apps.pcrec.sampling.Views.inputs` gives them. With `nodes` every
    example is one padded graph: positions (nodes, input_shape[0]), degrees (nodes,), seeds (nodes, 1), adjacency
    (nodes, nodes) and mask (nodes,).

    Args:
        input_shape: (positional features,).
        classes: width of the vector.
        units: width of both dense layers of every convolution.
        convolutions: how many; GCC's 5 layers count the input.
        aggregation: of neighbours.
        pooling: of nodes at every depth.
        learn_epsilon: whether the weight of a node's own features is trained.
        dropout: of each depth's vector.
        largest_degree: larger degrees are to be given as this one.
        degree_units: width of the embedding of degrees.
        nodes: of a padded graph; None for lists of edges.
        name: of the model.
    """
    # === layers ===
    embedding = keras.layers.Embedding(largest_degree + 1, degree_units, name="degree_embedding")
    together = keras.layers.Concatenate(name="node_features")
    readout = _readout(classes, pooling, dropout, name="readout")
    unit = keras.layers.UnitNormalization(name="vector")

    # === functional graph ===
    shape = () if nodes is None else (nodes,)
    positions = keras.Input((*shape, *input_shape), name="positions")
    degrees = keras.Input(shape, dtype="int32", name="degrees")
    seeds = keras.Input((*shape, 1), name="seeds")
    structure, membership = _structure(nodes)
    x = together([positions, embedding(degrees), seeds])
    depths = _convolve(x, structure, membership, convolutions, units, aggregation, learn_epsilon)
    inputs = [positions, degrees, seeds, structure, membership]
    return keras.Model({tensor.name: tensor for tensor in inputs}, unit(readout([*depths, membership])), name=name)


def GINClassifier(
    *,
    input_shape: Sequence[int],
    classes: int = 2,
    units: int = 64,
    convolutions: int = 4,
    aggregation: str = "sum",
    pooling: str = "sum",
    learn_epsilon: bool = False,
    dropout: float = 0.5,
    nodes: int | None = None,
    classifier_activation: str | None = None,
    name: str = "gin_classifier",
) -> keras.Model:
    """The reference's classifier of graphs: the sum of the scores that a dense layer gives at every depth.

    Inputs: features (nodes, input_shape[0]), edges (edges, 2) int32 and graphs (nodes,) int32; or, with `nodes`,
    features (nodes, input_shape[0]), adjacency (nodes, nodes) and mask (nodes,).

    Args:
        input_shape: (features of a node,).
        classes: how many.
        units: width of both dense layers of every convolution.
        convolutions: how many; the reference's 5 layers count the input.
        aggregation: of neighbours.
        pooling: of nodes at every depth.
        learn_epsilon: whether the weight of a node's own features is trained.
        dropout: of each depth's scores.
        nodes: of a padded graph; None for lists of edges.
        classifier_activation: of the sum; None for logits.
        name: of the model.
    """
    # === layers ===
    readout = _readout(classes, pooling, dropout, name="readout")
    answer = keras.layers.Activation(classifier_activation or "linear", name="logits")

    # === functional graph ===
    shape = () if nodes is None else (nodes,)
    features = keras.Input((*shape, *input_shape), name="features")
    structure, membership = _structure(nodes)
    depths = _convolve(features, structure, membership, convolutions, units, aggregation, learn_epsilon)
    inputs = [features, structure, membership]
    return keras.Model({tensor.name: tensor for tensor in inputs}, answer(readout([*depths, membership])), name=name)


def ContrastivePretraining(
    encoder: keras.Model,
    *,
    queue_size: int = 16384,
    momentum: float = 0.999,
    seed: int | None = None,
    name: str = "contrastive_pretraining",
) -> keras.Model:
    """What is trained on the batches of `apps.pcrec.sampling.pair_dataset`: momentum contrast of two views.

    Inputs: those of the encoder twice, with "query_" and "key_" before their names. Output: the similarities
    (batch, 1 + queue_size), the right one in column 0; the loss is `keras_layers.losses.InfoNCE`.

    Args:
        encoder: a `GINEncoder` of lists of edges. It is trained itself; the model keeps no copy of it.
        queue_size: keys of earlier batches.
        momentum: how much of itself the encoder of the keys keeps in a step.
        seed: of the queue at the start.
        name: of the model.
    """
    own = encoder.input
    views = [
        {part: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=f"{side}_{part}") for part, tensor in own.items()}
        for side in ("query", "key")
    ]
    contrast = MomentumContrast(encoder, queue_size=queue_size, momentum=momentum, seed=seed, name="contrast")
    inputs = {tensor.name: tensor for view in views for tensor in view.values()}
    return keras.Model(inputs, contrast(views), name=name)


def _initializer() -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(**REFERENCE_INITIALIZER)


def _readout(units: int, pooling: str, dropout: float, name: str) -> JumpingKnowledgeReadout:
    return JumpingKnowledgeReadout(units, pooling, dropout, kernel_initializer=_initializer(), name=name)


def _structure(nodes: int | None) -> tuple[Any, Any]:
    """The inputs that say which nodes are linked, and which belong to a graph."""
    if nodes is None:
        edges = keras.Input((2,), dtype="int32", name="edges")
        return edges, keras.Input((), dtype="int32", name="graphs")
    return keras.Input((nodes, nodes), name="adjacency"), keras.Input((nodes,), name="mask")


def _convolve(
    features: Any,
    structure: Any,
    membership: Any,
    convolutions: int,
    units: int,
    aggregation: str,
    learn_epsilon: bool,
) -> list[Any]:
    """The features at every depth, from the input's on."""
    # Only of padded graphs does the membership tell which nodes there are.
    mask = [membership] if len(features.shape) == 3 else []
    depths = [features]
    for number in range(convolutions):
        convolution = GINConv(
            (units, units),
            aggregation,
            learn_epsilon=learn_epsilon,
            kernel_initializer=_initializer(),
            name=f"convolution_{number + 1}",
        )
        depths.append(convolution([depths[-1], structure, *mask]))
    return depths
