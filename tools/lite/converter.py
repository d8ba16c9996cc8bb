"""Converts one SavedModel in a process of its own, because TensorFlow's converter keeps the memory of every conversion.

Run as a program with one argument, a JSON object: "saved_model" (folder), "output" (file), "precision", "io"
("float32" or "int8") and "representative" (.npz of one array for each input, or null). The last line on standard
error says what went wrong.
"""

from __future__ import annotations

import json
import pathlib
import sys


def main(job: dict) -> None:
    """Converts and writes the file."""
    import numpy as np
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(job["saved_model"], signature_keys=["serving_default"])
    precision = job["precision"]
    # Built-in operators only: no Python package runs the others any more.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        arrays = dict(np.load(job["representative"]))
        count = len(next(iter(arrays.values())))
        converter.representative_dataset = lambda: (
            {name: array[index : index + 1] for name, array in arrays.items()} for index in range(count)
        )
        if job["io"] == "int8":
            converter.inference_input_type = converter.inference_output_type = tf.int8
    pathlib.Path(job["output"]).write_bytes(converter.convert())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
