"""The verb `compare`, from a model to the tables, and what it refuses."""

import functools
import json
import re

import pytest


@pytest.fixture
def compare(kapps):
    """Runs the verb; returns exit status, standard output and standard error."""
    return functools.partial(kapps, "compare")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x4d"], "Expected the model name to be one of .* Received 'x4d'"),
        (["x3d_xs", "--input-shape", "4,32"], "Expected --input-shape to be frames, height and width.*Received 4,32"),
        (["x3d_xs", "--weights", "i3d=a.npz"], "Expected --weights of models that are compared. Received those of i3d"),
        (["x3d_xs", "--weights", "x3d_xs=absent.npz"], "Expected a checkpoint or the name.*Received absent.npz"),
        (["x3d_xs", "--threads", "0"], "--threads and --repeats to be at least 1"),
        (["x3d_xs", "--clips", "0"], "Expected at least 1 video to compare.*Received 0 and 4"),
        (["x3d_xs", "--calibration", "3"], "Expected --calibration to be at least 4.*Received 3"),
        (["x3d_xs", "--videos", "absent"], "Expected a video or a folder of videos. Received absent"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(compare, tmp_path, arguments, message):
    status, out, err = compare(*arguments, "--output", tmp_path / "out")
    assert status == 1 and out == ""
    (line,) = err.splitlines()
    assert re.search(message, line)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_models_through_every_way(compare, tmp_path):
    # The second takes flow, and has poolings for which LiteRT has no operator.
    names, folder = ["r2plus1d_tiny", "i3d_flow"], tmp_path / "out"
    arguments = [*names, "--output", folder, "--clips", 3, "--calibration", 4, "--input-shape", "16,32,32", "--json"]
    status, out, err = compare(*arguments, "--time", "--repeats", 1)
    assert status == 0, err
    document = json.loads(out)
    assert json.loads((folder / "table.json").read_text()) == document
    rows = {row["model"]: row for row in document["models"]}
    assert set(rows) == set(names)
    for row in rows.values():
        differences = {way: entry["difference"] for way, entry in row["ways"].items()}
        for way, limit in (("saved_model", 1e-5), ("float32", 1e-4), ("float16", 1e-2)):
            assert differences[way]["max_abs_difference"] <= limit * differences[way]["max_abs_expected"]
            assert differences[way]["inputs"] == 3
        assert differences["int8"]["relative_rms"] < 0.3
        assert row["ways"]["int8"]["bytes"] < row["ways"]["float16"]["bytes"] < row["ways"]["float32"]["bytes"]
        assert {"keras", "saved_model", "float32", "float16", "int8"} <= set(row["timing"]["milliseconds"])
    assert "bytes" in rows["r2plus1d_tiny"]["direct"]["float32"]
    assert rows["i3d_flow"]["direct"]["float32"]["error"].startswith("does not convert")

    # The files are there, so the second time takes no more than reading them.
    status, out, err = compare(*arguments)
    assert status == 0 and json.loads(out) == document
    assert "model 1 of" not in err
