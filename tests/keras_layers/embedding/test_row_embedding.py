"""RowEmbedding is a lookup, and touches the rows that are asked for and no others."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_layers import RowEmbedding
from tests.conformance.layers import CHECKS, LayerCase, name_of


@dataclasses.dataclass(frozen=True)
class IndexCase(LayerCase):
    """A layer that takes integers."""

    def inputs(self):
        return np.random.default_rng(0).integers(0, 5, self.input_shape).astype("int32")

    def model_inputs(self):
        return self.inputs()

    def free_shapes(self):
        return [tuple(None if axis in self.free_axes else length for axis, length in enumerate(self.input_shape))]

    def symbols(self, shapes):
        return [keras.Input(batch_shape=shapes[0], name="inputs", dtype="int32")]


ARGUMENTS = {"rows": 5, "channels": 3, "initializer": "zeros"}
CASES = [
    IndexCase("list", RowEmbedding, ARGUMENTS, (4, 2), free_axes=(0, 1), complete=True),
    IndexCase("one", RowEmbedding, {"rows": 5, "channels": 3}, (4,), free_axes=(0,)),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def test_it_is_a_lookup():
    layer = RowEmbedding(4, 3)
    layer.build((None,))
    table = layer.table.numpy()
    inputs = np.array([[3, 0], [3, 3]], "int64")
    np.testing.assert_array_equal(layer(inputs), table[inputs])
    reference = keras.layers.Embedding(4, 3)
    reference.build()
    reference.embeddings.assign(table)
    np.testing.assert_array_equal(layer(inputs), reference(inputs))


def test_the_gradient_names_the_rows():
    layer = RowEmbedding(1000, 3)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(tf.constant([7, 2, 7])) * [[1.0], [2.0], [3.0]])
    gradient = tape.gradient(loss, layer.table.value)
    assert isinstance(gradient, tf.IndexedSlices)
    assert gradient.indices.numpy().tolist() == [7, 2, 7]
    np.testing.assert_array_equal(gradient.values[:, 0], [1, 2, 3])


def test_the_graph_never_reads_the_table():
    """`keras.layers.Embedding` does, which is what this layer is for."""
    read = {}
    for layer in (RowEmbedding(1000, 3), keras.layers.Embedding(1000, 3)):
        layer.build((None,))
        graph = tf.function(layer).get_concrete_function(tf.TensorSpec((2,), tf.int32)).graph
        read[type(layer).__name__] = [node.type for node in graph.get_operations()].count("ReadVariableOp")
    assert read["RowEmbedding"] == 0 < read["Embedding"]


@pytest.mark.parametrize(
    ("arguments", "words"), [({"rows": 0}, "`rows`"), ({"channels": 1.5}, "`channels`"), ({"rows": True}, "`rows`")]
)
def test_arguments_that_are_none(arguments, words):
    with pytest.raises(ValueError, match=f"Expected {words}"):
        RowEmbedding(**{"rows": 2, "channels": 2, **arguments})


def test_inputs_that_are_no_integers():
    with pytest.raises(ValueError, match=r"Expected integers\. Received"):
        RowEmbedding(2, 2)(np.zeros(3, "float32"))
