"""The commands `kapps serve` and `kapps call`."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import pathlib
import sys
from typing import Any

from tools.commands import add_command, print_result, table
from tools.errors import InputError, WrongUse
from tools.files import read_arrays

# Seconds; sockets and gRPC fail at far larger ones, each with words of its own.
LONGEST_TIMEOUT = 1e6


def add_commands(subparsers: argparse._SubParsersAction) -> None:
    """Adds `serve` and `call`."""
    serve = add_command(
        subparsers,
        "serve",
        help="serve published models over TensorFlow Serving's gRPC and REST protocols",
        example="kapps serve savedmodels --port 8500 --rest-port 8501",
        run=run_serve,
    )
    serve.add_argument("folder", nargs="?", metavar="DIR", help="folder of models, each a folder of versions")
    serve.add_argument("--config", metavar="FILE", help="serve the models of a models.config instead of a folder")
    serve.add_argument("--port", type=int, default=8500, help="port of gRPC, 0 for a free one (%(default)s)")
    serve.add_argument("--rest-port", type=int, default=8501, help="port of REST, 0 for a free one (%(default)s)")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    call = add_command(
        subparsers,
        "call",
        help="call a served model, or ask for its status or signatures",
        example="kapps call my_model input.npz --target 127.0.0.1:8500\n  kapps call my_model --metadata",
        run=run_call,
    )
    call.add_argument("model", metavar="MODEL", help="name of the model")
    call.add_argument("input", nargs="?", metavar="INPUT", help=".npz with an array for each input, or .json")
    call.add_argument("--status", action="store_true", help="show the states of the model's versions")
    call.add_argument("--metadata", action="store_true", help="show the model's signatures")
    where = call.add_mutually_exclusive_group()
    where.add_argument("--target", default="127.0.0.1:8500", help="gRPC server, host:port (%(default)s)")
    where.add_argument("--rest", metavar="URL", help="use REST instead, at http://host:port")
    which = call.add_mutually_exclusive_group()
    which.add_argument("--version", type=int, help="version number (the latest)")
    which.add_argument("--label", help="version label")
    call.add_argument("--signature", default="serving_default", help="name of the signature (%(default)s)")
    call.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for the answer (%(default)g)")


def run_serve(options: argparse.Namespace) -> None:
    """Serves until a signal asks for the end; requests under way are answered first."""
    import logging
    import signal
    import threading

    if (options.folder is None) == (options.config is None):
        raise WrongUse("Expected either DIR or --config. Received both or neither.")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("tensorflow").setLevel(logging.WARNING)
    stopped = threading.Event()

    def stop(*_: object) -> None:
        # A second signal ends the process at once.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        stopped.set()

    from tools.serving.server import Server

    print("kapps: loading the models", file=sys.stderr, flush=True)
    server = Server(
        options.folder,
        config_file=options.config,
        grpc_port=options.port,
        rest_port=options.rest_port,
        host=options.host,
    )
    with server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        models = server.available()
        ready = {"models": models, "host": options.host, "port": server.grpc_port, "rest_port": server.rest_port}
        if options.json:
            print(json.dumps(ready))
        else:
            names = [f"{name} ({_versions(numbers)})" for name, numbers in models.items()]
            print(
                f"kapps: ready: {', '.join(names) or 'no models yet'}; gRPC {options.host}:{server.grpc_port}, "
                f"REST http://{options.host}:{server.rest_port}"
            )
        sys.stdout.flush()
        stopped.wait()
        print("kapps: finishing the requests under way", file=sys.stderr, flush=True)


def _versions(numbers: list[int]) -> str:
    if not numbers:
        return "no version available"
    return f"version{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def run_call(options: argparse.Namespace) -> None:
    """Calls a model and prints what it answers."""
    if sum([options.status, options.metadata, options.input is not None]) != 1:
        raise WrongUse("Expected exactly one of INPUT, --status and --metadata.")
    if options.version is not None and not 0 <= options.version < 2**63:
        raise InputError(f"Expected --version to be a version number. Received {options.version}.")
    if not 0 < options.timeout <= LONGEST_TIMEOUT:
        raise InputError(f"Expected --timeout from 0 to {LONGEST_TIMEOUT:g} seconds. Received {options.timeout:g}.")
    if options.input is not None:
        _check_input(pathlib.Path(options.input))
    from tools.serving.client import Client, RestClient
    from tools.serving.errors import ServingError

    try:
        client = RestClient(options.rest, options.timeout) if options.rest else Client(options.target, options.timeout)
        with contextlib.closing(client):
            if options.status:
                rows = client.status(options.model, options.version)
                columns = ["version", "state", "error_code", "error_message"]
                print_result(options, rows, lambda: table([[row[key] for key in columns] for row in rows], columns))
            elif options.metadata:
                metadata = client.metadata(options.model, options.version, options.label)
                print_result(options, metadata, lambda: _metadata_text(metadata))
            else:
                _predict(options, client)
    except ServingError as error:
        if error.code == "UNAVAILABLE":
            where = options.rest or options.target
            raise InputError(f"{options.model}: {error} (does `kapps serve DIR` run at {where}?)") from error
        raise InputError(f"{options.model}: {error}") from error


def _check_input(path: pathlib.Path) -> None:
    if path.suffix not in (".npz", ".json"):
        raise InputError(f"Expected INPUT to end in .npz or .json. Received {str(path)!r}.")
    if not path.exists():
        raise InputError(f"Expected INPUT to be a file. Received {str(path)!r}: not found.")


def _metadata_text(metadata: dict[str, Any]) -> str:
    rows = [
        [signature, kind[:-1], name, info["dtype"], _shape_text(info["shape"])]
        for signature, tensors in metadata["signatures"].items()
        for kind in ("inputs", "outputs")
        for name, info in tensors[kind].items()
    ]
    header = f"{metadata['name']}, version {metadata['version']}"
    return f"{header}\n{table(rows, ['signature', 'kind', 'name', 'type', 'shape'])}"


def _shape_text(shape: list[int] | None) -> str:
    return "any" if shape is None else f"({', '.join('?' if size == -1 else str(size) for size in shape)})"


def _predict(options: argparse.Namespace, client: Any) -> None:
    import numpy as np

    metadata = client.metadata(options.model, options.version, options.label)
    if options.signature not in metadata["signatures"]:
        raise InputError(
            f"Expected --signature to be one of {', '.join(metadata['signatures'])}. Received {options.signature!r}."
        )
    inputs = _read_inputs(
        pathlib.Path(options.input), options.signature, metadata["signatures"][options.signature]["inputs"]
    )
    # The version whose signature was read, even if another one takes its place meanwhile.
    version = metadata["version"]
    outputs = client.predict(options.model, inputs, signature_name=options.signature, version=version)
    result = {
        "model": options.model,
        "version": version,
        "signature": options.signature,
        "outputs": {name: _plain(array.tolist()) for name, array in outputs.items()},
    }

    def text() -> str:
        parts = [f"{options.model}, version {version}, {options.signature}"]
        for name, array in outputs.items():
            parts.append(f"{name} {array.dtype} {array.shape}\n{np.array2string(array, threshold=64)}")
        return "\n".join(parts)

    print_result(options, result, text)


def _plain(value: Any) -> Any:
    """What strict JSON can hold: numbers that are not finite, and bytes, as text."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _read_inputs(path: pathlib.Path, signature: str, expected: dict[str, Any]) -> dict[str, Any]:
    return _read_npz(path, expected) if path.suffix == ".npz" else _read_json(path, signature, expected)


def _read_npz(path: pathlib.Path, expected: dict[str, Any]) -> dict[str, Any]:
    import numpy as np
    from tensorflow.core.framework import types_pb2

    from tools.serving.tensors import numpy_dtype

    arrays = read_arrays(path)
    for name, array in arrays.items():
        wanted = numpy_dtype(types_pb2.DataType.Value(expected[name]["dtype"])) if name in expected else None
        if wanted is None or wanted == array.dtype or (wanted.kind == "O" and array.dtype.kind in "SU"):
            continue
        if not np.can_cast(array.dtype, wanted, "same_kind"):
            raise InputError(f"Expected array {name!r} of {path} to be {wanted}. Received {array.dtype}.")
        cast = array.astype(wanted)
        if array.dtype.kind in "iu" and not np.array_equal(cast, array):
            raise InputError(f"Expected array {name!r} of {path} to fit {wanted}. Received {array.dtype} beyond it.")
        arrays[name] = cast
    return arrays


def _read_json(path: pathlib.Path, signature: str, expected: dict[str, Any]) -> dict[str, Any]:
    """Reads the body of a REST request, or plainly an object with a value for each input."""
    from types import SimpleNamespace

    from tensorflow.core.framework import types_pb2

    from tools.serving.errors import ServingError
    from tools.serving.json_tensor import parse_request

    infos = {name: SimpleNamespace(dtype=types_pb2.DataType.Value(info["dtype"])) for name, info in expected.items()}
    try:
        body = path.read_bytes()
    except OSError as error:
        raise InputError(f"Expected a readable file. Received {str(path)!r}: {error.strerror or error}.") from error
    document = None
    with contextlib.suppress(ValueError):
        document = json.loads(body)
    if isinstance(document, dict):
        # Before the values, which another signature would not understand.
        named = document.get("signature_name")
        if isinstance(named, str) and named not in ("", signature):
            raise InputError(f"Expected --signature {named}, the signature_name in {path}. Received {signature!r}.")
        if not {"inputs", "instances"} & document.keys():
            body = json.dumps({"inputs": document}).encode()
    try:
        return parse_request(body, lambda _: infos)[1]
    except ServingError as error:
        raise InputError(f"{path}: {' '.join(error.message.split())}") from error
