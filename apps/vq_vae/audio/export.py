"""Publishes an autoencoder of audio: waveforms to codes, codes to waveforms, waveforms in another voice.

    signature         input                                                                     output
    encode            waveform: float32 (B, time), at the rate of the card                      codes: int32 (B, places)
    decode            codes: int32 (B, places); speaker, seed: int32 (B,); temperature          waveform: (B, samples)
    convert           waveform: float32 (B, samples); speaker, seed: int32 (B,); temperature    waveform: (B, samples)
    serving_default   as convert

The lengths of `decode` and `convert` are fixed at the export, that of `encode` is free; a time that is no multiple of
the samples of a code is followed by silence. `speaker` is only there where the model knows any. Codes and speakers out
of range, and samples that are not finite, end as INVALID_ARGUMENT.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from apps.vq_vae.audio.data import Recordings, padded
from apps.vq_vae.audio.runs import AudioRun
from apps.vq_vae.images.data import evenly
from apps.vq_vae.models import info
from apps.vq_vae.models.audio_autoencoder import LEVELS, factor_of
from apps.vq_vae.runs import APPLICATION
from keras_layers import mu_law_encode
from tools.errors import InputError
from tools.saved_model import Published, Signature, publish

# Of int8, for its ranges.
REPRESENTATIVE = 64
# What a sample of 1.0 is in 16 bits, one above the largest.
PCM = 2**15


def export(
    run: AudioRun,
    recordings: Recordings,
    *,
    seconds: float,
    base: str | os.PathLike,
    name: str,
    version: int | None = None,
) -> Published:
    """Publishes the run under base/name/version with the signatures of this module.

    Args:
        run: a trained autoencoder.
        recordings: the first two are the examples that the gate runs.
        seconds: of sound that `decode` and `convert` make, rounded up to a whole code.
        base: directory of all published models.
        name: of the published model.
        version: default the next free one.

    Raises:
        InputError: if the version exists, the seconds are none, or the gate refuses the result.
    """
    samples = samples_of(run, seconds)
    examples = pieces(recordings.take(range(min(2, len(recordings)))), samples)
    entries = signatures(run, examples)
    return publish(run.model, entries, base=base, name=name, version=version, card=_card(run, samples))


def samples_of(run: AudioRun, seconds: float) -> int:
    """Samples of so many seconds, a multiple of those of a code.

    Raises:
        InputError: if there are none.
    """
    if not 0 < seconds < float("inf"):
        raise InputError(f"Expected seconds above 0. Received {seconds}.")
    factor = factor_of(run.model)
    return -(-round(seconds * run.rate) // factor) * factor or factor


def pieces(recordings: Recordings, samples: int) -> np.ndarray:
    """The beginnings of the recordings, float32 (recordings, samples), shorter ones followed by silence."""
    return padded([*(waveform[:samples] for waveform in recordings.waveforms), np.zeros(samples)], 1)[0][:-1]


def signatures(run: AudioRun, examples: np.ndarray) -> dict[str, Signature]:
    """The four signatures, with examples float32 (n, samples)."""
    encoder, sampler, factor = run.encoder, run.sampler, factor_of(run.model)
    quantizer, count = run.model.get_layer("quantizer"), len(run.speakers)

    def encode(waveform: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"codes": encoder(tf.pad(waveform, [[0, 0], [0, -tf.shape(waveform)[1] % factor]]), training=False)}

    def decode(codes: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor, speaker: Any = None) -> dict[str, tf.Tensor]:
        with tf.control_dependencies(_checks(codes, quantizer.code_count, "codes")):
            codes = tf.identity(codes)
        if speaker is not None:
            with tf.control_dependencies(_checks(speaker, count, "speakers")):
                speaker = tf.identity(speaker)
        return {"waveform": sampler(codes, seed, speaker, temperature)}

    def convert(waveform: tf.Tensor, **others: tf.Tensor) -> dict[str, tf.Tensor]:
        return decode(encode(waveform)["codes"], **others)

    number = len(examples)
    sound = {"waveform": tf.TensorSpec((None, examples.shape[1]), tf.float32)}
    chosen = np.asarray(encoder(examples, training=False))
    codes = {"codes": tf.TensorSpec((None, *chosen.shape[1:]), tf.int32)}
    others = {"seed": tf.TensorSpec((None,), tf.int32), "temperature": tf.TensorSpec((None,), tf.float32)}
    given = {"seed": np.arange(number, dtype=np.int32), "temperature": np.ones(number, np.float32)}
    if count:
        others["speaker"] = tf.TensorSpec((None,), tf.int32)
        given["speaker"] = np.arange(number, dtype=np.int32) % count
    conversion = Signature(convert, {**sound, **others}, {"waveform": examples, **given})
    return {
        "serving_default": conversion,
        "convert": conversion,
        "encode": Signature(encode, {"waveform": tf.TensorSpec((None, None), tf.float32)}, {"waveform": examples}),
        "decode": Signature(decode, {**codes, **others}, {"codes": chosen, **given}),
    }


def _checks(values: tf.Tensor, count: int, what: str) -> list[Any]:
    message = f"Expected {what} of at least 0 and less than {count}."
    checks = [tf.debugging.assert_greater_equal(values, 0, message), tf.debugging.assert_less(values, count, message)]
    return [check for check in checks if check is not None]


def _card(run: AudioRun, samples: int) -> dict[str, Any]:
    model, quantizer = run.config["model"], run.model.get_layer("quantizer")
    return {
        "application": APPLICATION,
        "model": model["name"],
        "overrides": model["overrides"],
        "source": info(model["name"]).source,
        "parameters": run.model.count_params(),
        "input": f"waveform, float32 between -1 and 1, {run.rate} Hz, one channel",
        "preprocessing": "mu-law of 256 levels, in the graph",
        "rate": run.rate,
        "speakers": run.speakers,
        "samples": samples,
        "samples_of_a_code": factor_of(run.model),
        "codes": quantizer.code_count,
    }


# === LiteRT ===


@keras.saving.register_keras_serializable(package="kapps")
class LevelsOfPCM(keras.layers.Layer):
    """Mu-law levels, int32, of 16-bit samples, int32 from -32,768 to 32,767, by a table.

    Quantised to int8 the formula would see 256 values of a sample, a handful of them where speech is; a table of the
    65,536 stays exact.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._table = mu_law_encode(np.arange(-PCM, PCM, dtype="float32") / PCM, LEVELS)

    def call(self, pcm: Any) -> Any:
        return keras.ops.take(self._table, pcm + PCM, axis=0)

    def compute_output_spec(self, pcm: Any) -> keras.KerasTensor:
        return keras.KerasTensor(pcm.shape, dtype="int32")


def lite_encoder(run: AudioRun, samples: int) -> keras.Model:
    """16-bit samples, int32 (batch, samples), to codes."""
    pcm = keras.Input((samples,), name="pcm", dtype="int32")
    latents = run.model.get_layer("encoder")(LevelsOfPCM(name="mu_law")(pcm))
    # An identity, to give the output its name.
    codes = keras.layers.Identity(name="codes", dtype="int32")(run.model.get_layer("quantizer").encode(latents))
    return keras.Model(pcm, {"codes": codes}, name="vq_vae_audio_encoder")


def pcm_of(waveform: np.ndarray) -> np.ndarray:
    """The 16-bit samples of waveforms between -1 and 1, int32."""
    return np.clip(np.round(waveform * PCM), -PCM, PCM - 1).astype("int32")


def export_lite(
    run: AudioRun,
    recordings: Recordings,
    folder: pathlib.Path,
    name: str,
    precision: str,
    seconds: float,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Writes folder/name_encoder_precision.tflite with its report.

    The report says under `agreement.codes.equal_share` how many of the codes are those of Keras.

    Args:
        run: a trained autoencoder.
        recordings: of which int8 takes its ranges, and on which agreement is measured.
        folder: for the file.
        name: of the published model.
        precision: "float32", "float16", "dynamic" or "int8".
        seconds: of sound that the encoder takes, rounded up to a whole code.
        tell: called with a line about each stage that takes long.
    """
    from tools.lite import convert

    samples = samples_of(run, seconds)
    rows = evenly(len(recordings), REPRESENTATIVE)
    path = folder / f"{name}_encoder_{precision}.tflite"
    folder.mkdir(exist_ok=True)
    tell(f"encoder, {precision}")
    report = convert(
        lite_encoder(run, samples),
        path,
        precision=precision,
        representative=pcm_of(pieces(recordings.take(rows), samples)),
        rewrite=False,
        tell=tell,
    )
    return {"path": str(path), "report": report}
