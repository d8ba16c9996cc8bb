"""Runs a SavedModel through TensorFlow's C API, as TensorFlow Serving's loader does, with nothing but this one file.

`python -I -S c_api.py FOLDER` carries out FOLDER/request.json in a process that has no third-party package and no code
of this project: the two libraries of the installed wheel are loaded by ctypes, XLA compilation is disabled as in the
stock `tensorflow_model_server`, the SavedModel is loaded by the function under TF Serving's own loader (LoadSavedModel)
and run by `TF_SessionRun`. One line a step goes to FOLDER/results.jsonl, so that after a crash the reader knows which
step it was.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

# DataType of tensorflow/core/framework/types.proto.
DT_STRING = 7
# Bytes an element; sub-byte and resource types cannot be in a published signature.
ELEMENT_SIZES = {1: 4, 2: 8, 3: 4, 4: 1, 5: 2, 6: 1, 9: 8, 10: 1, 14: 2, 17: 2, 19: 2, 22: 4, 23: 8}

_POINTER = ctypes.c_void_p
_TSTRING_SIZE = 24


class StatusError(Exception):
    """A TensorFlow call that did not answer OK: `code` as in absl::StatusCode (3 is INVALID_ARGUMENT)."""

    def __init__(self, code: int, message: str):
        super().__init__(f"code {code}: {message}")
        self.code = code
        self.message = message


class RawTensor(NamedTuple):
    """A tensor as bytes: `data` holds the elements in C order, or, for DT_STRING, a list with every string."""

    dtype: int
    shape: tuple[int, ...]
    data: bytes | list[bytes]


class _Output(ctypes.Structure):
    _fields_ = [("operation", _POINTER), ("index", ctypes.c_int)]


_INT64S = ctypes.POINTER(ctypes.c_int64)
_OUTPUTS = ctypes.POINTER(_Output)
_POINTERS = ctypes.POINTER(_POINTER)
# Name: (result, arguments).
_PROTOTYPES = {
    "TF_NewStatus": (_POINTER, []),
    "TF_GetCode": (ctypes.c_int, [_POINTER]),
    "TF_Message": (ctypes.c_char_p, [_POINTER]),
    "TF_DeleteStatus": (None, [_POINTER]),
    "TF_NewGraph": (_POINTER, []),
    "TF_DeleteGraph": (None, [_POINTER]),
    "TF_GraphOperationByName": (_POINTER, [_POINTER, ctypes.c_char_p]),
    "TF_NewSessionOptions": (_POINTER, []),
    "TF_DeleteSessionOptions": (None, [_POINTER]),
    "TF_LoadSessionFromSavedModel": (
        _POINTER,
        [
            _POINTER,
            _POINTER,
            ctypes.c_char_p,
            ctypes.POINTER(ctypes.c_char_p),
            ctypes.c_int,
            _POINTER,
            _POINTER,
            _POINTER,
        ],
    ),
    "TF_CloseSession": (None, [_POINTER, _POINTER]),
    "TF_DeleteSession": (None, [_POINTER, _POINTER]),
    "TF_SessionRun": (
        None,
        [
            _POINTER,
            _POINTER,
            _OUTPUTS,
            _POINTERS,
            ctypes.c_int,
            _OUTPUTS,
            _POINTERS,
            ctypes.c_int,
            _POINTER,
            ctypes.c_int,
            _POINTER,
            _POINTER,
        ],
    ),
    "TF_AllocateTensor": (_POINTER, [ctypes.c_int, _INT64S, ctypes.c_int, ctypes.c_size_t]),
    "TF_DeleteTensor": (None, [_POINTER]),
    "TF_TensorType": (ctypes.c_int, [_POINTER]),
    "TF_NumDims": (ctypes.c_int, [_POINTER]),
    "TF_Dim": (ctypes.c_int64, [_POINTER, ctypes.c_int]),
    "TF_TensorByteSize": (ctypes.c_size_t, [_POINTER]),
    "TF_TensorData": (_POINTER, [_POINTER]),
    "TF_StringInit": (None, [_POINTER]),
    "TF_StringCopy": (None, [_POINTER, ctypes.c_char_p, ctypes.c_size_t]),
    "TF_StringGetDataPointer": (_POINTER, [_POINTER]),
    "TF_StringGetSize": (ctypes.c_size_t, [_POINTER]),
    "TF_StringDealloc": (None, [_POINTER]),
}


def load_library(libraries: Sequence[str], *, disable_xla: bool = True) -> ctypes.CDLL:
    """Loads libtensorflow_framework and libtensorflow_cc (in this order) and declares the functions used here.

    Args:
        libraries: paths of the two libraries.
        disable_xla: whether this process refuses functions that must be compiled by XLA, as the stock server does.
    """
    for path in libraries:
        library = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    if disable_xla:
        # tensorflow::DisableXlaCompilation(), which tensorflow_model_server calls first.
        library._ZN10tensorflow21DisableXlaCompilationEv()
    return library


class Session:
    """A loaded SavedModel. Use as a context manager.

    Args:
        library: what `load_library` returned.
        path: directory of the SavedModel.
        tags: tags of the graph to load. Default ("serve",).

    Raises:
        StatusError: if TensorFlow cannot load it.
    """

    def __init__(self, library: ctypes.CDLL, path: str, tags: Sequence[str] = ("serve",)):
        self._tf = library
        self._status = library.TF_NewStatus()
        self._graph = library.TF_NewGraph()
        options = library.TF_NewSessionOptions()
        c_tags = (ctypes.c_char_p * len(tags))(*[tag.encode() for tag in tags])
        self._session = library.TF_LoadSessionFromSavedModel(
            options, None, os.fsencode(path), c_tags, len(tags), self._graph, None, self._status
        )
        library.TF_DeleteSessionOptions(options)
        self._check()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._tf.TF_CloseSession(self._session, self._status)
        self._tf.TF_DeleteSession(self._session, self._status)
        self._tf.TF_DeleteGraph(self._graph)
        self._tf.TF_DeleteStatus(self._status)

    def run(self, feeds: dict[str, RawTensor], fetches: Sequence[str]) -> list[RawTensor]:
        """Runs the graph.

        Args:
            feeds: tensors by tensor name ("operation:index").
            fetches: tensor names.

        Raises:
            StatusError: what the session answered instead.
        """
        inputs = (_Output * len(feeds))(*[self._output(name) for name in feeds])
        outputs = (_Output * len(fetches))(*[self._output(name) for name in fetches])
        values = (_POINTER * len(feeds))(*[self._allocate(tensor) for tensor in feeds.values()])
        results = (_POINTER * len(fetches))()
        try:
            self._tf.TF_SessionRun(
                self._session,
                None,
                inputs,
                values,
                len(feeds),
                outputs,
                results,
                len(fetches),
                None,
                0,
                None,
                self._status,
            )
            self._check()
            return [self._read(result) for result in results]
        finally:
            for value, tensor in zip(values, feeds.values(), strict=True):
                self._free(value, tensor)
            for result in results:
                if result:
                    self._tf.TF_DeleteTensor(result)

    def _check(self) -> None:
        code = self._tf.TF_GetCode(self._status)
        if code:
            raise StatusError(code, self._tf.TF_Message(self._status).decode(errors="replace"))

    def _output(self, name: str) -> _Output:
        operation, _, index = name.rpartition(":")
        pointer = self._tf.TF_GraphOperationByName(self._graph, operation.encode())
        if not pointer:
            raise StatusError(5, f"the graph has no operation {operation!r}")
        return _Output(pointer, int(index))

    def _allocate(self, tensor: RawTensor) -> int:
        dims = (ctypes.c_int64 * len(tensor.shape))(*tensor.shape)
        strings = tensor.dtype == DT_STRING
        size = len(tensor.data) * (_TSTRING_SIZE if strings else 1)
        pointer = self._tf.TF_AllocateTensor(tensor.dtype, dims, len(tensor.shape), size)
        address = self._tf.TF_TensorData(pointer)
        if strings:
            for offset, text in enumerate(tensor.data):
                self._tf.TF_StringInit(address + offset * _TSTRING_SIZE)
                self._tf.TF_StringCopy(address + offset * _TSTRING_SIZE, text, len(text))
        elif size:
            ctypes.memmove(address, tensor.data, size)
        return pointer

    def _free(self, pointer: int, tensor: RawTensor) -> None:
        if tensor.dtype == DT_STRING:
            address = self._tf.TF_TensorData(pointer)
            for offset in range(len(tensor.data)):
                self._tf.TF_StringDealloc(address + offset * _TSTRING_SIZE)
        self._tf.TF_DeleteTensor(pointer)

    def _read(self, pointer: int) -> RawTensor:
        dtype = self._tf.TF_TensorType(pointer)
        shape = tuple(self._tf.TF_Dim(pointer, axis) for axis in range(self._tf.TF_NumDims(pointer)))
        address = self._tf.TF_TensorData(pointer)
        size = self._tf.TF_TensorByteSize(pointer)
        if dtype != DT_STRING:
            return RawTensor(dtype, shape, ctypes.string_at(address, size) if size else b"")
        places = range(address, address + size, _TSTRING_SIZE) if size else ()
        return RawTensor(
            dtype,
            shape,
            [
                ctypes.string_at(self._tf.TF_StringGetDataPointer(place), self._tf.TF_StringGetSize(place))
                for place in places
            ],
        )


def pack(data: bytes | list[bytes]) -> bytes:
    """The bytes of a tensor for a file: strings are each preceded by their length (8 bytes, little endian)."""
    if isinstance(data, bytes):
        return data
    return b"".join(len(text).to_bytes(8, "little") + text for text in data)


def unpack(dtype: int, packed: bytes) -> bytes | list[bytes]:
    """The inverse of `pack`."""
    if dtype != DT_STRING:
        return packed
    strings, place = [], 0
    while place < len(packed):
        end = place + 8 + int.from_bytes(packed[place : place + 8], "little")
        strings.append(packed[place + 8 : end])
        place = end
    return strings


def _write(folder: str, name: str, tensor: RawTensor) -> dict:
    with open(os.path.join(folder, name), "wb") as file:
        file.write(pack(tensor.data))
    return {"dtype": tensor.dtype, "shape": tensor.shape, "file": name}


def _tensor(folder: str, stored: dict) -> RawTensor:
    with open(os.path.join(folder, stored["file"]), "rb") as file:
        return RawTensor(stored["dtype"], tuple(stored["shape"]), unpack(stored["dtype"], file.read()))


def _step(session: Session, folder: str, number: int, run: dict) -> dict:
    feeds = {name: _tensor(folder, stored) for name, stored in run["feeds"].items()}
    try:
        outputs = session.run(feeds, run["fetches"])
    except StatusError as error:
        return {"code": error.code, "message": error.message}
    return {
        "code": 0,
        "outputs": [_write(folder, f"output_{number}_{index}", tensor) for index, tensor in enumerate(outputs)],
    }


def main(folder: str) -> int:
    """Carries out FOLDER/request.json: {"libraries", "saved_model", "runs": [{"feeds", "fetches"}]}."""
    import resource

    # An abort inside a kernel is an answer here; it must not leave a core file of gigabytes.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open(os.path.join(folder, "request.json")) as file:
        request = json.load(file)
    with open(os.path.join(folder, "results.jsonl"), "w", buffering=1) as results:
        try:
            session = Session(load_library(request["libraries"]), request["saved_model"])
        except StatusError as error:
            print(json.dumps({"code": error.code, "message": error.message}), file=results)
            return 0
        print(json.dumps({"code": 0}), file=results)
        with session:
            for number, run in enumerate(request["runs"]):
                print(json.dumps(_step(session, folder, number, run)), file=results)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
