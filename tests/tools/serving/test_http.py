"""The HTTP layer under clients that are broken, slow or many."""

import concurrent.futures
import json
import socket
import time

import numpy as np
import pytest

from tools.serving import RestClient, Server

BODY = b'{"instances": [1.0]}'


@pytest.fixture(scope="module")
def strict(models):
    with Server(models, grpc_port=None, request_timeout=1.0) as running:
        yield running


def exchange(server, data, wait=5.0):
    """Sends bytes and returns everything that comes back until the server closes or falls silent."""
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=wait) as connection:
        connection.sendall(data)
        received = b""
        while True:
            try:
                piece = connection.recv(65536)
            except TimeoutError:
                return received
            if not piece:
                return received
            received += piece


def head(length, *more):
    lines = ["POST /v1/models/affine:predict HTTP/1.1", "Host: x", f"Content-Length: {length}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def alive(server):
    with RestClient(f"http://127.0.0.1:{server.rest_port}") as client:
        return client.predict("affine", {"x": np.float32([1])})["y"].tolist() == [3.5]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head(len(BODY), "Connection: close") + BODY, 200),
        (head(len(BODY) + 5) + BODY, 408),
        (head(5, "Connection: close") + BODY, 400),
        (head("many"), 400),
        (head(-1), 400),
        (head(2**40), 413),
        (head("3\r\nContent-Length: 4") + b"{}12", 400),
        (head(len(BODY), "Content-Encoding: gzip") + BODY, 415),
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET /v1/models/affine HTTP/1.1\r\n" + b"A: " + b"a" * 70000 + b"\r\n\r\n", 431),
        (b"BREW /v1/models/affine HTTP/1.1\r\n\r\n", 501),
    ],
)
def test_broken_requests(strict, data, status):
    answer = exchange(strict, data)
    assert answer.split(b" ", 2)[1] == str(status).encode()
    first, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/json" in first
    # JSON of its announced length, and nothing after it.
    length = int(first.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert json.loads(body[:length]).keys() & {"error", "predictions"}
    assert alive(strict)


def test_chunked_body(strict):
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:7], BODY[7:]))
    start = b"POST /v1/models/affine:predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    assert exchange(strict, start + chunks + b"0\r\n\r\n").endswith(b'{"predictions": [3.5]}')
    assert exchange(strict, start + b"zz\r\n").startswith(b"HTTP/1.1 400")


def test_requests_on_one_connection_are_answered_in_turn(strict):
    answers = exchange(strict, (head(len(BODY)) + BODY) * 2 + head(len(BODY), "Connection: close") + BODY)
    assert answers.count(b'{"predictions": [3.5]}') == 3


def test_slow_clients_do_not_stop_others(strict):
    idle = [socket.create_connection(("127.0.0.1", strict.rest_port), timeout=5) for _ in range(50)]
    for connection in idle:
        connection.sendall(head(len(BODY)) + BODY[:3])
    started = time.monotonic()
    assert alive(strict)
    assert time.monotonic() - started < 1.0
    assert idle[0].recv(100).startswith(b"HTTP/1.1 408")
    for connection in idle:
        connection.close()


def test_many_at_once(strict):
    def ask(number):
        with RestClient(f"http://127.0.0.1:{strict.rest_port}", timeout=20) as client:
            return [client.predict("affine", {"x": np.float32([number])})["y"].tolist() for _ in range(5)]

    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        assert list(pool.map(ask, range(40))) == [[[0.5 * number + 3]] * 5 for number in range(40)]
