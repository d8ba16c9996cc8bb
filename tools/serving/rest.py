"""REST of TensorFlow Serving: a translation in front of the servicer, on the standard library's HTTP server."""

from __future__ import annotations

import contextlib
import http.server
import json
import logging
import re
import socket
import socketserver
import threading
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from tools.serving.bundle import DEFAULT_SIGNATURE
from tools.serving.errors import HTTP_STATUS, ServingError, invalid
from tools.serving.json_response import format_response
from tools.serving.json_tensor import parse_request
from tools.serving.servicer import Servicer

_log = logging.getLogger(__name__)

_WHICH = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_PREDICTION = re.compile(_WHICH + r":(classify|regress|predict)", re.IGNORECASE)
_STATUS = re.compile(_WHICH + r"(/metadata)?", re.IGNORECASE)
_NO_MODEL = re.compile(r"/v1/models(?:/versions/\d+|/labels/[^/:]+)?(?:/metadata)?", re.IGNORECASE)
_NOT_FOUND = b"<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"
_LARGEST_VERSION = 2**63 - 1
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}


class RestServer(http.server.ThreadingHTTPServer):
    """The HTTP server; a thread a connection, of which `workers` at a time run a request.

    Args:
        address: host and port (0 for a free one).
        servicer: answers the requests.
        workers: how many requests run at once.
        timeout: seconds a client may take to send its request or to read its answer, and a model to answer.
        maximum_body: bytes of the largest body accepted.
    """

    daemon_threads = True
    request_queue_size = 512

    def __init__(
        self,
        address: tuple[str, int],
        servicer: Servicer,
        *,
        workers: int,
        timeout: float = 30.0,
        maximum_body: int = 2**31 - 1,
    ):
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.servicer = servicer
        self.request_timeout = timeout
        self.maximum_body = maximum_body
        self.stopping = False
        self._slots = threading.BoundedSemaphore(workers)
        self._active = 0
        self._idle = threading.Condition()
        self._connections: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # The base class would look up the host's name, which can take seconds without a network.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("A connection from %s ended early", client_address, exc_info=True)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._idle:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._idle:
            self._connections.discard(request)
        super().shutdown_request(request)

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """A place among the requests that run."""
        if not self._slots.acquire(timeout=self.request_timeout):
            raise ServingError("UNAVAILABLE", "The server is busy: the request found no free worker in time")
        try:
            yield
        finally:
            self._slots.release()

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Counts a request, from its first line to its last byte, for `stop` to wait for."""
        with self._idle:
            self._active += 1
        try:
            yield
        finally:
            with self._idle:
                self._active -= 1
                self._idle.notify_all()

    def stop(self, grace: float) -> None:
        """Accepts no more connections, waits up to `grace` seconds for requests under way, and ends the rest."""
        self.stopping = True
        self.shutdown()
        with self._idle:
            self._idle.wait_for(lambda: self._active == 0, timeout=grace)
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    """Reads requests off a connection, hands them on and writes answers, each in one piece."""

    protocol_version = "HTTP/1.1"
    server_version = "kapps"
    disable_nagle_algorithm = True
    rbufsize = 1 << 16
    server: RestServer

    def setup(self) -> None:
        self.timeout = self.server.request_timeout
        super().setup()

    def log_message(self, format: str, *arguments: Any) -> None:
        _log.debug(format, *arguments)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the HTTP layer itself refuses (a broken request line, huge headers); the connection ends."""
        self.close_connection = True
        self._send(code, _error(message or "Malformed request"))

    def _handle(self) -> None:
        with self.server.counted():
            try:
                body = self._body()
            except _BadBody as error:
                self.send_error(error.status, str(error))
                return
            path = self.path.partition("?")[0]
            if not path.lower().startswith("/v1/"):
                self._send(404, _NOT_FOUND, "text/html")
                return
            headers: dict[str, str] = {}
            try:
                status, answer = 200, self._answer(path, body, headers)
            except ServingError as error:
                status, answer = HTTP_STATUS[error.code], _error(error.message)
            except Exception as error:
                _log.exception("A request failed in the server itself")
                status, answer = 500, _error(f"{type(error).__name__}: {error}")
            self._send(status, answer, headers=headers)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = _handle

    def _answer(self, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        if self.command == "OPTIONS":
            if not re.match("https?://", self.headers.get("Origin", "")):
                raise ServingError("FAILED_PRECONDITION", "Origin header is missing in CORS preflight")
            headers.update(_CORS)
            return b""
        match = _PREDICTION.fullmatch(path) if self.command == "POST" else None
        if match:
            method = match[4].lower()
            if method != "predict":
                raise ServingError("UNIMPLEMENTED", f"{method} is not implemented by this server; predict is.")
            with self.server.slot():
                return _predict(self.server, _named(predict_pb2.PredictRequest(), match), body)
        match = _STATUS.fullmatch(path) if self.command == "GET" else None
        if match:
            return _metadata(self.server.servicer, match) if match[4] else _status(self.server.servicer, match)
        if self.command == "GET" and _NO_MODEL.fullmatch(path):
            raise invalid("Missing model name in request.")
        raise invalid(f"Malformed request: {self.command} {path}")

    def _body(self) -> bytes:
        deadline = time.monotonic() + self.server.request_timeout
        if self.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise _BadBody(415, f"Unsupported Content-Encoding: {self.headers['Content-Encoding']}")
        try:
            if self.headers.get("Transfer-Encoding", "identity").lower() != "identity":
                return self._chunks(deadline)
            lengths = set(self.headers.get_all("Content-Length", ["0"]))
            if len(lengths) != 1 or not (text := lengths.pop().strip()).isdecimal():
                raise _BadBody(400, "Malformed request: Content-Length is not one whole number")
            return self._read(self._limited(int(text)), deadline)
        except TimeoutError:
            raise _BadBody(408, "The body of the request did not arrive in time") from None

    def _chunks(self, deadline: float) -> bytes:
        body = bytearray()
        while True:
            line = self.rfile.readline(1024).partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", line):
                raise _BadBody(400, "Malformed request: broken chunk of the body")
            size = int(line, 16)
            self._limited(len(body) + size)
            body += self._read(size, deadline)
            # After the last chunk come optional trailers and an empty line; after any other, just the line's end.
            while self.rfile.readline(65537).strip() and size == 0:
                continue
            if size == 0:
                return bytes(body)

    def _limited(self, length: int) -> int:
        if length > self.server.maximum_body:
            raise _BadBody(413, f"The body of the request is larger than {self.server.maximum_body} bytes")
        return length

    def _read(self, length: int, deadline: float) -> bytes:
        pieces = []
        while length:
            if time.monotonic() > deadline:
                raise TimeoutError
            piece = self.rfile.read1(min(length, 1 << 20))
            if not piece:
                raise _BadBody(400, "The body of the request is shorter than announced")
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)

    def _send(
        self, status: int, body: bytes, kind: str = "application/json", headers: dict[str, str] | None = None
    ) -> None:
        if self.server.stopping:
            self.close_connection = True
        # A broken request line leaves the version of the protocol unset; the answer needs headers all the same.
        self.request_version = self.protocol_version
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        head = b"".join(self._headers_buffer) + b"\r\n"
        self._headers_buffer = []
        self.wfile.write(head if getattr(self, "command", "") == "HEAD" else head + body)


class _BadBody(Exception):
    """A body that cannot be read to its end; the connection cannot go on."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


def _error(message: str) -> bytes:
    return json.dumps({"error": message}, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _named(request: Any, match: re.Match) -> Any:
    request.model_spec.name = urllib.parse.unquote(match[1])
    if match[2]:
        if int(match[2]) > _LARGEST_VERSION:
            raise invalid(f"Failed to convert version: {match[2]} to numeric.")
        request.model_spec.version.value = int(match[2])
    if match[3]:
        request.model_spec.version_label = urllib.parse.unquote(match[3])
    return request


def _predict(server: RestServer, request: predict_pb2.PredictRequest, body: bytes) -> bytes:
    with server.servicer.model(request) as (_, model):

        def inputs_of(name: str) -> Any:
            name = name or DEFAULT_SIGNATURE
            if name not in model.signatures:
                raise invalid(f'Serving signature name: "{name}" not found in signature def')
            return model.signatures[name].inputs

        name, inputs, rows = parse_request(body, inputs_of)
        outputs = model.run(name or DEFAULT_SIGNATURE, inputs, timeout=server.request_timeout)
    return format_response(outputs, rows)


def _status(servicer: Servicer, match: re.Match) -> bytes:
    response = servicer.get_model_status(_named(get_model_status_pb2.GetModelStatusRequest(), match))
    return _json(_plain(response))


def _metadata(servicer: Servicer, match: re.Match) -> bytes:
    request = _named(get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"]), match)
    response = servicer.get_model_metadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return _json({"model_spec": _plain(response.model_spec), "metadata": {"signature_def": _plain(signatures)}})


def _plain(message: Any) -> dict:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _json(value: dict) -> bytes:
    return json.dumps(value, indent=1).encode()
