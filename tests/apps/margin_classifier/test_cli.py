"""The verbs, as a user calls them: output, exit status, one-line errors, files."""

import csv
import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

VERBS = ("models", "train", "evaluate", "compare", "predict", "explain", "export")


def test_the_parser_imports_no_framework():
    code = (
        "import argparse, sys; from apps.margin_classifier import cli;"
        "cli.add_commands(argparse.ArgumentParser().add_subparsers());"
        "print(sorted({'tensorflow', 'keras', 'cv2', 'numpy', 'sklearn', 'pyarrow', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(kapps, verb):
    status, out, _ = kapps(verb, "--help")
    assert status == 0 and f"example:\n  kapps margin-classifier {verb}" in out


@pytest.mark.parametrize(
    "line",
    [
        "",
        "dance",
        "train",
        "train t.csv",
        "train --output r",
        "train t.csv --output r --epochs many",
        "train t.csv --output r --model forest",
        "train t.csv --output r --loss hinge",
        "train t.csv --output r --calibration beta",
        "train t.csv --output r --class-weight equal",
        "compare --output r",
        "compare t.csv --output c --flips x",
        "compare t.csv --output c --losses exp,exp",
        "export r --lite int8",
    ],
)
def test_wrong_use_is_status_2(kapps, line):
    assert kapps(*line.split())[0] == 2


def test_the_flags_are_fields():
    import dataclasses

    from apps.margin_classifier import flags
    from apps.margin_classifier.comparison import ComparisonConfig
    from apps.margin_classifier.training import TrainingConfig

    for own, config in ((flags.TRAIN, TrainingConfig), (flags.COMPARE, ComparisonConfig)):
        names = {flag.removeprefix("--").replace("-", "_") for flag in {**flags.READING, **own}}
        assert names | {"data", "header"} == {field.name for field in dataclasses.fields(config)}


def test_the_words_of_flags_are_those_of_the_registries():
    from apps.margin_classifier import flags, models
    from keras_layers import losses

    assert list(flags.MODELS) == models.names() and list(flags.LOSSES) == losses.names()


def test_models(kapps):
    rows = json.loads(kapps("models", "--json")[1])
    assert [row["name"] for row in rows] == ["linear", "kernel", "mlp"] and rows[0]["parameters"] == 31
    assert "6209" in kapps("models")[1]


@pytest.mark.parametrize(
    ("verb", "application", "words"),
    [
        ("train", "margin_classifier comparison", "Expected a run of margin_classifier. Received"),
        ("train", "action_recognition", "a run of action_recognition"),
        ("compare", "margin_classifier", "Expected a run of margin_classifier comparison. Received"),
    ],
)
def test_what_cannot_be_resumed(kapps, tmp_path, verb, application, words):
    (tmp_path / "config.json").write_text(json.dumps({"application": application}))
    status, _, err = kapps(verb, "--output", tmp_path, "--resume")
    assert status == 1 and words in err and len(err.splitlines()) == 1


def test_train_and_resume(kapps, small_table, tmp_path):
    flags = ("--epochs", 2, "--loss", "exp", "--calibration", "link", "--positive", "no", "--ignore", "x2")
    status, out, err = kapps("train", small_table, "--output", tmp_path / "run", *flags, "--json")
    assert status == 0 and "column 'seven' has one value in all rows" in err and "epoch 2/2" in err
    report = json.loads(out)
    assert report["classes"] == ["yes", "no"] and report["features"] == 4 and report["epochs"] == 2
    assert report == json.loads((tmp_path / "run" / "report.json").read_text())
    status, out, err = kapps("train", "--output", tmp_path / "run", "--resume")
    assert status == 0 and "finished" in err and "balanced_accuracy" in out
    status, _, err = kapps("train", "--output", tmp_path / "run", "--resume", "--loss", "sigmoid")
    assert status == 1 and len(err.splitlines()[-1]) < 300 and "kapps: error" in err
    status, _, err = kapps("train", small_table, "--output", tmp_path / "run")
    assert status == 1 and "resume continues it" in err
    assert kapps("train", "--output", tmp_path / "new", "--resume")[0] == 2


@pytest.mark.parametrize(
    ("text", "flags", "words"),
    [
        ("", (), "an empty file"),
        ("x,y\n1,a\n2,a\n3,a\n", (), "Received 1: a"),
        ("x,y\n1,a\n2,b\n3,c\n", (), "Received 3: a, b, c"),
        ("x,y\n1,a\nnan,b\n", (), "missing values"),
        ("x,y\n1,a\ninf,b\n", (), "Expected finite numbers"),
        ("x,y\n1,a\n1,b\n1,a\n1,b\n", (), "a column that varies"),
        ("x,y\n1,a\n2,b\n3,a\n4,b\n", ("--loss", "dwd_margin", "--q", "0"), "`q` to be a number greater than 0"),
        ("x,y\n1,a\n2,b\n", ("--loss", "smoothed_l1_hinge", "--gamma", "-1"), "`gamma` to be a number greater than 0"),
    ],
)
def test_bad_tables_are_one_line(kapps, tmp_path, text, flags, words):
    (tmp_path / "bad.csv").write_text(text)
    status, out, err = kapps("train", tmp_path / "bad.csv", "--output", tmp_path / "run", *flags)
    assert status == 1 and out == "" and words in err and len(err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_evaluate(kapps, trained_run, small_table, tmp_path):
    status, out, _ = kapps("evaluate", trained_run, small_table, "--output", tmp_path / "out", "--json")
    document = json.loads(out)
    assert status == 0 and document["rows"] == 120 and document["threshold"] == 0.25
    low, high = document["intervals"]["auc"]
    assert low < document["auc"] < high
    assert document == json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert cv2.imread(str(tmp_path / "out" / "confusion.png")) is not None
    status, out, _ = kapps("evaluate", trained_run, small_table, "--output", tmp_path / "out", "--bootstrap", 10)
    assert status == 0 and f"accuracy           {document['accuracy']:.4f}" in out and "95 % interval" in out
    low, high = document["intervals"]["accuracy"]
    assert low < document["accuracy"] < high


def test_evaluate_other_classes(kapps, trained_run, small_table, tmp_path):
    (tmp_path / "other.csv").write_text(small_table.read_text().replace("yes", "perhaps"))
    status, _, err = kapps("evaluate", trained_run, tmp_path / "other.csv")
    assert status == 1 and "Expected the classes no and yes" in err and "'perhaps'" in err


def test_predict(kapps, trained_run, small_table, tmp_path):
    status, out, err = kapps("predict", trained_run, small_table)
    rows = list(csv.DictReader(out.splitlines()))
    assert status == 0 and len(rows) == 120 and set(rows[0]) == {"row", "class", "probability", "score"} and not err
    assert json.loads(kapps("predict", trained_run, small_table, "--json")[1])[3]["class"] == rows[3]["class"]
    # Without the target, with a category and a column that training did not have.
    (tmp_path / "new.csv").write_text("other,colour,x2,x one\n0,teal,50,1.5\n0,red,60,-1\n")
    status, out, err = kapps("predict", trained_run, tmp_path / "new.csv")
    assert status == 0 and len(out.splitlines()) == 3
    assert len(err.splitlines()) == 1
    assert "column 'colour': 1 rows have a category that training did not have, as 'teal'" in err
    (tmp_path / "less.csv").write_text("x2,colour\n1,red\n")
    status, _, err = kapps("predict", trained_run, tmp_path / "less.csv")
    assert status == 1 and "to have a column 'x one'" in err


def test_what_is_no_run(kapps, trained_run, small_table, tmp_path):
    assert "Expected a run folder" in kapps("predict", tmp_path / "none", small_table)[2]
    copy = tmp_path / "copy"
    shutil.copytree(trained_run, copy)
    (copy / "model.keras").write_bytes(b"cut")
    assert "to be a whole Keras file" in kapps("predict", copy, small_table)[2]
    (copy / "config.json").write_text('{"application": "action_recognition"}')
    assert "Expected a run of margin_classifier" in kapps("predict", copy, small_table)[2]


def test_explain(kapps, trained_run, small_table, tmp_path):
    status, out, _ = kapps(
        "explain", trained_run, small_table, "--json", "--worst", 3, "--repeats", 2, "--output", tmp_path / "ex"
    )
    document = json.loads(out)
    assert status == 0
    assert document["importance"][0]["column"] == "x one" and document["weights"][0]["feature"] == "x one"
    scores = [example["score"] * (1 if example["class"] == "yes" else -1) for example in document["violated"]]
    assert len(scores) == 3 and scores == sorted(scores)
    assert scores[0] == pytest.approx(document["agreements"]["0"])
    assert cv2.imread(str(tmp_path / "ex" / "agreements.png")) is not None
    status, out, _ = kapps("explain", trained_run, small_table, "--repeats", 1)
    assert status == 0 and "row, most violated" in out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "Expected both classes in column 'good'"),
        (("--repeats", 0), "repeats to be at least 1"),
        (("--worst", -1), "worst to be at least 0"),
        (("--seed", 2**31), "seed to be from 0"),
    ],
)
def test_explanations_that_are_refused(kapps, trained_run, tmp_path, flags, words):
    (tmp_path / "one.csv").write_text("x one,x2,colour,good\n1,50,red,yes\n2,60,red,yes\n")
    status, out, err = kapps("explain", trained_run, tmp_path / "one.csv", *flags, "--json")
    assert status == 1 and out == "" and words in err and len(err.splitlines()) == 1


def test_compare(kapps, small_table, tmp_path):
    flags = ("--losses", "l1_hinge,exp", "--flips", "0,0.3", "--folds", 2, "--repeats", 1, "--epochs", 3)
    folder = tmp_path / "comparison"
    status, out, _ = kapps("compare", small_table, "--output", folder, *flags, "--scikit-learn", "--json")
    document = json.loads(out)
    assert status == 0 and document == json.loads((folder / "comparison.json").read_text())
    assert len((folder / "results.jsonl").read_text().splitlines()) == 2 * 2 * 7
    assert cv2.imread(str(folder / "comparison.png")) is not None
    first = document["flips"][0]
    assert {row["method"] for row in first["rows"]} >= {"l1_hinge", "LinearSVC hinge", "Perceptron"}
    for row in first["rows"]:
        assert row["accuracy"] > 0.7 or row["method"] == "Perceptron"
    assert np.mean(list(first["tests"]["accuracy"]["mean_ranks"].values())) == pytest.approx(4)

    # Killed in the middle of a line it goes on from the last whole one, to the same numbers.
    lines = (folder / "results.jsonl").read_text().splitlines(keepends=True)
    (folder / "results.jsonl").write_text("".join(lines[:20]) + lines[20][:15])
    status, out, _ = kapps("compare", "--output", folder, "--resume", "--json")
    again = json.loads(out)
    for before, after in zip(document["flips"], again["flips"], strict=True):
        for one, other in zip(before["rows"], after["rows"], strict=True):
            assert {k: v for k, v in one.items() if "seconds" not in k} == {
                k: v for k, v in other.items() if "seconds" not in k
            }
    status, out, _ = kapps("compare", "--output", folder, "--resume")
    assert status == 0 and "Friedman p" in out and "30% of the training labels flipped" in out
    assert "log loss *" in out and "labels, flips included, of the training rows" in out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--losses", "zero_one"), "only measures"),
        (("--flips", "0.5"), "flips of 0 to below 0.5"),
        (("--folds", "1"), "folds to be at least 2"),
        (("--folds", "100"), "the rows of the smaller class"),
        (("--flips", "0,0"), "each of the flips once"),
        (("--seed", str(2**31)), "seed to be from 0"),
        (("--l2", "nan"), "l2 to be at least 0"),
        (("--l2", "-1"), "l2 to be at least 0"),
    ],
)
def test_comparisons_that_are_refused(kapps, small_table, tmp_path, flags, words):
    status, _, err = kapps("compare", small_table, "--output", tmp_path / "c", *flags)
    assert status == 1 and words in err and not (tmp_path / "c").exists()
