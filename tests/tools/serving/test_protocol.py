"""Codes and texts of TensorFlow Serving, over both protocols, for the calls that exist."""

import http.client
import json

import grpc
import numpy as np
import pytest
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tools.serving import Client, ServingError
from tools.serving.tensors import to_proto

X = np.float32([1, 2, 5])


@pytest.fixture
def stubs(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield (
            prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model_service_pb2_grpc.ModelServiceStub(channel),
        )


def call(server, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=20)
    connection.request(method, path, body if body is None or isinstance(body, str | bytes) else json.dumps(body))
    response = connection.getresponse()
    content = response.read()
    connection.close()
    kind = response.headers["Content-Type"]
    return response.status, json.loads(content) if kind == "application/json" and content else content


def request_of(message, name="affine", version=None, label="", **fields):
    request = message(**fields)
    request.model_spec.name = name
    if version is not None:
        request.model_spec.version.value = version
    if label:
        request.model_spec.version_label = label
    return request


def predict_request(inputs, name="affine", signature_name="", outputs=(), **which):
    request = request_of(predict_pb2.PredictRequest, name, output_filter=outputs, **which)
    request.model_spec.signature_name = signature_name
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(value if isinstance(value, tensor_pb2.TensorProto) else to_proto(value))
    return request


def status_of(method, request):
    with pytest.raises(grpc.RpcError) as caught:
        method(request, timeout=20)
    return caught.value.code().name, caught.value.details()


def test_half_plus_two_and_three(client, rest):
    for either in (client, rest):
        np.testing.assert_array_equal(either.predict("affine", {"x": X})["y"], np.float32([3.5, 4.0, 5.5]))
        outputs = either.predict("half_plus_two", {"x": X}, version=123)
        np.testing.assert_array_equal(outputs["y"], np.float32([2.5, 3.0, 4.5]))


def test_predict_says_who_answered(stubs):
    response = stubs[0].Predict(predict_request({"x": X}))
    assert (response.model_spec.name, response.model_spec.version.value) == ("affine", 2)
    assert response.model_spec.signature_name == "serving_default"
    # Many clients read the values of the type's own field, which is where TensorFlow Serving puts them.
    assert list(response.outputs["y"].float_val) == [3.5, 4.0, 5.5]


BROKEN = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_content=b"abc")
BROKEN.tensor_shape.dim.add().size = 1
SIZES = "input size does not match signature: "


@pytest.mark.parametrize(
    ("keywords", "code", "message"),
    [
        ({"name": ""}, "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        ({"name": "nope"}, "NOT_FOUND", "Servable not found for request: Latest(nope)"),
        ({"name": "broken"}, "NOT_FOUND", "Servable not found for request: Latest(broken)"),
        ({"version": 7}, "NOT_FOUND", "Servable not found for request: Specific(affine, 7)"),
        ({"label": "L"}, "INVALID_ARGUMENT", "Unrecognized servable version label: L"),
        ({"signature_name": "S"}, "FAILED_PRECONDITION", 'Serving signature key "S" not found.'),
        (
            {"inputs": {"a": X, "b": X}},
            "INVALID_ARGUMENT",
            SIZES + "2!=1 len({a,b}) != len({x}). Sent extra: {a,b}. Missing but required: {x}.",
        ),
        (
            {"inputs": {}},
            "INVALID_ARGUMENT",
            SIZES + "0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.",
        ),
        (
            {"inputs": {"y": X}},
            "INVALID_ARGUMENT",
            "Signature input alias: x(feed name: serving_default_x:0) not found in request and no default value "
            "provided. Inputs expected to be in the request {y}, or default input alias set: ",
        ),
        ({"inputs": {"x": BROKEN}}, "INVALID_ARGUMENT", "tensor parsing error: x"),
        (
            {"inputs": {"x": np.int32([1])}},
            "INVALID_ARGUMENT",
            "Expects arg[0] to be float but int32 is provided",
        ),
        (
            {"inputs": {"x": np.array([b"a"], object)}},
            "INVALID_ARGUMENT",
            "Expects arg[0] to be float but string is provided",
        ),
        (
            {"outputs": ("z",)},
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature: z Outputs expected to be in the set {y}.",
        ),
        ({"outputs": ("y", "y")}, "INVALID_ARGUMENT", "duplicate output tensor alias: y"),
    ],
)
def test_predict_refuses_over_grpc(stubs, keywords, code, message):
    assert status_of(stubs[0].Predict, predict_request(**{"inputs": {"x": X}, **keywords})) == (code, message)


def test_missing_model_spec(stubs):
    prediction, models = stubs
    missing = ("INVALID_ARGUMENT", "Missing ModelSpec")
    assert status_of(prediction.Predict, predict_pb2.PredictRequest()) == missing
    assert status_of(prediction.GetModelMetadata, get_model_metadata_pb2.GetModelMetadataRequest()) == missing
    assert status_of(models.GetModelStatus, get_model_status_pb2.GetModelStatusRequest()) == missing


def test_calls_that_do_not_exist_say_so(stubs):
    from tensorflow_serving.apis import classification_pb2, inference_pb2, model_management_pb2, regression_pb2

    prediction, models = stubs
    for method, message, name in [
        (prediction.Classify, classification_pb2.ClassificationRequest(), "Classify"),
        (prediction.Regress, regression_pb2.RegressionRequest(), "Regress"),
        (prediction.MultiInference, inference_pb2.MultiInferenceRequest(), "MultiInference"),
        (models.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest(), "HandleReloadConfigRequest"),
    ]:
        assert status_of(method, message) == (
            "UNIMPLEMENTED",
            f"{name} is not implemented by this server; Predict is.",
        )


@pytest.mark.parametrize(
    "name", ["PredictionService/Predict", "PredictionService/Classify", "ModelService/GetModelStatus"]
)
def test_bytes_that_are_no_message(server, client, caplog, name):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        method = channel.unary_unary(f"/tensorflow.serving.{name}")
        with pytest.raises(grpc.RpcError) as caught:
            method(b"\xff\xff\xff", timeout=20)
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert caught.value.details().startswith(f"Expected a protobuf message for /tensorflow.serving.{name}. Received: ")
    assert "\n" not in caught.value.details()
    assert caplog.records == []
    assert client.predict("affine", {"x": X})["y"][0] == 3.5


def test_metadata(server, stubs, client, rest):
    method = stubs[0].GetModelMetadata
    message = get_model_metadata_pb2.GetModelMetadataRequest
    assert status_of(method, request_of(message)) == (
        "INVALID_ARGUMENT",
        "GetModelMetadataRequest must specify at least one metadata_field",
    )
    assert status_of(method, request_of(message, metadata_field=["assets"])) == (
        "INVALID_ARGUMENT",
        "Metadata field assets is not supported",
    )
    assert client.metadata("affine", version=2) == rest.metadata("affine", version=2)
    assert client.metadata("affine")["version"] == 2
    status, document = call(server, "GET", "/v1/models/affine/metadata")
    assert status == 200
    assert document["model_spec"] == {"name": "affine", "signature_name": "", "version": "2", "version_label": ""} or (
        document["model_spec"] == {"name": "affine", "signature_name": "", "version": "2"}
    )
    signature = document["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["x"] == {
        "dtype": "DT_FLOAT",
        "name": "serving_default_x:0",
        "tensor_shape": {"dim": [{"name": "", "size": "-1"}], "unknown_rank": False},
    }


def test_status(server, stubs, client, rest):
    method = stubs[1].GetModelStatus
    message = get_model_status_pb2.GetModelStatusRequest
    assert status_of(method, request_of(message, "nope")) == ("NOT_FOUND", "Could not find any versions of model nope")
    assert status_of(method, request_of(message, version=9)) == (
        "NOT_FOUND",
        "Could not find version 9 of model affine",
    )
    assert client.status("broken") == rest.status("broken")
    (broken,) = client.status("broken")
    assert (broken["state"], broken["error_code"]) == ("END", "DATA_LOSS")
    assert "saved_model.pb as binary proto" in broken["error_message"]
    assert call(server, "GET", "/v1/models/affine/versions/2") == (
        200,
        {
            "model_version_status": [
                {"version": "2", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
            ]
        },
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "/v1/models/affine:predict", "", 400, "JSON Parse error: The document is empty"),
        ("POST", "/v1/models/affine:predict", "{]", 400, None),
        ("POST", "/v1/models/affine:predict", {"a": 1}, 400, "Missing 'inputs' or 'instances' key"),
        (
            "POST",
            "/v1/models/affine:predict",
            {"signature_name": "S", "instances": [1]},
            400,
            'Serving signature name: "S" not found in signature def',
        ),
        ("POST", "/v1/models/nope:predict", {"instances": [1]}, 404, "Servable not found for request: Latest(nope)"),
        (
            "POST",
            "/v1/models/affine/versions/7:predict",
            {"instances": [1]},
            404,
            "Servable not found for request: Specific(affine, 7)",
        ),
        (
            "POST",
            "/v1/models/affine/labels/L:predict",
            {"instances": [1]},
            400,
            "Unrecognized servable version label: L",
        ),
        (
            "POST",
            "/v1/models/affine/versions/99999999999999999999:predict",
            {"instances": [1]},
            400,
            "Failed to convert version: 99999999999999999999 to numeric.",
        ),
        ("GET", "/v1/models", None, 400, "Missing model name in request."),
        ("GET", "/v1/models/nope", None, 404, "Could not find any versions of model nope"),
        ("GET", "/v1/models/affine:predict", None, 400, "Malformed request: GET /v1/models/affine:predict"),
        ("POST", "/v1/models/affine", "{}", 400, "Malformed request: POST /v1/models/affine"),
        ("DELETE", "/v1/models/affine", None, 400, "Malformed request: DELETE /v1/models/affine"),
        ("OPTIONS", "/v1/models/affine", None, 400, "Origin header is missing in CORS preflight"),
        (
            "POST",
            "/v1/models/affine:classify",
            {"examples": [{}]},
            501,
            "classify is not implemented by this server; predict is.",
        ),
        (
            "POST",
            "/v1/models/kinds:predict",
            {"signature_name": "half", "instances": [1.0]},
            400,
            "Failed to write JSON value for tensor type: half",
        ),
        (
            "POST",
            "/v1/models/kinds:predict",
            {"signature_name": "scalar", "instances": [1.0, 2.0]},
            400,
            "Tensor name: sum has no shape information ",
        ),
        (
            "POST",
            "/v1/models/kinds:predict",
            {"signature_name": "uneven", "instances": [1.0, 2.0]},
            400,
            "Tensor name: y has inconsistent batch size: 1 expecting: 2",
        ),
    ],
)
def test_rest_refuses(server, method, path, body, status, message):
    received, answer = call(server, method, path, body)
    assert received == status
    assert answer["error"] == message or (message is None and answer["error"].startswith("JSON Parse error: "))


def test_rest_paths(server):
    assert call(server, "POST", "/V1/Models/affine/Versions/2:PREDICT", {"instances": [1.0]})[0] == 200
    assert call(server, "POST", "/v1/models/%61ffine:predict?x=y", {"inputs": [1.0]}) == (200, {"outputs": [3.5]})
    status, page = call(server, "GET", "/")
    assert status == 404
    assert b"<HTML>" in page


def test_every_type_and_bytes_over_both_protocols(client, rest):
    inputs = {
        "text": np.array([b"a", "ü".encode()], object),
        "whole": np.int64([[2**62, -1], [0, 5]]),
        "flag": np.array([True, False]),
        "small": np.uint8([255, 0]),
    }
    for either in (client, rest):
        outputs = either.predict("kinds", inputs, signature_name="mixed")
        assert outputs.keys() == {*inputs, "raw_bytes"}
        for name, array in {**inputs, "raw_bytes": inputs["text"]}.items():
            assert outputs[name].dtype == array.dtype
            np.testing.assert_array_equal(outputs[name], array)


def test_numbers_that_are_not_finite(client, rest):
    values = np.float32([np.nan, np.inf, -np.inf, 1e-45, 0.1])
    for either in (client, rest):
        np.testing.assert_array_equal(either.predict("affine", {"x": values})["y"], 0.5 * values + np.float32(3))


@pytest.mark.parametrize("rank", range(7))
def test_every_rank(client, rest, rank):
    values = np.arange(2**rank, dtype=np.float32).reshape((2,) * rank)
    for either in (client, rest):
        outputs = either.predict("kinds", {"x": values}, signature_name="any_rank")
        np.testing.assert_array_equal(outputs["doubled"], 2 * values)


@pytest.mark.parametrize("shape", [(3,), (4, 3), (8, 8, 3), (4, 8, 8, 3), (1, 1, 4, 8, 8, 3), (1, 2, 8, 8, 3)])
def test_a_shape_against_the_signature_neither_ends_the_process_nor_gives_nonsense(client, rest, shape):
    for either in (client, rest):
        with pytest.raises(ServingError, match="INVALID_ARGUMENT: Shape of input clip is not compatible"):
            either.predict("kinds", {"clip": np.ones(shape, np.float32)}, signature_name="unprotected_convolution")
    right = client.predict(
        "kinds", {"clip": np.ones((1, 4, 8, 8, 3), np.float32)}, signature_name="unprotected_convolution"
    )
    assert right["features"][0, 1, 1, 1, 0] == 81


def test_failures_of_the_runtime_keep_their_code(client):
    with pytest.raises(ServingError) as caught:
        client.predict("kinds", {"x": np.float32([11])}, signature_name="checked")
    assert caught.value.code == "INVALID_ARGUMENT"
    assert "x is too large" in caught.value.message
    assert len(caught.value.message) <= 1024 + len("...TRUNCATED")


def test_functions_that_must_be_compiled_fail_as_in_the_stock_server(client):
    with pytest.raises(ServingError, match="INTERNAL: XLA compilation disabled"):
        client.predict("kinds", {"x": X}, signature_name="compiled")


def test_deadline(server, client):
    with (
        Client(f"127.0.0.1:{server.grpc_port}", timeout=0.2) as impatient,
        pytest.raises(ServingError, match="DEADLINE_EXCEEDED"),
    ):
        impatient.predict("kinds", {"x": X}, signature_name="slow")
    assert client.predict("affine", {"x": X})["y"][0] == 3.5


def test_messages_beyond_four_mebibytes(client, rest):
    values = np.random.default_rng(0).normal(size=2_000_000).astype(np.float32)
    np.testing.assert_array_equal(
        client.predict("kinds", {"x": values}, signature_name="any_rank")["doubled"], 2 * values
    )
    part = values[:200_000]
    np.testing.assert_array_equal(rest.predict("kinds", {"x": part}, signature_name="any_rank")["doubled"], 2 * part)


def test_clients_without_a_server():
    with Client("127.0.0.1:1") as client, pytest.raises(ServingError, match="UNAVAILABLE"):
        client.predict("affine", {"x": X})
