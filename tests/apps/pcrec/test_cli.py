"""The verbs, as a user calls them: output, exit status, one-line errors, files."""

import dataclasses
import json
import subprocess
import sys

import pytest

VERBS = ("prepare", "pretrain", "embed", "finetune", "evaluate", "recommend", "export", "gin")


def test_the_parser_imports_no_framework():
    code = (
        "import argparse, sys; from apps.pcrec import cli;"
        "cli.add_commands(argparse.ArgumentParser().add_subparsers());"
        "print(sorted({'tensorflow', 'keras', 'numpy', 'pyarrow', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(kapps, verb):
    status, out, _ = kapps(verb, "--help")
    assert status == 0 and f"example:\n  kapps pcrec {verb}" in out


@pytest.mark.parametrize(
    "line",
    [
        "",
        "dance",
        "prepare",
        "prepare log.csv --output x --shares 1,2",
        "finetune --output x",
        "evaluate",
        "evaluate a b --against c",
        "recommend r",
        "recommend r --users a --items b",
        "export r",
    ],
)
def test_wrong_use_is_status_2(kapps, line):
    assert kapps(*line.split())[0] == 2


def test_the_flags_are_fields():
    from apps.pcrec import flags
    from apps.pcrec.data.preparing import PrepareConfig
    from apps.pcrec.pretraining import PretrainingConfig
    from apps.pcrec.runs import TrainingConfig

    for own, config, rest in (
        (flags.PREPARE, PrepareConfig, {"log", "header"}),
        (flags.FINETUNE, TrainingConfig, {"prepared"}),
        (flags.PRETRAIN, PretrainingConfig, {"prepared"}),
    ):
        names = {flag.removeprefix("--").replace("-", "_") for flag in own}
        assert names | rest == {field.name for field in dataclasses.fields(config)}


def test_prepare(kapps, small_log, tmp_path):
    flags = ("--user", "who", "--item", "what", "--time", "when", "--negatives", 5)
    status, out, err = kapps("prepare", small_log, "--output", tmp_path / "out", *flags, "--json")
    document = json.loads(out)
    assert status == 0 and document["statistics"]["users"] == 40 and document["rule"] == "leave-one-out"
    assert "not in the order of their times" in err
    status, out, _ = kapps(
        "prepare", small_log, "--output", tmp_path / "two", *flags, "--split", "ratio", "--shares", "0.6,0.2,0.2"
    )
    assert status == 0 and "users" in out and "ratio" in out and "40" in out


@pytest.mark.parametrize(
    ("text", "flags", "words"),
    [
        ("", (), "an empty file"),
        ("user_id,item_id\n", (), "a header alone"),
        ("a,b\n1,2\n", (), "to have one column 'user_id'"),
        ("user_id,item_id\n1,2\n1,\n1,3\n1,4\n", (), "row 2 in column 'item_id'"),
        ("user_id,item_id\n1,2\n2,2\n", (), "no user has three interactions"),
        ("user_id,item_id\n1,2\n1,3\n1,4\n", (), "Expected at most 0 negatives"),
    ],
)
def test_bad_logs_are_one_line(kapps, tmp_path, text, flags, words):
    (tmp_path / "bad.csv").write_text(text)
    status, out, err = kapps("prepare", tmp_path / "bad.csv", "--output", tmp_path / "out", *flags)
    assert status == 1 and out == "" and words in err.splitlines()[-1] and "kapps: error" in err
    assert not (tmp_path / "out").exists()


def test_finetune_and_resume(kapps, prepared, tmp_path):
    flags = ("--epochs", 2, "--channels", 4, "--batch-size", 32, "--monitor", "ndcg@5")
    status, out, err = kapps("finetune", prepared.path, "--output", tmp_path / "run", *flags, "--json")
    report = json.loads(out)
    assert status == 0 and report["epochs"] == 2 and "epoch 2/2" in err
    status, out, err = kapps("finetune", "--output", tmp_path / "run", "--resume")
    assert status == 0 and "finished" in err and "seconds a pass" in out
    status, _, err = kapps("finetune", "--output", tmp_path / "run", "--resume", "--l2", 1)
    assert status == 1 and "training.l2 is 0.1 in the run and 1.0 now" in err
    status, _, err = kapps("finetune", prepared.path, "--output", tmp_path / "run")
    assert status == 1 and "resume continues it" in err


def test_baselines_choose_on_validation(kapps, prepared, tmp_path):
    flags = ("--monitor", "ndcg@5", "--json")
    status, out, _ = kapps(
        "finetune", prepared.path, "--output", tmp_path / "ease", "--model", "ease", "--ease-l2", "1,50", *flags
    )
    report = json.loads(out)
    assert status == 0 and len(report["tried"]) == 2
    assert report["validation"] == max(one["validation"] for one in report["tried"])
    assert report["chosen"] in [{"l2": 1.0}, {"l2": 50.0}]


def test_evaluate(kapps, make_run, tmp_path):
    runs = [make_run(seed=seed) for seed in (0, 1)]
    others = [make_run(model="popularity", seed=seed) for seed in (0, 1)]
    status, out, err = kapps(
        "evaluate",
        *runs,
        "--against",
        *others,
        "--cutoffs",
        "3,5",
        "--bootstrap",
        50,
        "--json",
        "--output",
        tmp_path / "e",
    )
    document = json.loads(out)
    assert status == 0 and document == json.loads((tmp_path / "e").read_text())
    first = document["runs"][0]
    assert first["users"] == 40 and first["candidates"] == 30 and first["masked"] == ["train", "validation"]
    low, high = first["intervals"]["ndcg@5"]
    assert low <= first["measures"]["ndcg@5"] <= high and 0 < first["measures"]["coverage@5"] <= 1
    tests = document["differences"]["ndcg@5"]
    means = [one["measures"]["ndcg@5"] for one in document["runs"]]
    expected = (means[0] + means[1] - means[2] - means[3]) / 2
    assert tests["seeds"]["difference"] == pytest.approx(expected) == tests["users"]["difference"]
    status, out, _ = kapps(
        "evaluate", *runs, "--protocol", "stored", "--ties", "optimistic", "--cutoffs", "5", "--bootstrap", 20
    )
    assert status == 0 and "10 candidates, ties optimistic" in out and "coverage" not in out
    status, out, _ = kapps("evaluate", *runs, "--cutoffs", "3,5", "--bootstrap", 1)
    header, _, *lines = [line.split() for line in out.splitlines() if line][1:]
    assert header == ["run", "at", "recall", "ndcg", "hr", "mrr", "map", "coverage", "gini"]
    shown = {(run, at): measures for run, at, *measures in lines}
    assert set(shown) == {(str(run), at) for run in runs for at in "35"}
    assert shown[str(runs[0]), "5"][1] == f"{first['measures']['ndcg@5']:.4f}"
    status, _, err = kapps("evaluate", runs[0], "--cutoffs", "50")
    assert status == 1 and "up to the 30 candidates" in err and "--cutoffs" in err


def test_recommend(kapps, make_run):
    run = make_run()
    status, out, _ = kapps("recommend", run, "--users", "u03,u04", "--k", 3, "--json")
    answers = json.loads(out)
    assert status == 0 and [one["asked"] for one in answers] == ["u03", "u04"]
    assert all(len(one["items"]) == 3 and one["source"] == "user" for one in answers)
    status, out, err = kapps("recommend", run, "--users", "nobody", "--k", 2)
    assert status == 0 and "nobody: nothing was learned of it" in err and "popularity" in out
    status, out, _ = kapps("recommend", run, "--items", "100,102", "--k", 2, "--json")
    assert json.loads(out)[0]["source"] == "items"
    status, out, err = kapps("recommend", run, "--items", '100,"a, b"', "--k", 2, "--json")
    assert status == 0 and json.loads(out)[0]["unknown"] == ["a, b"] and "a, b: nothing was learned of it" in err
    status, out, err = kapps("recommend", run, "--items", "0100", "--k", 2)
    assert status == 0 and "0100: nothing was learned of it" in err
    # A run of popularity knows nobody, and need not say it of each.
    status, out, err = kapps("recommend", make_run(model="popularity"), "--users", "u03", "--k", 2)
    assert status == 0 and "popularity" in out and err == ""
    status, _, err = kapps("recommend", run, "--users", "u03", "--k", 30)
    assert status == 0 and "items are left of the 30 asked for" in err
    status, _, err = kapps("recommend", run, "--users", "u03", "--k", 31)
    assert status == 1 and "Expected k from 1 to the 30 items" in err and len(err.splitlines()) == 1


def test_export(kapps, make_run, tmp_path):
    status, out, _ = kapps("export", make_run(), "--base", tmp_path, "--name", "small")
    assert status == 0 and "published" in out
    assert (tmp_path / "small" / "1" / "saved_model.pb").exists()
    status, _, err = kapps("export", make_run(), "--base", tmp_path, "--name", "small", "--lite", "int4")
    assert status == 1 and "Expected a precision" in err and not (tmp_path / "small" / "2").exists()
    # What has no vectors needs its prepared folder, and that one.
    ease = ("export", make_run(model="ease"), "--base", tmp_path, "--name", "ease", "--prepared")
    status, _, err = kapps(*ease, tmp_path)
    assert status == 1 and "prepared.json" in err and not (tmp_path / "ease").exists()
    flags = ("--lite", "float32", "--k", 31)
    status, _, err = kapps("export", make_run(), "--base", tmp_path, "--name", "small", *flags)
    assert status == 1 and "Expected k from 1 to 30" in err and not (tmp_path / "small" / "2").exists()


@pytest.mark.slow
def test_export_for_the_edge(kapps, make_run, tmp_path):
    flags = ("--lite", "float32", "--k", 5, "--exclude", 8)
    status, out, _ = kapps("export", make_run(), "--base", tmp_path, "--name", "small", *flags)
    assert status == 0 and "small_float32.tflite" in out
    assert (tmp_path / "small" / "lite" / "small_float32.tflite").exists()


def test_runs_that_are_no_pairs_are_refused(kapps, make_run):
    one, two, popular = make_run(seed=0), make_run(seed=1), make_run(model="popularity")
    few = ("--cutoffs", 5, "--bootstrap", 20)
    status, _, err = kapps("evaluate", one, one, "--against", two, two, *few)
    assert status == 1 and "Expected each run once" in err
    status, _, err = kapps("evaluate", one, two, "--against", two, one, *few)
    assert status == 1 and "of the same seeds, in the same order" in err
    # A baseline has no seeds: it stands against each.
    status, out, _ = kapps("evaluate", one, two, "--against", popular, popular, *few)
    assert status == 0 and "RUN less --against" in out
    status, out, _ = kapps("evaluate", popular, popular, "--against", popular, popular, *few)
    assert status == 0 and "all equal" in out
