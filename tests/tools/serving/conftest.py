"""A server for the tests of a module's protocol, and one for each test that changes what is served."""

import contextlib
import time

import pytest

from tests.tools.serving import saved_models
from tools.serving import Client, RestClient, Server


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """half_plus_two, affine (half plus three, with an older version), kinds, a broken model, one without versions."""
    base = tmp_path_factory.mktemp("models")
    saved_models.save_affine(base, "half_plus_two", version=123)
    saved_models.save_affine(base, version=1)
    saved_models.save_affine(base, version=2, offset=3.0)
    saved_models.save_kinds(base)
    (base / "broken" / "1").mkdir(parents=True)
    (base / "broken" / "1" / "saved_model.pb").write_bytes(b"not a SavedModel")
    (base / "empty" / "not_a_number").mkdir(parents=True)
    return base


@pytest.fixture(scope="module")
def server(models):
    with Server(models, request_timeout=10.0) as running:
        yield running


@pytest.fixture
def client(server):
    with Client(f"127.0.0.1:{server.grpc_port}") as connected:
        yield connected


@pytest.fixture
def rest(server):
    with RestClient(f"http://127.0.0.1:{server.rest_port}") as connected:
        yield connected


@pytest.fixture
def serve(request):
    """Starts a server that looks for new versions often; it is stopped after the test."""
    with contextlib.ExitStack() as stack:

        def start(*arguments, **keywords):
            running = stack.enter_context(Server(*arguments, **{"poll_seconds": 0.05, **keywords}))
            return running, stack.enter_context(Client(f"127.0.0.1:{running.grpc_port}"))

        yield start


def wait_for(condition, seconds=15.0):
    """Waits until the condition holds; fails the test if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
