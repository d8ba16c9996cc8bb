"""A loaded SavedModel: TensorFlow's own session under the request rules and messages of TensorFlow Serving."""

from __future__ import annotations

import ctypes
import logging
import os
import pathlib
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

# The public `Session.run` casts and checks what it is fed before the runtime sees it, so a wrong request would succeed
# or fail with other words than in TensorFlow Serving; the wrapper under it gives DirectSession the arrays as they are.
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.saved_model.loader_impl import SavedModelLoader
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tools.serving.errors import CODE_NAMES, ServingError, invalid
from tools.serving.tensors import as_array, from_proto, numpy_dtype

_log = logging.getLogger(__name__)

TAGS = ("serve",)
DEFAULT_SIGNATURE = "serving_default"
WARM_UP_FILE = pathlib.Path("assets.extra", "tf_serving_warmup_requests")
MAXIMUM_WARM_UP_RECORDS = 1000


class SavedModel:
    """A version of a model in memory; `run` may be called from many threads at once.

    Args:
        path: the version folder. Warm-up requests in its assets.extra are run before the constructor returns.

    Raises:
        ServingError: if the model cannot be loaded or a warm-up request fails.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        if not any((self.path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
            raise ServingError(
                "NOT_FOUND",
                f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {self.path}. Check that "
                "the directory exists and that you have the right permissions for accessing it.",
            )
        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph)
        self._plans: dict[str, _Plan] = {}
        try:
            self.signatures: Mapping[str, Any] = self._load()
            self._warm_up()
        except BaseException:
            self.close()
            raise

    def _load(self) -> Mapping[str, Any]:
        try:
            with self._graph.as_default():
                meta_graph = SavedModelLoader(str(self.path)).load(self._session, list(TAGS))
            self._session._extend_graph()
        except tf.errors.OpError as error:
            raise _of_runtime(error) from error
        except OSError as error:
            raise ServingError("DATA_LOSS", f"Can't parse {self.path}/saved_model.pb as binary proto") from error
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise ServingError("FAILED_PRECONDITION", f"Cannot load the SavedModel at {self.path}: {error}") from error
        signatures = dict(meta_graph.signature_def)
        self._plans = {name: _Plan(self._graph, signature) for name, signature in signatures.items()}
        return signatures

    def predict(self, request: predict_pb2.PredictRequest, timeout: float | None = None) -> dict[str, np.ndarray]:
        """Runs a request of the Predict method; see `run`."""
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise ServingError("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        signature = self.signatures[name]
        _check_names(signature, request.inputs.keys())
        inputs = {alias: from_proto(proto, alias) for alias, proto in request.inputs.items()}
        return self.run(name, inputs, request.output_filter, timeout)

    def run(
        self,
        signature_name: str,
        inputs: Mapping[str, np.ndarray],
        output_filter: Iterable[str] = (),
        timeout: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        A shape that contradicts the signature is refused before the model sees it. TensorFlow Serving itself would run
        it, and some kernels then end the whole process or answer nonsense.

        Args:
            signature_name: name of a signature of this model.
            inputs: an array for every input that has no default.
            output_filter: names of the outputs wanted; all of them by default.
            timeout: seconds after which the run is given up.

        Raises:
            ServingError: with the code and the text of TensorFlow Serving.
        """
        signature = self.signatures[signature_name]
        _check_names(signature, inputs.keys())
        plan = self._plans[signature_name]
        names = _output_names(signature, list(output_filter))
        values = {**plan.defaults, **inputs}
        for alias, value in values.items():
            plan.check_shape(alias, value)
        feeds = {plan.tensor("inputs", alias): value for alias, value in values.items()}
        fetches = [plan.tensor("outputs", alias) for alias in names]
        results = self._run_session(feeds, fetches, timeout)
        return {
            alias: as_array(result, signature.outputs[alias].dtype)
            for alias, result in zip(names, results, strict=True)
        }

    def _run_session(self, feeds: dict, fetches: list, timeout: float | None) -> list:
        options = None
        if timeout is not None:
            run_options = tf.compat.v1.RunOptions(timeout_in_ms=max(1, int(timeout * 1000)))
            options = pywrap_tf_session.TF_NewBufferFromString(run_options.SerializeToString())
        try:
            return pywrap_tf_session.TF_SessionRun_wrapper(self._session._session, options, feeds, fetches, [], None)
        except tf.errors.OpError as error:
            raise _of_runtime(error) from error
        except (TypeError, ValueError) as error:
            raise invalid(str(error)) from error
        finally:
            if options is not None:
                pywrap_tf_session.TF_DeleteBuffer(options)

    def _warm_up(self) -> None:
        path = self.path / WARM_UP_FILE
        if not path.is_file():
            return
        try:
            for number, record in enumerate(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()):
                if number >= MAXIMUM_WARM_UP_RECORDS:
                    raise invalid(f"Number of warmup records exceeds the maximum ({MAXIMUM_WARM_UP_RECORDS}) at {path}")
                self._run_warm_up_record(record, path)
        except tf.errors.DataLossError as error:
            raise ServingError(
                "DATA_LOSS", f"{error.message}. Please verify your warmup data is in TFRecord format."
            ) from error

    def _run_warm_up_record(self, record: bytes, path: pathlib.Path) -> None:
        log = prediction_log_pb2.PredictionLog()
        try:
            log.ParseFromString(record)
        except Exception as error:
            raise invalid(f"Failed to parse warmup record: {record[:64]!r} from {path}") from error
        kind = log.WhichOneof("log_type")
        if kind == "predict_log":
            self.predict(log.predict_log.request)
        elif kind in ("classify_log", "regress_log", "multi_inference_log"):
            _log.warning("%s: a warm-up request of kind %s is passed over: this server has no such call", path, kind)
        else:
            raise ServingError("UNIMPLEMENTED", f"Unsupported log_type for warmup: {kind}")

    def close(self) -> None:
        """Frees the model; no run may be under way."""
        self._session.close()


class _Plan:
    """The tensors of a signature, looked up once."""

    def __init__(self, graph: tf.Graph, signature: Any):
        self._tensors: dict[tuple[str, str], Any] = {}
        self._shapes: dict[str, tuple[np.dtype | None, tuple[int, ...]]] = {}
        for kind in ("inputs", "outputs"):
            for alias, info in getattr(signature, kind).items():
                try:
                    self._tensors[kind, alias] = graph.get_tensor_by_name(info.name)._as_tf_output()
                except (KeyError, ValueError):
                    # The signature of an initialisation names operations, and a sparse input names no single tensor.
                    continue
        for alias, info in signature.inputs.items():
            if info.HasField("tensor_shape") and not info.tensor_shape.unknown_rank:
                shape = tuple(dimension.size for dimension in info.tensor_shape.dim)
                self._shapes[alias] = (numpy_dtype(info.dtype), shape)
        self.defaults = {alias: from_proto(proto, alias) for alias, proto in signature.defaults.items()}

    def tensor(self, kind: str, alias: str) -> Any:
        if (kind, alias) not in self._tensors:
            raise invalid(f"The tensor of {alias!r} in the signature's {kind} was not found in the Graph")
        return self._tensors[kind, alias]

    def check_shape(self, alias: str, value: np.ndarray) -> None:
        if alias not in self._shapes:
            return
        dtype, shape = self._shapes[alias]
        agrees = len(shape) == value.ndim and all(
            wanted in (-1, size) for wanted, size in zip(shape, value.shape, strict=True)
        )
        # A wrong type is for the runtime to report, in its own words.
        if not agrees and value.dtype == dtype:
            expected = ",".join("?" if size == -1 else str(size) for size in shape)
            received = ",".join(map(str, value.shape))
            raise invalid(
                f"Shape of input {alias} is not compatible with its signature. "
                f"Expected [{expected}]. Received [{received}]."
            )


def _check_names(signature: Any, names: Iterable[str]) -> None:
    sent, known, defaults = set(names), set(signature.inputs), set(signature.defaults)
    if len(sent) > len(known) or (len(sent) < len(known) and not defaults):
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(known)} len({{{_join(sent)}}}) != "
            f"len({{{_join(known)}}}). Sent extra: {{{_join(sent - known)}}}. "
            f"Missing but required: {{{_join(known - sent)}}}."
        )
    for alias in sorted(known - sent - defaults):
        raise invalid(
            f"Signature input alias: {alias}(feed name: {signature.inputs[alias].name}) not found in request and no "
            f"default value provided. Inputs expected to be in the request {{{_join(sent)}}}, or default input alias "
            f"set: {_join(defaults)}"
        )
    if sent - known:
        raise invalid(
            f"Inputs contains invalid name. Used request inputs: {_join(sent & known)}, request input: {_join(sent)}"
        )


def _output_names(signature: Any, wanted: list[str]) -> list[str]:
    for position, alias in enumerate(wanted):
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{{{_join(signature.outputs)}}}."
            )
        if alias in wanted[:position]:
            raise invalid(f"duplicate output tensor alias: {alias}")
    return wanted or sorted(signature.outputs)


def _join(names: Iterable[str]) -> str:
    return ",".join(sorted(names))


def _of_runtime(error: tf.errors.OpError) -> ServingError:
    code = CODE_NAMES[error.error_code] if 0 <= error.error_code < len(CODE_NAMES) else "UNKNOWN"
    return ServingError(code, error.message)


class StockCompilation:
    """Context in which this process refuses XLA compilation, as the stock server does; it nests."""

    _lock = threading.Lock()
    _depth = 0

    def __enter__(self) -> StockCompilation:
        self._change(+1)
        return self

    def __exit__(self, *_: object) -> None:
        self._change(-1)

    @classmethod
    def _change(cls, step: int) -> None:
        with cls._lock:
            cls._depth += step
            if step > 0 and cls._depth == 1:
                _switch("_ZN10tensorflow21DisableXlaCompilationEv")()
            if step < 0 and cls._depth == 0:
                _switch("_ZN10tensorflow20EnableXlaCompilationEv")()


def _switch(symbol: str) -> Callable[[], None]:
    folder = pathlib.Path(tf.sysconfig.get_lib())
    for library in sorted(folder.glob("libtensorflow*.so*")):
        function = getattr(ctypes.CDLL(str(library)), symbol, None)
        if function is not None:
            function.restype = None
            return function
    raise RuntimeError(f"Expected TensorFlow's libraries in {folder} to export {symbol}. Received none that does.")
