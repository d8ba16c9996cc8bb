"""NumPy to the JSON of TensorFlow Serving's REST answers: row and columnar format, its rules and its messages.

One difference is deliberate: text outputs that are not UTF-8 are refused where TensorFlow Serving writes JSON that no
parser reads.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from tools.serving.errors import invalid

_WRITABLE = {"float32", "float64", "int32", "int16", "int8", "uint8", "int64", "uint32", "uint64", "bool", "object"}

# Powers of ten up to 22 are exact in float64: dividing by one of them gives the number nearest to a decimal text.
_POWERS = 10.0 ** np.arange(23)


def format_response(outputs: Mapping[str, np.ndarray], rows: bool) -> bytes:
    """Writes the body of a predict response.

    Args:
        outputs: arrays by name; text in outputs whose name ends in "_bytes" is written in base64.
        rows: row format ("predictions"), for which all outputs must share their first size, or columnar ("outputs").

    Raises:
        ServingError: INVALID_ARGUMENT if the outputs cannot be written in that format.
    """
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    if rows:
        _check_batch(outputs)
    plain = {alias: _plain(alias, array) for alias, array in outputs.items()}
    if len(plain) == 1:
        (value,) = plain.values()
    elif rows:
        value = [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]
    else:
        value = plain
    return json.dumps({"predictions" if rows else "outputs": value}, ensure_ascii=False).encode()


def _check_batch(outputs: Mapping[str, np.ndarray]) -> None:
    size = None
    for alias, array in outputs.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {alias} has no shape information ")
        if size is not None and len(array) != size:
            raise invalid(f"Tensor name: {alias} has inconsistent batch size: {len(array)} expecting: {size}")
        size = len(array)


def _plain(alias: str, array: np.ndarray) -> Any:
    if array.dtype.name not in _WRITABLE:
        name = {"float16": "half"}.get(array.dtype.name, array.dtype.name)
        raise invalid(f"Failed to write JSON value for tensor type: {name}")
    if array.dtype == np.float32:
        return shortest(array).tolist()
    if array.dtype.kind != "O":
        return array.tolist()
    texts = np.empty(array.shape, object)
    flat = texts.reshape(-1)
    for position, value in enumerate(array.reshape(-1)):
        if alias.endswith("_bytes"):
            flat[position] = {"b64": base64.b64encode(value).decode()}
            continue
        try:
            flat[position] = value.decode()
        except UnicodeDecodeError:
            raise invalid(
                f"Failed to write JSON value for tensor type: string: output {alias} is not UTF-8 text; outputs of "
                "bytes have names that end in _bytes"
            ) from None
    return texts.tolist()


def shortest(array: np.ndarray) -> np.ndarray:
    """Float64 numbers whose shortest text is the shortest that gives back the float32 numbers of `array`.

    (0.1 as float32 is 0.10000000149011612 as float64; this gives 0.1.)
    """
    single = np.ascontiguousarray(array, np.float32).reshape(-1)
    result = single.astype(np.float64)
    magnitude = np.abs(result)
    easy = (magnitude > 1e-13) & (magnitude < 1e22)
    pending = np.flatnonzero(easy)
    exponents = np.floor(np.log10(magnitude[pending])).astype(np.int64)
    for digits in (6, 7, 8, 9):
        values = result[pending]
        powers = digits - 1 - exponents
        up, down = _POWERS[np.maximum(powers, 0)], _POWERS[np.maximum(-powers, 0)]
        candidates = np.rint(values * up / down) / up * down
        exact = candidates.astype(np.float32) == single[pending]
        result[pending[exact]] = candidates[exact]
        pending, exponents = pending[~exact], exponents[~exact]
    hard = np.flatnonzero(~easy & np.isfinite(single) & (single != 0))
    result[hard] = [float(str(value)) for value in single[hard]]
    return result.reshape(np.shape(array))
