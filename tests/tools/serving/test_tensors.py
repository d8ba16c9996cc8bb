"""TensorProto to NumPy and back, against TensorFlow's own converters."""

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from tools.serving.errors import ServingError
from tools.serving.tensors import from_proto, to_proto

TYPES = [
    *("float32", "float64", "float16", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", "bool", "complex64", "complex128"),
]


def example(name):
    values = np.random.default_rng(0).normal(size=(2, 3, 1)) * 100
    return values.astype(ml_dtypes.bfloat16) if name == "bfloat16" else values.astype(name)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("content", [False, True])
@pytest.mark.parametrize("name", [*TYPES, "bfloat16"])
def test_round_trip_agrees_with_tensorflow(name, content):
    array = example(name)
    proto = to_proto(array, content=content)
    assert bool(proto.tensor_content) == content
    for received in (from_proto(proto, "x"), tf.make_ndarray(proto), from_proto(tf.make_tensor_proto(array), "x")):
        assert received.dtype == array.dtype
        np.testing.assert_array_equal(received, array)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 1)])
def test_shapes_survive(shape):
    for content in (False, True):
        assert from_proto(to_proto(np.ones(shape, np.float32), content=content), "x").shape == shape
        assert from_proto(to_proto(np.ones(shape, np.int64), content=content), "x").shape == shape


def test_strings_keep_every_byte():
    array = np.array([[b"a\0", b""], [b"\xff\xfe", "ü".encode()]], object)
    np.testing.assert_array_equal(from_proto(to_proto(array), "x"), array)
    np.testing.assert_array_equal(from_proto(to_proto(np.array(["ü", "b"])), "x"), ["ü".encode(), b"b"])


def test_missing_values_repeat_the_last_and_none_are_zeros():
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.0, 2.0])
    proto.tensor_shape.dim.add().size = 4
    np.testing.assert_array_equal(from_proto(proto, "x"), np.float32([1, 2, 2, 2]))
    del proto.float_val[:]
    np.testing.assert_array_equal(from_proto(proto, "x"), np.zeros(4, np.float32))


def broken_protos():
    short = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_content=b"abc")
    short.tensor_shape.dim.add().size = 1
    negative = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.0])
    negative.tensor_shape.dim.add().size = -1
    unknown = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.0])
    unknown.tensor_shape.unknown_rank = True
    huge = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.0])
    for _ in range(4):
        huge.tensor_shape.dim.add().size = 2**40
    return {
        "short": short,
        "negative": negative,
        "unknown rank": unknown,
        "huge": huge,
        "no type": tensor_pb2.TensorProto(),
        "resource": tensor_pb2.TensorProto(dtype=types_pb2.DT_RESOURCE),
        "not a type": tensor_pb2.TensorProto(dtype=99),
    }


@pytest.mark.parametrize("name", broken_protos())
def test_broken_protos_are_named(name):
    with pytest.raises(ServingError) as caught:
        from_proto(broken_protos()[name], "clip")
    assert caught.value.code == "INVALID_ARGUMENT"
    assert caught.value.message == "tensor parsing error: clip"


def test_refuses_what_tensorflow_has_no_type_for():
    for array in (np.array(["2020-01-01"], "datetime64[D]"), np.array([1, None], object)):
        with pytest.raises(ServingError, match="INVALID_ARGUMENT: Expected an array"):
            to_proto(array)
