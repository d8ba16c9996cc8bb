"""Matrix factorisation: a vector for every user and every item."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from keras_layers import RowEmbedding


def MatrixFactorization(
    *,
    input_shape: Sequence[int] = (2,),
    classes: int = 64,
    users: int,
    items: int,
    initial_deviation: float = 0.01,
    seed: int = 0,
    name: str = "mf",
) -> keras.Model:
    """The vectors of users and of items that are ranked for them; `score = user . item`.

    Inputs: user int32 (batch,), and items int32 (batch, input_shape[0]), the item met first. Output: the vectors
    (batch, 1 + items, classes) of the user and the items, as `keras_layers.losses.BPR` takes them.

    Args:
        input_shape: (items ranked for a user,); of BPR the item met and the negatives.
        classes: length of a vector.
        users: how many there are.
        items: how many there are.
        initial_deviation: of the normal numbers that the vectors begin with.
        seed: of them.
        name: of the model.

    Reference:
        Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback" (2009), section 4.3.1.
    """
    # === layers ===
    user_table, item_table = (
        RowEmbedding(
            rows, classes, keras.initializers.RandomNormal(0.0, initial_deviation, 2 * seed + table), name=label
        )
        for table, (rows, label) in enumerate(((users, "user_vectors"), (items, "item_vectors")))
    )
    row = keras.layers.Reshape((1, classes), name="row")
    together = keras.layers.Concatenate(axis=1, name="vectors")

    # === functional graph ===
    user = keras.Input((), dtype="int32", name="user")
    ranked = keras.Input(tuple(input_shape), dtype="int32", name="items")
    outputs = together([row(user_table(user)), item_table(ranked)])
    return keras.Model({"user": user, "items": ranked}, outputs, name=name)
