"""Stops a training whose activations are no numbers any more, with the code book as it was."""

from __future__ import annotations

from typing import Any

import keras

from keras_layers.quantization.codebook import CodebookQuantizer


class CodebookGuard(keras.callbacks.Callback):
    """Ends `fit` at the first step in which a quantiser met a vector that is not finite.

    The quantiser itself has then left its statistics, and `VectorQuantizerEMA` its code book, as they were. A code book
    that the optimizer moves, that of `VectorQuantizer`, is put back to what it was before the step: an optimizer with
    momentum, or one that clips the gradients by their common norm, moves it whatever its own gradient.

    Args:
        error: class of the exception. Default ValueError.

    Raises:
        ValueError: or `error`, from `fit`, with the quantiser, epoch and step.

    Example:
        >>> import numpy
        >>> from keras_layers import VectorQuantizerEMA
        >>> latent = keras.Input((4,))
        >>> model = keras.Model(latent, VectorQuantizerEMA(codes=8, dimension=4, name="vq")(latent))
        >>> model.compile("sgd")
        >>> model.fit(numpy.full((1, 4), numpy.nan), verbose=0, callbacks=[CodebookGuard()])
        Traceback (most recent call last):
        ...
        ValueError: Expected finite vectors at quantizer 'vq'. Received NaN or infinity in epoch 1, step 1; its code \
book is as it was before.
    """

    def __init__(self, error: type[Exception] = ValueError):
        super().__init__()
        self.error = error

    def on_train_begin(self, logs: Any = None) -> None:
        self._epoch = 1
        layers = self.model._flatten_layers()
        self._quantizers = [layer for layer in layers if isinstance(layer, CodebookQuantizer) and layer.built]
        self._refused = [_number(layer.refused_steps) for layer in self._quantizers]

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch + 1

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._before = {
            layer: keras.ops.convert_to_numpy(layer.codebook) + 0.0
            for layer in self._quantizers
            if layer.trainable_codebook and layer.trainable
        }

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        for layer, before in zip(self._quantizers, self._refused, strict=True):
            if _number(layer.refused_steps) == before:
                continue
            for quantizer, codebook in self._before.items():
                quantizer.codebook.assign(codebook)
            raise self.error(
                f"Expected finite vectors at quantizer {layer.name!r}. Received NaN or infinity in epoch "
                f"{self._epoch}, step {batch + 1}; its code book is as it was before."
            )


def _number(variable: Any) -> float:
    return float(keras.ops.convert_to_numpy(variable))
