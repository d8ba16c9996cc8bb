"""The comparison of transfer: every form runs, results are kept and extended, and the table says what was measured."""

import json

import numpy as np
import pytest
import scipy.stats

from apps.pcrec import transfer_comparison as comparison
from apps.pcrec.data.preparing import PrepareConfig, prepare
from apps.pcrec.initial import read_vectors

SMALL = [
    *("--epochs", 2, "--batch-size", 32, "--learning-rate", 0.02, "--l2", 0.01, "--passes", 2),
    *("--pretrain-epochs", 1, "--pretrain-steps-per-epoch", 2, "--pretrain-queue-size", 32),
]
RUN = [name for name in comparison.FORMS if name != "hops_3"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Another log: 30 users, each with 6 of 25 items."""
    generator = np.random.default_rng(1)
    rows = [f"{user},{item}" for user in range(30) for item in generator.permutation(25)[:6]]
    log = tmp_path_factory.mktemp("logs") / "source.csv"
    log.write_text("who,what\n" + "\n".join(rows) + "\n")
    config = PrepareConfig(log=str(log), user="who", item="what", order="random", negatives=9)
    return prepare(config, tmp_path_factory.mktemp("prepared") / "source", lambda line: None).path


@pytest.fixture(scope="module")
def target(small_log, tmp_path_factory):
    """The small log with as many candidates as the largest cutoff."""
    config = PrepareConfig(log=str(small_log), user="who", item="what", time="when", negatives=19)
    return prepare(config, tmp_path_factory.mktemp("prepared") / "target", lambda line: None)


@pytest.fixture(scope="module")
def compared(source, target, tmp_path_factory):
    """The folder of a comparison of every form, but one that differs in a number, with one seed."""
    folder = tmp_path_factory.mktemp("comparison") / "runs"
    assert call(source, target.path, folder, "--seeds", 1, "--forms", ",".join(RUN)) == 0
    return folder


def call(source, target, folder, *flags) -> int:
    return comparison.main([*map(str, (source, target, "--output", folder, *SMALL, *flags))])


def test_every_form_is_measured(compared):
    results = json.loads((compared / "results.json").read_text())
    assert list(results) == RUN
    for name, seeds in results.items():
        assert list(seeds) == ["0"], name
        assert {"full ndcg@10", "full hr@20", "stored hr@10", "validation"} <= set(seeds["0"])
        assert all(0 <= value <= 1 for value in seeds["0"].values())


def test_each_form_begins_with_the_vectors_it_names(compared, target):
    def initial(name):
        config = json.loads((compared / f"{name}_0" / "config.json").read_text())["training"]
        return config["initial"] and read_vectors(config["initial"], target), config

    (trained, _), (untrained, config) = initial("pretrained"), initial("untrained")
    assert trained[0].shape == (40, 64) and not np.allclose(trained[0], untrained[0])
    assert config["initial_norm"] == 0.1 and config["initial_form"] == "given"
    assert initial("scratch")[0] is None
    assert initial("not_fine_tuned")[1]["epochs"] == 0
    for name in ("shuffled", "degree_only", "random_same_norm", "centred"):
        vectors, config = initial(name)
        np.testing.assert_array_equal(vectors[0], trained[0])
        assert config["initial_form"] == comparison.FORMS[name].initial_form
    described = json.loads((compared / "encoder_hops_2_0" / "config.json").read_text())["pretraining"]
    assert (described["method"], described["hops"]) == ("neighbourhood", 2)
    assert not (compared / "encoder_untrained_0").exists()


def test_more_seeds_go_on_where_it_stopped(compared, source, target, capsys):
    kept = {path: path.stat().st_mtime_ns for path in compared.glob("*_0/report.json")}
    capsys.readouterr()
    flags = ("--seeds", 2, "--forms", "popularity,scratch,pretrained", "--json")
    assert call(source, target.path, compared, *flags) == 0
    document = json.loads(capsys.readouterr().out)
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())
    rows, results = document["forms"], json.loads((compared / "results.json").read_text())
    assert rows["pretrained"]["seeds"] == [0, 1] and rows["popularity"]["seeds"] == [0]
    own, other = ([results[name][str(seed)]["full ndcg@10"] for seed in range(2)] for name in ("pretrained", "scratch"))
    assert rows["pretrained"]["measures"]["full ndcg@10"] == pytest.approx(np.mean(own))
    found = rows["pretrained"]["against_scratch"]["full ndcg@10"]
    assert found["difference"] == pytest.approx(np.mean(own) - np.mean(other))
    assert found["p"] == pytest.approx(scipy.stats.ttest_rel(own, other).pvalue)
    fixed = rows["popularity"]["against_scratch"]["full ndcg@10"]["difference"]
    assert fixed == pytest.approx(results["popularity"]["0"]["full ndcg@10"] - np.mean(other))
    assert rows["scratch"]["against_scratch"] == {} and rows["pretrained"]["against_pretrained"] == {}
    turned = rows["scratch"]["against_pretrained"]["full ndcg@10"]
    assert turned["difference"] == pytest.approx(-found["difference"]) and turned["p"] == pytest.approx(found["p"])
    assert rows["shuffled"]["against_pretrained"] == {}
    table = comparison.text(document)
    assert all(name in table for name in rows) and f"{found['difference']:+.4f} (p {found['p']:.2g})" in table


def test_targets_share_encoders(compared, source, target, tmp_path):
    written = (compared / "encoder_walk_0" / "report.json").stat().st_mtime_ns
    flags = ("--encoders", compared, "--seeds", 1, "--forms", "not_fine_tuned")
    assert call(source, target.path, tmp_path / "other", *flags) == 0
    assert (compared / "encoder_walk_0" / "report.json").stat().st_mtime_ns == written
    assert not (tmp_path / "other" / "encoder_walk_0").exists()
    found, known = (
        json.loads((folder / "results.json").read_text())["not_fine_tuned"]["0"]
        for folder in (tmp_path / "other", compared)
    )
    assert found == known


def test_what_is_refused(compared, source, target, tmp_path, capsys):
    for arguments, words in (
        ((source, source, tmp_path / "a"), "another prepared folder as target"),
        ((source, target.path, tmp_path / "b", "--forms", "magic"), "Received magic"),
        ((source, target.path, tmp_path / "c", "--seeds", 0), "seeds to be at least 1"),
        ((source, target.path, compared, "--initial-norm", 0.5), "Received another"),
    ):
        capsys.readouterr()
        assert call(*arguments) == 1
        assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
