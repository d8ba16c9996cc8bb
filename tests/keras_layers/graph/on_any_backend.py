"""What the graph layers, momentum contrast and their losses answer on the backend that KERAS_BACKEND names.

python -m tests.keras_layers.graph.on_any_backend      prints it as one line of JSON
"""

import json

import keras
import numpy as np

from keras_layers import GINConv, JumpingKnowledgeReadout, LightGCNPropagation, MomentumContrast
from keras_layers.losses import BPR, InfoNCE
from tests.keras_layers.graph.graphs import edges_of, padded, random_graph, union

GRAPHS = [random_graph(0), random_graph(1, nodes=6)]


def filled(layer, shapes):
    layer.build(shapes)
    rng = np.random.default_rng(0)
    layer.set_weights([0.5 + 0.3 * rng.random(weight.shape) for weight in layer.get_weights()])
    return layer


def answers():
    features, edges, numbers = union(GRAPHS)
    edges = np.concatenate([edges, np.full((2, 2), -1, "int32")])
    dense = list(padded(GRAPHS))
    found = {}
    for aggregation in ("sum", "mean", "max"):
        layer = filled(GINConv((4, 3), aggregation), [features.shape, edges.shape])
        found[f"gin_{aggregation}"] = layer([features, edges], training=True)
        layer = filled(GINConv((4, 3), aggregation), [array.shape for array in dense])
        found[f"gin_{aggregation}_dense"] = layer(dense, training=True)
        readout = JumpingKnowledgeReadout(2, aggregation, graphs=2)
        shapes = [features.shape, features.shape, numbers.shape]
        found[f"readout_{aggregation}"] = filled(readout, shapes)([features, features**2, numbers])
    found["light_gcn"] = LightGCNPropagation()([GRAPHS[0][0], edges_of(GRAPHS[0][1])])
    rows = np.random.default_rng(2).standard_normal((5, 4, 3)).astype("float32")
    found["info_nce"] = InfoNCE(symmetric=True)(rows[:, 0], rows[:, 1])
    found["bpr"] = BPR(0.1)(np.zeros(5), rows)
    found |= contrast()
    return {name: keras.ops.convert_to_numpy(value).tolist() for name, value in found.items()}


def contrast():
    """The weights after three steps of `fit`."""
    view = keras.Input((6,))
    x = keras.layers.BatchNormalization()(keras.layers.Dense(8, use_bias=False)(view))
    encoder = keras.Model(view, keras.layers.UnitNormalization()(keras.layers.Dense(4, activation="tanh")(x)))
    rng = np.random.default_rng(3)
    # Small enough that no step saturates.
    encoder.set_weights([0.2 + 0.4 * rng.random(weight.shape) for weight in encoder.get_weights()])
    views = [keras.Input((6,)), keras.Input((6,))]
    layer = MomentumContrast(encoder, queue_size=8, momentum=0.5)
    model = keras.Model(views, layer(views))
    queue = rng.standard_normal((8, 4)).astype("float32")
    layer.queue.queue.assign(queue / np.linalg.norm(queue, axis=1, keepdims=True))
    model.compile(keras.optimizers.SGD(0.02), InfoNCE(0.5))
    data = [rng.standard_normal((12, 6)).astype("float32") for _ in views]
    model.fit(data, np.zeros(12), batch_size=4, shuffle=False, verbose=0)
    return {f"weight_{number}": weight for number, weight in enumerate(model.get_weights())}


if __name__ == "__main__":
    print(json.dumps(answers()))
