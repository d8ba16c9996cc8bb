"""The benchmark runs, on a small scale, and tells what it says."""

import json

import numpy as np
import pytest

from apps.pcrec.sampling import benchmark


def test_scale(capsys):
    assert benchmark.main(["scale", "--edges", "3000", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["nodes"] == 180 and 0 < result["edges"] <= 3000
    assert result["graph_megabytes"] >= 0 and result["view_ms_of_any_nodes"] > 0


def test_views_of_a_file(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    lines = [f"{user},{item},1" for user, item in rng.integers(100, 130, (200, 2))]
    (tmp_path / "log.csv").write_text("\n".join(["user,item,time", *lines]) + "\n")
    monkeypatch.setattr(benchmark, "VIEWS", 8)
    monkeypatch.setattr(benchmark, "PLAIN_VIEWS", 2)
    assert benchmark.main(["views", str(tmp_path / "log.csv")]) == 0
    assert "plain_view_ms" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        benchmark.main(["views"])
