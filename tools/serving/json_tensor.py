"""JSON of TensorFlow Serving's REST requests to NumPy: row and columnar format, its rules and its messages.

One difference is deliberate: an integer that does not fit 8 or 16 bits is refused where TensorFlow Serving wraps it.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tensorflow.core.framework import types_pb2

from tools.serving.errors import ServingError, invalid, truncated
from tools.serving.tensors import numpy_dtype, type_name

_INTEGERS = {
    types_pb2.DT_INT32: np.int32,
    types_pb2.DT_INT16: np.int16,
    types_pb2.DT_INT8: np.int8,
    types_pb2.DT_UINT8: np.uint8,
    types_pb2.DT_INT64: np.int64,
    types_pb2.DT_UINT32: np.uint32,
    types_pb2.DT_UINT64: np.uint64,
}
_FLOATS = {types_pb2.DT_FLOAT: np.float32, types_pb2.DT_DOUBLE: np.float64}
# NumPy's arrays have at most 64 axes.
_MAXIMUM_RANK = 64

# The words of Python's parser, and of the parser TensorFlow Serving uses.
_PARSE_ERRORS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Expecting ',' delimiter": "Missing a comma or closing bracket after an element.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}


def parse_request(
    body: bytes, inputs_of: Callable[[str], Mapping[str, Any]]
) -> tuple[str, dict[str, np.ndarray], bool]:
    """Reads the body of a predict request.

    Args:
        body: JSON with "instances" (row format) or "inputs" (columnar format), and perhaps "signature_name".
        inputs_of: given the signature's name ("" for the default), its inputs as TensorInfo by name.

    Returns:
        The signature's name ("" for the default), an array for each input, and whether the format is row.

    Raises:
        ServingError: INVALID_ARGUMENT with TensorFlow Serving's text, or UNIMPLEMENTED for a type JSON cannot carry.
    """
    document = _parse(body)
    name, inputs, rows = _read(document, inputs_of)
    if any(array.dtype.kind == "f" and np.isinf(array).any() for array in inputs.values()):
        # The number may have been too big to be one; looking at each as it is parsed is too slow for every request.
        _parse(body, parse_float=_finite)
    return name, inputs, rows


def _read(document: dict, inputs_of: Callable[[str], Mapping[str, Any]]) -> tuple[str, dict[str, np.ndarray], bool]:
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {_text(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    infos = inputs_of(name)
    if not infos:
        raise invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
    types = {alias: info.dtype for alias, info in sorted(infos.items())}
    if "instances" in document:
        if "inputs" in document:
            raise invalid(
                f"JSON Value: {_text(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' "
                "keys to exist "
            )
        return name, _from_rows(document, types), True
    if "inputs" in document:
        return name, _from_columns(document["inputs"], types), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _parse(body: bytes, parse_float: Callable[[str], float] | None = None) -> dict:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise invalid(f"JSON Parse error: Invalid encoding in string. at offset: {error.start}") from None
    start = len(text) - len(text.lstrip(" \t\r\n"))
    if start == len(text):
        raise invalid("JSON Parse error: The document is empty")
    try:
        # What follows the first value is ignored, as in TensorFlow Serving.
        document, _ = json.JSONDecoder(parse_float=parse_float).raw_decode(text, start)
    except json.JSONDecodeError as error:
        offset = len(text[: error.pos].encode("utf-8", "surrogatepass"))
        message = _PARSE_ERRORS.get(error.msg, f"{error.msg}.")
        raise invalid(f"JSON Parse error: {message} at offset: {offset}") from None
    except RecursionError:
        raise invalid("JSON Parse error: Nested too deeply.") from None
    except ValueError:
        raise invalid("JSON Parse error: Number too big to be stored in double.") from None
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {_text(document)} Is not object")
    return document


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(text)
    return number


def _from_rows(document: dict, types: dict[str, int]) -> dict[str, np.ndarray]:
    rows = document["instances"]
    if not isinstance(rows, list):
        raise invalid(f"JSON Value: {_text(document)} Excepting 'instances' to be an list/array")
    if not rows:
        raise invalid(f"JSON Value: {_text(document)} No values in 'instances' array")
    if not isinstance(rows[0], dict) and len(types) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    named = _is_object(rows[0])
    if named and all(isinstance(row, dict) and row.keys() == types.keys() for row in rows):
        columns = {alias: _fast([row[alias] for row in rows], enum) for alias, enum in types.items()}
        if all(column is not None for column in columns.values()):
            return columns
    elif not named and not (isinstance(rows[0], list) and any(map(_is_object, rows))):
        alias, enum = next(iter(types.items()))
        column = _fast(rows, enum)
        if column is not None:
            return {alias: column}
    return _from_rows_slowly(rows, named, types)


def _from_rows_slowly(rows: list, named: bool, types: dict[str, int]) -> dict[str, np.ndarray]:
    """Goes element by element, in order to say which one is wrong."""
    columns: dict[str, list[np.ndarray]] = {}
    for number, row in enumerate(rows):
        if named != _is_object(row):
            received = "object but got list" if named else "value/list but got object"
            raise invalid(f"Expecting {received} at item {number} of input list")
        for alias, value in (row if named else {next(iter(types)): row}).items():
            try:
                _add(columns, alias, value, types)
            except ServingError as error:
                key = f" key: {alias}" if named else ""
                raise invalid(f"Failed to process element: {number}{key} of 'instances' list. Error: {error}") from None
        if named and row.keys() != types.keys():
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. JSON object: {_text(row)} keys must be "
                f"equal to: {','.join(types)}"
            )
    return {alias: np.stack(values) for alias, values in columns.items()}


def _add(columns: dict[str, list[np.ndarray]], alias: str, value: Any, types: dict[str, int]) -> None:
    if alias not in types:
        raise invalid(f"JSON object: does not have named input: {alias}")
    array = _to_array(value, types[alias])
    first = columns.setdefault(alias, [array])[0]
    if first is array:
        return
    if first.size != array.size:
        raise invalid(f"Expecting tensor size: {first.size} but got: {array.size}")
    if first.shape != array.shape:
        raise invalid(f"Expecting shape {_shape_text(first.shape)} but got: {_shape_text(array.shape)}")
    columns[alias].append(array)


def _from_columns(value: Any, types: dict[str, int]) -> dict[str, np.ndarray]:
    if not _is_object(value):
        if len(types) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        value = {next(iter(types)): value}
    columns = {}
    for alias, enum in types.items():
        if alias not in value:
            raise invalid(f"Missing named input: {alias} in 'inputs' object.")
        columns[alias] = _to_array(value[alias], enum)
    return columns


def _to_array(value: Any, enum: int) -> np.ndarray:
    array = _fast(value, enum)
    return _slow(value, enum) if array is None else array


def _fast(value: Any, enum: int) -> np.ndarray | None:
    """The array, or None for anything that needs a closer look."""
    shape = _shape(value)
    items = [value]
    for size in shape:
        if set(map(type, items)) != {list} or set(map(len, items)) != {size}:
            return None
        items = list(itertools.chain.from_iterable(items))
    try:
        array = _convert(items, enum)
        return None if array is None else array.reshape(shape)
    except (OverflowError, ServingError):
        return None


def _convert(items: list, enum: int) -> np.ndarray | None:
    kinds = set(map(type, items))
    if enum in _FLOATS and kinds <= {int, float}:
        array = np.array(items, np.float64)
        wanted = np.finfo(_FLOATS[enum])
        limit = 2.0 ** (wanted.nmant + 1) - 1 if int in kinds else float(wanted.max)
        beyond = (np.abs(array) > limit) & ~np.isinf(array)
        return None if beyond.any() else array.astype(wanted.dtype)
    if enum in _INTEGERS and kinds <= {int}:
        # NumPy raises OverflowError where a Python integer does not fit.
        return np.array(items, _INTEGERS[enum])
    if enum == types_pb2.DT_BOOL and kinds <= {bool}:
        return np.array(items, np.bool_)
    if enum == types_pb2.DT_STRING and kinds <= {str, dict}:
        array = np.empty(len(items), object)
        array[:] = [_string(item) for item in items]
        return array
    return None


def _slow(value: Any, enum: int) -> np.ndarray:
    shape = _shape(value)
    leaves: list[np.ndarray] = []
    _fill(value, 0, shape, enum, leaves)
    dtype = numpy_dtype(enum)
    return np.array(leaves, dtype).reshape(shape)


def _fill(value: Any, level: int, shape: tuple[int, ...], enum: int, leaves: list) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {_text(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        leaves.append(_leaf(value, enum))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for item in value:
        _fill(item, level + 1, shape, enum, leaves)


def _leaf(value: Any, enum: int) -> Any:
    kind = type(value)
    if enum == types_pb2.DT_STRING and kind in (str, dict):
        return _string(value)
    if kind is dict:
        raise _type_error(value, enum)
    if enum in _FLOATS:
        return _number(value, enum)
    if enum in _INTEGERS:
        limits = np.iinfo(_INTEGERS[enum])
        if kind is int and limits.min <= value <= limits.max:
            return value
    elif enum == types_pb2.DT_BOOL:
        if kind is bool:
            return value
    elif enum != types_pb2.DT_STRING:
        raise ServingError("UNIMPLEMENTED", f"Conversion of JSON Value: {_text(value)} to type: {type_name(enum)}")
    raise _type_error(value, enum)


def _number(value: Any, enum: int) -> float:
    if type(value) not in (int, float):
        raise _type_error(value, enum)
    wanted = np.finfo(_FLOATS[enum])
    # An integer beyond 64 bits is a decimal number to the parser of TensorFlow Serving.
    whole = type(value) is int and -(2**63) <= value < 2**64
    limit = 2 ** (wanted.nmant + 1) - 1 if whole else float(wanted.max)
    if abs(value) > limit and value not in (math.inf, -math.inf):
        raise invalid(f"Cannot convert JSON value: {_text(value)} to {type_name(enum)} without loss of precision.")
    return float(value)


def _string(value: str | dict) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from None
    if not _is_base64(value):
        raise invalid(f"JSON Value: {_text(value)} not formatted correctly for base64 data")
    text = "".join(value["b64"].split()).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _shape(value: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    if len(shape) > _MAXIMUM_RANK:
        raise invalid(f"Expected lists nested at most {_MAXIMUM_RANK} deep. Received {len(shape)}.")
    return tuple(shape)


def _shape_text(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _type_error(value: Any, enum: int) -> ServingError:
    kinds = {type(None): "Null", dict: "Object", list: "Array", str: "String"}
    kind = str(value) if isinstance(value, bool) else kinds.get(type(value), "Number")
    return invalid(f"JSON Value: {_text(value)} Type: {kind} is not of expected type: {type_name(enum)}")


def _text(value: Any) -> str:
    return truncated(json.dumps(value, indent=4, ensure_ascii=False))
