"""Small SavedModels for the tests, written with a few lines of TensorFlow."""

import os
import pathlib

import numpy as np
import tensorflow as tf


class Affine(tf.Module):
    """y = scale * x + offset: with 0.5 and 2, TensorFlow Serving's half_plus_two."""

    def __init__(self, scale, offset):
        self.scale = tf.Variable(scale, dtype=tf.float32)
        self.offset = tf.Variable(offset, dtype=tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serve(self, x):
        return {"y": self.scale * x + self.offset}


class Kinds(tf.Module):
    """One signature for each thing to try: types, text and bytes, ranks, scalars, failures of the runtime."""

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="x")])
    def any_rank(self, x):
        return {"doubled": 2.0 * x}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="text"),
            tf.TensorSpec([None, 2], tf.int64, name="whole"),
            tf.TensorSpec([None], tf.bool, name="flag"),
            tf.TensorSpec([None], tf.uint8, name="small"),
        ]
    )
    def mixed(self, text, whole, flag, small):
        return {"text": text, "raw_bytes": text, "whole": whole, "flag": flag, "small": small}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def half(self, x):
        return {"y": tf.cast(x, tf.float16)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def scalar(self, x):
        return {"sum": tf.reduce_sum(x), "x": x}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def uneven(self, x):
        return {"x": x, "y": x[1:]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def checked(self, x):
        with tf.control_dependencies([tf.debugging.assert_less(x, 10.0, message="x is too large")]):
            return {"y": tf.identity(x)}

    @tf.function(input_signature=[tf.TensorSpec([None, 4, 8, 8, 3], tf.float32, name="clip")])
    def unprotected_convolution(self, clip):
        kernel = tf.constant(np.ones((3, 3, 3, 3, 2), np.float32))
        return {"features": tf.nn.conv3d(clip, kernel, strides=[1] * 5, padding="SAME")}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def compiled(self, x):
        return {"y": _compiled(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def slow(self, x):
        def body(step, total):
            return step + 1, total + tf.reduce_sum(tf.random.normal([1000]))

        _, total = tf.while_loop(lambda step, total: step < 60000, body, (0, 0.0))
        return {"y": x + 0.0 * total}


@tf.function(jit_compile=True)
def _compiled(x):
    return 2.0 * x


def save_affine(base, name="affine", version=1, scale=0.5, offset=2.0, warm_up=()):
    """Publishes an Affine as the exporter does: written aside, then renamed."""
    module = Affine(scale, offset)
    return _publish(module, {"serving_default": module.serve}, base, name, version, warm_up)


def save_kinds(base, name="kinds", version=1):
    module = Kinds()
    signatures = {
        key: getattr(module, key)
        for key in (
            "any_rank",
            "mixed",
            "half",
            "scalar",
            "uneven",
            "checked",
            "unprotected_convolution",
            "compiled",
            "slow",
        )
    }
    return _publish(module, signatures, base, name, version, ())


def _publish(module, signatures, base, name, version, warm_up):
    folder = pathlib.Path(base, name)
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".writing-{version}"
    tf.saved_model.save(module, str(aside), signatures=signatures)
    if warm_up:
        (aside / "assets.extra").mkdir()
        with tf.io.TFRecordWriter(str(aside / "assets.extra" / "tf_serving_warmup_requests")) as writer:
            for record in warm_up:
                writer.write(record)
    os.rename(aside, folder / str(version))
    return folder / str(version)
