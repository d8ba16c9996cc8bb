"""An encoder that learns by telling two views of one thing from views of others, beside a slow copy of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_layers import validation
from keras_layers.contrastive.key_queue import KeyQueue

_DROPOUTS = (keras.layers.Dropout, keras.layers.AlphaDropout, keras.layers.GaussianDropout)


@keras.saving.register_keras_serializable(package="keras_layers")
class MomentumContrast(keras.layers.Layer):
    """Momentum contrast: an encoder makes queries of one view, a slowly moving copy of it the keys of the other.

    ```
    first view  --> encoder ----------------------> queries --> KeyQueue --> similarities, own key in column 0
    second view --> key encoder, without gradient --> keys  -->
    ```

    In training, before the keys are made, every parameter of the key encoder follows that of the encoder:
    `key <- momentum key + (1 - momentum) own`, with what the last step made of the encoder. Statistics of batch
    normalizations do not follow: those of the key encoder normalise by each batch, as in training, and keep moving
    statistics of their own; they never normalise by these in training, which would give queries and keys different
    scales. Dropout is off in the key encoder. Outside of training nothing moves, and both use their moving statistics.

    The layer works in `fit`, with `InfoNCE` (or sparse cross-entropy of the similarities over the temperature) and the
    label 0 for every example, on one replica, as its `KeyQueue`. The encoder to keep is `.encoder`.

    Args:
        encoder: a Functional or Sequential model of one output (batch, channels), best of norm 1. This model is
            trained, not a copy.
        queue_size: keys in the queue. Default 16384.
        momentum: how much of itself the key encoder keeps in a step. Default 0.999.
        seed: of the queue at the start. Default None.
        **kwargs: `name`, `dtype` and `trainable`, as of every Keras layer. The encoders keep their own dtype policies.

    Input shape:
        A list of two views, each what the encoder takes: a tensor, or a list or dictionary of tensors.

    Output shape:
        (batch, 1 + queue_size).

    Raises:
        ValueError: for an argument out of range, or an encoder that is no built model of one output (batch, channels).

    Example:
        >>> image = keras.Input((16,))
        >>> encoder = keras.Model(image, keras.layers.UnitNormalization()(keras.layers.Dense(8)(image)))
        >>> views = [keras.Input((16,)), keras.Input((16,))]
        >>> model = keras.Model(views, MomentumContrast(encoder, queue_size=64)(views))
        >>> model.output_shape
        (None, 65)

    Reference:
        He et al., "Momentum Contrast for Unsupervised Visual Representation Learning" (2020); normalization as in Qiu
        et al., "GCC: Graph Contrastive Coding for Graph Neural Network Pre-Training" (2020), the authors' code.
    """

    def __init__(
        self,
        encoder: keras.Model,
        queue_size: int = 16384,
        momentum: float = 0.999,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not isinstance(encoder, keras.Model) or not encoder.built or not _is_vector(encoder):
            raise ValueError(
                f"Expected `encoder` to be a built model of one output (batch, channels). Received {encoder!r}."
            )
        self.encoder = encoder
        self.momentum = validation.fraction(momentum, "momentum")
        self.queue = KeyQueue(queue_size, seed, dtype=self.dtype_policy, name="queue")
        # PyTorch clears gradients by the paths of variables: with one path for two, those of the encoder would add up.
        with keras.name_scope("key_encoder"):
            self.key_encoder = type(encoder).from_config(encoder.get_config())
        self.synchronize()
        for layer in self.key_encoder._flatten_layers():
            if isinstance(layer, _DROPOUTS):
                layer.rate = 0.0
        self._share_out(self.trainable)

    @property
    def trainable(self) -> bool:
        """Whether the encoder is trained, and the key encoder follows it."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        keras.layers.Layer.trainable.fset(self, value)
        self._share_out(value)

    def synchronize(self) -> None:
        """Gives the key encoder the weights of the encoder; for an encoder whose weights were changed by hand."""
        self.key_encoder.set_weights(self.encoder.get_weights())

    def build(self, input_shape: Sequence[Any]) -> None:
        queries = self.encoder.output_shape
        self.queue.build([queries, queries])

    def call(self, inputs: Sequence[Any], training: bool | None = None) -> Any:
        first, second = inputs
        if training and self.trainable:
            self._follow()
        queries = self.encoder(first, training=training)
        keys = ops.stop_gradient(self.key_encoder(second, training=training))
        return self.queue([queries, keys], training=training)

    def _follow(self) -> None:
        statistics = {
            id(weight)
            for layer in self.encoder._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization)
            for weight in (layer.moving_mean, layer.moving_variance)
        }
        for own, key in zip(self.encoder.weights, self.key_encoder.weights, strict=True):
            if id(own) not in statistics and keras.backend.is_float_dtype(own.dtype):
                key.assign(self.momentum * key + (1.0 - self.momentum) * own)

    def _share_out(self, trainable: bool) -> None:
        """Takes the parameters of the key encoder from the optimizer, and leaves its normalizations in training.

        Of a frozen layer everything is frozen. Each layer is told for itself, because TensorFlow passes over the
        assignment of the value that an attribute has, and with it what is inside.
        """
        if not trainable:
            for layer in self._flatten_layers(include_self=False):
                layer.trainable = False
            return
        for layer in self.key_encoder._flatten_layers():
            layer.trainable = False
        for layer in self.key_encoder._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                # Of a frozen normalization Keras uses the moving statistics, also in training.
                layer.trainable = True
                for parameter in (layer.gamma, layer.beta):
                    if parameter is not None:
                        parameter.trainable = False

    def compute_output_shape(self, input_shape: Sequence[Any]) -> tuple[int | None, ...]:
        if len(input_shape) != 2:
            raise ValueError(f"Expected two views. Received shapes {input_shape}.")
        return (self.encoder.compute_output_shape(input_shape[0])[0], 1 + self.queue.size)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "queue_size": self.queue.size,
            "momentum": self.momentum,
            "seed": self.queue.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MomentumContrast:
        return cls(**{**config, "encoder": keras.saving.deserialize_keras_object(config["encoder"])})


def _is_vector(encoder: keras.Model) -> bool:
    shape = encoder.output_shape
    return isinstance(shape, tuple) and len(shape) == 2 and isinstance(shape[-1], int)
