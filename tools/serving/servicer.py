"""The one servicer behind both doors: requests in the terms of the protocol, answered by the version manager."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tools.serving.bundle import DEFAULT_SIGNATURE, SavedModel
from tools.serving.errors import CODE_NAMES, ServingError, invalid, truncated
from tools.serving.models import ModelManager
from tools.serving.tensors import to_proto

_log = logging.getLogger(__name__)


class Servicer:
    """Answers the calls of TensorFlow Serving's protocol with its codes and texts, whatever carried them here.

    Args:
        manager: the versions in memory.
    """

    def __init__(self, manager: ModelManager):
        self._manager = manager

    @contextlib.contextmanager
    def model(self, request: Any) -> Iterator[tuple[int, SavedModel]]:
        """The version, with its number, that the `model_spec` of a request means."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        spec = request.model_spec
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        number = spec.version.value if spec.HasField("version") else None
        with self._manager.use(spec.name, number, spec.version_label or None) as found:
            yield found

    def predict(self, request: predict_pb2.PredictRequest, timeout: float | None = None) -> predict_pb2.PredictResponse:
        """The Predict call; `timeout` in seconds."""
        with self.model(request) as (number, model):
            outputs = model.predict(request, timeout)
        response = predict_pb2.PredictResponse(
            model_spec=_resolved(
                request.model_spec.name, number, request.model_spec.signature_name or DEFAULT_SIGNATURE
            )
        )
        for alias, array in outputs.items():
            response.outputs[alias].CopyFrom(to_proto(array))
        return response

    def get_model_metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """The GetModelMetadata call: the signatures of a version."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid(f"Metadata field {field} is not supported")
        with self.model(request) as (number, model):
            signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=model.signatures)
        response = get_model_metadata_pb2.GetModelMetadataResponse(
            model_spec=_resolved(request.model_spec.name, number)
        )
        response.metadata["signature_def"].Pack(signatures)
        return response

    def get_model_status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """The GetModelStatus call: the state of every version of a model, or of one."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        spec = request.model_spec
        response = get_model_status_pb2.GetModelStatusResponse()
        rows = self._manager.status(spec.name, spec.version.value if spec.HasField("version") else None)
        for number, state, error in rows:
            status = response.model_version_status.add(version=number, state=int(state))
            status.status.error_code = CODE_NAMES.index(error.code) if error else 0
            status.status.error_message = error.message if error else ""
        return response


def _resolved(name: str, number: int, signature_name: str = "") -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=name, signature_name=signature_name)
    spec.version.value = number
    return spec


def _answered(method: Callable) -> Callable:
    """Turns a failure into the status of the call."""

    @functools.wraps(method)
    def call(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, context)
        except ServingError as error:
            failure = error
        except Exception as error:
            _log.exception("A request failed in the server itself")
            failure = ServingError("INTERNAL", f"{type(error).__name__}: {error}")
        return context.abort(getattr(grpc.StatusCode, failure.code), truncated(failure.message))

    return call


class BrokenMessages(grpc.ServerInterceptor):
    """Answers bytes that are no message of the protocol with one line; gRPC alone names nothing and logs a traceback.

    The code is that of gRPC in C++, and so of TensorFlow Serving.
    """

    def intercept_service(self, continuation: Callable, details: grpc.HandlerCallDetails) -> Any:
        """Puts a check before the handler of a call."""
        handler = continuation(details)
        if handler is None or handler.request_deserializer is None:
            return handler

        def read(data: bytes) -> Any:
            try:
                return handler.request_deserializer(data)
            except DecodeError as error:
                return ServingError("INTERNAL", f"Expected a protobuf message for {details.method}. Received: {error}")

        def call(request: Any, context: grpc.ServicerContext) -> Any:
            if isinstance(request, ServingError):
                context.abort(grpc.StatusCode.INTERNAL, truncated(request.message))
            return handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(call, read, handler.response_serializer)


def _deadline(context: grpc.ServicerContext) -> float | None:
    """Seconds the caller waits; None without a deadline, which gRPC also expresses as one in the far future."""
    remaining = context.time_remaining()
    return remaining if remaining is not None and remaining < 1e6 else None


def _absent(name: str) -> Callable:
    @_answered
    def call(self: Any, request: Any, context: grpc.ServicerContext) -> None:
        raise ServingError("UNIMPLEMENTED", f"{name} is not implemented by this server; Predict is.")

    return call


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """tensorflow.serving.PredictionService over gRPC."""

    def __init__(self, servicer: Servicer):
        self._servicer = servicer

    @_answered
    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._servicer.predict(request, _deadline(context))

    @_answered
    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._servicer.get_model_metadata(request)

    Classify = _absent("Classify")
    Regress = _absent("Regress")
    MultiInference = _absent("MultiInference")


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """tensorflow.serving.ModelService over gRPC."""

    def __init__(self, servicer: Servicer):
        self._servicer = servicer

    @_answered
    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._servicer.get_model_status(request)

    HandleReloadConfigRequest = _absent("HandleReloadConfigRequest")
