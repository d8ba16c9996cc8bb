"""Publishes an action recognition model for TensorFlow Serving: it takes normalised clips, raw frames or JPEG frames.

    signature         input                                      output
    serving_default   clip    float32 (B, T, H, W, 3)            probabilities float32 (B, classes)
    uint8             frames  uint8   (B, T, any, any, 3), RGB   probabilities float32 (B, classes)
    encoded_frames    frames  string  (B, T), each a JPEG        probabilities float32 (B, classes)
    features          clip    float32 (B, T, H, W, 3)            features      float32 (B, features)

A model of optical flow, whose clips have two channels, has no frames: it is published with the two signatures of clips.
The frames are those of the clip already (sampled in time); resizing, cropping and normalising are part of the graph and
give, bit for bit, the clip that the model saw in training.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from apps.action_recognition.data import ClipSpec, preprocess
from tools.errors import InputError
from tools.saved_model import Published, Signature, publish

if TYPE_CHECKING:
    from apps.action_recognition.data.presets import Preset

FEATURES_LAYER = "global_pool"
RGB = 3
# Interpolation weights are whole multiples of 1/256, as in OpenCV's INTER_LINEAR_EXACT: every sum is then a whole
# number below 2**24, which float32 holds exactly in any order of summation.
WEIGHT_STEPS = 256
# Pixels of an encoded frame; 8K video has 33 million. A few bytes of JPEG can claim four thousand million.
MOST_PIXELS = 2**26
# Largest accepted difference from Keras by the type the model computes in: 1e-5, or four roundings of the type.
TOLERANCES = {"float32": 1e-5, "float16": 4 * 2.0**-11, "bfloat16": 4 * 2.0**-8}


def export(
    model: keras.Model,
    spec: ClipSpec,
    classes: Sequence[str],
    *,
    base: str | os.PathLike,
    name: str,
    version: int | None = None,
) -> Published:
    """Publishes `model` under base/name/version with the signatures of this module.

    Args:
        model: classifier with the input "clip", float32 (batch, T, H, W, channels), probabilities as its output and a
            layer "global_pool".
        spec: the clip it was trained on; its T, H and W must be the model's.
        classes: names of the classes in the order of the outputs.
        base: directory of all published models.
        name: name of the published model.
        version: number, or None (default) for the next one.

    Raises:
        InputError: if the parts do not fit each other, the version exists, or the gate refuses the result.
    """
    _check(model, spec, classes)
    return publish(
        model,
        signatures(model, spec),
        base=base,
        name=name,
        version=version,
        labels=classes,
        card=_card(model, spec),
        tolerance=max(TOLERANCES[kind] for kind in _compute_types(model)),
    )


def signatures(model: keras.Model, spec: ClipSpec) -> dict[str, Signature]:
    """The signatures, each with two example clips and the answers Keras gives to them."""
    shape = (*spec.shape[:3], model.input_shape[-1])
    both = keras.Model(model.input, {"probabilities": model.output, "features": _features(model)})
    encoded, frames = _example(spec)
    clip = np.stack([preprocess(one, spec) for one in frames])[..., : shape[-1]]
    if not np.all(np.abs(np.asarray(model(clip[:1])) - 0.5) <= 0.5):
        raise InputError("Expected a model that ends in probabilities (softmax). Received one with other outputs.")

    # Three of the signatures have the same clip as their example; Keras computes it once.
    @functools.lru_cache(maxsize=2)
    def answers(data: bytes, size: int) -> dict[str, np.ndarray]:
        outputs = both(np.frombuffer(data, np.float32).reshape(size, *shape), training=False)
        return {key: np.asarray(value) for key, value in outputs.items()}

    def expected(output: str, clips: np.ndarray) -> dict[str, np.ndarray]:
        return {output: answers(np.ascontiguousarray(clips, np.float32).tobytes(), len(clips))[output]}

    def expected_of_frames(batch: np.ndarray) -> dict[str, np.ndarray]:
        return expected("probabilities", np.stack([preprocess(one, spec) for one in batch]))

    # One function for all signatures: the network is traced, stored and loaded once and not four times.
    @tf.function(input_signature=[tf.TensorSpec((None, *shape), tf.float32)], autograph=False)
    def forward(clip: tf.Tensor) -> dict[str, tf.Tensor]:
        return both(clip, training=False)

    def select(output: str, clip: tf.Tensor) -> dict[str, tf.Tensor]:
        return {output: forward(clip)[output]}

    clips = {"clip": tf.TensorSpec((None, *shape), tf.float32)}
    raw = {"frames": tf.TensorSpec((None, spec.frames, None, None, 3), tf.uint8)}
    jpeg = {"frames": tf.TensorSpec((None, spec.frames), tf.string)}
    of_clips = {
        "serving_default": Signature(
            lambda clip: select("probabilities", clip),
            clips,
            {"clip": clip},
            lambda inputs: expected("probabilities", inputs["clip"]),
        ),
        "features": Signature(
            lambda clip: select("features", clip),
            clips,
            {"clip": clip},
            lambda inputs: expected("features", inputs["clip"]),
        ),
    }
    if shape[-1] != RGB:
        return of_clips
    return {
        **of_clips,
        "uint8": Signature(
            lambda frames: select("probabilities", preprocess_frames(frames, spec)),
            raw,
            {"frames": frames},
            lambda inputs: expected_of_frames(inputs["frames"]),
        ),
        "encoded_frames": Signature(
            lambda frames: select("probabilities", preprocess_jpeg(frames, spec)),
            jpeg,
            {"frames": encoded},
            lambda inputs: expected_of_frames(np.stack([_decode(one) for one in inputs["frames"]])),
        ),
    }


# === Preprocessing inside the graph ===


def preprocess_frames(frames: tf.Tensor, spec: ClipSpec) -> tf.Tensor:
    """`data.preprocess` in TensorFlow, for a batch.

    Args:
        frames: uint8 (B, T, height, width, 3), RGB, of any size.
        spec: the clip.

    Returns:
        float32 (B, T, H, W, 3), the very values of `data.preprocess`.
    """
    shape = tf.shape(frames)
    flat = tf.reshape(frames, tf.concat([[shape[0] * spec.frames], shape[2:]], 0))
    levels = resize_and_crop(flat, spec)
    return _normalise(tf.reshape(levels, [shape[0], *spec.shape]), spec.rules)


def preprocess_jpeg(encoded: tf.Tensor, spec: ClipSpec) -> tf.Tensor:
    """Decodes JPEG frames, of one size or of several, and preprocesses them.

    Args:
        encoded: string (B, T), each a JPEG in colour or grey. What is broken, in CMYK or larger than 2**26 pixels ends
            as INVALID_ARGUMENT.
        spec: the clip.

    Returns:
        float32 (B, T, H, W, 3).
    """
    flat = tf.reshape(encoded, [-1])
    levels = tf.map_fn(
        lambda data: resize_and_crop(_decode_jpeg(data)[None], spec)[0],
        flat,
        fn_output_signature=tf.TensorSpec((*spec.size, 3), tf.float32),
    )
    return _normalise(tf.reshape(levels, [tf.shape(encoded)[0], *spec.shape]), spec.rules)


def resize_and_crop(frames: tf.Tensor, spec: ClipSpec) -> tf.Tensor:
    """Bilinear resize by the preset's rule, to whole levels, and the centre crop; only the crop is computed.

    Args:
        frames: uint8 (N, height, width, 3).
        spec: the clip.

    Returns:
        float32 (N, H, W, 3), whole numbers of 0 to 255.
    """
    size = tf.shape(frames)[1:3]
    with tf.control_dependencies([tf.debugging.assert_positive(size, "Expected frames of at least one pixel")]):
        size = tf.identity(size)
    rows, columns = (
        _taps(side, whole, crop)
        for side, whole, crop in zip(tf.unstack(size), _resized(size, spec), spec.size, strict=True)
    )
    lines = [_across(tf.gather(frames, row, axis=1), columns) * weight[:, None, None] for row, weight in rows]
    levels = tf.floor((tf.add_n(lines) + WEIGHT_STEPS**2 / 2) / WEIGHT_STEPS**2)
    return tf.ensure_shape(levels, (None, *spec.size, 3))


def _resized(size: tf.Tensor, spec: ClipSpec) -> list[tf.Tensor]:
    """`Preset.resized` for a height and width known only when the graph runs."""
    fixed = spec.rules.resized(1, 1, spec.size)
    if isinstance(spec.rules.resize, tuple):
        return [tf.constant(side) for side in fixed]
    # Of a square both sides are the shorter one.
    return [tf.maximum(min(fixed) * size[axis] // tf.reduce_min(size), spec.size[axis]) for axis in (0, 1)]


def _taps(side: tf.Tensor, resized: tf.Tensor, crop: int) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """The two pixels, each with its weight in steps, that make each pixel of the centre crop along one axis."""
    # A half pixel of margin is rounded to even, as `tf.round` does.
    start = tf.round(tf.cast(resized - crop, tf.float64) / 2.0)
    scale = 1.0 / (tf.cast(resized, tf.float64) / tf.cast(side, tf.float64))
    centre = (start + tf.range(crop, dtype=tf.float64) + 0.5) * scale - 0.5
    first = tf.floor(centre)
    weight = tf.cast(tf.round((centre - first) * WEIGHT_STEPS), tf.float32)
    first = tf.cast(first, tf.int32)
    # Beyond the centres of the outermost pixels there is nothing to interpolate with.
    weight = tf.where((first < 0) | (first >= side - 1), 0.0, weight)
    first = tf.clip_by_value(first, 0, side - 1)
    return [(first, WEIGHT_STEPS - weight), (tf.minimum(first + 1, side - 1), weight)]


def _across(lines: tf.Tensor, columns: list[tuple[tf.Tensor, tf.Tensor]]) -> tf.Tensor:
    return tf.add_n(
        [tf.cast(tf.gather(lines, column, axis=2), tf.float32) * weight[:, None] for column, weight in columns]
    )


def _normalise(levels: tf.Tensor, rules: Preset) -> tf.Tensor:
    if rules.channel_order == "BGR":
        levels = tf.reverse(levels, [-1])
    return levels * rules.multiplier + rules.offset


def _decode_jpeg(data: tf.Tensor) -> tf.Tensor:
    """uint8 RGB (height, width, 3) of one JPEG."""
    height, width, channels = tf.unstack(tf.io.extract_jpeg_shape(data))
    good = [
        tf.debugging.Assert(
            (channels == 1) | (channels == 3), ["Expected JPEG in colour or grey. Channels:", channels]
        ),
        tf.debugging.Assert(
            tf.cast(height, tf.int64) * tf.cast(width, tf.int64) <= MOST_PIXELS,
            ["Expected a JPEG of at most", MOST_PIXELS, "pixels. Height and width:", height, width],
        ),
    ]
    with tf.control_dependencies(good):
        return tf.io.decode_jpeg(tf.identity(data), channels=3, dct_method="INTEGER_ACCURATE")


# === Examples, checks, card ===


def _example(spec: ClipSpec) -> tuple[np.ndarray, np.ndarray]:
    """Two clips of a moving pattern, a little larger than the model's: JPEG (2, T) and, decoded, uint8 frames."""
    height, width = spec.size[0] + spec.size[0] // 4 + 1, spec.size[1] + spec.size[1] // 2 + 1
    time, row, column = np.meshgrid(np.arange(2 * spec.frames), np.arange(height), np.arange(width), indexing="ij")
    waves = [
        np.sin(0.3 * time + row / 7.0),
        np.sin(0.2 * time - column / 9.0),
        np.sin(0.1 * time + (row + column) / 5.0),
    ]
    frames = np.round(127.5 + 127.5 * np.stack(waves, axis=-1)).astype(np.uint8)
    encoded = np.array([tf.io.encode_jpeg(frame, quality=90).numpy() for frame in frames], dtype=object)
    encoded = encoded.reshape(2, spec.frames)
    return encoded, np.stack([_decode(clip) for clip in encoded])


def _decode(encoded: np.ndarray) -> np.ndarray:
    return np.stack([_decode_jpeg(tf.constant(data)).numpy() for data in encoded])


def _features(model: keras.Model) -> Any:
    names = [layer.name for layer in model.layers]
    if FEATURES_LAYER not in names:
        raise InputError(f"Expected a model with a layer {FEATURES_LAYER!r}. Received {model.name!r}, which has none.")
    return model.get_layer(FEATURES_LAYER).output


def _compute_types(model: keras.Model) -> set[str]:
    return {"float32"} | {layer.compute_dtype for layer in model.layers if layer.compute_dtype in TOLERANCES}


def _check(model: keras.Model, spec: ClipSpec, classes: Sequence[str]) -> None:
    if len(model.inputs) != 1 or len(model.outputs) != 1 or len(model.output.shape) != 2:
        raise InputError(f"Expected a classifier with one input and one output. Received {model.name!r}.")
    shape = model.inputs[0].shape[1:]
    sides = zip(shape[:3], spec.shape[:3], strict=True)
    if len(shape) != 4 or shape[3] > RGB or any(side not in (None, wanted) for side, wanted in sides):
        raise InputError(f"Expected a model of clips {spec.shape}, as the spec says. Received one of {tuple(shape)}.")
    if model.output.shape[-1] != len(classes):
        raise InputError(f"Expected {model.output.shape[-1]} classes, as the model has. Received {len(classes)}.")


def _card(model: keras.Model, spec: ClipSpec) -> dict[str, Any]:
    from apps.action_recognition import models

    rules = spec.rules
    card = {
        "application": "action_recognition",
        "model": model.name,
        "source": models.info(model.name).source if model.name in models.names() else "",
        "parameters": model.count_params(),
        "input": spec.to_dict(),
    }
    if model.input_shape[-1] != RGB:
        return {**card, "preprocessing": f"none: clips of {model.input_shape[-1]} channels as the model takes them"}
    return {
        **card,
        "preprocessing": {
            "preset": rules.name,
            "resize": "bilinear, half-pixel centres, without antialiasing, to whole levels; then the centre crop",
            "resize_to": list(rules.resized(1, 1, spec.size))
            if isinstance(rules.resize, tuple)
            else f"shorter side {rules.resized(1, 1, spec.size)[0]}",
            "crop": list(spec.size),
            "value_range": list(rules.value_range),
            "channel_order": rules.channel_order,
            "mean": list(rules.mean),
            "deviation": list(rules.deviation),
        },
    }
