"""Publishes an autoencoder of images: pixels to codes, codes to pixels, pixels to pixels.

    signature         input                                        output
    serving_default   images: uint8 (B, height, width, channels)   images: float32, 0 to 255, of the same shape
    reconstruct       the same                                     the same
    encode            images: uint8 (B, height, width, channels)   codes: int32 (B, h, w), or (B, h, w, n)
    decode            codes: int32, as `encode` gives them         images: float32 (B, height, width, channels)

Images that come out are expected values, not rounded. Codes out of range end as INVALID_ARGUMENT.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from apps.vq_vae.images.data import scaled, spread
from apps.vq_vae.images.runs import Run
from apps.vq_vae.likelihoods import HALF_RANGE, Likelihood
from apps.vq_vae.models import info
from apps.vq_vae.runs import APPLICATION
from tools.saved_model import Published, Signature, publish

# Of int8, for its ranges.
REPRESENTATIVE = 64


def export(
    run: Run, images: np.ndarray, *, base: str | os.PathLike, name: str, version: int | None = None
) -> Published:
    """Publishes the run under base/name/version with the signatures of this module.

    Args:
        run: a trained autoencoder.
        images: uint8; the first two are the examples that the gate runs.
        base: directory of all published models.
        name: of the published model.
        version: default the next free one.

    Raises:
        InputError: if the version exists, or the gate refuses the result.
    """
    return publish(run.model, signatures(run, images[:2]), base=base, name=name, version=version, card=card(run))


def signatures(run: Run, examples: np.ndarray) -> dict[str, Signature]:
    """The four signatures, with examples uint8 (n, height, width, channels)."""
    encoder, decoder = run.encoder, run.decoder
    quantizer = run.model.get_layer("quantizer")
    count = quantizer.code_count

    def encode(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"codes": encoder(scaled(images), training=False)}

    def decode(codes: tf.Tensor) -> dict[str, tf.Tensor]:
        message = f"Expected codes of at least 0 and less than {count}."
        checks = [
            tf.debugging.assert_greater_equal(codes, 0, message),
            tf.debugging.assert_less(codes, count, message),
        ]
        with tf.control_dependencies([check for check in checks if check is not None]):
            return {"images": pixels(run.likelihood, decoder(tf.identity(codes), training=False))}

    def reconstruct(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"images": pixels(run.likelihood, run.model(scaled(images), training=False))}

    shown = {"images": tf.TensorSpec((None, *run.shape), tf.uint8)}
    codes = {"codes": tf.TensorSpec((None, *encoder.output_shape[1:]), tf.int32)}
    chosen = np.asarray(encoder(scaled(examples), training=False))
    return {
        "serving_default": Signature(reconstruct, shown, {"images": examples}),
        "reconstruct": Signature(reconstruct, shown, {"images": examples}),
        "encode": Signature(encode, shown, {"images": examples}),
        "decode": Signature(decode, codes, {"codes": chosen}),
    }


def pixels(likelihood: Likelihood, outputs: Any) -> Any:
    """The expected images of a decoder's outputs, float32 0 to 255."""
    return tf.clip_by_value((likelihood.mean(outputs) + HALF_RANGE) * 255, 0.0, 255.0)


def card(run: Run) -> dict[str, Any]:
    """What model.json says of an autoencoder."""
    model, quantizer = run.config["model"], run.model.get_layer("quantizer")
    return {
        "application": APPLICATION,
        "model": model["name"],
        "overrides": model["overrides"],
        "source": info(model["name"]).source,
        "parameters": run.model.count_params(),
        "input": "uint8 pixels",
        "preprocessing": "pixels / 255 - 0.5, in the graph",
        "likelihood": run.likelihood.name,
        "codes": quantizer.code_count,
    }


# === LiteRT ===


@keras.saving.register_keras_serializable(package="kapps")
class ExpectedPixels(keras.layers.Layer):
    """The expected image of a decoder's outputs, in pixel values: `clip(255 (mean + 1/2), 0, 255)`.

    Args:
        likelihood: name of the likelihood.
        **kwargs: `name` and `dtype`, as of every Keras layer.

    Input shape:
        (batch, height, width, parameters), as the likelihood reads it.

    Output shape:
        (batch, height, width, channels), float32.
    """

    def __init__(self, likelihood: str, **kwargs: Any):
        from apps.vq_vae.likelihoods import find

        super().__init__(**{"dtype": "float32", **kwargs})
        self.likelihood = likelihood
        self._distribution = find(likelihood)

    def call(self, inputs: Any) -> Any:
        return keras.ops.clip((self._distribution.mean(inputs) + HALF_RANGE) * 255, 0.0, 255.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "likelihood": self.likelihood}


def lite_encoder(run: Run) -> keras.Model:
    """Pixels, float32 0 to 255, to codes."""
    images = keras.Input(run.shape, name="images")
    codes = run.encoder(keras.layers.Rescaling(1 / 255, -HALF_RANGE, name="preprocessing")(images))
    # An identity, to give the output its name.
    codes = keras.layers.Identity(name="codes", dtype="int32")(codes)
    return keras.Model(images, {"codes": codes}, name="vq_vae_encoder")


def lite_decoder(run: Run) -> keras.Model:
    """Codes to pixels, float32 0 to 255."""
    codes = keras.Input(run.decoder.input_shape[1:], name="codes", dtype="int32")
    return keras.Model(
        codes, {"images": ExpectedPixels(run.likelihood.name, name="images")(run.decoder(codes))}, name="vq_vae_decoder"
    )


def export_lite(
    run: Run, images: np.ndarray, folder: pathlib.Path, name: str, precision: str, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Writes folder/name_encoder_precision.tflite and folder/name_decoder_precision.tflite, each with its report.

    The encoder's report says under `agreement.codes.equal_share` how many of its codes are those of Keras.

    Args:
        run: a trained autoencoder.
        images: uint8, of which int8 takes its ranges, and on which agreement is measured.
        folder: for the files.
        name: of the published model.
        precision: "float32", "float16", "dynamic" or "int8".
        tell: called with a line about each stage that takes long.
    """
    from tools.lite import convert

    chosen = spread(images, REPRESENTATIVE)
    codes = np.asarray(run.encoder(scaled(chosen), training=False))
    folder.mkdir(exist_ok=True)
    results = []
    for part, model, inputs in (
        ("encoder", lite_encoder(run), chosen.astype(np.float32)),
        ("decoder", lite_decoder(run), codes),
    ):
        path = folder / f"{name}_{part}_{precision}.tflite"
        tell(f"{part}, {precision}")
        report = convert(model, path, precision=precision, representative=inputs, rewrite=False, tell=tell)
        results.append({"path": str(path), "report": report})
    return results
