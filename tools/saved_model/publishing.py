"""Publishes a Keras model as a version of a SavedModel that TensorFlow Serving can take over at any moment."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tools.errors import InputError
from tools.saved_model import gate, graph
from tools.saved_model.signatures import Signature, check_outputs, check_signature, serving_function
from tools.saved_model.versions import new_version

if TYPE_CHECKING:
    import keras
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

DEFAULT_SIGNATURE = "serving_default"
EXTRA = "assets.extra"
WARM_UP = "tf_serving_warmup_requests"
# TensorFlow Serving refuses to load a version with more.
MOST_WARM_UP_REQUESTS = 1000

# What publish itself writes into model.json.
_OWN_FIELDS = ("name", "labels", "created", "signatures", "parity", "versions")


@dataclasses.dataclass(frozen=True)
class Published:
    """A published version: its directory, its number, and model.json with how long it took and how large it is."""

    path: pathlib.Path
    version: int
    report: dict[str, Any]


def publish(
    model: keras.Model,
    signatures: dict[str, Signature],
    *,
    base: str | os.PathLike,
    name: str,
    version: int | None = None,
    labels: Sequence[str] | None = None,
    card: dict[str, Any] | None = None,
    tolerance: float = 1e-5,
) -> Published:
    """Writes base/name/version, whole or not at all, after a process without this project has run it.

    The version directory holds the SavedModel with the given signatures, and under assets.extra the labels
    (labels.txt), the model card with the measured parity (model.json) and one warm-up request a signature.

    Args:
        model: built Keras model whose variables the signatures use.
        signatures: name to `Signature`; one must be "serving_default".
        base: directory of all published models.
        name: name of the model: letters, digits, `_`, `-` and `.`.
        version: number of the version, or None (default) for the one after the highest.
        labels: class names in the order of the outputs, each one line, or None.
        card: what model.json says beside what is measured here: source, input, preprocessing, ...
        tolerance: largest accepted difference between the SavedModel and Keras, relative to the largest magnitude of
            the output. Default 1e-5.

    Raises:
        InputError: for arguments that cannot be served, a version that exists, or a SavedModel that the gate refuses.
        OSError: if the files cannot be written. Nothing is left behind then, nor after any other error or Ctrl-C.
    """
    _check_arguments(model, signatures, labels, card, tolerance)
    with new_version(base, name, version) as new:
        started = time.monotonic()
        _write(model, signatures, new.path)
        saved_model = graph.read(new.path)
        _check_graph(saved_model, name, labels)
        _write_extra(new.path, name, signatures, labels)
        written = time.monotonic()
        parity = gate.check(new.path, signatures, tolerance)
        model_card = {
            "name": name,
            **(card or {}),
            "labels": None if labels is None else list(labels),
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "signatures": _describe(saved_model),
            "parity": _parity(parity, tolerance),
            "versions": _library_versions(),
        }
        text = json.dumps(model_card, indent=2, allow_nan=False, ensure_ascii=False)
        with writing(new.path):
            (new.path / EXTRA / "model.json").write_text(text + "\n", encoding="utf-8")
        path = new.commit()
    seconds = {"write": written - started, "gate": time.monotonic() - written}
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return Published(path, new.committed, {**model_card, "bytes": size, "seconds": seconds})


def _write_extra(path: pathlib.Path, name: str, signatures: dict[str, Signature], labels: Sequence[str] | None) -> None:
    """assets.extra with all but the model card, which says what the gate finds of the rest."""
    extra = path / EXTRA
    extra.mkdir()
    with writing(path):
        _write_warm_up(extra / WARM_UP, name, signatures)
        if labels is not None:
            (extra / "labels.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")


def _check_arguments(model: Any, signatures: Any, labels: Any, card: Any, tolerance: float) -> None:
    import keras

    if not isinstance(model, keras.Model) or not model.built:
        raise InputError(f"Expected `model` to be a built Keras model. Received {model!r}.")
    if DEFAULT_SIGNATURE not in signatures:
        raise InputError(f"Expected a signature named {DEFAULT_SIGNATURE!r}. Received {sorted(signatures)}.")
    if len(signatures) > MOST_WARM_UP_REQUESTS:
        raise InputError(f"Expected at most {MOST_WARM_UP_REQUESTS} signatures. Received {len(signatures)}.")
    for name, signature in signatures.items():
        check_signature(name, signature)
    for label in labels or ():
        if not isinstance(label, str) or not label.strip() or len(label.splitlines()) != 1:
            raise InputError(f"Expected each of `labels` to be one line of text. Received {label!r}.")
    clashes = sorted(set(card or {}) & set(_OWN_FIELDS))
    if clashes:
        raise InputError(f"Expected a `card` without the fields {', '.join(_OWN_FIELDS)}. Received {clashes}.")
    try:
        json.dumps(card, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"Expected a `card` that JSON can hold. Received one with: {error}.") from error
    if not 0 <= tolerance < 1:
        raise InputError(f"Expected `tolerance` from 0 to below 1. Received {tolerance!r}.")


def _check_graph(saved_model: SavedModel, name: str, labels: Sequence[str] | None) -> None:
    refused = graph.refused_operations(saved_model)
    if refused:
        raise InputError(
            f"Expected a graph that a stock TensorFlow Serving runs. Received {name!r}, in which "
            f"{'; '.join(refused[:5])}{f' and {len(refused) - 5} more' if len(refused) > 5 else ''}."
        )
    outputs = graph.signatures(saved_model)[DEFAULT_SIGNATURE][1]
    sizes = {key: port.shape[-1] for key, port in outputs.items() if port.shape}
    if labels is not None and not {len(labels), -1} & set(sizes.values()):
        raise InputError(f"Expected a label for each class: last axis of {sizes}. Received {len(labels)} labels.")


def _write(model: keras.Model, signatures: dict[str, Signature], path: pathlib.Path) -> None:
    import keras

    # The archive finds the variables that the functions use, and with `track` would store every one of them twice; only
    # the tables of words it does not find.
    archive = keras.export.ExportArchive()
    with_tables = (keras.layers.IntegerLookup, keras.layers.StringLookup, keras.layers.TextVectorization)
    for layer in _layers(model):
        if isinstance(layer, with_tables):
            archive.track(layer)
    for name, signature in signatures.items():
        function = serving_function(signature)
        check_outputs(name, function.get_concrete_function().structured_outputs, signature.method)
        archive.add_endpoint(name, function)
    with writing(path):
        archive.write_out(str(path), verbose=False)
    methods = {name: signature.method for name, signature in signatures.items() if signature.method != "predict"}
    if methods:
        with writing(path):
            graph.set_methods(path, methods)


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[None]:
    """Context in which a SavedModel is written to `path`; what fails there is the disk's fault.

    Raises:
        OSError: one line that names where, also for the errors of TensorFlow and those that name no file.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        # TensorFlow wraps the reason in the names of its own functions.
        message = " ".join(re.sub(r"\{\{.*?\}\}|\[Op:.*?\]", "", str(error.message)).split())
        raise OSError(f"The SavedModel could not be written under {path.parent}: {message}") from error
    except OSError as error:
        # A write to an open file that fails does not say to which.
        if error.filename is not None:
            raise
        raise OSError(f"The SavedModel could not be written under {path.parent}: {error.strerror or error}") from error


def _layers(model: keras.Model) -> Iterator[keras.Layer]:
    import keras

    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer)


def _write_warm_up(path: pathlib.Path, name: str, signatures: dict[str, Signature]) -> None:
    """One request a signature, in the form that TensorFlow Serving replays before it takes a version into service."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    with tf.io.TFRecordWriter(str(path)) as writer:
        for key, signature in signatures.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = key
            for input_name, value in signature.batch(1).items():
                dtype = signature.inputs[input_name].dtype
                request.inputs[input_name].CopyFrom(tf.make_tensor_proto(value, dtype))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())


def _describe(saved_model: SavedModel) -> dict[str, Any]:
    import tensorflow as tf

    def describe(ports: dict[str, graph.Port]) -> dict[str, Any]:
        return {
            name: {
                "dtype": tf.dtypes.as_dtype(port.dtype).name,
                "shape": None if port.shape is None else [None if size < 0 else size for size in port.shape],
            }
            for name, port in ports.items()
        }

    return {
        name: {"inputs": describe(inputs), "outputs": describe(outputs)}
        for name, (inputs, outputs) in sorted(graph.signatures(saved_model).items())
    }


def _parity(differences: dict[str, dict[str, dict[str, float]]], tolerance: float) -> dict[str, Any]:
    largest = [values["relative"] for outputs in differences.values() for values in outputs.values()]
    return {
        "compared": "Keras, and the SavedModel in a process of its own through TensorFlow's C API with XLA disabled",
        "measure": "largest absolute difference over the largest magnitude of the output; batches of 1 and 2",
        "tolerance": tolerance,
        "largest": max(largest),
        "signatures": differences,
    }


def _library_versions() -> dict[str, str]:
    import keras
    import numpy as np
    import tensorflow as tf

    versions = {"python": platform.python_version()}
    versions |= {module.__name__: module.__version__ for module in (tf, keras, np)}
    # A checkout that is only on the path has no version of its own.
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        versions["kapps"] = importlib.metadata.version("kapps")
    return versions
