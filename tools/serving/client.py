"""Clients of TensorFlow Serving's protocols, gRPC and REST, that take and give NumPy arrays."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import urllib.parse
from collections.abc import Mapping
from typing import Any

import numpy as np

from tools.errors import InputError
from tools.serving.errors import HTTP_STATUS, ServingError, invalid
from tools.serving.json_response import shortest

DEFAULT_SIGNATURE = "serving_default"


class Client:
    """A client over gRPC; may be shared by threads, and is a context manager.

    Args:
        target: "host:port".
        timeout: seconds to wait for an answer.
    """

    def __init__(self, target: str, timeout: float = 60.0):
        import grpc
        from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

        from tools.serving.tensors import MESSAGE_OPTIONS

        self._timeout = timeout
        self._channel = grpc.insecure_channel(target, options=MESSAGE_OPTIONS)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(
        self,
        model: str,
        inputs: Mapping[str, np.ndarray],
        *,
        signature_name: str = DEFAULT_SIGNATURE,
        version: int | None = None,
        label: str | None = None,
        outputs: tuple[str, ...] = (),
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            model: name of the model.
            inputs: arrays by name, of the types of the signature; text as str or bytes.
            signature_name: name of the signature.
            version: version number; the latest by default.
            label: version label, instead of a number.
            outputs: names of the outputs wanted; all by default.

        Returns:
            Arrays by name.

        Raises:
            ServingError: with the code and message of the server.
        """
        from tensorflow_serving.apis import predict_pb2

        from tools.serving.tensors import from_proto, to_proto

        request = predict_pb2.PredictRequest(output_filter=outputs)
        _specify(request, model, version, label)
        request.model_spec.signature_name = signature_name
        for name, array in inputs.items():
            request.inputs[name].CopyFrom(to_proto(array, content=True))
        response = self._call(self._prediction.Predict, request)
        return {name: from_proto(response.outputs[name], name) for name in sorted(response.outputs)}

    def metadata(self, model: str, version: int | None = None, label: str | None = None) -> dict[str, Any]:
        """The model's version number and its signatures (name: {"inputs", "outputs"} of {name: {"dtype", "shape"}})."""
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        _specify(request, model, version, label)
        response = self._call(self._prediction.GetModelMetadata, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return _described(_json(response.model_spec), _json(signatures))

    def status(self, model: str, version: int | None = None) -> list[dict[str, Any]]:
        """Version, state, error code and error message of every version of the model, or of one; newest first."""
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        _specify(request, model, version, None)
        return _states(_json(self._call(self._models.GetModelStatus, request)))

    def _call(self, method: Any, request: Any) -> Any:
        import grpc

        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise ServingError(error.code().name, error.details() or "") from None

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RestClient:
    """A client over REST; may be shared by threads, each of which keeps a connection.

    Args:
        url: "http://host:port".
        timeout: seconds to wait for an answer.
    """

    def __init__(self, url: str, timeout: float = 60.0):
        parts = urllib.parse.urlsplit(url if "//" in url else f"http://{url}")
        try:
            port = parts.port
        except ValueError:
            port = None
        if parts.scheme != "http" or not parts.hostname or not port:
            raise InputError(f"Expected a URL like http://127.0.0.1:8501. Received {url!r}.")
        self._address = (parts.hostname, port)
        self._timeout = timeout
        self._local = threading.local()
        self._signatures: dict[tuple, dict[str, Any]] = {}

    def predict(
        self,
        model: str,
        inputs: Mapping[str, np.ndarray],
        *,
        signature_name: str = DEFAULT_SIGNATURE,
        version: int | None = None,
        label: str | None = None,
    ) -> dict[str, np.ndarray]:
        """Runs a signature in columnar format; see `Client.predict`."""
        body = json.dumps(
            {"signature_name": signature_name, "inputs": {name: _listed(array) for name, array in inputs.items()}}
        )
        path = _path(model, version, label)
        answer = self._request("POST", f"{path}:predict", body.encode())["outputs"]
        outputs = self._outputs(model, version, label, signature_name, answer)
        if len(outputs) == 1:
            answer = {next(iter(outputs)): answer}
        return {name: _array(answer[name], info) for name, info in outputs.items()}

    def _outputs(
        self, model: str, version: int | None, label: str | None, signature_name: str, answer: Any
    ) -> dict[str, Any]:
        """The signature's outputs; asked for once, and again when an answer no longer fits them."""
        key = (model, version, label, signature_name)
        outputs = self._signatures.get(key)
        if outputs is None or (len(outputs) > 1 and not (isinstance(answer, dict) and answer.keys() == outputs.keys())):
            outputs = self.metadata(model, version, label)["signatures"][signature_name]["outputs"]
            self._signatures[key] = outputs
        return outputs

    def metadata(self, model: str, version: int | None = None, label: str | None = None) -> dict[str, Any]:
        """The model's version number and its signatures; see `Client.metadata`."""
        answer = self._request("GET", f"{_path(model, version, label)}/metadata")
        return _described(answer["model_spec"], answer["metadata"]["signature_def"])

    def status(self, model: str, version: int | None = None) -> list[dict[str, Any]]:
        """The states of the model's versions; see `Client.status`."""
        return _states(self._request("GET", _path(model, version, None)))

    def _request(self, method: str, path: str, body: bytes | None = None) -> Any:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        for attempt in (1, 2):
            fresh = getattr(self._local, "connection", None) is None
            if fresh:
                self._local.connection = http.client.HTTPConnection(*self._address, timeout=self._timeout)
            try:
                self._local.connection.request(method, path, body, headers)
                response = self._local.connection.getresponse()
                status, content = response.status, response.read()
                break
            except TimeoutError:
                self.close()
                raise ServingError("DEADLINE_EXCEEDED", f"No answer within {self._timeout:g} s") from None
            except (OSError, http.client.HTTPException) as error:
                self.close()
                # What another protocol answered may hold any byte.
                reason = str(error) if isinstance(error, OSError) else f"no HTTP: {str(error)!r}"
                # A server may close a connection that was idle; on a fresh one there is nothing to try again.
                if fresh or attempt == 2:
                    raise ServingError("UNAVAILABLE", f"{':'.join(map(str, self._address))}: {reason}") from None
        return _decoded(status, content)

    def close(self) -> None:
        """Closes this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def __enter__(self) -> RestClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _decoded(status: int, content: bytes) -> Any:
    try:
        answer = json.loads(content)
    except ValueError:
        raise ServingError("UNKNOWN", f"Expected JSON. Received HTTP status {status} and {content[:100]!r}.") from None
    if status != 200:
        # Several codes share an HTTP status; the first in the standard's order that says something stands for them.
        codes = [code for code, number in HTTP_STATUS.items() if number == status and code != "UNKNOWN"]
        code = codes[0] if codes else "UNKNOWN"
        raise ServingError(code, answer.get("error", "") if isinstance(answer, dict) else str(answer))
    return answer


def _specify(request: Any, model: str, version: int | None, label: str | None) -> None:
    request.model_spec.name = model
    if version is not None:
        request.model_spec.version.value = version
    elif label is not None:
        request.model_spec.version_label = label


def _path(model: str, version: int | None, label: str | None) -> str:
    path = f"/v1/models/{urllib.parse.quote(model, safe='')}"
    if version is not None:
        return f"{path}/versions/{version}"
    return path if label is None else f"{path}/labels/{urllib.parse.quote(label, safe='')}"


def _json(message: Any) -> dict[str, Any]:
    from google.protobuf import json_format

    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _described(spec: Mapping[str, Any], signatures: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata in few words: the same from both protocols."""
    return {
        "name": spec["name"],
        "version": int(spec["version"]),
        "signatures": {
            name: {
                kind: {alias: _described_tensor(info) for alias, info in sorted(signature[kind].items())}
                for kind in ("inputs", "outputs")
            }
            for name, signature in sorted(signatures["signature_def"].items())
            if name != "__saved_model_init_op"
        },
    }


def _described_tensor(info: Mapping[str, Any]) -> dict[str, Any]:
    shape = info.get("tensor_shape", {"unknown_rank": True})
    sizes = None if shape["unknown_rank"] else [int(dimension["size"]) for dimension in shape["dim"]]
    return {"dtype": info["dtype"], "shape": sizes}


def _states(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"version": int(row["version"]), "state": row["state"], **row["status"]}
        for row in answer["model_version_status"]
    ]


def _listed(array: np.ndarray) -> Any:
    """Nested lists; bytes become base64 objects."""
    array = np.asarray(array)
    if array.dtype == np.float32:
        return shortest(array).tolist()
    if array.dtype.kind in "biu" or array.dtype in (np.float16, np.float64):
        return array.tolist()
    if array.dtype.kind in "SUO":
        return _listed_strings(array.tolist())
    raise invalid(f"Expected an array that JSON can carry. Received {array.dtype}.")


def _listed_strings(value: Any) -> Any:
    if isinstance(value, list):
        return [_listed_strings(item) for item in value]
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else str(value)


def _array(value: Any, info: Mapping[str, Any]) -> np.ndarray:
    from tensorflow.core.framework import types_pb2

    from tools.serving.tensors import numpy_dtype

    dtype = numpy_dtype(types_pb2.DataType.Value(info["dtype"]))
    return np.asarray(_unlisted_strings(value) if dtype.kind == "O" else value, dtype)


def _unlisted_strings(value: Any) -> Any:
    if isinstance(value, list):
        return [_unlisted_strings(item) for item in value]
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value.encode()
