"""The networks: both forms agree, numbering changes nothing, they train, they leave for the edge."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.pcrec.models.gin import ENCODER_INPUTS, ContrastivePretraining, GINClassifier, GINEncoder
from apps.pcrec.sampling import Graph, ViewSampler, embed, pair_dataset, view_dataset
from keras_layers.losses import InfoNCE
from tests.apps.pcrec.sampling.graphs import interactions

GRAPH = interactions()
SAMPLER = ViewSampler(GRAPH, budget=30)
LENGTH = 24


def randomised(model, seed=0):
    rng = np.random.default_rng(seed)
    model.set_weights([weight + 0.2 * rng.random(weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def encoder():
    keras.utils.set_random_seed(0)
    return randomised(GINEncoder(units=16, classes=8))


def padded(views, length=LENGTH):
    """The inputs of the form with padding, of a disjoint union."""
    count = views.graphs[-1] + 1
    first = np.searchsorted(views.graphs, np.arange(count))
    places = np.arange(len(views.nodes)) - first[views.graphs]
    inputs = {
        "positions": np.zeros((count, length, 32), "float32"),
        "degrees": np.zeros((count, length), "int32"),
        "seeds": np.zeros((count, length, 1), "float32"),
        "adjacency": np.zeros((count, length, length), "float32"),
        "mask": np.zeros((count, length), "float32"),
    }
    for name in ("positions", "degrees", "seeds"):
        inputs[name][views.graphs, places] = getattr(views, name)
    inputs["mask"][views.graphs, places] = 1
    source, target = views.edges.T
    inputs["adjacency"][views.graphs[source], places[target], places[source]] = 1
    return inputs


def test_parameters_are_those_of_the_reference():
    """GCC's encoder without the biases that a normalization takes away: by hand."""
    model = GINEncoder()
    first, others = 49 * 64 + 64 * 64, 3 * 2 * 64 * 64
    readouts = (49 + 1) * 64 + 4 * (64 + 1) * 64
    assert model.count_params() == 513 * 16 + first + others + 4 * 2 * 4 * 64 + readouts
    assert (
        sum(weight.shape.num_elements() for weight in model.trainable_weights) == model.count_params() - 4 * 2 * 2 * 64
    )


def test_vectors_have_norm_one_and_inputs_their_names(encoder):
    views = SAMPLER.views(np.array([0, 29, 40]), np.random.default_rng(0))
    vectors = np.asarray(encoder(views.inputs()))
    assert vectors.shape == (3, 8) and set(encoder.input) == set(ENCODER_INPUTS) == set(views.inputs())
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_padded_graphs_answer_as_lists_of_edges(encoder):
    views = SAMPLER.views(np.array([0, 29, 40, 7]), np.random.default_rng(1))
    dense = GINEncoder(units=16, classes=8, nodes=LENGTH)
    dense.set_weights(encoder.get_weights())
    np.testing.assert_allclose(dense(padded(views)), encoder(views.inputs()), rtol=1e-4, atol=1e-5)


def test_equal_subgraphs_of_other_numbers_have_one_vector(encoder):
    """Sampled from a graph whose nodes and edges were numbered anew: the same vectors, if the nodes are the same."""
    rng = np.random.default_rng(3)
    users, items = rng.integers(0, 12, 60), rng.integers(0, 9, 60)
    new_user, new_item, order = rng.permutation(12), rng.permutation(9), rng.permutation(60)
    graphs = [
        Graph.bipartite(users, items, 12, 9),
        Graph.bipartite(new_user[users[order]], new_item[items[order]], 12, 9),
    ]
    new = np.concatenate([new_user, 12 + new_item])
    vectors = [
        encoder(ViewSampler(graph, method="neighbourhood", hops=2).views(seeds, rng).inputs())
        for graph, seeds in zip(graphs, (np.arange(21), new), strict=True)
    ]
    np.testing.assert_allclose(vectors[0], vectors[1], rtol=1e-3, atol=1e-4)
    # And other subgraphs have others.
    apart = np.abs(vectors[0][:, None] - vectors[0][None]).max(-1) + np.eye(21)
    assert np.median(apart) > 1e-3


def test_saving(encoder, tmp_path):
    encoder.save(tmp_path / "encoder.keras")
    inputs = SAMPLER.views(np.array([0, 40]), np.random.default_rng(0)).inputs()
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "encoder.keras")(inputs), encoder(inputs))


def test_streams_are_the_same_with_any_number_of_workers():
    def batches(workers, first_step=0, steps=4):
        stream = pair_dataset(SAMPLER, batch_size=5, steps=steps, seed=3, first_step=first_step, workers=workers)
        return [{name: array.numpy() for name, array in inputs.items()} for inputs, _ in stream]

    alone, together, later = batches(1), batches(3), batches(2, first_step=2, steps=2)
    for one, other in zip(alone + alone[2:], together + later, strict=True):
        for name, array in one.items():
            np.testing.assert_array_equal(array, other[name])
    assert not np.array_equal(alone[0]["query_positions"], alone[1]["query_positions"])
    assert alone[0]["query_graphs"].max() == 4 and alone[0]["key_graphs"].max() == 4


def test_embedding_is_in_the_order_of_the_nodes_and_the_mean_of_views(encoder):
    nodes = np.array([7, 0, 29, 40, 3])
    vectors = embed(encoder, SAMPLER, nodes, views=1, batch_size=2, seed=1)
    assert vectors.shape == (5, 8) and vectors.dtype == np.float32
    seed = int(np.random.SeedSequence((1, 0)).generate_state(1)[0])
    second = SAMPLER.views(nodes[2:4], np.random.default_rng((seed, 1)))
    np.testing.assert_allclose(vectors[2:4], encoder(second.inputs()), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(vectors, embed(encoder, SAMPLER, nodes, views=1, batch_size=2, seed=1, workers=1))
    both = embed(encoder, SAMPLER, nodes, views=2, batch_size=2, seed=1)
    assert (np.linalg.norm(both, axis=1) < 1.0001).all() and np.abs(both - vectors).max() > 1e-4
    # An isolated node has one view only.
    np.testing.assert_allclose(both[2], vectors[2], rtol=1e-5, atol=1e-6)
    assert embed(encoder, SAMPLER, np.zeros(0, np.int64)).shape == (0, 8)
    assert len(list(view_dataset(SAMPLER, np.arange(5), batch_size=2))) == 3


def test_pretraining_learns_and_trains_the_encoder_itself():
    keras.utils.set_random_seed(0)
    encoder = GINEncoder(units=16, classes=8, convolutions=2, dropout=0.0)
    before = encoder.get_layer("degree_embedding").embeddings.numpy().copy()
    model = ContrastivePretraining(encoder, queue_size=64, momentum=0.9, seed=0)
    model.compile(keras.optimizers.Adam(0.01), InfoNCE(), metrics=["accuracy"])
    stream = pair_dataset(SAMPLER, batch_size=16, steps=60, seed=0)
    history = model.fit(stream, epochs=3, steps_per_epoch=20, verbose=0, shuffle=False).history
    assert history["loss"][-1] < history["loss"][0] and history["accuracy"][-1] > 2 / 65
    assert (encoder.get_layer("degree_embedding").embeddings.numpy() != before).any()
    assert model.get_layer("contrast").encoder is encoder


def tu_batch(seed=0, graphs=3, features=4):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 9, graphs)
    numbers = np.repeat(np.arange(graphs), sizes).astype("int32")
    first = np.cumsum(sizes) - sizes
    links = [np.triu(rng.random((size, size)) < 0.5, 1) for size in sizes]
    edges = np.concatenate([np.argwhere(link | link.T) + begin for link, begin in zip(links, first, strict=True)])
    return {
        "features": np.eye(features, dtype="float32")[rng.integers(0, features, len(numbers))],
        "edges": edges.astype("int32"),
        "graphs": numbers,
    }


def test_the_classifier_equals_the_reference_by_hand():
    """Pools of every depth, the raw features among them, each with its own dense layer, summed."""
    model = randomised(GINClassifier(input_shape=(4,), classes=3, units=5, convolutions=2))
    batch = tu_batch()
    depths = [batch["features"]]
    for number in (1, 2):
        depths.append(model.get_layer(f"convolution_{number}")([depths[-1], batch["edges"]]))
    expected = 0.0
    for dense, features in zip(model.get_layer("readout").denses, depths, strict=True):
        pool = np.stack([np.asarray(features)[batch["graphs"] == number].sum(0) for number in range(3)])
        expected = expected + pool @ dense.kernel.numpy() + dense.bias.numpy()
    np.testing.assert_allclose(model(batch), expected, rtol=1e-4, atol=1e-4)


def test_the_classifier_leaves_for_the_edge(tmp_path):
    """A file of built-in operators only, that answers as the list of edges does."""
    from tools.lite import Runner
    from tools.lite.conversion import convert_saved, save

    model = randomised(GINClassifier(input_shape=(4,), classes=3, units=5, convolutions=2))
    dense = GINClassifier(input_shape=(4,), classes=3, units=5, convolutions=2, nodes=9)
    dense.set_weights(model.get_weights())
    batch = tu_batch(graphs=1)
    count = len(batch["graphs"])
    inputs = {
        "adjacency": np.zeros((1, 9, 9), "float32"),
        "features": np.zeros((1, 9, 4), "float32"),
        "mask": (np.arange(9) < count).astype("float32")[None],
    }
    inputs["features"][0, :count] = batch["features"]
    inputs["adjacency"][0, batch["edges"][:, 1], batch["edges"][:, 0]] = 1
    save(dense, [tensor.shape[1:] for tensor in dense.inputs], tmp_path / "saved")
    convert_saved(tmp_path / "saved", tmp_path / "gin.tflite", "float32", None)
    answers = Runner(tmp_path / "gin.tflite")(inputs)
    np.testing.assert_allclose(answers, model(batch), rtol=1e-4, atol=1e-4)


def test_a_list_of_edges_leaves_for_the_edge_too(tmp_path):
    """With sizes that stay free: segment operations are built-in operators."""
    from ai_edge_litert.interpreter import Interpreter

    model = randomised(GINClassifier(input_shape=(4,), classes=3, units=5, convolutions=2, aggregation="mean"))
    model.export(tmp_path / "saved", format="tf_saved_model", verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = Interpreter(model_content=converter.convert())
    runner = interpreter.get_signature_runner("serving_default")
    batch = tu_batch()
    np.testing.assert_allclose(next(iter(runner(**batch).values())), model(batch), rtol=1e-4, atol=1e-4)
