"""The benchmark measures what it says, and stops at the first failure."""

import numpy as np
import pytest

from tools.errors import InputError
from tools.serving import Client, ServingError, benchmark


def test_measures_real_calls(server):
    figures = benchmark.measure(
        lambda: Client(f"127.0.0.1:{server.grpc_port}"), "affine", {"x": np.float32([1])}, callers=2, seconds=0.3
    )
    assert figures["requests/s"] > 10
    assert 0 < figures["p50 ms"] <= figures["p99 ms"]
    # Two callers that each wait for their answer cannot have more answers than time allows.
    assert figures["requests/s"] * figures["p50 ms"] / 1000 < 2.5


def test_a_failing_call_ends_the_measurement(server):
    with pytest.raises(ServingError, match="NOT_FOUND"):
        benchmark.measure(lambda: Client(f"127.0.0.1:{server.grpc_port}"), "nope", {}, callers=3, seconds=30)


def test_random_inputs_fit_the_signature(client):
    signatures = client.metadata("kinds")["signatures"]
    inputs = benchmark.random_inputs(signatures["unprotected_convolution"], batch=2)
    assert inputs["clip"].shape == (2, 4, 8, 8, 3)
    assert client.predict("kinds", inputs, signature_name="unprotected_convolution")["features"].shape[0] == 2
    for name in ("mixed", "any_rank"):
        with pytest.raises(InputError, match="Expected inputs of numbers and known rank"):
            benchmark.random_inputs(signatures[name], batch=1)
