"""Layers that see only what comes before: over the positions of a grid in reading order, and over time.

Each computes all positions at once in `call`, and one more position from what it remembers of the ones before in
`step`, with the same result. What is needed for that is its state, a dictionary of tensors:

    state = layer.initial_state(batch, lengths, **conditions)      lengths (height, width) of a grid or (time,)
    outputs, state = layer.step(inputs, state, position)           (batch, channels) at one position
    outputs, state = layer.step_row(inputs, state, row)            (batch, width, channels): a row of a grid

`position` is (row, column) or (time,). Positions come in order from the first on. On a grid `step_row` comes before the
positions of each row, and what depends on them is None there; what `step_row` gives is None in `step`. A layer of mask
"A", which does not see the position itself, is given what lies before it instead: in `step` the inputs one to the left
(or one earlier), in `step_row` those of the row above. At a border, where there are none, it reads zeros whatever it is
given.
"""

from keras_layers.autoregressive.causal_conv1d import CausalConv1D
from keras_layers.autoregressive.gated_masked_block import GatedMaskedBlock
from keras_layers.autoregressive.logistic_mixture import LogisticMixture
from keras_layers.autoregressive.masked_conv2d import MaskedConv2D
from keras_layers.autoregressive.wavenet_block import WaveNetBlock

__all__ = ["CausalConv1D", "GatedMaskedBlock", "LogisticMixture", "MaskedConv2D", "WaveNetBlock"]
