"""The server: models from a folder or a configuration, behind gRPC and REST, in this process."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import socket
import threading

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from tools.errors import InputError
from tools.serving.bundle import StockCompilation
from tools.serving.config import file_source, folder_source
from tools.serving.models import ModelManager
from tools.serving.rest import RestServer
from tools.serving.servicer import BrokenMessages, ModelService, PredictionService, Servicer
from tools.serving.tensors import MESSAGE_OPTIONS


class Server:
    """Serves SavedModels over TensorFlow Serving's protocols; a context manager.

    The runtime is TensorFlow's own session, so results and error texts are those of TensorFlow Serving. While a server
    runs, XLA compilation is refused in the whole process, as the stock server does: train elsewhere, or pass
    `stock_compilation=False`. Deliberate difference: an input whose shape contradicts the signature is refused
    (INVALID_ARGUMENT) where TensorFlow Serving would run it, because some kernels end the process.

    Args:
        base_path: a folder of models, each a folder of versions; models that come and go are noticed.
        config_file: a models.config (text ModelServerConfig) instead.
        grpc_port: port of gRPC; 0 takes a free one, None serves no gRPC.
        rest_port: port of REST; 0 takes a free one, None serves no REST.
        host: address to listen on.
        poll_seconds: seconds between looks for new versions.
        workers: how many requests each protocol runs at once; default four for each processor.
        request_timeout: seconds for a REST request to arrive, and to be answered.
        stock_compilation: refuse functions that must be compiled by XLA, as the stock server does.

    Raises:
        InputError: for a folder, configuration or port that cannot be served.

    Example:
        with Server(base_path="savedmodels") as server:
            client = Client(f"127.0.0.1:{server.grpc_port}")
    """

    def __init__(
        self,
        base_path: str | os.PathLike | None = None,
        *,
        config_file: str | os.PathLike | None = None,
        grpc_port: int | None = 0,
        rest_port: int | None = 0,
        host: str = "127.0.0.1",
        poll_seconds: float = 1.0,
        workers: int | None = None,
        request_timeout: float = 30.0,
        stock_compilation: bool = True,
    ):
        if (base_path is None) == (config_file is None):
            raise InputError("Expected either base_path or config_file. Received both or neither.")
        source = folder_source(base_path) if config_file is None else file_source(config_file)
        self.host = host
        self.grpc_port = grpc_port
        self.rest_port = rest_port
        self._manager = ModelManager(source, poll_seconds)
        self._servicer = Servicer(self._manager)
        self._workers = workers or 4 * (os.cpu_count() or 1)
        self._request_timeout = request_timeout
        self._stock_compilation = stock_compilation
        self._running = contextlib.ExitStack()

    def start(self) -> Server:
        """Takes the ports, loads the models and begins to answer."""
        with contextlib.ExitStack() as stack:
            # What is entered first is left last: the doors close before the models go.
            if self._stock_compilation:
                stack.enter_context(StockCompilation())
            stack.callback(self._manager.stop)
            rest = self._bind_rest(stack) if self.rest_port is not None else None
            channel = self._bind_grpc(stack) if self.grpc_port is not None else None
            self._manager.start()
            if rest is not None:
                thread = threading.Thread(target=rest.serve_forever, args=(0.05,), name="serving-rest", daemon=True)
                thread.start()
                stack.callback(rest.stop, self._request_timeout)
            if channel is not None:
                channel.start()
            self._running = stack.pop_all()
        return self

    def stop(self) -> None:
        """Stops accepting requests, lets those under way finish, and unloads the models."""
        self._running.close()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def available(self) -> dict[str, list[int]]:
        """The versions that answer now, by model."""
        return self._manager.available()

    def _bind_rest(self, stack: contextlib.ExitStack) -> RestServer:
        try:
            server = RestServer(
                (self.host, self.rest_port), self._servicer, workers=self._workers, timeout=self._request_timeout
            )
        except (OSError, OverflowError) as error:
            raise _port_error("REST", self.host, self.rest_port, error) from error
        stack.callback(server.server_close)
        self.rest_port = server.server_port
        return server

    def _bind_grpc(self, stack: contextlib.ExitStack) -> grpc.Server:
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(self._workers, "serving-grpc"))
        # Without the last option a second server would share the port in silence.
        options = (*MESSAGE_OPTIONS, ("grpc.so_reuseport", 0))
        server = grpc.server(pool, interceptors=[BrokenMessages()], options=options)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(self._servicer), server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(self._servicer), server)
        address = f"[{self.host}]" if ":" in self.host else self.host
        try:
            _check_free(self.host, self.grpc_port)
            port = server.add_insecure_port(f"{address}:{self.grpc_port}")
        except (OSError, OverflowError, RuntimeError) as error:
            raise _port_error("gRPC", self.host, self.grpc_port, error) from error
        stack.callback(lambda: server.stop(self._request_timeout).wait())
        self.grpc_port = port
        return server


def _check_free(host: str, port: int) -> None:
    """Raises OSError if nobody can listen there; gRPC itself would say so in several lines of its own."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen()


def _port_error(protocol: str, host: str, port: int | None, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or str(error).rstrip(".")
    return InputError(f"Expected a free port for {protocol}. Received {port} on {host}: {reason}.")
