"""VQ-VAE of audio: strided convolutions to codes, and a WaveNet from codes and speaker back to the waveform.

van den Oord et al., "Neural Discrete Representation Learning" (2017), section 4.3; the time jitter is of Chorowski et
al., "Unsupervised Speech Representation Learning Using WaveNet Autoencoders" (2019).

    waveform -> mu_law -> encoder -> quantizer -> jitter -> decoder -> logits of the level of every sample
                   |      strided                            ^ ^       from those before it, the codes and the speaker
                   `------convolutions-----------------------' '-- speaker

    decoder:  samples -> embedding -> first -> block_1 -> block_2 -> ...     residual
                                      mask A    ^  `-> skip ^  `-> skip ...  summed -> hidden 1x1 -> logits
              code vectors -> local convolution (+ speaker) -> repeated -> every block;  speaker -> every block
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from apps.vq_vae.models.arguments import checked_count, checked_lengths, input_errors
from apps.vq_vae.models.image_autoencoder import BIASES, make_quantizer
from keras_layers import CausalConv1D, LogisticMixture, MuLaw, TimeJitter, WaveNetBlock
from keras_layers.validation import fraction, one_of, positive_integer
from tools.errors import InputError
from tools.registry import ModelInfo

LEVELS = 256
LIKELIHOODS = ("categorical", "logistic_mixture")
# The window of every strided convolution of the encoder, and its stride.
WINDOW, STRIDE = 4, 2


@dataclasses.dataclass(frozen=True)
class WaveNet:
    """The sizes of the decoder; see `AudioVQVAE`. Without components the levels have a softmax."""

    filters: int
    loops: int
    layers: int
    kernel_size: int
    skip_filters: int
    local_units: int
    dropout: float
    components: int


# === Functional graph ===


def AudioVQVAE(
    encoder_units: int = 512,
    downsamplings: int = 6,
    quantizer: str = "ema",
    codes: int = 512,
    code_dimension: int = 64,
    quantizer_options: Mapping[str, Any] | None = None,
    jitter: float = 0.12,
    likelihood: str = "categorical",
    components: int = 10,
    filters: int = 128,
    loops: int = 2,
    layers: int = 10,
    kernel_size: int = 2,
    skip_filters: int = 256,
    local_units: int = 256,
    dropout: float = 0.0,
    input_shape: Sequence[int | None] = (None,),
    classes: int = 0,
    name: str | None = None,
) -> keras.Model:
    """An autoencoder of audio whose latents are codes.

    The layers "encoder" and "decoder" are Functional models, "quantizer" a quantiser of this suite. The decoder is
    autoregressive: it gives the mu-law level of each sample from the samples before it, the codes of the whole
    recording and the speaker. In the model it reads the samples of the input; `audio_generation` samples from it.

    Args:
        encoder_units: channels of the strided convolutions.
        downsamplings: strided convolutions of window 4 and stride 2: one code for 2^downsamplings samples, 64 by
            default.
        quantizer: "ema" (default), "gradient", "residual" or "finite_scalar"; see `ImageVQVAE`.
        codes: size K of each code book; not of "finite_scalar".
        code_dimension: length D of a code vector; not of "finite_scalar".
        quantizer_options: further arguments of the quantiser's layer by name.
        jitter: probability with which a code vector is replaced by a neighbour in time, in training only.
        likelihood: of the mu-law levels: "categorical" (default), each by itself; or "logistic_mixture", a mixture of
            logistics over the levels, rounded to them.
        components: of the mixture.
        filters: channels of the residual path and of the gates of the WaveNet.
        loops: how often the dilations run from 1 to 2^(layers - 1).
        layers: blocks in a loop. The logits see the last 2 + loops (kernel_size - 1) (2^layers - 1) samples.
        kernel_size: taps of every dilated convolution.
        skip_filters: channels of the skip path and of the 1x1 convolution before the logits.
        local_units: channels of the convolution of the code vectors that every block sees.
        dropout: share of the gated features of every block left out in training, 0 to 1 (excluded). Default 0.0.
        input_shape: (time,), a multiple of 2^downsamplings, or None.
        classes: number of speakers; 0 for a model that knows none.
        name: name of the model. Default "vq_vae_audio".

    Returns:
        A Functional model. Inputs, by name: "waveform", float32 (batch, time), between -1 and 1; with classes
        "speaker", int32 (batch,). Output: logits of the 256 mu-law levels, float32 (batch, time, 256) under every dtype
        policy.

    Raises:
        InputError: for an argument out of range.
    """
    # Layers
    (time,) = checked_lengths(input_shape, ("time",))
    with input_errors():
        for value, argument in (
            (encoder_units, "encoder_units"),
            (downsamplings, "downsamplings"),
            (filters, "filters"),
            (loops, "loops"),
            (layers, "layers"),
            (skip_filters, "skip_filters"),
            (local_units, "local_units"),
            (components, "components"),
        ):
            positive_integer(value, argument)
        checked_count(classes, "classes")
        fraction(jitter, "jitter")
        one_of(likelihood, LIKELIHOODS, "likelihood")
        layer = make_quantizer(quantizer, codes, code_dimension, {} if quantizer_options is None else quantizer_options)
        mixed = components if likelihood == "logistic_mixture" else 0
        sizes = WaveNet(filters, loops, layers, kernel_size, skip_filters, local_units, dropout, mixed)
        factor = STRIDE**downsamplings
        if time is not None and time % factor:
            raise InputError(
                f"Expected a time that is a multiple of {factor}, {STRIDE} to the power of `downsamplings`. "
                f"Received {time}."
            )
        encoder = audio_encoder(encoder_units, downsamplings, layer.channels)
        decoder = audio_decoder(sizes, factor, layer.channels, classes, BIASES.get(quantizer))

    # Functional graph
    inputs = {"waveform": keras.Input((time,), name="waveform", dtype="float32")}
    if classes:
        inputs["speaker"] = keras.Input((), name="speaker", dtype="int32")
    samples = MuLaw(LEVELS, name="mu_law")(inputs["waveform"])
    vectors = TimeJitter(jitter, name="jitter")(layer(encoder(samples)))
    conditions = {"speaker": inputs["speaker"]} if classes else {}
    logits = decoder({"samples": samples, "code_vectors": vectors, **conditions})

    # Configuration
    # Keras takes a list for a dictionary only in the order of the names.
    return keras.Model(dict(sorted(inputs.items())), logits, name=name or "vq_vae_audio")


def audio_encoder(units: int, downsamplings: int, channels: int) -> keras.Model:
    """From mu-law levels int32 (batch, time) to latents (batch, time / 2^downsamplings, channels)."""
    samples = keras.Input((None,), name="samples", dtype="int32")
    x = keras.layers.Reshape((-1, 1), name="signal")(samples)
    x = keras.layers.Rescaling(2 / (LEVELS - 1), -1.0, name="scaled")(x)
    for number in range(1, downsamplings + 1):
        x = keras.layers.Conv1D(
            units,
            WINDOW,
            strides=STRIDE,
            padding="same",
            activation="relu",
            kernel_initializer="he_normal",
            name=f"strided_{number}",
        )(x)
    return keras.Model(samples, keras.layers.Conv1D(channels, 1, name="to_codes")(x), name="encoder")


def audio_decoder(
    sizes: WaveNet,
    factor: int,
    channels: int,
    classes: int,
    bias: keras.initializers.Initializer | None = None,
) -> keras.Model:
    """From samples, code vectors and speaker to the logits of every sample, which depend on the samples before it.

    Args:
        sizes: of the WaveNet.
        factor: samples of one code.
        channels: of the code vectors.
        classes: number of speakers; 0 for none.
        bias: initial bias of the convolution of the code vectors.
    """
    inputs = {
        "code_vectors": keras.Input((None, channels), name="code_vectors", dtype="float32"),
        "samples": keras.Input((None,), name="samples", dtype="int32"),
    }
    convolution = keras.layers.Conv1D(
        sizes.local_units, 3, padding="same", bias_initializer=bias or "zeros", name="local_convolution"
    )
    local = convolution(inputs["code_vectors"])
    conditions: dict[str, Any] = {}
    if classes:
        inputs["speaker"] = keras.Input((), name="speaker", dtype="int32")
        speaker = keras.layers.Embedding(classes, sizes.filters, name="speaker_embedding")(inputs["speaker"])
        conditions["global_condition"] = speaker
        offset = keras.layers.Dense(sizes.local_units, use_bias=False, name="local_speaker")(speaker)
        local = keras.layers.Add(name="local_and_speaker")(
            [local, keras.layers.Reshape((1, sizes.local_units), name="at_every_code")(offset)]
        )
    local = keras.layers.Activation("relu", name="local_relu")(local)
    local = keras.layers.Conv1D(sizes.filters, 1, name="local_features")(local)
    conditions["local_condition"] = keras.layers.UpSampling1D(factor, name="repeated")(local)

    x = keras.layers.Embedding(LEVELS, sizes.filters, name="embedding")(inputs["samples"])
    x = CausalConv1D(sizes.filters, 2, mask="A", name="first")(x)
    skips = []
    count = sizes.loops * sizes.layers
    for number in range(count):
        block = WaveNetBlock(
            sizes.filters,
            2 ** (number % sizes.layers),
            sizes.kernel_size,
            skip_filters=sizes.skip_filters,
            residual=number + 1 < count,
            dropout=sizes.dropout,
            name=f"block_{number + 1}",
        )
        outputs = block(x, **conditions)
        x, skip = outputs if block.residual else (x, outputs)
        skips.append(skip)
    x = keras.layers.Add(name="skips")(skips) if len(skips) > 1 else skips[0]
    x = keras.layers.Activation("relu", name="relu")(x)
    x = keras.layers.Dense(sizes.skip_filters, activation="relu", name="hidden")(x)
    if sizes.components:
        parameters = keras.layers.Dense(3 * sizes.components, dtype="float32", name="parameters")(x)
        logits = LogisticMixture(LEVELS, dtype="float32", name="logits")(parameters)
    else:
        logits = keras.layers.Dense(LEVELS, dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name="decoder")


# === The two halves ===


def audio_encoder_of(model: keras.Model) -> keras.Model:
    """Waveforms float32 (batch, time) to codes: int32 (batch, time / factor), or (batch, time / factor, n) with n codes
    at a place."""
    waveform = next(tensor for tensor in model.inputs if tensor.name == "waveform")
    samples = model.get_layer("mu_law")(waveform)
    codes = model.get_layer("quantizer").encode(model.get_layer("encoder")(samples))
    return keras.Model(waveform, codes, name=f"{model.name}_encoder")


def factor_of(model: keras.Model) -> int:
    """Samples of one code."""
    return model.get_layer("decoder").get_layer("repeated").size


def reach_of(model: keras.Model) -> int:
    """Samples before one that its logits see, besides the codes."""
    decoder = model.get_layer("decoder")
    blocks = [layer for layer in decoder.layers if isinstance(layer, WaveNetBlock)]
    return decoder.get_layer("first").kernel_size + sum(
        (block.kernel_size - 1) * block.dilation_rate for block in blocks
    )


# === Registered models ===

SOURCE = "van den Oord et al. 2017, section 4.3: six convolutions of window 4 and stride 2, 512 codes"
MODELS = (
    ModelInfo(
        name="vq_vae_speech",
        constructor=AudioVQVAE,
        arguments={},
        input_shape=(40_960,),
        classes=109,
        parameters=9_207_872,
        multiply_adds=147_776_503_808,
        preprocessing="waveform between -1 and 1",
        source=f"{SOURCE}; D = 64 and the sizes of the WaveNet, which it does not state, are this suite's",
    ),
    ModelInfo(
        name="vq_vae_speech_tiny",
        constructor=AudioVQVAE,
        arguments={
            "encoder_units": 96,
            "codes": 128,
            "code_dimension": 32,
            "filters": 32,
            "loops": 1,
            "layers": 8,
            "kernel_size": 3,
            "skip_filters": 96,
            "local_units": 96,
        },
        input_shape=(2048,),
        classes=6,
        parameters=363_648,
        multiply_adds=310_234_112,
        preprocessing="waveform between -1 and 1",
        source="ours: sizes that two cores train on 8 kHz speech, six speakers",
    ),
)
