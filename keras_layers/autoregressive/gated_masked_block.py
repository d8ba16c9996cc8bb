"""The block of which a gated PixelCNN is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation
from keras_layers.autoregressive.gating import check_present, fixed_channels, fresh, gate, pointwise
from keras_layers.autoregressive.masked_conv2d import AXES, MaskedConv2D
from keras_layers.sublayers import keep_frozen

Shape = Sequence[int | None]


@keras.saving.register_keras_serializable(package="keras_layers")
class GatedMaskedBlock(keras.layers.Layer):
    """A vertical stack of masked convolutions that feeds a horizontal one, both gated; together without a blind spot.

    ```
    vertical ----> .vertical -----+----- (+ conditions) -> gate -------------------------------> vertical
                   rows above     |
                                .link 1x1
                                  v
    horizontal --> .horizontal -> + ---- (+ conditions) -> gate -> dropout -> .output 1x1 -> + -> horizontal
          \\        to the left                                                               ^
           `----------------------------------- with mask B ---------------------------------'
    ```

    gate(a, b) = tanh(a) sigmoid(b), of the two halves of 2 `filters` channels. A condition is a vector for every
    position (a class), or a map of the same height and width (codes of another level); each is projected and added
    before both gates.

    Args:
        filters: channels of both outputs; with mask "B" of the horizontal input too.
        kernel_size: (height, width) of the kernel of which half is seen, both odd; or one integer for both. Default 3.
        mask: "A" hides the position itself (from the vertical stack: its row) and adds no residual, which the first
            block must; "B" (default) shows it.
        dropout: share of the gated horizontal features left out in training. Default 0.0.
        kernel_initializer: of all kernels. Default "glorot_uniform".
        kernel_regularizer: of all kernels. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.

    Call arguments:
        inputs: list of the vertical and the horizontal features; to the first block both are the same.
        condition: a vector for each example, or None. Given at every call or at none.
        condition_map: a map for each example, or None. Given at every call or at none.

    Input shape:
        Two of (batch, height, width, channels); `condition` (batch, features), `condition_map` (batch, height, width,
        features). Batch, height and width may be None.

    Output shape:
        List of two of (batch, height, width, filters), in the compute dtype.

    Raises:
        ValueError: for an argument out of range, inputs that are not two tensors of rank 4, a horizontal input of other
            than `filters` channels with mask "B", or a condition that is there at one call and not at another.

    Example:
        >>> first, block = GatedMaskedBlock(64, kernel_size=7, mask="A"), GatedMaskedBlock(64)
        >>> image = keras.ops.zeros((1, 32, 32, 3))
        >>> vertical, horizontal = block(first([image, image]))
        >>> tuple(horizontal.shape)
        (1, 32, 32, 64)

    Reference:
        van den Oord et al., "Conditional Image Generation with PixelCNN Decoders" (2016), figure 2 and equations 4, 5.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int] = 3,
        mask: str = "B",
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = validation.positive_integer(filters, "filters")
        self.dropout = validation.fraction(dropout, "dropout")
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        shared = {"kernel_regularizer": self.kernel_regularizer, "dtype": self.dtype_policy}
        self.vertical, self.horizontal = (
            MaskedConv2D(
                2 * self.filters,
                kernel_size,
                mask,
                stack,
                kernel_initializer=fresh(self.kernel_initializer),
                name=stack,
                **shared,
            )
            for stack in ("vertical", "horizontal")
        )
        self.mask, self.kernel_size = self.horizontal.mask, self.horizontal.kernel_size
        self.link = pointwise(self, 2 * self.filters, "link", use_bias=False)
        self.drop = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy, name="drop")
        self.output_projection = pointwise(self, self.filters, "output")
        self.condition_projection = None
        self.map_projection = None

    def build(
        self,
        inputs_shape: Sequence[Shape],
        condition_shape: Shape | None = None,
        condition_map_shape: Shape | None = None,
    ) -> None:
        vertical, horizontal = self._checked(inputs_shape)
        channels = [fixed_channels(shape, 4, AXES) for shape in (vertical, horizontal)]
        if self.mask == "B" and channels[1] != self.filters:
            raise ValueError(
                f"Expected {self.filters} channels of the horizontal input, to which the output is added. "
                f"Received shape {tuple(horizontal)}."
            )
        self.vertical.build(vertical)
        self.horizontal.build(horizontal)
        self.link.build((*vertical[:-1], 2 * self.filters))
        gated = (*horizontal[:-1], self.filters)
        self.drop.build(gated)
        self.output_projection.build(gated)
        if condition_shape is not None:
            features = fixed_channels(condition_shape, 2, "(batch, features)", "condition")
            self.condition_projection = pointwise(self, 4 * self.filters, "condition", use_bias=False)
            self.condition_projection.build((None, features))
        if condition_map_shape is not None:
            features = fixed_channels(condition_map_shape, 4, "(batch, height, width, features)", "condition_map")
            self.map_projection = pointwise(self, 4 * self.filters, "condition_map", use_bias=False)
            self.map_projection.build((None, None, None, features))
        keep_frozen(self)

    def _checked(self, shapes: Any) -> tuple[Shape, Shape]:
        if len(shapes) != 2 or any(isinstance(shape, int | None) or len(shape) != 4 for shape in shapes):
            raise ValueError(f"Expected two inputs, both of shape {AXES}. Received shapes {shapes}.")
        return tuple(map(tuple, shapes))

    def call(
        self, inputs: Sequence[Any], condition: Any = None, condition_map: Any = None, training: bool | None = None
    ) -> list[Any]:
        vertical, horizontal = inputs
        conditions = self._conditions(condition, condition_map)
        above = self.vertical(vertical)
        left = self.horizontal(horizontal) + self.link(above)
        if conditions is not None:
            above = above + conditions[..., : 2 * self.filters]
            left = left + conditions[..., 2 * self.filters :]
        return [gate(above), self._finished(left, horizontal, training)]

    def _finished(self, features: Any, horizontal: Any, training: bool | None) -> Any:
        outputs = self.output_projection(self.drop(gate(features), training=training))
        return outputs + horizontal if self.mask == "B" else outputs

    def _conditions(self, condition: Any, condition_map: Any) -> Any:
        """What the conditions add before the vertical and the horizontal gate, side by side; None without any."""
        check_present("condition", condition, self.condition_projection)
        check_present("condition_map", condition_map, self.map_projection)
        total = None
        if condition is not None:
            total = ops.expand_dims(self.condition_projection(condition), (1, 2))
        if condition_map is not None:
            projected = self.map_projection(condition_map)
            total = projected if total is None else total + projected
        return total

    def initial_state(
        self, batch: Any, lengths: Sequence[Any], condition: Any = None, condition_map: Any = None
    ) -> dict[str, Any]:
        """What the block remembers before the first position, what the conditions add among it.

        Args:
            batch: its size.
            lengths: (height, width) of the grid.
            condition: as of the call.
            condition_map: as of the call.
        """
        state = {
            "vertical": self.vertical.initial_state(batch, lengths),
            "horizontal": self.horizontal.initial_state(batch, lengths),
            # What the row pass leaves for the positions of the row, the columns first.
            "link": ops.zeros((lengths[1], batch, 2 * self.filters), self.compute_dtype),
        }
        conditions = self._conditions(condition, condition_map)
        if conditions is not None:
            # Rows first; one row for all where there is no map.
            state["conditions"] = ops.transpose(conditions, (1, 0, 2, 3))
        return state

    def step_row(self, inputs: Sequence[Any], state: dict[str, Any], row: Any) -> tuple[list[Any], dict[str, Any]]:
        """The vertical stack of one row; see `keras_layers.autoregressive`.

        Args:
            inputs: list whose first is (batch, width, channels) of the row, with mask "A" of the row above.
            state: from `initial_state` or the last step.
            row: its number, from 0.

        Returns:
            list of (batch, width, filters) and None, and the state.
        """
        above, vertical = self.vertical.step_row(inputs[0], state["vertical"], row)
        link = self.link(above)
        if "conditions" in state:
            conditions = state["conditions"]
            added = conditions[0] if self.map_projection is None else ops.take(conditions, row, axis=0)
            above = above + added[..., : 2 * self.filters]
            link = link + added[..., 2 * self.filters :]
        return [gate(above), None], {**state, "vertical": vertical, "link": ops.transpose(link, (1, 0, 2))}

    def step(
        self, inputs: Sequence[Any], state: dict[str, Any], position: Sequence[Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """The horizontal stack at one position; see `keras_layers.autoregressive`.

        Args:
            inputs: list whose second is (batch, channels) at the position, with mask "A" of the one to its left.
            state: from `step_row` of the row, or the last step.
            position: (row, column), from 0.

        Returns:
            list of None and (batch, filters), and the state.
        """
        left, horizontal = self.horizontal.step(inputs[1], state["horizontal"], position)
        features = left + ops.take(state["link"], position[1], axis=0)
        return [None, self._finished(features, inputs[1], training=False)], {**state, "horizontal": horizontal}

    def compute_output_shape(
        self,
        inputs_shape: Sequence[Shape],
        condition_shape: Shape | None = None,
        condition_map_shape: Shape | None = None,
    ) -> list[tuple[int | None, ...]]:
        return [(*shape[:-1], self.filters) for shape in self._checked(inputs_shape)]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "mask": self.mask,
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }
