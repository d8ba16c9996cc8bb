"""`kapps serve` and `kapps call` as a user meets them."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from tools import commands
from tools.serving import RestClient, cli

MAIN = """
import argparse, sys
from tools.commands import run_command
from tools.serving.cli import add_commands
parser = argparse.ArgumentParser(prog="kapps")
add_commands(parser.add_subparsers())
sys.exit(run_command(parser))
"""


def kapps(*arguments):
    import argparse

    parser = argparse.ArgumentParser(prog="kapps")
    cli.add_commands(parser.add_subparsers())
    return commands.run_command(parser, [str(argument) for argument in arguments])


@pytest.fixture(params=["grpc", "rest"])
def where(request, server):
    if request.param == "grpc":
        return ("--target", f"127.0.0.1:{server.grpc_port}")
    return ("--rest", f"http://127.0.0.1:{server.rest_port}")


@pytest.mark.parametrize(
    "document", [{"x": [1, 2, 5]}, {"inputs": {"x": [1, 2, 5]}}, {"instances": [1, 2, 5]}, {"inputs": [1, 2, 5]}]
)
def test_call_with_json(tmp_path, capsys, where, document):
    path = tmp_path / "input.json"
    path.write_text(json.dumps(document))
    assert kapps("call", "affine", path, *where, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "model": "affine",
        "version": 2,
        "signature": "serving_default",
        "outputs": {"y": [3.5, 4.0, 5.5]},
    }


def test_call_with_npz(tmp_path, capsys, where):
    path = tmp_path / "input.npz"
    np.savez(path, x=np.array([1.0, np.nan]))
    assert kapps("call", "kinds", path, "--signature", "any_rank", *where, "--json") == 0
    assert json.loads(capsys.readouterr().out)["outputs"] == {"doubled": [2.0, "NaN"]}
    assert kapps("call", "kinds", path, "--signature", "any_rank", *where) == 0
    assert "doubled float32 (2,)\n[ 2. nan]" in capsys.readouterr().out


def test_status_and_metadata(capsys, where):
    assert kapps("call", "affine", "--status", *where) == 0
    assert "2  AVAILABLE  OK" in capsys.readouterr().out
    assert kapps("call", "affine", "--metadata", *where) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["serving_default", "input", "x", "DT_FLOAT", "(?)"] in rows
    assert ["serving_default", "output", "y", "DT_FLOAT", "(?)"] in rows


def test_call_refuses_in_one_line(tmp_path, capsys, where):
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "text.json").write_text('{"x": ["a"]}')
    (tmp_path / "input.txt").write_text("1")
    (tmp_path / "broken.npz").write_bytes(b"PK")
    np.savez(tmp_path / "complex.npz", x=np.complex64([1j]))
    np.savez(tmp_path / "names.npz", z=np.float32([1]))
    (tmp_path / "empty.npz").touch()
    with (tmp_path / "single.npz").open("wb") as file:
        np.save(file, np.float32([1]))
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "other.json").write_text('{"signature_name": "other", "inputs": [{"b64": "AA=="}]}')
    for model, name, part in [
        ("affine", "absent.json", "absent.json"),
        ("affine", "broken.json", "JSON Parse error"),
        ("affine", "text.json", "is not of expected type: float"),
        ("affine", "input.txt", ".npz or .json"),
        ("affine", "broken.npz", "broken.npz"),
        ("affine", "complex.npz", "to be float32. Received complex64"),
        ("affine", "names.npz", "INVALID_ARGUMENT"),
        ("affine", "empty.npz", "empty.npz: No data left"),
        ("affine", "single.npz", "single.npz, a single array"),
        ("affine", "folder.npz", "folder.npz: Is a directory"),
        ("affine", "list.json", "list.json: JSON Value: [ 1 ] Is not object"),
        ("affine", "other.json", "--signature other"),
        ("nope", "text.json", "NOT_FOUND: Servable not found for request: Latest(nope)"),
    ]:
        assert kapps("call", model, tmp_path / name, *where) == 1
        error = capsys.readouterr().err
        assert part in error
        assert error.count("\n") == 1
        assert "--debug" not in error
    assert kapps("call", "affine", *where) == 2
    assert kapps("call", "affine", tmp_path / "text.json", "--signature", "S", *where) == 1
    assert "Expected --signature to be one of serving_default" in capsys.readouterr().err
    assert kapps("call", "affine", "--status", "--rest", "ftp://x") == 1
    for arguments, part in [
        (("--version", 2**63), "Expected --version"),
        (("--version", -1), "Expected --version"),
        (("--timeout", 0), "Expected --timeout"),
        (("--timeout", "nan"), "Expected --timeout"),
        (("--timeout", 1e300), "Expected --timeout"),
    ]:
        capsys.readouterr()
        assert kapps("call", "affine", "--status", *arguments, *where) == 1
        assert part in capsys.readouterr().err


def test_call_without_a_server_says_how_to_start_one(tmp_path, capsys):
    (tmp_path / "input.json").write_text('{"x": [1]}')
    for where in (("--target", "127.0.0.1:1"), ("--rest", "http://127.0.0.1:1")):
        assert kapps("call", "affine", tmp_path / "input.json", *where) == 1
        error = capsys.readouterr().err
        assert f"(does `kapps serve DIR` run at {where[1]}?)" in error
        assert error.count("\n") == 1


def test_call_looks_at_its_input_before_it_asks_the_server(tmp_path, capsys):
    for name, part in (("video.mp4", ".npz or .json"), ("absent.npz", "absent.npz': not found")):
        assert kapps("call", "affine", tmp_path / name, "--target", "127.0.0.1:1") == 1
        error = capsys.readouterr().err
        assert part in error and "UNAVAILABLE" not in error


def test_a_server_of_another_protocol_is_told_without_its_bytes(server, capsys):
    assert kapps("call", "affine", "--status", "--rest", f"127.0.0.1:{server.grpc_port}") == 1
    error = capsys.readouterr().err
    assert "UNAVAILABLE" in error
    assert "no HTTP" in error
    assert error[:-1].isprintable()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_says_when_it_is_ready_and_ends_on_a_signal(models, number):
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "serve", str(models), "--port", "0", "--rest-port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        ready = json.loads(process.stdout.readline())
        assert ready["models"] == {"affine": [2], "broken": [], "empty": [], "half_plus_two": [123], "kinds": [1]}
        with RestClient(f"http://{ready['host']}:{ready['rest_port']}") as client:
            assert client.status("affine")[0]["state"] == "AVAILABLE"
        process.send_signal(number)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def test_serve_refuses_in_one_line(tmp_path, capsys, server):
    assert kapps("serve") == 2
    assert kapps("serve", tmp_path / "absent") == 1
    assert "Expected a folder of models" in capsys.readouterr().err
    assert kapps("serve", tmp_path, "--port", server.grpc_port) == 1
    assert f"Received {server.grpc_port} on 127.0.0.1" in capsys.readouterr().err


def test_the_commands_import_no_framework():
    code = "import sys, tools.serving.cli, tools.serving; print('tensorflow' in sys.modules, 'numpy' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == "False False"
