"""What a server refuses to start with, and how it ends."""

import concurrent.futures
import socket
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from tests.tools.serving import saved_models
from tools.errors import InputError
from tools.serving import Client, Server

ONE = 'config {{ name: "m" base_path: "{base}" model_platform: "tensorflow" {more} }}'


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("model_config_list {", "text format"),
        ("nonsense: 3", "text format"),
        ("", "at least one model"),
        ("model_config_list {}", "at least one model"),
        ("model_config_list { " + ONE.format(base="relative/path", more="") + " }", "got base_path()=relative/path"),
        ("model_config_list { " + 2 * ONE.format(base="/m", more="") + " }", "Illegal to list model m multiple times"),
        ('model_config_list { config { name: "m" base_path: "/m" model_platform: "torch" } }', "'torch'"),
        ('model_config_list { config { base_path: "/m" model_platform: "tensorflow" } }', "without one"),
        (
            "model_config_list { " + ONE.format(base="/m", more="model_version_policy { specific {} }") + " }",
            "Received none",
        ),
    ],
)
def test_configurations_that_cannot_be(tmp_path, text, part):
    path = tmp_path / "models.config"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        Server(config_file=path)
    assert part in str(caught.value)
    assert str(path) in str(caught.value)


def test_folders_that_cannot_be(tmp_path, models):
    for folder in (tmp_path / "absent", models / "affine", models / "affine" / "1"):
        with pytest.raises(InputError, match="Expected a folder of models") as caught:
            Server(folder)
        assert str(folder) in str(caught.value)
    with pytest.raises(InputError, match="either base_path or config_file"):
        Server()
    with pytest.raises(InputError, match=r"models\.config"):
        Server(config_file=tmp_path / "models.config")


@pytest.mark.parametrize("which", ["grpc_port", "rest_port"])
def test_a_port_in_use_is_named(tmp_path, server, which):
    taken = getattr(server, which)
    with pytest.raises(InputError, match=f"Received {taken} on 127.0.0.1: Address already in use") as caught:
        Server(tmp_path, **{which: taken}).start()
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="Received 70000"):
        Server(tmp_path, **{which: 70000}).start()


def test_stop_answers_the_requests_under_way_and_frees_the_ports(tmp_path):
    saved_models.save_kinds(tmp_path)
    server = Server(tmp_path).start()
    ports = (server.grpc_port, server.rest_port)
    x = np.float32([1, 2])
    with Client(f"127.0.0.1:{server.grpc_port}") as client, concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(client.predict, "kinds", {"x": x}, signature_name="slow")
        time.sleep(0.2)
        server.stop()
        np.testing.assert_array_equal(future.result(60)["y"], x)
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))


def test_compilation_is_refused_only_while_servers_run(tmp_path):
    script = textwrap.dedent(
        """
        import sys
        import tensorflow as tf
        from tools.serving import Server

        @tf.function(jit_compile=True)
        def compiled(x):
            return x + 1.0

        def tried():
            try:
                return float(compiled(tf.constant(1.0)))
            except tf.errors.InternalError as error:
                return error.message.partition(" [")[0]

        with Server(sys.argv[1], grpc_port=None):
            with Server(sys.argv[1], grpc_port=None):
                pass
            print(tried())
        print(tried())
        """
    )
    # A process of its own: other servers of these tests would change the answer.
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=120, check=True
    )
    assert run.stdout.splitlines() == ["XLA compilation disabled", "2.0"]
