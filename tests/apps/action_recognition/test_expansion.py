"""X3D's expansion: the grid, its steps, the search with trainings that are only pretended, and once a real one."""

import argparse
import dataclasses
import json
import math
import shlex

import cv2
import pytest

from apps.action_recognition import cli, models, training
from apps.action_recognition.data import ClipSpec
from apps.action_recognition.expansion import AXES, ExpansionConfig, Network, config_of, expand, search
from apps.action_recognition.expansion.command import train_command
from apps.action_recognition.expansion.networks import Cost, Profiler, contracted, expanded
from apps.action_recognition.flags import configuration
from apps.action_recognition.training import TrainingConfig
from tools.errors import InputError

BASE = Network(frame_rate=2.0, side=32, width=8, depth=0.2)


def model_cost(network):
    """Like the network's compute: blocks, pointwise and channelwise, and what does not depend on the clip's length."""
    arguments = network.arguments(256)
    work = sum(
        depth * (2 * width * inner + 27 * inner) / 4**stage
        for stage, (depth, width) in enumerate(zip(arguments["depths"], arguments["widths"], strict=True))
        for inner in [network.bottleneck * width]
    )
    return Cost(1000, round(network.frames * network.side**2 * (work / 4 + 27) + 20_000))


# === The grid ===


def test_the_default_is_x2d():
    network = Network()
    assert network.arguments() == {
        "depths": (1, 2, 5, 3),
        "widths": (24, 48, 96, 192),
        "bottleneck": 1.0,
        "fc1_units": 2048,
        "input_shape": (1, 112, 112, 3),
    }
    assert Profiler(400, 2048)(network) == Cost(parameters=1_633_512, multiply_adds=20_662_304)


@pytest.mark.parametrize(
    ("name", "frames", "side", "depth"),
    [("x3d_xs", 4, 160, 2.2), ("x3d_s", 13, 160, 2.2), ("x3d_m", 16, 224, 2.2), ("x3d_l", 16, 312, 5.0)],
)
def test_the_published_networks_lie_on_the_grid(name, frames, side, depth):
    arguments = Network(frames=frames, side=side, bottleneck=2.25, depth=depth).arguments()
    facts = models.info(name)
    assert arguments["depths"] == facts.arguments["depths"]
    assert arguments["input_shape"] == facts.input_shape
    # The other arguments are the constructor's defaults, so the registered figures are those of this point.
    defaults = models.X3D.__kwdefaults__ or dict(
        zip(models.X3D.__code__.co_varnames, models.X3D.__defaults__, strict=False)
    )
    assert {key: defaults[key] for key in ("widths", "bottleneck", "fc1_units")} == {
        key: arguments[key] for key in ("widths", "bottleneck", "fc1_units")
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [("side", 100), ("side", 0), ("width", 6), ("bottleneck", 1.1), ("depth", 0.5), ("frame_rate", 0), ("frames", -1)],
)
def test_a_value_beside_the_grid_is_named(field, value):
    with pytest.raises(InputError, match=rf"{field} to be.*Received {value}"):
        Network(**{field: value})


def test_the_axes_of_time():
    network = Network(frames=4, frame_rate=2.0)
    faster, longer = network.moved("frame rate", 8), network.moved("duration", 8)
    assert (faster.frames, longer.frames) == (8, 8)
    assert faster.frames / faster.frame_rate == network.frames / network.frame_rate
    assert longer.frame_rate == pytest.approx(2 * math.sqrt(2), abs=0.01)
    assert longer.frames / longer.frame_rate == pytest.approx(2 * math.sqrt(2), abs=0.01)


@pytest.mark.parametrize("axis", ["resolution", "width", "bottleneck", "depth"])
def test_the_other_axes_change_one_field(axis):
    moved = BASE.moved(axis, 3 * getattr(BASE, AXES[axis][0]))
    changed = {
        field.name for field in dataclasses.fields(Network) if getattr(moved, field.name) != getattr(BASE, field.name)
    }
    assert changed == {AXES[axis][0]}


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("base", [BASE, Network(), Network(8, 4.0, 64, 16, 2.25, 1.0)], ids=["tiny", "X2D", "larger"])
@pytest.mark.parametrize("growth", [1.5, 2.0, 4.0])
def test_a_step_is_the_nearest_on_the_grid(axis, base, growth):
    tried = []

    def cost(network):
        tried.append(network)
        return model_cost(network)

    def distance(network):
        return abs(math.log(model_cost(network).multiply_adds / model_cost(base).multiply_adds / growth))

    field, grid, _ = AXES[axis]
    begin = round(getattr(base, field) / grid)
    best = min((base.moved(axis, steps * grid) for steps in range(begin + 1, 12 * begin + 60)), key=distance)
    found = expanded(base, axis, growth, cost)
    assert getattr(found, field) > getattr(base, field)
    assert distance(found) <= distance(best) + 0.05
    # Every trial builds a network.
    assert len(tried) <= 7


@pytest.mark.parametrize("axis", AXES)
def test_a_contraction_is_the_longest_step_within_the_target(axis):
    field, grid, _ = AXES[axis]
    after = BASE.moved(axis, 6 * getattr(BASE, field))
    target = int(0.6 * model_cost(after).multiply_adds)
    found = contracted(BASE, axis, after, target, model_cost)
    longer = BASE.moved(axis, getattr(found, field) + grid)
    assert model_cost(found).multiply_adds <= target < model_cost(longer).multiply_adds
    assert contracted(BASE, axis, after, model_cost(BASE).multiply_adds, model_cost) == BASE


# === The search ===


@pytest.fixture
def config(motion_videos):
    recipe = TrainingConfig(
        data=str(motion_videos), validation_fraction=0.25, epochs=1, batch_size=4, overrides={"dropout": 0.1}, seed=3
    )
    return ExpansionConfig(recipe, target=400_000, base=BASE, fc1_units=64)


@pytest.fixture
def trainings(monkeypatch):
    """Trainings that are only written down: longer clips, up to 2 s, and wider networks are the more accurate ones."""
    done, data = [], []

    def train(config, run, resume):
        frames, width = config.overrides["input_shape"][0], config.overrides["widths"][0]
        duration = frames / config.frame_rate
        data[:] = data or training.load_data(config)
        spec = ClipSpec(frames, config.overrides["input_shape"][1:3], config.frame_rate, "pyslowfast")
        run.mkdir(parents=True)
        (run / "config.json").write_text(json.dumps(training.describe(config, *data, spec)))
        accuracy = min(0.2 * duration, 0.4) + width / 100 + 0.01 * (config.seed - 3)
        (run / "report.json").write_text(json.dumps({"history": [{"val_accuracy": 0.9}, {"val_accuracy": accuracy}]}))
        done.append(run.name)

    monkeypatch.setattr(search.trainings, "train", train)
    # It collects garbage, of which a training that is only written down makes none.
    monkeypatch.setattr(search.keras.backend, "clear_session", lambda: None)
    monkeypatch.setattr(Profiler, "__call__", lambda self, network: model_cost(network))
    return done


def test_the_search_goes_where_the_accuracy_is(config, trainings, tmp_path):
    base = model_cost(BASE).multiply_adds
    document = expand(dataclasses.replace(config, target=7 * base), tmp_path / "search")
    steps = {}
    for candidate in document["candidates"]:
        steps.setdefault(candidate["step"], []).append(candidate)
    assert [row["axis"] for row in steps[0]] == [None]
    for step in (1, 2, 3):
        forward = [row for row in steps[step] if not row["contraction"]]
        assert [row["axis"] for row in forward] == list(AXES)
        begin = Network(**next(row["axes"] for row in steps[step - 1] if row["name"] == document["path"][step - 1]))
        for row in forward:
            growth = row["multiply_adds"] / model_cost(begin).multiply_adds
            assert 1.5 < growth < 2.6
            kept = {"frame_rate", AXES[row["axis"]][0]}
            assert all(row["axes"][key] == value for key, value in dataclasses.asdict(begin).items() if key not in kept)
    chosen = [row for row in document["candidates"] if row["name"] in document["path"]]
    assert [row["axis"] for row in chosen] == [None, "duration", "duration", "duration"]
    assert steps[3][-1]["contraction"] and document["found"]["name"] == steps[3][-1]["name"] == document["path"][-1]
    assert document["found"]["multiply_adds"] <= 7 * base < steps[3][1]["multiply_adds"]
    assert document["finished"] and json.loads(json.dumps(document)) == json.loads(
        (tmp_path / "search" / "expansion.json").read_text()
    )
    assert cv2.imread(str(tmp_path / "search" / "expansion.png")).std() > 0
    assert len(trainings) == len(set(trainings)) == len(document["candidates"])


def test_of_equal_accuracies_the_lesser_compute_wins(config, trainings, tmp_path, monkeypatch):
    monkeypatch.setattr(search, "_accuracy", lambda config, run: 0.5)
    document = expand(dataclasses.replace(config, contraction=False), tmp_path / "search")
    first = [row for row in document["candidates"] if row["step"] == 1]
    assert document["path"][1] == min(first, key=lambda row: row["multiply_adds"])["name"]
    assert document["found"]["multiply_adds"] >= config.target


def test_the_mean_over_the_seeds_decides(config, trainings, tmp_path):
    document = expand(
        dataclasses.replace(config, seeds=2, target=model_cost(BASE).multiply_adds + 1), tmp_path / "search"
    )
    base = document["candidates"][0]
    assert base["runs"] == [f"candidates/{BASE.name}_seed3", f"candidates/{BASE.name}_seed4"]
    assert base["accuracies"] == pytest.approx([0.18, 0.19]) and base["accuracy"] == pytest.approx(0.185)
    # One more multiply-add than the base: the whole step is taken back.
    assert document["path"] == [BASE.name] == [document["found"]["name"]]


def test_an_interrupted_search_goes_on_and_trains_nothing_twice(config, trainings, tmp_path, monkeypatch):
    whole = expand(config, tmp_path / "whole")
    expected = list(trainings)
    trainings.clear()
    train = search.trainings.train

    def interrupted(*arguments, **options):
        if len(trainings) == 4:
            raise KeyboardInterrupt
        train(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(search.trainings, "train", interrupted)
        expand(config, tmp_path / "parts")
    assert not json.loads((tmp_path / "parts" / "expansion.json").read_text())["finished"]
    assert expand(config_of(tmp_path / "parts"), tmp_path / "parts", resume=True) == whole
    assert trainings == expected
    with pytest.raises(InputError, match=r"training\.epochs is 1 in the run and 9 now"):
        other = dataclasses.replace(config.training, epochs=9)
        expand(dataclasses.replace(config, training=other), tmp_path / "parts", resume=True)
    with pytest.raises(InputError, match="which holds a run"):
        expand(config, tmp_path / "parts")


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        ({"target": 1000}, "target_multiply_adds to be more than those of the base"),
        ({"growth": 1.0}, "growth to be above 1"),
        ({"growth": 1000.0}, "growth to be above 1 and at most 10. Received 1000.0"),
        ({"seeds": 0}, "seeds to be at least 1"),
        ({"fc1_units": 0}, "fc1_units"),
    ],
)
def test_a_wrong_configuration_leaves_no_folder(config, tmp_path, change, culprit):
    with pytest.raises(InputError, match=culprit):
        expand(dataclasses.replace(config, **change), tmp_path / "search")
    assert not (tmp_path / "search").exists()


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        ({"validation_fraction": 0.0}, "validation videos, by which the axes are chosen"),
        ({"overrides": {"widths": (8, 8, 8, 8)}}, "no argument that the axes decide. Received widths"),
        ({"batch_size": 99}, "99"),
        ({"optimizer": "adagrad"}, "adagrad"),
    ],
)
def test_a_wrong_recipe_leaves_no_folder(config, tmp_path, change, culprit):
    recipe = dataclasses.replace(config.training, **change)
    with pytest.raises(InputError, match=culprit):
        expand(dataclasses.replace(config, training=recipe), tmp_path / "search")
    assert not (tmp_path / "search").exists()


# === The command ===


def test_the_command_prints_what_was_found(motion_videos, trainings, tmp_path, kapps):
    flags = (
        "--base-frame-rate 2 --base-side 32 --base-width 8 --base-depth 0.2 --fc1-units 64 --epochs 1 --batch-size 4"
    )
    flags += " --validation-fraction 0.25 --set dropout=0.1 --target-multiply-adds 0.4M"
    status, out, _ = kapps("expand", motion_videos, "--output", tmp_path / "search", *flags.split())
    assert status == 0
    document = json.loads((tmp_path / "search" / "expansion.json").read_text())
    assert document["found"]["train"] in out and "which also chose the axes" in out
    count = len(trainings)
    status, out, _ = kapps("expand", "--output", tmp_path / "search", "--resume", "--json")
    assert status == 0 and json.loads(out) == document and len(trainings) == count
    status, _, err = kapps("expand", "--output", tmp_path / "search", "--resume", "--base-frame-rate", 4)
    assert status == 1 and "expansion.base.frame_rate is 2.0 in the run and 4.0 now" in err


def test_a_candidate_that_is_cheaper_and_better_casts_doubt(motion_videos, trainings, tmp_path, kapps, monkeypatch):
    # What the frame rate gives is lost again by whatever follows.
    monkeypatch.setattr(search, "_accuracy", lambda config, run: 0.9 if "2f_4hz_32px_w8_b1_d0.2_" in str(run) else 0.5)
    flags = (
        "--base-frame-rate 2 --base-side 32 --base-width 8 --base-depth 0.2 --fc1-units 64 --epochs 1 --batch-size 4"
    )
    flags += " --validation-fraction 0.25 --target-multiply-adds"
    status, out, _ = kapps("expand", motion_videos, "--output", tmp_path / "long", *flags.split(), "1M")
    assert status == 0 and "2f_4hz_32px_w8_b1_d0.2 computes no more and reached 0.9000" in out
    status, out, _ = kapps("expand", motion_videos, "--output", tmp_path / "short", *flags.split(), "0.55M")
    assert status == 0 and "may be chance" not in out


@pytest.mark.parametrize("target", ["much", "0", "M", "inf"])
def test_a_target_that_is_no_number_is_wrong_use(target, kapps):
    status, _, err = kapps("expand", "videos", "--output", "x", "--target-multiply-adds", target)
    assert status == 2 and "such as 50000000, 50M or 0.6G" in err


@pytest.mark.parametrize(("left_out", "named"), [("data", "DATA"), ("target", "--target-multiply-adds")])
def test_what_is_missing_is_named(motion_videos, tmp_path, kapps, left_out, named):
    given = {"data": [motion_videos], "target": ["--target-multiply-adds", "1M"]}
    given[left_out] = []
    status, _, err = kapps("expand", *given["data"], "--output", tmp_path / "search", *given["target"])
    assert status == 2 and f"Expected {named}" in err
    assert not (tmp_path / "search").exists()


def test_the_line_that_trains_the_found_network_says_the_whole_configuration(config):
    recipe = dataclasses.replace(
        config.training,
        data="my clips",
        class_weight={"a b": 1.0, "c": 2.5},
        milestones=(3, 4.5),
        decay_vectors=True,
        augmentation={"horizontal_flip": 0.5},
    )
    expected = dataclasses.replace(config, training=recipe).of(BASE.moved("duration", 4))
    parser = argparse.ArgumentParser(prog="kapps")
    cli.add_commands(parser.add_subparsers())
    for one in (expected, dataclasses.replace(expected, frame_rate=None)):
        options = parser.parse_args(shlex.split(train_command(one))[1:])
        assert configuration(options, TrainingConfig, config_of, {}) == one


@pytest.mark.slow
def test_a_real_search_finds_a_network_that_the_line_trains_again(config, tmp_path, kapps):
    document = expand(dataclasses.replace(config, target=250_000), tmp_path / "search")
    assert {row["step"] for row in document["candidates"]} >= {0, 1}
    found = document["found"]
    assert found["multiply_adds"] <= 250_000
    words = shlex.split(found["train"])[2:]
    words[words.index("--output") + 1] = str(tmp_path / "again")
    assert kapps(*words)[0] == 0
    report = json.loads((tmp_path / "again" / "report.json").read_text())
    assert report["history"][-1]["val_accuracy"] == found["accuracies"][0]
