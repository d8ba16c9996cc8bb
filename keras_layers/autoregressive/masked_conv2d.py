"""A convolution that sees only what precedes in reading order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation
from keras_layers.autoregressive.gating import MASKS, fixed_channels, fresh
from keras_layers.sublayers import keep_frozen

STACKS = ("raster", "vertical", "horizontal")
AXES = "(batch, height, width, channels)"


@keras.saving.register_keras_serializable(package="keras_layers")
class MaskedConv2D(keras.layers.Layer):
    """A 2-D convolution over the positions of a grid that precede each position in reading order.

    ```
    raster           vertical, A      vertical, B      horizontal
    x x x x x        x x x x x        x x x x x        . . . . .       x  seen
    x x x x x        x x x x x        x x x x x        . . . . .       *  the position itself: seen with mask B,
    x x * . .        . . . . .        x x x x x        x x * . .          hidden with mask A
    ```

    Equal to a convolution with zeros on all sides ("same") whose kernel is masked, but without the weights that a mask
    would hide: the kernel is held as the part above, `.vertical`, and the part to the left, `.horizontal`. A stack of
    "raster" layers has a blind spot to the right above; a vertical stack that feeds a horizontal one has none.

    `step_row` serves the "vertical" and `step` the "horizontal" stack; "raster" has neither.

    Args:
        filters: channels of the output.
        kernel_size: (height, width) of the kernel of which half is seen, both odd; or one integer for both. Of the
            "horizontal" stack the width alone counts. Default 3.
        mask: "A" hides the position itself (with "vertical": its row), which a first layer must; "B" (default) shows
            it.
        stack: "raster" (default), "vertical" (rows above, in full width) or "horizontal" (to the left in the row).
        use_bias: whether a bias is added. Default True.
        kernel_initializer: of the kernels. Default "glorot_uniform".
        bias_initializer: of the bias. Default "zeros".
        kernel_regularizer: of the kernels. Default None.
        bias_regularizer: of the bias. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer.

    Input shape:
        (batch, height, width, channels), channels last; every axis but the channels may be None.

    Output shape:
        (batch, height, width, filters), in the compute dtype.

    Raises:
        ValueError: for an argument out of range, an even kernel, a kernel of which the mask leaves nothing, or an
            input that is not of rank 4 or has no fixed number of channels.

    Example:
        >>> layer = MaskedConv2D(64, kernel_size=7, mask="A")
        >>> tuple(layer(keras.ops.zeros((1, 32, 32, 3))).shape)
        (1, 32, 32, 64)

    Reference:
        van den Oord et al., "Pixel Recurrent Neural Networks" (2016), section 3.4; "Conditional Image Generation with
        PixelCNN Decoders" (2016), section 2.2, for the two stacks.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int] = 3,
        mask: str = "B",
        stack: str = "raster",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = validation.positive_integer(filters, "filters")
        self.kernel_size = validation.positive_integers(kernel_size, 2, "kernel_size")
        self.mask = validation.one_of(mask, MASKS, "mask")
        self.stack = validation.one_of(stack, STACKS, "stack")
        self.use_bias = bool(use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        if any(length % 2 == 0 for length in self.kernel_size):
            raise ValueError(f"Expected `kernel_size` to be odd. Received {kernel_size!r}.")

        height, width = self.kernel_size
        seen = int(self.mask == "B")
        # Rows above (of a vertical stack that sees its own row: with it), and columns to the left (the same).
        self._row_is_seen = seen if self.stack == "vertical" else 0
        self._rows = 0 if self.stack == "horizontal" else height // 2 + self._row_is_seen
        self._columns = 0 if self.stack == "vertical" else width // 2 + seen
        if not self._rows + self._columns:
            raise ValueError(
                f"Expected `kernel_size` to reach a position that mask {mask!r} shows. Received {kernel_size!r}."
            )
        self.horizontal = self._convolution("horizontal", (1, self._columns), self.use_bias)
        self.vertical = self._convolution("vertical", (self._rows, width), self.use_bias and not self._columns)

    def _convolution(self, name: str, kernel_size: tuple[int, int], use_bias: bool) -> keras.layers.Conv2D | None:
        if not all(kernel_size):
            return None
        return keras.layers.Conv2D(
            self.filters,
            kernel_size,
            data_format="channels_last",
            use_bias=use_bias,
            kernel_initializer=fresh(self.kernel_initializer),
            bias_initializer=self.bias_initializer,
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        channels = fixed_channels(input_shape, 4, AXES)
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: channels})
        for convolution in (self.vertical, self.horizontal):
            if convolution is not None:
                convolution.build((None, None, None, channels))
        keep_frozen(self)

    def call(self, inputs: Any) -> Any:
        outputs = None
        if self.vertical is not None:
            hidden = 1 - self._row_is_seen
            side = self.kernel_size[1] // 2
            seen = inputs[:, :-1] if hidden else inputs
            outputs = self.vertical(ops.pad(seen, ((0, 0), (self._rows - 1 + hidden, 0), (side, side), (0, 0))))
        if self.horizontal is not None:
            hidden = int(self.mask == "A")
            seen = inputs[:, :, :-1] if hidden else inputs
            left = self.horizontal(ops.pad(seen, ((0, 0), (0, 0), (self._columns - 1 + hidden, 0), (0, 0))))
            outputs = left if outputs is None else outputs + left
        return outputs

    def initial_state(self, batch: Any, lengths: Sequence[Any]) -> dict[str, Any]:
        """What the layer remembers before the first position.

        Args:
            batch: its size.
            lengths: (height, width) of the grid.

        Raises:
            ValueError: if the stack is "raster".
        """
        if self.stack == "raster":
            raise ValueError("Expected the stack 'vertical' or 'horizontal', which have steps. Received 'raster'.")
        channels = self.input_spec.axes[-1]
        before = (self._columns - 1,) if self.stack == "horizontal" else (self._rows - 1, lengths[1])
        return {"before": ops.zeros((batch, *before, channels), self.compute_dtype)}

    def step_row(self, inputs: Any, state: dict[str, Any], row: Any) -> tuple[Any, dict[str, Any]]:
        """One row of a "vertical" stack; see `keras_layers.autoregressive`.

        Args:
            inputs: (batch, width, channels) of the row, with mask "A" of the row above.
            state: from `initial_state` or the last step.
            row: its number, from 0.

        Returns:
            (batch, width, filters) and the state; without a "vertical" stack None and the state.
        """
        if self.stack != "vertical":
            return None, state
        if self.mask == "A":
            inputs = inputs * ops.cast(row > 0, inputs.dtype)
        rows = ops.concatenate([state["before"], ops.expand_dims(inputs, 1)], axis=1)
        side = self.kernel_size[1] // 2
        outputs = self.vertical(ops.pad(rows, ((0, 0), (0, 0), (side, side), (0, 0))))
        return ops.squeeze(outputs, 1), {"before": rows[:, 1:]}

    def step(self, inputs: Any, state: dict[str, Any], position: Sequence[Any]) -> tuple[Any, dict[str, Any]]:
        """One position of a "horizontal" stack; see `keras_layers.autoregressive`.

        Args:
            inputs: (batch, channels) at the position, with mask "A" of the one to its left.
            state: from `initial_state` or the last step.
            position: (row, column), from 0.

        Returns:
            (batch, filters) and the state; without a "horizontal" stack None and the state.
        """
        if self.stack != "horizontal":
            return None, state
        inside = ops.cast(position[1] > 0, inputs.dtype)
        if self.mask == "A":
            inputs = inputs * inside
        columns = ops.concatenate([state["before"] * inside, ops.expand_dims(inputs, 1)], axis=1)
        kernel = ops.cast(self.horizontal.kernel, inputs.dtype)
        outputs = ops.matmul(
            ops.reshape(columns, (-1, self._columns * inputs.shape[-1])), ops.reshape(kernel, (-1, self.filters))
        )
        if self.use_bias:
            outputs = outputs + ops.cast(self.horizontal.bias, inputs.dtype)
        return outputs, {"before": columns[:, 1:]}

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        fixed_channels((*tuple(input_shape)[:-1], 0), 4, AXES)
        return (*tuple(input_shape)[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "mask": self.mask,
            "stack": self.stack,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
        }
