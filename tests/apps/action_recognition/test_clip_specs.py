"""The clip that every model takes: as long, as large and preprocessed as the source of its weights says."""

import dataclasses
import json

import numpy as np
import pytest

from apps.action_recognition import models, published_weights
from apps.action_recognition.features import load_network
from apps.action_recognition.training import clip_spec
from apps.action_recognition.transfer import TransferConfig
from apps.action_recognition.transfer.training import clip_spec as transfer_clip_spec
from tools.errors import InputError

# Frames, and of the file's 30 a second one in so many: PySlowFast's "frames x stride", of SlowFast's fast pathway.
# What torchvision and DeepMind time is in frames per second, the same for every file.
STRIDES = {
    "x3d_xs": (4, 12),
    "x3d_s": (13, 6),
    "x3d_m": (16, 5),
    "x3d_l": (16, 5),
    "slow_r50": (8, 8),
    "i3d_resnet50": (8, 8),
    "r2plus1d_50": (16, 4),
    "slowfast_4x16_r50": (32, 2),
    "slowfast_8x8_r50": (32, 2),
    "slowfast_8x8_r101": (32, 2),
    "slowfast_16x8_r101_50_50": (64, 2),
}
RATES = {
    **dict.fromkeys(("r3d_18", "r3d_34", "mc3_18", "r2plus1d_18", "r2plus1d_18_vmz", "r2plus1d_34"), 15.0),
    **dict.fromkeys(("s3d", "r2plus1d_tiny"), 15.0),
    **dict.fromkeys(("i3d", "i3d_flow", "s3d_g"), 25.0),
    # Neither the paper nor its code says one: ours.
    **dict.fromkeys(("densenet3d_121", "densenet3d_169", "t3d_121", "t3d_169"), 15.0),
    # Every frame.
    "c3d": None,
}


@pytest.mark.parametrize("name", models.names())
def test_clips_are_as_long_as_the_source_of_the_weights_says(name):
    spec = models.clip_spec(name)
    assert spec.shape[:3] == models.info(name).input_shape[:3]
    if name in STRIDES:
        frames, stride = STRIDES[name]
        assert spec.frames == frames and spec.frames / spec.frame_rate == pytest.approx(frames * stride / 30)
        assert spec.preset.startswith("pyslowfast")
    else:
        assert spec.frame_rate == RATES[name]
        # What the preprocessing of a source says of its rate is not another one.
        assert spec.rules.frame_rate in (None, spec.frame_rate)


def test_another_rate_size_or_preprocessing_takes_the_place_of_the_models():
    spec = models.clip_spec("x3d_m", (8, 64, 48), frame_rate=None, preset="torchvision")
    assert spec.shape == (8, 64, 48, 3) and spec.frame_rate is None and spec.preset == "torchvision"
    assert models.clip_spec("x3d_m", frame_rate=10).frame_rate == 10
    with pytest.raises(InputError, match=r"frame_rate.*'often'"):
        models.clip_spec("x3d_m", frame_rate="often")


X3D = {"depths": (1, 1, 1, 1), "widths": (8, 8, 16, 16), "fc1_units": 32, "input_shape": (4, 32, 32, 3)}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The weights of a small x3d_s with two classes, their names, and the overrides that make it."""
    folder = tmp_path_factory.mktemp("x3d")
    models.create("x3d_s", classes=2, **X3D).save_weights(folder / "small.weights.h5")
    (folder / "labels.txt").write_text("up\nleft\n")
    return folder


def test_weights_are_used_with_the_clips_of_their_model(small):
    run = published_weights.load("x3d_s", small / "small.weights.h5", small / "labels.txt", X3D)
    assert run.spec == models.clip_spec("x3d_s", (4, 32, 32)) and run.spec.frame_rate == 5.0
    assert load_network("x3d_s", small / "small.weights.h5", X3D)[1] == run.spec
    asked = published_weights.load(
        "x3d_s", small / "small.weights.h5", small / "labels.txt", X3D, frame_rate=None, preset="torchvision"
    )
    assert asked.spec == dataclasses.replace(run.spec, frame_rate=None, preset="torchvision")
    with pytest.raises(InputError, match="include_top"):
        published_weights.load("x3d_s", small / "small.weights.h5", small / "labels.txt", {"include_top": False})


def test_train_and_transfer_take_the_clips_of_the_model(tiny_config):
    config = dataclasses.replace(tiny_config, model="x3d_s", overrides=X3D)
    model = models.create("x3d_s", classes=2, **X3D)
    assert clip_spec(config, model) == models.clip_spec("x3d_s", (4, 32, 32))
    assert clip_spec(dataclasses.replace(config, frame_rate=None), model).frame_rate is None
    student = TransferConfig(data="", teacher="", model="x3d_s", teacher_frames=2)
    assert transfer_clip_spec(student, model) == models.clip_spec("x3d_s", (4, 32, 32))


def sets(overrides):
    return [
        f"--set={name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in overrides.items()
    ]


def test_a_run_keeps_the_rate_of_its_model(kapps, motion_videos, tmp_path):
    flags = ["--model", "x3d_s", *sets(X3D), "--epochs", 1, "--batch-size", 4, "--validation-fraction", 0]
    assert kapps("train", motion_videos, "--output", tmp_path / "run", *flags)[0] == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["clip"]["frame_rate"] == config["training"]["frame_rate"] == 5.0
    status, _, err = kapps("train", "--output", tmp_path / "run", "--resume", "--frame-rate", "model")
    assert status == 0 and "finished" in err
    status, _, err = kapps("train", "--output", tmp_path / "run", "--resume", "--frame-rate", "all")
    assert status == 1 and "training.frame_rate is 5.0 in the run and null now" in err


# === Asking a registered model with weights ===


def network(small, *more):
    return [
        *("--model", "x3d_s", "--weights", small / "small.weights.h5", "--labels", small / "labels.txt"),
        *sets(X3D),
        *more,
    ]


@pytest.fixture
def two_classes(motion_videos, tmp_path):
    for name in ("up", "left"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        for path in sorted((motion_videos / name).glob("*.mp4"))[:2]:
            (tmp_path / "videos" / name / path.name).symlink_to(path)
    return tmp_path / "videos"


def test_evaluate_measures_weights_without_a_run(kapps, small, two_classes, tmp_path):
    views = ("--clips", 2, "--crops", 3, "--bootstrap", 0)
    status, out, _ = kapps("evaluate", *network(small), two_classes, *views, "--json")
    document = json.loads(out)
    assert status == 0 and document["videos"] == 4 and (document["clips"], document["crops"]) == (2, 3)
    assert document["classes"] == ["up", "left"]
    assert kapps("evaluate", *network(small), two_classes, *views, "--output", tmp_path / "measured")[0] == 0
    assert json.loads((tmp_path / "measured" / "evaluation.json").read_text()) == document
    assert sorted(path.name for path in tmp_path.iterdir()) == ["measured", "videos"]


def test_predict_takes_the_mean_of_views(kapps, small, two_classes):
    path = two_classes / "up" / "000.mp4"

    def answer(*flags):
        status, out, err = kapps("predict", *network(small, *flags), path, "--json")
        assert status == 0, err
        return {row["class"]: row["probability"] for row in json.loads(out)["top"]}

    run = published_weights.load("x3d_s", small / "small.weights.h5", small / "labels.txt", X3D)
    from apps.action_recognition.data import read_clip, read_views

    views = np.mean([run.model(view[None])[0] for view in read_views(path, run.spec, 3, 2)], axis=0)
    assert answer("--clips", 3, "--crops", 2)["up"] == pytest.approx(views[0], abs=1e-5)
    central = run.model(read_clip(path, run.spec)[None])[0]
    assert answer()["up"] == pytest.approx(float(central[0]), abs=1e-5)
    spec = dataclasses.replace(run.spec, frame_rate=None, preset="torchvision")
    other = run.model(read_clip(path, spec)[None])[0]
    assert answer("--frame-rate", "all", "--preset", "torchvision")["up"] == pytest.approx(float(other[0]), abs=1e-5)


@pytest.mark.parametrize(
    ("line", "status", "culprit"),
    [
        ("predict {run} {video} --frame-rate 5", 2, "with --model only"),
        ("predict {run} {video} --preset torchvision", 2, "with --model only"),
        ("predict {run} {video} --set depth=18", 2, "with --model only"),
        ("predict {run} {video} --labels labels.txt", 2, "with --model only"),
        ("evaluate {run} {video} --frame-rate 5", 2, "with --model only"),
        ("evaluate {run}", 2, "Expected RUN and DATA"),
        ("evaluate --model i3d {video}", 2, "--model and --weights together"),
        ("predict {run} {video} --step 0.5 --clips 2", 2, "--clips and --crops"),
        ("predict {run} 0 --clips 2", 2, "--clips and --crops"),
        ("predict {run} {video} --clips 0", 1, "clips to be at least 1"),
        ("predict {run} {video} --crops 0", 1, "crops to be at least 1"),
    ],
)
def test_what_does_not_go_together_is_refused(kapps, trained_run, motion_videos, line, status, culprit):
    places = {"run": trained_run, "video": motion_videos / "up" / "000.mp4"}
    found, _, err = kapps(*(word.format(**places) for word in line.split()))
    assert found == status and culprit in err.splitlines()[-1]


def test_train_refuses_bfloat16_where_its_gradients_are_wrong(kapps, motion_videos, tmp_path, monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    status, _, err = kapps("train", motion_videos, "--output", tmp_path / "run", "--precision", "mixed_bfloat16")
    assert status == 1 and "mixed_float16 without a GPU" in err.splitlines()[-1]
    assert not (tmp_path / "run").exists()
