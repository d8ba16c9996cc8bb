"""The readouts against NumPy, and their contract."""

import numpy as np
import pytest

from keras_layers import GraphReadout, JumpingKnowledgeReadout
from tests.conformance.layers import CHECKS, SeveralInputsCase, name_of
from tests.keras_layers.graph.graphs import padded, random_graph, union

GRAPHS = [random_graph(0), random_graph(1, nodes=6), random_graph(2, nodes=3)]
FEATURES, _, NUMBERS = union(GRAPHS)


def listed():
    return [FEATURES, NUMBERS]


def dense():
    features, _, mask = padded(GRAPHS)
    return [features, mask]


def depths():
    return [FEATURES, FEATURES[:, :3] ** 2, NUMBERS]


def dense_depths():
    features, mask = dense()
    return [features, features[:, :, :3] ** 2, mask]


NODES = ((18, 5), (18,))
BATCH = ((3, 9, 5), (3, 9))
CASES = [
    SeveralInputsCase(
        "every_argument",
        GraphReadout,
        {"pooling": "mean", "graphs": 3},
        NODES,
        free_axes=((0,), (0,)),
        values=listed,
        complete=True,
    ),
    SeveralInputsCase("dense", GraphReadout, {"pooling": "max"}, BATCH, free_axes=((0, 1), (0, 1)), values=dense),
    SeveralInputsCase(
        "every_argument",
        JumpingKnowledgeReadout,
        {
            "units": 4,
            "pooling": "max",
            "dropout": 0.2,
            "graphs": 3,
            "kernel_initializer": "he_normal",
            "kernel_regularizer": "l2",
        },
        ((18, 5), (18, 3), (18,)),
        free_axes=((0,), (0,), (0,)),
        values=depths,
    ),
    SeveralInputsCase(
        "dense_depths_side_by_side",
        JumpingKnowledgeReadout,
        {},
        ((3, 9, 5), (3, 9, 3), (3, 9)),
        free_axes=((0, 1), (0, 1), (0, 1)),
        values=dense_depths,
    ),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.layer.__name__}_{case.name}")
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


@pytest.mark.parametrize("pooling", ["sum", "mean", "max"])
def test_equals_numpy_in_both_forms(pooling):
    expected = [getattr(np, pooling)(features, axis=0) for features, _ in GRAPHS]
    np.testing.assert_allclose(GraphReadout(pooling)(listed()), expected, rtol=1e-5, atol=1e-6)
    features, mask = dense()
    features = np.where(mask[..., None] == 1, features, 50.0).astype("float32")
    np.testing.assert_allclose(GraphReadout(pooling)([features, mask]), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pooling", ["sum", "mean", "max"])
def test_padding_and_graphs_without_nodes(pooling):
    readout = GraphReadout(pooling, graphs=4)
    answer = np.asarray(readout([np.full((3, 2), -5.0, "float32"), np.array([2, -1, 0], "int32")]))
    assert answer[:, 0].tolist() == [-5, 0, -5, 0]
    empty = GraphReadout(pooling)([np.ones((2, 3, 2), "float32"), np.array([[1, 0, 0], [0, 0, 0]], "float32")])
    assert np.asarray(empty)[:, 0].tolist() == [1, 0]


def test_the_order_of_nodes_changes_nothing():
    order = np.random.default_rng(0).permutation(18)
    for pooling in ("sum", "mean", "max"):
        readout = JumpingKnowledgeReadout(pooling=pooling)
        right = readout(depths())
        np.testing.assert_allclose(readout([array[order] for array in depths()]), right, rtol=1e-5, atol=1e-6)


def test_jumping_knowledge_equals_numpy():
    layer = JumpingKnowledgeReadout(2)
    layer.build([(None, 5), (None, 3), (None,)])
    rng = np.random.default_rng(0)
    layer.set_weights([rng.standard_normal(weight.shape) for weight in layer.get_weights()])
    first, one, second, other = (weight.astype("float64") for weight in layer.get_weights())
    pools = [
        np.array([array[numbers == number].sum(0) for number in range(3)])
        for *arrays, numbers in [depths()]
        for array in arrays
    ]
    expected = pools[0] @ first + one + pools[1] @ second + other
    np.testing.assert_allclose(layer(depths()), expected, rtol=1e-4, atol=1e-5)
    together = JumpingKnowledgeReadout()(depths())
    np.testing.assert_allclose(together, np.concatenate(pools, axis=1), rtol=1e-5, atol=1e-5)


def test_dropout_is_of_every_depth_and_only_in_training():
    layer = JumpingKnowledgeReadout(400, dropout=0.5, kernel_initializer="zeros")
    inputs = depths()
    layer(inputs)
    for dense in layer.denses:
        dense.bias.assign(np.ones(400))
    assert np.unique(layer(inputs)).tolist() == [2]
    shares = {value: np.mean(np.asarray(layer(inputs, training=True)) == value) for value in (0, 2, 4)}
    assert shares == pytest.approx({0: 0.25, 2: 0.5, 4: 0.25}, abs=0.05)


def test_compilers_are_kept_off_what_has_no_fixed_number_of_graphs():
    for graphs, inputs, able in ((None, listed(), False), (3, listed(), True), (None, dense(), True)):
        layer = GraphReadout(graphs=graphs)
        layer(inputs)
        assert layer.supports_jit is able


@pytest.mark.parametrize(
    ("layer", "arguments", "message"),
    [
        (GraphReadout, {"pooling": "median"}, "`pooling` to be one of"),
        (GraphReadout, {"graphs": 0}, "`graphs` to be a positive integer"),
        (JumpingKnowledgeReadout, {"units": -1}, "`units` to be a positive integer"),
        (JumpingKnowledgeReadout, {"dropout": 0.5}, "`dropout` only with `units`"),
    ],
)
def test_refuses_bad_arguments(layer, arguments, message):
    with pytest.raises(ValueError, match=message):
        layer(**arguments)


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (GraphReadout(), [(None, 4), (None, 2)], "graph of each node"),
        (GraphReadout(), (None, 4), "graph of each node"),
        (GraphReadout(), [(None, 4), (None, 4), (None,)], "Expected two inputs"),
        (JumpingKnowledgeReadout(2), [(None,)], "features of each depth"),
        (JumpingKnowledgeReadout(2), [(None, None), (None,)], "fixed number of channels"),
    ],
)
def test_refuses_bad_inputs(layer, shapes, message):
    with pytest.raises(ValueError, match=message):
        layer.build(shapes)
