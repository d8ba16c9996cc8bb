"""Adam that touches the rows with a gradient and no others."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class SparseAdam(keras.optimizers.Adam):
    """Adam whose moments of a row move only in the steps in which the row has a gradient.

    Of rows r with the summed gradient g, as of every entry in `keras.optimizers.Adam`:

        m_r <- beta_1 m_r + (1 - beta_1) g_r
        v_r <- beta_2 v_r + (1 - beta_2) g_r^2
        w_r <- w_r - learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m_r / (sqrt(v_r) + epsilon)

    In Adam itself a row without gradient moves on by its old moments, in every step, which costs a pass over the whole
    table a step. Gradients that are no `tf.IndexedSlices` are treated as Adam treats them.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        rows, place = tf.unique(gradient.indices)
        total = tf.math.unsorted_segment_sum(gradient.values, place, tf.size(rows))
        index = self._get_variable_index(variable)
        momentum, velocity = self._momentums[index].value, self._velocities[index].value
        first = self.beta_1 * momentum.sparse_read(rows) + (1 - self.beta_1) * total
        second = self.beta_2 * velocity.sparse_read(rows) + (1 - self.beta_2) * tf.square(total)
        momentum.scatter_update(tf.IndexedSlices(first, rows))
        velocity.scatter_update(tf.IndexedSlices(second, rows))
        step = tf.cast(self.iterations + 1, variable.dtype)
        rate = tf.cast(learning_rate, variable.dtype)
        rate *= tf.sqrt(1 - tf.pow(tf.cast(self.beta_2, variable.dtype), step))
        rate /= 1 - tf.pow(tf.cast(self.beta_1, variable.dtype), step)
        variable.scatter_sub(tf.IndexedSlices(rate * first / (tf.sqrt(second) + self.epsilon), rows))
