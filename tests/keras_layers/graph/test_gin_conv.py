"""GINConv against NumPy, in both of its forms, and its contract."""

import keras
import numpy as np
import pytest

from keras_layers import GINConv
from tests.conformance.layers import CHECKS, SeveralInputsCase, name_of
from tests.keras_layers.graph.graphs import edges_of, padded, random_graph, received, union

GRAPHS = [random_graph(0), random_graph(1, nodes=6), random_graph(2, nodes=3)]


def listed():
    features, edges, _ = union(GRAPHS)
    return [features, edges]


def dense():
    return list(padded(GRAPHS))


EDGES = len(listed()[1])
CASES = [
    SeveralInputsCase(
        "edges",
        GINConv,
        {"units": (8, 6), "learn_epsilon": True},
        ((18, 5), (EDGES, 2)),
        free_axes=((0,), (0,)),
        values=listed,
    ),
    SeveralInputsCase(
        "dense_with_mask",
        GINConv,
        {"units": 4, "aggregation": "max"},
        ((3, 9, 5), (3, 9, 9), (3, 9)),
        free_axes=((0, 1), (0, 1, 2), (0, 1)),
        values=dense,
    ),
    SeveralInputsCase(
        "every_argument",
        GINConv,
        {
            "units": (8, 6),
            "aggregation": "mean",
            "epsilon": 0.3,
            "learn_epsilon": True,
            "normalization": False,
            "activation": "tanh",
            "activate_last": False,
            "momentum": 0.8,
            "variance_epsilon": 1e-3,
            "kernel_initializer": "he_normal",
            "kernel_regularizer": "l2",
        },
        ((18, 5), (EDGES, 2)),
        free_axes=((0,), (0,)),
        values=listed,
        complete=True,
    ),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def randomised(layer, *shapes):
    layer.build(list(shapes))
    rng = np.random.default_rng(3)
    layer.set_weights([0.3 + rng.random(weight.shape) for weight in layer.get_weights()])
    return layer


@pytest.mark.parametrize("aggregation", ["sum", "mean", "max"])
def test_equals_numpy_in_both_forms(aggregation):
    features, adjacency = random_graph(4)
    layer = GINConv((7, 3), aggregation, epsilon=0.25, activation="tanh")
    randomised(layer, features.shape, (None, 2))
    first, scale, shift, mean, variance, second, *rest = (
        weight.astype("float64")
        for weight in [
            layer.denses[0].kernel.numpy(),
            *layer.normalizations[0].get_weights(),
            layer.denses[1].kernel.numpy(),
            *layer.normalizations[1].get_weights(),
        ]
    )
    x = 1.25 * features.astype("float64") + received(features.astype("float64"), adjacency, aggregation)
    x = np.tanh((x @ first - mean) / np.sqrt(variance + 1e-5) * scale + shift)
    scale, shift, mean, variance = rest
    expected = np.tanh((x @ second - mean) / np.sqrt(variance + 1e-5) * scale + shift)
    np.testing.assert_allclose(layer([features, edges_of(adjacency)]), expected, rtol=1e-4, atol=1e-5)

    batch = GINConv((7, 3), aggregation, epsilon=0.25, activation="tanh")
    batch.build([(None, 9, 5), (None, 9, 9)])
    batch.set_weights(layer.get_weights())
    np.testing.assert_allclose(batch([features[None], adjacency[None]])[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("aggregation", ["sum", "mean", "max"])
def test_a_padded_batch_trains_as_the_list_of_edges_does(aggregation):
    """The same answers and the same statistics: padding counts nothing."""
    features, edges, _ = union(GRAPHS)
    of_list, of_batch = GINConv((7, 3), aggregation), GINConv((7, 3), aggregation)
    inputs = [np.array(array) for array in padded(GRAPHS, length=12)]
    inputs[0][inputs[2] == 0] = 7.0
    of_list([features, edges]), of_batch(inputs)
    of_batch.set_weights(of_list.get_weights())
    right = of_list([features, edges], training=True)
    answers = np.asarray(of_batch(inputs, training=True))
    np.testing.assert_allclose(answers[inputs[2] == 1], right, rtol=1e-4, atol=1e-5)
    assert not answers[inputs[2] == 0].any()
    for one, other in zip(of_list.weights, of_batch.weights, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6, err_msg=one.path)


@pytest.mark.parametrize("aggregation", ["sum", "mean", "max"])
def test_padded_edges_and_masked_nodes_of_a_list_count_nothing(aggregation):
    features, adjacency = random_graph(5)
    edges = edges_of(adjacency)
    plain, filled = GINConv(4, aggregation), GINConv(4, aggregation)
    more = np.concatenate([features, np.full((3, 5), 9.0, "float32")])
    inputs = [more, np.concatenate([edges, np.array([[-1, -1], [-1, 2], [3, -1]], "int32")]), np.arange(12) < 9]
    plain([features, edges]), filled(inputs)
    filled.set_weights(plain.get_weights())
    right = plain([features, edges], training=True)
    answers = np.asarray(filled(inputs, training=True))
    np.testing.assert_allclose(answers[:9], right, rtol=1e-5, atol=1e-6)
    assert not answers[9:].any()


@pytest.mark.parametrize("aggregation", ["sum", "mean", "max"])
def test_numbering_of_nodes_and_order_of_edges_change_nothing(aggregation):
    features, adjacency = random_graph(6)
    layer = GINConv((6, 4), aggregation)
    edges = edges_of(adjacency)
    right = np.asarray(layer([features, edges]))
    rng = np.random.default_rng(0)
    order = rng.permutation(9)
    renumbered = np.argsort(order)[edges[rng.permutation(len(edges))]].astype("int32")
    np.testing.assert_allclose(layer([features[order], renumbered]), right[order], rtol=1e-5, atol=1e-6)


def test_direction_and_weight_of_an_edge():
    features = np.array([[1.0], [10.0], [100.0]], "float32")
    plain = {"normalization": False, "activation": None, "kernel_initializer": "ones"}
    edges = np.array([[1, 0], [2, 0], [0, 2]], "int32")
    expected = {"sum": [111, 10, 101], "mean": [56, 10, 101], "max": [101, 10, 101]}
    for aggregation, right in expected.items():
        assert np.asarray(GINConv(1, aggregation, **plain)([features, edges]))[:, 0].tolist() == right
    weights = np.zeros((1, 3, 3), "float32")
    weights[0, 0, 1:] = 1, 3
    assert np.asarray(GINConv(1, "sum", **plain)([features[None], weights]))[0, :, 0].tolist() == [311, 10, 100]
    assert np.asarray(GINConv(1, "mean", **plain)([features[None], weights]))[0, :, 0].tolist() == [78.5, 10, 100]


def test_a_graph_without_edges():
    for aggregation in ("sum", "mean", "max"):
        layer = GINConv(1, aggregation, normalization=False, activation=None, kernel_initializer="ones")
        answer = layer([np.full((2, 1), -3.0, "float32"), np.zeros((0, 2), "int32")])
        assert np.asarray(answer).ravel().tolist() == [-3, -3]


def test_a_hub_is_counted_in_half_precision():
    """Of 3000 neighbours the mean is that of 3000, not of the 256 that bfloat16 can count one by one."""
    nodes = 3001
    edges = np.stack([np.arange(1, nodes), np.zeros(nodes - 1)], axis=1).astype("int32")
    features = np.concatenate([[[0.0]], np.full((nodes - 1, 1), 2.0**-10)]).astype("float32")
    layer = GINConv(1, "mean", normalization=False, activation=None, kernel_initializer="ones", dtype="mixed_float16")
    assert float(layer([features, edges])[0, 0]) == pytest.approx(2.0**-10, rel=0.01)


def test_learned_epsilon_begins_where_it_is_told_and_moves():
    layer = GINConv(2, epsilon=0.5, learn_epsilon=True)
    inputs = [keras.Input((5,)), keras.Input((2,), dtype="int32")]
    model = keras.Model(inputs, layer(inputs))
    assert float(layer.learned_epsilon) == 0.5
    features, edges, _ = union(GRAPHS)
    model.compile("sgd", "mse")
    model.train_on_batch([features, edges], np.ones((len(features), 2)))
    assert float(layer.learned_epsilon) != 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` to be a positive integer"),
        ({"units": ()}, "`units` to have at least one width"),
        ({"units": "64"}, "`units` to be a positive integer"),
        ({"units": 2, "aggregation": "median"}, "`aggregation` to be one of 'sum', 'mean', 'max'. Received 'median'"),
        ({"units": 2, "momentum": 1.0}, "`momentum` to be a number"),
        ({"units": 2, "activation": "rellu"}, "`activation` to be None, a function"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        GINConv(**arguments)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(None, 5)], "Expected features"),
        ((None, 5), "Expected features"),
        ([(None, 5), (None, 3)], "Expected features"),
        ([(None, 5), (None, None, None)], "Expected features"),
        ([(None, 9, 5), (None, 9, 8)], "Expected features"),
        ([(None, None), (None, 2)], "fixed number of channels"),
    ],
)
def test_refuses_bad_inputs(shapes, message):
    with pytest.raises(ValueError, match=message):
        GINConv(2).build(shapes)
