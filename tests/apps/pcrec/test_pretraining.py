"""Pre-training a graph encoder on one log, its vectors of another, and a recommender that begins with them."""

import json

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from apps.pcrec.data.preparing import PrepareConfig, prepare
from apps.pcrec.pretraining import PretrainingConfig, load_pretrained, node_vectors, pretrain
from apps.pcrec.sampling import ViewSampler
from tools.errors import InputError

SMALL = {
    "channels": 8,
    "units": 8,
    "convolutions": 2,
    "queue_size": 64,
    "batch_size": 8,
    "steps_per_epoch": 4,
    "epochs": 2,
    "budget": 16,
    "dimensions": 4,
}
FLAGS = [part for name, value in SMALL.items() for part in (f"--{name.replace('_', '-')}", value)]


@pytest.fixture(scope="module")
def encoder_run(prepared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders") / "small"
    pretrain(PretrainingConfig(prepared=str(prepared.path), **SMALL), folder)
    return folder


@pytest.fixture(scope="module")
def target(small_log, tmp_path_factory):
    """Another log: that of the first 25 users."""
    lines = small_log.read_text().splitlines()
    path = tmp_path_factory.mktemp("target") / "log.csv"
    path.write_text("\n".join([lines[0], *(line for line in lines[1:] if line < "u25")]) + "\n")
    config = PrepareConfig(log=str(path), user="who", item="what", value="stars", time="when", negatives=9)
    return prepare(config, path.parent / "prepared", lambda line: None)


def test_the_report_tells_the_graph_and_the_task(encoder_run):
    report = json.loads((encoder_run / "report.json").read_text())
    assert report["nodes"] == 70 and report["pairs"] == 64 and len(report["loss"]) == 2
    assert np.isfinite(report["loss"]).all() and 0 <= report["accuracy"][-1] <= 1


def test_views_are_made_with_one_thread(prepared, tmp_path, monkeypatch):
    seen, pair = [], ViewSampler.pair

    def watched(self, seeds, rng):
        seen.extend(one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas")
        return pair(self, seeds, rng)

    monkeypatch.setattr(ViewSampler, "pair", watched)
    with threadpool_limits(limits=2, user_api="blas"):
        pretrain(PretrainingConfig(prepared=str(prepared.path), **SMALL), tmp_path / "run")
    assert set(seen) == {1}


def test_an_interrupted_pretraining_ends_as_a_whole_one(prepared, encoder_run, tmp_path):
    config = PretrainingConfig(prepared=str(prepared.path), **SMALL)

    class Stopped(Exception):
        pass

    import tools.training.callbacks as callbacks

    original = callbacks.Recorder.on_epoch_end

    def stop(self, epoch, logs=None):
        original(self, epoch, logs)
        raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks.Recorder, "on_epoch_end", stop)
        with pytest.raises(Stopped):
            pretrain(config, tmp_path / "run")
    pretrain(config, tmp_path / "run", resume=True)
    for weight, whole in zip(
        load_pretrained(tmp_path / "run").encoder.weights, load_pretrained(encoder_run).encoder.weights, strict=True
    ):
        np.testing.assert_array_equal(weight, whole)


def test_every_node_of_another_log_has_a_vector_of_length_one(encoder_run, target):
    pretrained = load_pretrained(encoder_run)
    user, item = node_vectors(pretrained.encoder, pretrained.config, target, views=1)
    assert user.shape == (len(target.users), 8) and item.shape == (len(target.items), 8)
    assert np.isfinite(user).all() and np.isfinite(item).all()
    lengths = np.linalg.norm(np.concatenate([user, item]), axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=1e-4)
    again, _ = node_vectors(pretrained.encoder, pretrained.config, target, views=1)
    np.testing.assert_array_equal(again, user)


def test_pretrain_embed_and_finetune(kapps, prepared, target, tmp_path):
    status, out, err = kapps("pretrain", prepared.path, "--output", tmp_path / "encoder", *FLAGS)
    assert status == 0 and "own pair found first" in out
    file = tmp_path / "nodes.npz"
    status, out, _ = kapps("embed", tmp_path / "encoder", target.path, "--output", file, "--json")
    assert status == 0 and json.loads(out)["trained"] is True and 0 < json.loads(out)["degree_explained"] <= 1
    flags = ["--initial", file, "--initial-norm", 0.1, "--epochs", 1, "--batch-size", 32]
    status, out, err = kapps("finetune", target.path, "--output", tmp_path / "warm", *flags)
    assert status == 0, err
    # The vectors of one log are no beginning for another.
    status, _, err = kapps("finetune", prepared.path, "--output", tmp_path / "swapped", *flags)
    assert status == 1 and err.splitlines()[-1].startswith("kapps: error: Expected") and "Traceback" not in err
    status, _, err = kapps("embed", tmp_path / "warm", target.path, "--output", file)
    assert status == 1 and "Expected" in err.splitlines()[-1]


@pytest.mark.parametrize(
    "fields", [{"batch_size": 0}, {"momentum": 1.5}, {"method": "jump"}, {"restart": 0.0}, {"temperature": 0.0}]
)
def test_values_out_of_range(prepared, tmp_path, fields):
    with pytest.raises(InputError, match="Expected"):
        pretrain(PretrainingConfig(prepared=str(prepared.path), **{**SMALL, **fields}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
