"""Requests a second and latencies of a served model, over gRPC and REST; the server runs in a process of its own.

Example:
    python -m tools.serving.benchmark savedmodels my_model --seconds 5
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import sys
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from tools.commands import run_command, table
from tools.errors import InputError
from tools.serving.client import DEFAULT_SIGNATURE, Client, RestClient
from tools.serving.errors import ServingError

COLUMNS = ["protocol", "callers", "requests/s", "p50 ms", "p99 ms"]


def measure(
    connect: Callable[[], Any],
    model: str,
    inputs: Mapping[str, np.ndarray],
    *,
    signature_name: str = DEFAULT_SIGNATURE,
    callers: int = 1,
    seconds: float = 3.0,
) -> dict[str, float]:
    """Calls a model from several threads, each with a connection of its own, each call after the answer to the last.

    Returns:
        "requests/s", and the latencies "p50 ms" and "p99 ms".

    Raises:
        ServingError: of the first call that fails.
    """
    latencies: list[float] = []
    failures: list[BaseException] = []
    ready = threading.Barrier(callers + 1)

    def call() -> None:
        try:
            with connect() as client:
                client.predict(model, inputs, signature_name=signature_name)
                ready.wait()
                end = time.perf_counter() + seconds
                while (started := time.perf_counter()) < end:
                    client.predict(model, inputs, signature_name=signature_name)
                    latencies.append(time.perf_counter() - started)
        except BaseException as error:
            failures.append(error)
            ready.abort()

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        ready.wait()
        started = time.perf_counter()
    except threading.BrokenBarrierError:
        started = time.perf_counter()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - started
    causes = [error for error in failures if not isinstance(error, threading.BrokenBarrierError)]
    if causes:
        raise causes[0]
    p50, p99 = np.percentile(latencies, [50, 99]) * 1000
    return {"requests/s": round(len(latencies) / elapsed, 1), "p50 ms": round(p50, 2), "p99 ms": round(p99, 2)}


def random_inputs(signature: Mapping[str, Any], batch: int) -> dict[str, np.ndarray]:
    """Inputs for a signature of numbers: normal or, for integers, small; free axes are 1 and the first is `batch`.

    Raises:
        InputError: if an input is no array of numbers.
    """
    from tensorflow.core.framework import types_pb2

    from tools.serving.tensors import numpy_dtype

    generator = np.random.default_rng(0)
    inputs = {}
    for name, info in signature["inputs"].items():
        dtype = numpy_dtype(types_pb2.DataType.Value(info["dtype"]))
        if dtype is None or dtype.kind not in "fiu" or info["shape"] is None:
            raise InputError(f"Expected inputs of numbers and known rank. Received {name!r}: {info['dtype']}.")
        shape = [1 if size == -1 else size for size in info["shape"]]
        shape[:1] = [batch] if shape else []
        inputs[name] = (
            generator.normal(size=shape) if dtype.kind == "f" else generator.integers(0, 100, shape)
        ).astype(dtype)
    return inputs


def _serve(folder: str, connection: Connection) -> None:
    from tools.serving.server import Server

    try:
        with Server(folder) as server:
            connection.send((server.grpc_port, server.rest_port))
            connection.recv()
    except InputError as error:
        connection.send(error)


def run(options: argparse.Namespace) -> None:
    """Starts a server, measures, and prints a table."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(options.folder, there), daemon=True)
    process.start()
    try:
        ports = here.recv()
        if isinstance(ports, InputError):
            raise ports
        try:
            rows = _measure_all(options, *ports)
        except ServingError as error:
            raise InputError(f"{options.model}: {error}") from error
        print(table([[row[column] for column in COLUMNS] for row in rows], COLUMNS))
        here.send(None)
        process.join(30)
    finally:
        process.kill()


def _measure_all(options: argparse.Namespace, grpc_port: int, rest_port: int) -> list[dict[str, Any]]:
    with RestClient(f"127.0.0.1:{rest_port}") as client:
        signatures = client.metadata(options.model)["signatures"]
    if options.signature not in signatures:
        raise InputError(f"Expected --signature to be one of {', '.join(signatures)}. Received {options.signature!r}.")
    inputs = random_inputs(signatures[options.signature], options.batch)
    protocols = {
        "gRPC": lambda: Client(f"127.0.0.1:{grpc_port}"),
        "REST": lambda: RestClient(f"127.0.0.1:{rest_port}"),
    }
    # The callers' own collections of garbage are no part of the latency.
    gc.freeze()
    rows = []
    for name, connect in protocols.items():
        for callers in options.callers:
            print(f"measuring {name} with {callers} callers", file=sys.stderr)
            figures = measure(
                connect,
                options.model,
                inputs,
                signature_name=options.signature,
                callers=callers,
                seconds=options.seconds,
            )
            rows.append({"protocol": name, "callers": callers, **figures})
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmark as a command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="DIR", help="folder of models")
    parser.add_argument("model", metavar="MODEL", help="name of the model")
    parser.add_argument("--signature", default=DEFAULT_SIGNATURE, help="name of the signature (%(default)s)")
    parser.add_argument("--batch", type=int, default=1, help="examples in a request (%(default)s)")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 8], help="callers at a time (1 8)")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of each measurement (%(default)g)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)
    return run_command(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
