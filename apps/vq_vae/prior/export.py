"""Publishes a prior of images with its autoencoder: samples, and pixels to codes and back.

    signature                 input                                          output
    serving_default, sample   seed: int64 (B,), label: int32 (B,),           images: float32 (B, height, width,
                              temperature: float32 (B,), top_k: int32 (B,),  channels), 0 to 255;
                              top_p: float32 (B,)                            codes: int32 (B, h, w)
    encode, decode,           as of `image_export`
    reconstruct

`label` is there if the prior knows classes: their numbers are the places of their names in "classes" of model.json.
Values out of range end as INVALID_ARGUMENT. A row depends on its own seed alone.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import tensorflow as tf

from apps.vq_vae.images import export as image_export
from apps.vq_vae.models import info
from apps.vq_vae.prior.runs import PriorRun
from apps.vq_vae.prior.sampling import check_images, decode, sample_codes
from tools.saved_model import Published, Signature, publish

DEFAULT = "serving_default"


def export(run: PriorRun, *, base: str | os.PathLike, name: str, version: int | None = None) -> Published:
    """Publishes the prior and its autoencoder under base/name/version.

    Args:
        run: a trained prior of images.
        base: directory of all published models.
        name: of the published model.
        version: default the next free one.

    Raises:
        InputError: if the prior is of another medium, the version exists, or the gate refuses the result.
    """
    check_images(run)
    return publish(run.model, signatures(run), base=base, name=name, version=version, card=_card(run))


def signatures(run: PriorRun) -> dict[str, Signature]:
    """The five signatures; the examples are two samples."""
    classes = len(run.names.get("label", ()))

    def sample(seed: tf.Tensor, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        checks = []
        if classes:
            message = f"Expected label of at least 0 and less than {classes}."
            right = tf.reduce_all((inputs["label"] >= 0) & (inputs["label"] < classes))
            checks.append(tf.debugging.Assert(right, [message, inputs["label"]]))
        with tf.control_dependencies([check for check in checks if check is not None]):
            codes = run.sampler(tf.identity(seed), **inputs)
        return {
            "images": image_export.pixels(run.autoencoder.likelihood, run.autoencoder.decoder(codes, training=False)),
            "codes": codes,
        }

    inputs, example = _sampling_inputs(classes)
    sampling = Signature(sample, inputs, example)
    drawn = sample_codes(run, example["seed"], example.get("label"))
    of_autoencoder = image_export.signatures(run.autoencoder, decode(run.autoencoder, drawn))
    return {**of_autoencoder, "sample": sampling, DEFAULT: sampling}


def _sampling_inputs(classes: int) -> tuple[dict[str, tf.TensorSpec], dict[str, np.ndarray]]:
    """What `sample` takes, and two examples of it."""
    columns = {
        "seed": (tf.int64, [1, 2]),
        "temperature": (tf.float32, [1.0, 0.8]),
        "top_k": (tf.int32, [0, 8]),
        "top_p": (tf.float32, [1.0, 0.95]),
    }
    if classes:
        columns["label"] = (tf.int32, [0, classes - 1])
    specs = {name: tf.TensorSpec((None,), dtype) for name, (dtype, _) in columns.items()}
    return specs, {name: np.array(values, dtype.as_numpy_dtype) for name, (dtype, values) in columns.items()}


def _card(run: PriorRun) -> dict[str, Any]:
    model = run.config["model"]
    return {
        **image_export.card(run.autoencoder),
        "prior": model["name"],
        "prior_overrides": model["overrides"],
        "prior_source": info(model["name"]).source,
        "prior_parameters": run.model.count_params(),
        "classes": list(run.names.get("label", ())),
    }
