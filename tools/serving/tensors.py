"""TensorProto to NumPy and back, by the rules of TensorFlow's C++ `Tensor::FromProto` and `Tensor::AsProtoField`."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

from tools.serving.errors import ServingError, invalid

# A message of gRPC holds less than 2 GiB: a larger tensor can only be a small request that claims a large shape.
MAXIMUM_BYTES = 2**31

# gRPC in Python accepts messages of 4 MiB unless told otherwise, less than one clip; TensorFlow Serving accepts any.
MESSAGE_OPTIONS = (
    ("grpc.max_send_message_length", MAXIMUM_BYTES - 1),
    ("grpc.max_receive_message_length", MAXIMUM_BYTES - 1),
)

# TensorFlow's type: its name in TensorFlow's messages, the NumPy type, the field of TensorProto with its values.
_TYPES = {
    types_pb2.DT_FLOAT: ("float", np.dtype(np.float32), "float_val"),
    types_pb2.DT_DOUBLE: ("double", np.dtype(np.float64), "double_val"),
    types_pb2.DT_INT32: ("int32", np.dtype(np.int32), "int_val"),
    types_pb2.DT_UINT8: ("uint8", np.dtype(np.uint8), "int_val"),
    types_pb2.DT_INT16: ("int16", np.dtype(np.int16), "int_val"),
    types_pb2.DT_INT8: ("int8", np.dtype(np.int8), "int_val"),
    types_pb2.DT_UINT16: ("uint16", np.dtype(np.uint16), "int_val"),
    types_pb2.DT_INT64: ("int64", np.dtype(np.int64), "int64_val"),
    types_pb2.DT_UINT32: ("uint32", np.dtype(np.uint32), "uint32_val"),
    types_pb2.DT_UINT64: ("uint64", np.dtype(np.uint64), "uint64_val"),
    types_pb2.DT_BOOL: ("bool", np.dtype(np.bool_), "bool_val"),
    types_pb2.DT_HALF: ("half", np.dtype(np.float16), "half_val"),
    types_pb2.DT_BFLOAT16: ("bfloat16", np.dtype(ml_dtypes.bfloat16), "half_val"),
    types_pb2.DT_COMPLEX64: ("complex64", np.dtype(np.complex64), "scomplex_val"),
    types_pb2.DT_COMPLEX128: ("complex128", np.dtype(np.complex128), "dcomplex_val"),
    types_pb2.DT_STRING: ("string", np.dtype(object), "string_val"),
}
_ENUMS = {dtype: enum for enum, (_, dtype, _) in _TYPES.items()}
# Types whose packed wire format is the array's own bytes, with the tag of their field.
_WIRE_TAGS = {np.dtype(np.float32): b"\x2a", np.dtype(np.float64): b"\x32", np.dtype(np.bool_): b"\x5a"}
# The type of a value in a repeated field where that is not the type of the tensor's elements.
_FIELD_DTYPES = {
    "int_val": np.int32,
    "half_val": np.int32,
    "scomplex_val": np.float32,
    "dcomplex_val": np.float64,
}


def type_name(enum: int) -> str:
    """The type's name in TensorFlow's messages: "float", "int32", "half"."""
    return _TYPES[enum][0] if enum in _TYPES else types_pb2.DataType.Name(enum)[3:].lower()


def numpy_dtype(enum: int) -> np.dtype | None:
    """The NumPy type of a TensorFlow type, object for strings; None for a type that is no array of values."""
    return _TYPES[enum][1] if enum in _TYPES else None


def as_array(value: object, enum: int) -> np.ndarray:
    """What a session returned (an array, a NumPy scalar or bytes) as an array of the TensorFlow type."""
    return np.asarray(value, dtype=numpy_dtype(enum))


def from_proto(proto: tensor_pb2.TensorProto, alias: str) -> np.ndarray:
    """The array of a TensorProto, from `tensor_content` or the field of its type (missing values repeat the last).

    Raises:
        ServingError: INVALID_ARGUMENT naming `alias`, if the proto is no valid tensor.
    """
    try:
        return _from_proto(proto)
    except (KeyError, ValueError, MemoryError, OverflowError):
        raise invalid(f"tensor parsing error: {alias}") from None


def _from_proto(proto: tensor_pb2.TensorProto) -> np.ndarray:
    _, dtype, field = _TYPES[proto.dtype]
    shape = tuple(dimension.size for dimension in proto.tensor_shape.dim)
    count = math.prod(shape)
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape) or count * dtype.itemsize > MAXIMUM_BYTES:
        raise ValueError
    if proto.tensor_content:
        if dtype.kind == "O" or len(proto.tensor_content) != count * dtype.itemsize:
            raise ValueError
        return np.frombuffer(proto.tensor_content, dtype).reshape(shape)
    values = getattr(proto, field)
    if dtype.kind == "O":
        array = np.empty(len(values), object)
        array[:] = values
    else:
        array = _from_field(values, field, dtype)
    if count and not len(array):
        array = np.array([b""], object) if dtype.kind == "O" else np.zeros(1, dtype)
    if len(array) < count:
        array = np.concatenate([array, np.repeat(array[-1:], count - len(array))])
    return array[:count].reshape(shape)


def _from_field(values: object, field: str, dtype: np.dtype) -> np.ndarray:
    array = np.array(values, _FIELD_DTYPES.get(field, dtype))
    if field == "half_val":
        return array.astype(np.uint16).view(dtype)
    if field in ("scomplex_val", "dcomplex_val"):
        return array[: len(array) // 2 * 2].view(dtype)
    return array.astype(dtype)


def to_proto(array: np.ndarray, *, content: bool = False) -> tensor_pb2.TensorProto:
    """The TensorProto of an array; Python strings are encoded in UTF-8.

    Args:
        array: any array whose type TensorFlow knows; strings as objects, NumPy bytes or NumPy text.
        content: values as raw bytes in `tensor_content` (short to write, what TensorFlow's clients send), otherwise in
            the field of their type (what TensorFlow Serving answers).

    Raises:
        ServingError: INVALID_ARGUMENT, if the type cannot be sent.
    """
    array = np.asarray(array)
    if array.dtype.kind in "SUO":
        return _string_proto(array)
    if array.dtype not in _ENUMS:
        raise invalid(f"Expected an array of a type TensorFlow knows. Received {array.dtype}.")
    enum = _ENUMS[array.dtype]
    proto = tensor_pb2.TensorProto(dtype=enum)
    _set_shape(proto, array.shape)
    if content:
        proto.tensor_content = array.tobytes()
    elif array.dtype in _WIRE_TAGS:
        # Parsing these bytes fills the field an order of magnitude faster than extending it with Python numbers.
        payload = array.tobytes()
        proto.MergeFromString(_WIRE_TAGS[array.dtype] + _varint(len(payload)) + payload)
    else:
        field = _TYPES[enum][2]
        flat = np.ascontiguousarray(array).reshape(-1)
        if field == "half_val":
            flat = flat.view(np.uint16)
        elif field in _FIELD_DTYPES and array.dtype.kind == "c":
            flat = flat.view(_FIELD_DTYPES[field])
        getattr(proto, field).extend(flat.tolist())
    return proto


def _string_proto(array: np.ndarray) -> tensor_pb2.TensorProto:
    values = [value.encode() if isinstance(value, str) else value for value in array.reshape(-1).tolist()]
    if not all(isinstance(value, bytes) for value in values):
        raise ServingError("INVALID_ARGUMENT", "Expected an array of strings or bytes. Received other Python objects.")
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=values)
    _set_shape(proto, array.shape)
    return proto


def _set_shape(proto: tensor_pb2.TensorProto, shape: tuple[int, ...]) -> None:
    # A scalar has a shape too, of no dimensions: the field must be there.
    proto.tensor_shape.SetInParent()
    for size in shape:
        proto.tensor_shape.dim.add().size = size


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
