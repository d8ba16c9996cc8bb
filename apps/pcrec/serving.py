"""What a published recommender answers: the functions behind the signatures, in TensorFlow.

    signature         input                                                   output
    serving_default   user id (B,), k int32 (B,), exclude, allow id (B, n)    item id (B, k), score, count, source
    top_k             user id (B,), k int32 (B,)                              the same
    fold_in           items id (B, n), k int32 (B,), exclude, allow           the same
    similar_items     item id (B,), k int32 (B,)                              item id (B, k), score, count

An id is string or int64, as in the log. `exclude` and `allow` are filled up with the id that stands for none: "" or the
model card's `none`; a row of them alone excludes nothing, allows everything.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from apps.pcrec.recommenders.vectors import Vectors
from apps.pcrec.runs import Run
from apps.pcrec.scorers import Scorer, constant
from keras_layers import RowEmbedding
from tools.saved_model import Signature

# What LiteRT takes from the score of an item that is left out; scores of a sound model are far smaller.
LEFT_OUT = 1e9


def none_of(ids: np.ndarray) -> Any:
    """The id that stands for none: "", or the largest negative number below all ids."""
    return "" if ids.dtype.kind == "U" else min(-1, int(ids.min()) - 1)


class Finder:
    """From ids to indices in the graph, -1 for those that are not known.

    Args:
        ids: sorted.
        name: of the layer that holds the table, of words only.
    """

    def __init__(self, ids: np.ndarray, name: str):
        self.words = ids.dtype.kind == "U"
        self.layer = None
        if self.words:
            unknown = "[unknown]"
            while unknown in ids:
                unknown += "]"
            self.layer = keras.layers.StringLookup(
                vocabulary=ids.tolist(), num_oov_indices=1, oov_token=unknown, name=name
            )
        else:
            self._sorted = constant(ids.astype("int64"))

    def __call__(self, asked: tf.Tensor) -> tf.Tensor:
        if self.layer is not None:
            return tf.cast(self.layer(asked), tf.int32) - 1
        flat = tf.reshape(asked, [-1])
        place = tf.minimum(tf.searchsorted(self._sorted, flat), tf.size(self._sorted) - 1)
        found = tf.where(tf.equal(tf.gather(self._sorted, place), flat), place, -1)
        return tf.reshape(found, tf.shape(asked))


class Service:
    """The served functions of a run.

    Args:
        run: a trained recommender.
        scorer: how it scores.
    """

    def __init__(self, run: Run, scorer: Scorer):
        self.run, self.items, self.scorer = run, len(run.items), scorer
        self.none = none_of(run.items)
        self.kind = tf.string if run.items.dtype.kind == "U" else tf.int64
        self.user_kind = tf.string if run.users.dtype.kind == "U" else tf.int64
        self.find_user, self.find_item = Finder(run.users, "user_ids"), Finder(run.items, "item_ids")
        self.model = scoring_model(scorer, self.find_user, self.find_item)
        ids = run.items.astype(object) if run.items.dtype.kind == "U" else run.items
        self._ids = tf.constant(ids, self.kind)
        self._offsets, self._met = constant(run.offsets.astype("int32")), constant(run.met)
        self._known, self._popularity = constant(run.trained & run.personal), constant(run.popularity)

    # === signatures ===

    def signatures(self) -> dict[str, Signature]:
        """All signatures with two examples: the first and the last user, their items."""
        run = self.run
        ids = {"user": self.user_kind, "items": self.kind, "item": self.kind}
        one = {"k": tf.TensorSpec((None,), tf.int32)}
        lists = {name: tf.TensorSpec((None, None), self.kind) for name in ("exclude", "allow")}
        users, items = _array(run.users[[0, -1]]), _array(run.items[[0, -1]])
        k = {"k": np.full(2, min(3, self.items), "int32")}
        some = {"exclude": items[:, None], "allow": _array(np.array([[self.none] * 2] * 2, run.items.dtype))}

        def single(name: str) -> dict[str, tf.TensorSpec]:
            return {name: tf.TensorSpec((None,), ids[name])}

        found = {
            "serving_default": Signature(
                self.recommend, {**single("user"), **one, **lists}, {"user": users, **k, **some}
            ),
            "top_k": Signature(self.top_k, {**single("user"), **one}, {"user": users, **k}),
            "fold_in": Signature(
                self.fold_in,
                {"items": tf.TensorSpec((None, None), self.kind), **one, **lists},
                {"items": np.stack([items, items]), **k, **some},
            ),
        }
        if self.scorer.tells_near:
            found["similar_items"] = Signature(self.similar_items, {**single("item"), **one}, {"item": items, **k})
        return found

    def recommend(
        self, user: tf.Tensor, k: tf.Tensor, exclude: tf.Tensor | None = None, allow: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """The best items that the user has not met; the most popular for somebody nothing was learned of."""
        index = self.find_user(user)
        found, safe = index >= 0, tf.maximum(index, 0)
        begin = tf.gather(self._offsets, safe)
        length = tf.where(found, tf.gather(self._offsets, safe + 1) - begin, 0)
        ranges = tf.ragged.range(begin, begin + length)
        rows, met = ranges.value_rowids(), tf.gather(self._met, ranges.values)
        scores = self.scorer.of_users(safe)
        known = found & tf.gather(self._known, safe)
        if self.scorer.can_be_silent:
            known &= tf.reduce_any(self._put(0.0, scores, rows, met) != 0, axis=1)
        scores = self._put(-np.inf, tf.where(known[:, None], scores, self._popularity), rows, met)
        source = tf.where(known, "user", "popularity")
        return {**self._best(self._within(scores, exclude, allow), k), "source": source}

    def top_k(self, user: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """`recommend` without lists."""
        return self.recommend(user, k)

    def fold_in(self, items: tf.Tensor, k: tf.Tensor, exclude: tf.Tensor, allow: tf.Tensor) -> dict[str, tf.Tensor]:
        """The best items for somebody who met these; where none of them is known the most popular."""
        index = self.find_item(items)
        # A matrix of ones counts an item once, however often it is named.
        size = tf.stack([tf.shape(index)[0], self.items])
        met = self._marked(size, index)
        # What nobody met in training tells nothing.
        learned = tf.where(self._popularity > 0, met, 0.0)
        known = tf.reduce_any(learned > 0, axis=1) & self.run.personal
        scores = self.scorer.of_items(learned)
        if self.scorer.can_be_silent:
            known &= tf.reduce_any((scores != 0) & (met == 0), axis=1)
        scores = tf.where(met > 0, -np.inf, tf.where(known[:, None], scores, self._popularity))
        return {**self._best(self._within(scores, exclude, allow), k), "source": tf.where(known, "items", "popularity")}

    def similar_items(self, item: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """The nearest items, by the cosine of the vectors or by the weight; none for one not known from training."""
        index = self.find_item(item)
        safe = tf.maximum(index, 0)
        scores = self._put(-np.inf, self.scorer.nearness(safe), tf.range(tf.size(safe)), safe)
        learned = self._popularity > 0
        known = (index >= 0) & tf.gather(learned, safe)
        return self._best(tf.where(known[:, None] & learned, scores, -np.inf), k)

    # === parts ===

    def _put(self, value: float, scores: tf.Tensor, rows: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        places = tf.stack([tf.cast(rows, tf.int32), tf.cast(items, tf.int32)], axis=1)
        return tf.tensor_scatter_nd_update(scores, places, tf.fill(tf.shape(items), value))

    def _marked(self, size: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        """Ones at the known items of each row, float32 of this size."""
        places = tf.cast(tf.where(index >= 0), tf.int32)
        items = tf.gather_nd(index, places)
        return tf.tensor_scatter_nd_update(
            tf.zeros(size), tf.stack([places[:, 0], items], axis=1), tf.ones(tf.shape(items))
        )

    def _within(self, scores: tf.Tensor, exclude: tf.Tensor | None, allow: tf.Tensor | None) -> tf.Tensor:
        if exclude is None or allow is None:
            return scores
        index = self.find_item(exclude)
        places = tf.where(index >= 0)
        scores = self._put(-np.inf, scores, places[:, 0], tf.gather_nd(index, places))
        limited = tf.reduce_any(tf.not_equal(allow, self.none), axis=1)

        def allowed_only() -> tf.Tensor:
            allowed = self._marked(tf.shape(scores), self.find_item(allow)) > 0
            return tf.where(limited[:, None] & ~allowed, -np.inf, scores)

        # Most requests have no such list, and need not pay for one.
        return tf.cond(tf.reduce_any(limited), allowed_only, lambda: scores)

    def _best(self, scores: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """The best of each row, filled up to the largest k of the batch with the id that stands for none."""
        sound = [
            tf.debugging.assert_greater_equal(k, 1, "Expected k of at least 1."),
            tf.debugging.assert_less_equal(
                k, self.items, f"Expected k up to {self.items}, the items of the catalogue."
            ),
        ]
        with tf.control_dependencies(sound):
            most = tf.reduce_max(k)
        values, places = tf.math.top_k(scores, most)
        real = tf.math.is_finite(values) & (tf.range(most) < k[:, None])
        return {
            "item": tf.where(real, tf.gather(self._ids, places), tf.constant(self.none, self.kind)),
            "score": tf.where(real, values, 0.0),
            "count": tf.reduce_sum(tf.cast(real, tf.int32), axis=1),
        }


def scoring_model(scorer: Scorer, find_user: Finder, find_item: Finder) -> keras.Model:
    """The scorer's model; the tables of words hang on it as outputs of their own."""
    inputs, outputs = dict(scorer.inputs), {"scores": scorer.scores}
    for name, finder in (("user_id", find_user), ("item_id", find_item)):
        if finder.layer is not None:
            inputs[name] = keras.Input((), dtype="string", name=name)
            outputs[name] = finder.layer(inputs[name])
    return keras.Model(inputs, outputs, name="recommender")


def _array(ids: np.ndarray) -> np.ndarray:
    return ids.astype(object) if ids.dtype.kind == "U" else ids


# === LiteRT ===


def lite_model(vectors: Vectors, k: int, exclude: int) -> keras.Model:
    """For devices: the index of a user and indices not to answer with -> the best k indices and their scores.

    Where fewer than k are left, the rest of the indices are -1.

    Args:
        vectors: of users and items.
        k: how many items; fixed in the file.
        exclude: how many indices can be left out; -1 stands for none.
    """
    # === layers ===
    users = RowEmbedding(*vectors.user.shape, initializer="zeros", name="users")
    items = keras.layers.Dense(len(vectors.item), use_bias=False, name="items")
    # The file names its outputs by the last layers.
    best, score = keras.layers.Identity(name="item"), keras.layers.Identity(name="score")

    # === functional graph ===
    user = keras.Input((), dtype="int32", name="user")
    left_out = keras.Input((exclude,), dtype="int32", name="exclude")
    scores = items(users(user))
    marked = keras.ops.max(keras.ops.one_hot(left_out, len(vectors.item)), axis=1)
    values, places = keras.ops.top_k(scores - LEFT_OUT * marked, k)
    left = keras.ops.cast(values > -LEFT_OUT / 2, "int32")
    outputs = {"item": best((keras.ops.cast(places, "int32") + 1) * left - 1), "score": score(values)}
    model = keras.Model({"user": user, "exclude": left_out}, outputs, name="recommender")
    users.table.assign(vectors.user)
    items.kernel.assign(vectors.item.T)
    return model
