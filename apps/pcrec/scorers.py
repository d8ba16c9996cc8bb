"""How a published recommender scores all items, in TensorFlow: by vectors, or by weights between items."""

from __future__ import annotations

import abc
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from apps.pcrec.recommendation import fold_in_matrix
from apps.pcrec.recommenders import ItemWeights
from apps.pcrec.recommenders.vectors import Vectors
from apps.pcrec.runs import Run
from keras_layers import RowEmbedding
from tools.errors import InputError

# Items of which weights between each two are published: 1.6 GB.
MOST_WEIGHED_ITEMS = 20_000


def constant(array: np.ndarray) -> tf.Variable:
    """Numbers that a SavedModel keeps with its variables, where nothing limits their size."""
    return tf.Variable(array, trainable=False)


class Scorer(abc.ABC):
    """Scores of all items, float32 (B, items).

    Attributes:
        inputs: of the Functional model that says the same, by name.
        scores: its output.
        description: for the model card.
        parameters: how many numbers were learned, of weights those that are not 0.
        tells_near: whether `nearness` tells items apart.
        can_be_silent: whether all scores but those of the items met can be 0, where nothing links these to others.
    """

    inputs: dict[str, Any]
    scores: Any
    description: str
    parameters: int
    tells_near: bool
    can_be_silent: bool

    @abc.abstractmethod
    def of_users(self, user: tf.Tensor) -> tf.Tensor:
        """For the users of these indices (B,)."""

    @abc.abstractmethod
    def of_items(self, met: tf.Tensor) -> tf.Tensor:
        """For somebody who met the items that are 1 in (B, items), the others 0."""

    @abc.abstractmethod
    def nearness(self, item: tf.Tensor) -> tf.Tensor:
        """How near every item is to those of these indices (B,), -inf where not at all."""


class VectorScorer(Scorer):
    """The products of vectors; somebody new has the vector that `fold_in_matrix` makes of theirs.

    Args:
        vectors: of users and items.
        run: what they belong to.
    """

    can_be_silent = False

    def __init__(self, vectors: Vectors, run: Run):
        user = keras.Input((), dtype="int32", name="user")
        self._users = RowEmbedding(*vectors.user.shape, initializer="zeros", name="users")
        self._items = keras.layers.Dense(len(vectors.item), use_bias=False, name="items")
        self.inputs, self.scores = {"user": user}, self._items(self._users(user))
        self._users.table.assign(vectors.user)
        self._items.kernel.assign(vectors.item.T)
        self._fold_in = constant(fold_in_matrix(vectors, run))
        norms = np.linalg.norm(vectors.item, axis=1, keepdims=True)
        self._directions = constant(vectors.item / np.maximum(norms, 1e-12))
        # Vectors of one number all point the same way.
        self.tells_near = vectors.item.shape[1] > 1
        self.description = f"vectors of length {vectors.item.shape[1]}"
        self.parameters = int(vectors.user.size + vectors.item.size)

    def of_users(self, user: tf.Tensor) -> tf.Tensor:
        return self._items(self._users(user))

    def of_items(self, met: tf.Tensor) -> tf.Tensor:
        count = tf.reduce_sum(met, axis=1, keepdims=True)
        total = tf.matmul(met, self._items.kernel, transpose_b=True) / tf.sqrt(tf.maximum(count, 1.0))
        return self._items(tf.matmul(total, self._fold_in))

    def nearness(self, item: tf.Tensor) -> tf.Tensor:
        return tf.matmul(tf.gather(self._directions, item), self._directions, transpose_b=True)


class WeightScorer(Scorer):
    """The sum of what the items that somebody met speak for.

    Args:
        recommender: ease or item_knn.

    Raises:
        InputError: for more items than weights between each two can be published of.
    """

    tells_near = can_be_silent = True

    def __init__(self, recommender: ItemWeights):
        items = recommender.shape[1]
        if items > MOST_WEIGHED_ITEMS:
            raise InputError(
                f"Expected at most {MOST_WEIGHED_ITEMS} items to publish weights between each two of them. "
                f"Received {items}."
            )
        met = keras.Input((items,), name="met")
        layer = keras.layers.Dense(items, use_bias=False, kernel_initializer="zeros", name="weights")
        self.inputs, self.scores = {"met": met}, layer(met)
        weights = recommender.weights()
        layer.kernel.assign(weights)
        self._weights = layer.kernel
        train = recommender.train.sorted_indices()
        self._offsets, self._met = constant(train.indptr.astype("int32")), constant(train.indices.astype("int32"))
        self.description = "weights between items"
        self.parameters = int(np.count_nonzero(weights))

    def of_users(self, user: tf.Tensor) -> tf.Tensor:
        met = tf.ragged.range(tf.gather(self._offsets, user), tf.gather(self._offsets, user + 1))
        places = tf.stack([met.value_rowids(), tf.cast(tf.gather(self._met, met.values), tf.int64)], axis=1)
        size = tf.stack([tf.size(user, tf.int64), self._weights.shape[0]])
        return self._sum(tf.SparseTensor(places, tf.ones(tf.shape(met.values)), size))

    def of_items(self, met: tf.Tensor) -> tf.Tensor:
        return self._sum(tf.sparse.from_dense(met))

    def nearness(self, item: tf.Tensor) -> tf.Tensor:
        weights = tf.gather(self._weights.value, item)
        return tf.where(weights > 0, weights, -np.inf)

    def _sum(self, met: tf.SparseTensor) -> tf.Tensor:
        return tf.sparse.sparse_dense_matmul(met, self._weights.value)


def scorer_of(run: Run, recommender: Any) -> Scorer:
    """The scorer of a run's recommender."""
    if isinstance(recommender, Vectors):
        return VectorScorer(recommender, run)
    return WeightScorer(recommender)
