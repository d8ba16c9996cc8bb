"""JSON of the REST interface: the corner cases that TensorFlow Serving's own tests fix, and its messages."""

import json
import types

import numpy as np
import pytest
from tensorflow.core.framework import types_pb2

from tools.serving.errors import ServingError
from tools.serving.json_response import format_response, shortest
from tools.serving.json_tensor import parse_request


def parse(body, **inputs):
    infos = {
        name: types.SimpleNamespace(dtype=types_pb2.DataType.Value(f"DT_{dtype}")) for name, dtype in inputs.items()
    }
    return parse_request(body if isinstance(body, bytes) else body.encode(), lambda _: infos)


def refusal(body, **inputs):
    with pytest.raises(ServingError) as caught:
        parse(body, **inputs)
    return caught.value.code, caught.value.message


@pytest.mark.parametrize(
    ("body", "dtype", "expected"),
    [
        ('{"instances": [[1,2],[3,4],[5,6]]}', "INT32", np.int32([[1, 2], [3, 4], [5, 6]])),
        ('{"instances": [1, 2.0, 3, 5.003, 0.007]}', "FLOAT", np.float32([1, 2, 3, 5.003, 0.007])),
        ('{"instances": [1.0, 2, 0.662]}', "DOUBLE", np.float64([1, 2, 0.662])),
        ('{"instances": [{"x": [[1]]}, {"x": [[2]]}]}', "INT64", np.int64([[[1]], [[2]]])),
        ('{"inputs": {"x": [[[1,2]]]}}', "INT32", np.int32([[[1, 2]]])),
        ('{"inputs": [[[1,2]]]}', "UINT8", np.uint8([[[1, 2]]])),
        ('{"inputs": 3}', "FLOAT", np.float32(3)),
        ('{"inputs": []}', "FLOAT", np.zeros(0, np.float32)),
        ('{"instances": [[], []]}', "FLOAT", np.zeros((2, 0), np.float32)),
        ('{"inputs": [true, false]}', "BOOL", np.array([True, False])),
        ('{"inputs": [18446744073709551615]}', "UINT64", np.uint64([2**64 - 1])),
        ('{"inputs": [NaN, Infinity, -Infinity]}', "FLOAT", np.float32([np.nan, np.inf, -np.inf])),
        ('{"inputs": [16777215, 16777217.0]}', "FLOAT", np.float32([16777215, 16777216])),
        ('{"inputs": [1.5, 16777215]}', "FLOAT", np.float32([1.5, 16777215])),
        ('{"inputs": [100000000000000000000000]}', "FLOAT", np.float32([1e23])),
        ('{"inputs": 1} trailing', "FLOAT", np.float32(1)),
        ('\ufeff {"inputs": 1}', "FLOAT", np.float32(1)),
    ],
)
def test_numbers(body, dtype, expected):
    _, inputs, rows = parse(body, x=dtype)
    assert inputs["x"].dtype == expected.dtype
    assert inputs["x"].shape == expected.shape
    np.testing.assert_array_equal(inputs["x"], expected)
    assert rows == ("instances" in body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"instances": [{"b64": "aGVsbG8="}, {"b64": "d29ybGQ"}]}', [b"hello", b"world"]),
        ('{"instances": [[{"b64": "aGVsbG8="}], ["w"]]}', [[b"hello"], [b"w"]]),
        ('{"instances": [{"x": [{"b64": "aGVs\\nbG8="}, "foo"]}]}', [[b"hello", b"foo"]]),
        ('{"inputs": {"b64": "/w=="}}', b"\xff"),
        ('{"inputs": ["ü\\u0000"]}', [b"\xc3\xbc\0"]),
    ],
)
def test_strings(body, expected):
    _, inputs, _ = parse(body, x="STRING")
    assert inputs["x"].tolist() == expected


def test_named_rows_become_columns():
    rows = [
        {"whole": [[1, 2], [3, 4]], "text": ["foo", "bar"], "real": [1.0, "NAN"]},
        {"whole": [[5, 6], [7, 8]], "text": ["baz", "bat"], "real": [2.0, "INF"]},
    ]
    body = json.dumps({"signature_name": "s", "instances": rows}).replace('"NAN"', "NaN").replace('"INF"', "Infinity")
    name, inputs, _ = parse(body, whole="INT32", text="STRING", real="FLOAT")
    assert name == "s"
    np.testing.assert_array_equal(inputs["whole"], np.arange(1, 9).reshape(2, 2, 2))
    assert inputs["text"].tolist() == [[b"foo", b"bar"], [b"baz", b"bat"]]
    np.testing.assert_array_equal(inputs["real"], np.float32([[1, np.nan], [2, np.inf]]))


FAILED = "Failed to process element: {} of 'instances' list. Error: INVALID_ARGUMENT: {}"


@pytest.mark.parametrize(
    ("body", "dtype", "message"),
    [
        ("", "INT32", "JSON Parse error: The document is empty"),
        (" \n", "INT32", "JSON Parse error: The document is empty"),
        ("{", "INT32", "JSON Parse error: Missing a name for object member. at offset: 1"),
        ('{"inputs" 1}', "INT32", "JSON Parse error: Missing a colon after a name of object member. at offset: 10"),
        ('{"ü": }', "INT32", "JSON Parse error: Invalid value. at offset: 7"),
        ('{"inputs": "a', "INT32", "JSON Parse error: Missing a closing quotation mark in string. at offset: 11"),
        ('{"inputs": [1e400]}', "FLOAT", "JSON Parse error: Number too big to be stored in double."),
        ('{"inputs": ' + "[" * 200000, "FLOAT", "JSON Parse error: Nested too deeply."),
        (b'{"inputs": "\xff"}', "STRING", "JSON Parse error: Invalid encoding in string. at offset: 12"),
        ('{"inputs": "\\ud800"}', "STRING", "JSON Parse error: The surrogate pair in string is invalid."),
        ("[1]", "INT32", "JSON Value: [\n    1\n] Is not object"),
        ('{"x": 1}', "INT32", "Missing 'inputs' or 'instances' key"),
        ('{"inputs": {"y": 1}}', "INT32", "Missing named input: x in 'inputs' object."),
        ('{"instances": [[1,2],[3,4],[5,6,7]]}', "INT32", FAILED.format(2, "Expecting tensor size: 2 but got: 3")),
        ('{"instances": [[1,2],[3,4],[[5,6]]]}', "INT32", FAILED.format(2, "Expecting shape [2] but got: [1,2]")),
        ('{"instances": [1, [1]]}', "INT32", FAILED.format(1, "Expecting shape [] but got: [1]")),
        (
            '{"instances": [[1,2],["a", "b"]]}',
            "INT32",
            FAILED.format(1, 'JSON Value: "a" Type: String is not of expected type: int32'),
        ),
        ('{"inputs": [1.0]}', "INT32", "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        ('{"inputs": [true]}', "INT32", "JSON Value: true Type: True is not of expected type: int32"),
        ('{"inputs": [1.5, true]}', "FLOAT", "JSON Value: true Type: True is not of expected type: float"),
        ('{"inputs": [null]}', "FLOAT", "JSON Value: null Type: Null is not of expected type: float"),
        ('{"inputs": [3]}', "STRING", "JSON Value: 3 Type: Number is not of expected type: string"),
        ('{"inputs": [256]}', "UINT8", "JSON Value: 256 Type: Number is not of expected type: uint8"),
        ('{"inputs": [-1]}', "UINT64", "JSON Value: -1 Type: Number is not of expected type: uint64"),
        ('{"inputs": [[1,2],[3]]}', "INT32", "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        ('{"inputs": [1,[3]]}', "INT32", "Encountered list at unexpected level: 1 expected < 1"),
        (
            '{"inputs": [[1],3]}',
            "INT32",
            "JSON Value: 3 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        ('{"inputs": {"b64": "?"}}', "STRING", "Unable to base64 decode"),
        ('{"inputs": 16777217}', "FLOAT", "Cannot convert JSON value: 16777217 to float without loss of precision."),
        (
            '{"inputs": [1.7976931348623157e+308]}',
            "FLOAT",
            "Cannot convert JSON value: 1.7976931348623157e+308 to float without loss of precision.",
        ),
        (
            '{"inputs": 9007199254740993}',
            "DOUBLE",
            "Cannot convert JSON value: 9007199254740993 to double without loss of precision.",
        ),
    ],
)
def test_refusals(body, dtype, message):
    assert refusal(body, x=dtype) == ("INVALID_ARGUMENT", message)


def test_refusals_of_the_whole_document():
    for body, part in [
        ('{"signature_name": 5, "inputs": 1}', "'signature_name' key must be a string value."),
        ('{"inputs": 1, "instances": [1]}', "expecting only one of 'inputs' or 'instances' keys to exist "),
        ('{"instances": 1}', "Excepting 'instances' to be an list/array"),
        ('{"instances": []}', "No values in 'instances' array"),
    ]:
        assert part in refusal(body, x="INT32")[1]


def test_refusals_of_several_inputs():
    good = {"a": [1], "b": ["s"]}
    for rows, part in [
        ([1], "instances is a plain list, but expecting list of objects as multiple input tensors required"),
        ([good, [1]], "Expecting object but got list at item 1 of input list"),
        ([good, {"a": [1]}], "keys must be equal to: a,b"),
        ([good, {**good, "c": 1}], "JSON object: does not have named input: c"),
        (
            [good, {"a": [1, 2], "b": ["s"]}],
            "key: a of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size",
        ),
    ]:
        assert part in refusal(json.dumps({"instances": rows}), a="INT32", b="STRING")[1]
    assert "inputs is a plain value/list" in refusal('{"inputs": [1]}', a="INT32", b="STRING")[1]
    assert refusal('{"instances": [["a"], {"x": ["b"]}]}', x="STRING")[1] == (
        "Expecting value/list but got object at item 1 of input list"
    )


def test_types_json_cannot_carry():
    assert refusal('{"inputs": [1]}', x="HALF") == ("UNIMPLEMENTED", "Conversion of JSON Value: 1 to type: half")
    for dtype, name in [(np.float16, "half"), (np.complex64, "complex64"), (np.uint16, "uint16")]:
        with pytest.raises(ServingError, match=f"Failed to write JSON value for tensor type: {name}"):
            format_response({"y": np.zeros(2, dtype)}, rows=True)


def test_answers_in_both_formats():
    outputs = {
        "text": np.array([["foo", "bar"], ["baz", "bat"]], "S3").astype(object),
        "raw_bytes": np.array([b"hello", b"\xff"], object),
        "real": np.float32([8, 9]),
        "whole": np.int64([[1, 2], [3, 4]]),
    }
    rows = json.loads(format_response(outputs, rows=True))["predictions"]
    assert rows[1] == {"text": ["baz", "bat"], "raw_bytes": {"b64": "/w=="}, "real": 9.0, "whole": [3, 4]}
    columns = json.loads(format_response(outputs, rows=False))["outputs"]
    assert columns["whole"] == [[1, 2], [3, 4]]
    assert columns["raw_bytes"] == [{"b64": "aGVsbG8="}, {"b64": "/w=="}]
    assert format_response({"y": np.float32([1, 2.5])}, rows=True) == b'{"predictions": [1.0, 2.5]}'
    assert format_response({"y": np.zeros((0, 2), np.int32)}, rows=True) == b'{"predictions": []}'
    assert format_response({"y": np.float32(3)}, rows=False) == b'{"outputs": 3.0}'


def test_answers_that_cannot_be_written():
    for outputs, message in [
        ({}, "Cannot convert empty tensor map to JSON"),
        ({"y": np.int32(1)}, "Tensor name: y has no shape information "),
        ({"a": np.zeros(2), "b": np.zeros(1)}, "Tensor name: b has inconsistent batch size: 1 expecting: 2"),
    ]:
        with pytest.raises(ServingError) as caught:
            format_response(outputs, rows=True)
        assert caught.value.message == message
    with pytest.raises(ServingError, match="not UTF-8"):
        format_response({"y": np.array([b"\xff"], object)}, rows=False)


def test_known_texts_of_float32():
    values = np.float32([9000000, 999999, 0.5, 0.0003, 0.00003, 555557.5, 0.1, np.nan, np.inf, -np.inf, -0.0])
    assert json.loads(format_response({"y": values[:7]}, rows=True))["predictions"] == [
        *(9e6, 999999.0, 0.5, 0.0003, 3e-05, 555557.5, 0.1)
    ]
    assert format_response({"y": values[7:]}, rows=True) == b'{"predictions": [NaN, Infinity, -Infinity, -0.0]}'


def test_every_float32_round_trips_in_its_shortest_text():
    generator = np.random.default_rng(1)
    patterns = generator.integers(0, 2**32, 20000, dtype=np.uint32).view(np.float32)
    usual = generator.normal(size=20000).astype(np.float32)
    edges = np.float32([1e22, 1e-13, 3.4028235e38, 1.1754944e-38, 1e-45, 16777216, 0, 99999.995])
    values = np.concatenate([patterns[np.isfinite(patterns)], usual, edges])
    texts = [repr(value) for value in shortest(values).tolist()]
    np.testing.assert_array_equal(np.float32([float(text) for text in texts]), values)
    # NumPy prints a float32 with the fewest digits that tell it apart.
    assert [float(text) for text in texts] == [float(str(value)) for value in values]
