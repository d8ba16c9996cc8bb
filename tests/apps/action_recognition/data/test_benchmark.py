"""The command that measures the pipeline."""

import json

import pytest

from apps.action_recognition.data import benchmark
from tools.commands import run_command


def test_prints_a_table_or_json(two_classes, capsys):
    arguments = [str(two_classes), "--frames", "4", "--size", "16", "16", "--batch", "2", "--repeats", "1"]
    assert run_command(benchmark.build_parser(), [*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["videos"] == 6 and len(result["ways"]) == 4
    assert all(way["items"] == 6 and way["items_per_second"] > 0 for way in result["ways"])
    assert run_command(benchmark.build_parser(), arguments) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_wrong_folder_is_one_line(tmp_path, capsys):
    assert run_command(benchmark.build_parser(), [str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit) as stopped:
        run_command(benchmark.build_parser(), ["--help"])
    assert stopped.value.code == 0 and "example:" in capsys.readouterr().out
