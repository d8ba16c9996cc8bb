"""CodebookGuard: training stops at the step in which activations are no numbers, the code books as they were."""

import keras
import numpy as np
import pytest

from keras_layers import CodebookGuard, VectorQuantizer, VectorQuantizerEMA


class Stop(Exception):
    """An error of a caller's own."""


def trained(kind, optimizer, inputs, callback):
    latent = keras.Input((4,))
    quantizer = kind(8, 4, initializer="normal", seed=0, name="vq")
    outputs = keras.layers.Dense(4, name="decoder")(quantizer(keras.layers.Dense(4, name="encoder")(latent)))
    model = keras.Model(latent, outputs)
    model.compile(optimizer, "mse")
    before = []

    class Remember(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            before.append({weight.path: weight.numpy().copy() for weight in quantizer.weights})

    with pytest.raises(Stop) as caught:
        model.fit(inputs, inputs, batch_size=4, epochs=2, shuffle=False, verbose=0, callbacks=[Remember(), callback])
    return quantizer, before[-1], str(caught.value)


@pytest.mark.parametrize(
    "optimizer", [keras.optimizers.Adam(0.1), keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=1.0)]
)
@pytest.mark.parametrize("kind", [VectorQuantizer, VectorQuantizerEMA])
def test_training_stops_and_the_code_book_stays(kind, optimizer):
    inputs = np.random.default_rng(0).standard_normal((20, 4)).astype("float32")
    inputs[13, 2] = np.nan
    optimizer = optimizer.from_config(optimizer.get_config())
    quantizer, before, message = trained(kind, optimizer, inputs, CodebookGuard(Stop))
    assert message == (
        "Expected finite vectors at quantizer 'vq'. Received NaN or infinity in epoch 1, step 4; its code book is as "
        "it was before."
    )
    for weight in quantizer.weights:
        if not weight.path.endswith(("refused_steps", "batch_statistics")):
            np.testing.assert_array_equal(weight.numpy(), before[weight.path], err_msg=weight.path)


def test_it_lets_finite_training_pass_after_a_refusal_in_the_past():
    latent = keras.Input((4,))
    quantizer = VectorQuantizerEMA(8, 4, name="vq")
    model = keras.Model(latent, quantizer(latent))
    model.compile("sgd")
    quantizer(np.full((2, 4), np.nan, "float32"), training=True)
    model.fit(np.ones((8, 4)), batch_size=4, verbose=0, callbacks=[CodebookGuard()])
    assert float(quantizer.steps) == 2
