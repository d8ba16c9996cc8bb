"""The protocol: batches, the chosen epoch, folds that are kept, and the verb."""

import argparse
import json
import pathlib

import numpy as np
import pytest

from apps.pcrec.cli_gin import FLAGS, add_gin
from apps.pcrec.graph_classification.data import read_graphs
from apps.pcrec.graph_classification.training import CrossValidationConfig, cross_validate, summarise, training_batches
from tools.commands import run_command
from tools.errors import InputError

SMALL = {"units": 8, "convolutions": 2, "epochs": 4, "iterations": 10, "batch_size": 8}


def kapps_gin(*arguments):
    parser = argparse.ArgumentParser()
    add_gin(parser.add_subparsers())
    return run_command(parser, ["gin", *map(str, arguments)])


def test_the_epoch_is_chosen_on_the_mean_curve():
    curves = {
        1: {"test_accuracy": [0.5, 0.9, 0.6], "accuracy": [0.5, 0.6, 0.7], "seconds": 1.0},
        4: {"test_accuracy": [0.9, 0.7, 0.8], "accuracy": [0.5, 0.8, 0.9], "seconds": 2.0},
    }
    report = summarise(curves)
    assert (report["epoch"], report["accuracy"], report["deviation"]) == (2, 0.8, 0.1)
    assert report["folds"] == {"1": 0.9, "4": 0.7}
    assert (report["last_epoch_accuracy"], report["training_accuracy"], report["seconds"]) == (0.7, 0.7, 3.0)


def test_batches_are_drawn_anew_and_decided_by_the_seed(rings):
    graphs = read_graphs(rings)
    config = CrossValidationConfig(str(rings), **{**SMALL, "epochs": 2, "iterations": 3})
    batches = [
        [inputs["edges"].numpy().tolist() for inputs, _ in training_batches(config, graphs, fold, np.arange(4, 40))]
        for fold in (1, 1, 2)
    ]
    assert batches[0] == batches[1] != batches[2]
    assert len(batches[0]) == 6 and len({str(edges) for edges in batches[0]}) == 6
    labels = [labels.numpy() for _, labels in training_batches(config, graphs, 1, np.arange(4, 40))]
    assert {len(array) for array in labels} == {8}
    few = next(iter(training_batches(config, graphs, 1, np.arange(5))))
    assert len(few[1]) == 5


def test_it_learns_and_goes_on_behind_the_last_whole_fold(rings, tmp_path):
    config = CrossValidationConfig(str(rings), folds=(2, 5), **SMALL)
    report = cross_validate(config, tmp_path / "run")
    assert report["accuracy"] == 1.0 and report["folds"] == {"2": 1.0, "5": 1.0}
    assert report["data"]["largest_class"] == 20
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "config.json", "fold_2.json", "fold_5.json", "report.json", "curves.png"
    }  # fmt: skip
    kept = (tmp_path / "run" / "fold_2.json").read_text()
    first = json.loads((tmp_path / "run" / "fold_5.json").read_text())
    (tmp_path / "run" / "fold_5.json").unlink()
    again = cross_validate(config, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "fold_2.json").read_text() == kept
    second = json.loads((tmp_path / "run" / "fold_5.json").read_text())
    assert [second[name] for name in ("loss", "test_accuracy")] == [first[name] for name in ("loss", "test_accuracy")]
    assert again["accuracy"] == report["accuracy"]
    with pytest.raises(InputError, match="Expected a new or empty run folder"):
        cross_validate(config, tmp_path / "run")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"folds": (0,)}, r"folds from 1 to 10, each once. Received \[0\]"),
        ({"folds": (1, 1)}, "folds from 1 to 10"),
        ({"folds": ()}, "folds from 1 to 10"),
        ({"epochs": 0}, "epochs to be at least 1"),
        ({"dropout": 1.0}, "dropout from 0 to below 1"),
        ({"learning_rate": 0.0}, "learning_rate to be above 0"),
        ({"seed": -1}, "seed to be 0 or more"),
        ({"aggregation": "median"}, "aggregation to be one of sum, mean, max"),
    ],
)
def test_refuses_bad_values(rings, tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        cross_validate(CrossValidationConfig(str(rings), **arguments), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_flags_are_fields():
    import dataclasses

    names = {flag.removeprefix("--").replace("-", "_") for flag in FLAGS}
    assert names | {"data"} == {field.name for field in dataclasses.fields(CrossValidationConfig)}


def test_the_verb(rings, tmp_path, capsys):
    run = tmp_path / "run"
    flags = ("--folds", "3", "--units", 4, "--convolutions", 1, "--epochs", 2, "--iterations", 2)
    assert kapps_gin(rings, "--output", run, *flags, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((run / "report.json").read_text()) and list(report["folds"]) == ["3"]
    assert kapps_gin("--output", run, "--resume") == 0
    assert "chosen on the mean curve" in capsys.readouterr().out
    assert kapps_gin("--output", run, "--resume", "--units", 5) == 1
    assert "units is 4 in the run and 5 now" in capsys.readouterr().err
    assert kapps_gin("--output", tmp_path / "other") == 1
    assert "Expected DATA" in capsys.readouterr().err
    assert kapps_gin(pathlib.Path("nowhere"), "--output", tmp_path / "other") == 1
    assert not (tmp_path / "other").exists()
