"""Clips and weights that do not fit a network: one clear line in Python, by command and of the published model."""

import keras
import numpy as np
import pytest

from apps.action_recognition import models
from tools.errors import InputError

TINY = {"input_shape": (8, 16, 16, 3), "widths": (4, 4, 8, 8), "classes": 3}
# What is given to a network of clips (8, 16, 16, 3), and what a message must say of it.
CLIPS = {
    "optical_flow": (1, 8, 16, 16, 2),
    "too_few_frames": (1, 7, 16, 16, 3),
    "too_many_frames": (1, 16, 16, 16, 3),
    "another_size": (1, 8, 17, 16, 3),
    "no_batch": (8, 16, 16, 3),
    "one_channel": (1, 8, 16, 16, 1),
}


@pytest.fixture(scope="module")
def tiny():
    return models.create("r2plus1d_tiny", **TINY)


@pytest.fixture
def kapps(kapps):
    """Runs a verb; returns exit status and the last line of standard error."""

    def call(*arguments):
        status, _, err = kapps(*arguments)
        return status, err.strip().splitlines()[-1]

    return call


SAID = {
    "optical_flow": r"of 'r2plus1d_tiny' to have 3 channels. Received 2, in .*: optical flow fits i3d_flow",
    "one_channel": "3 channels. Received 1, in .*: repeat grey frames in three channels",
    "too_few_frames": r"\(8, 16, 16, 3\). Received \(7, 16, 16, 3\): a network of input_shape=\(7, 16, 16, 3\) takes",
    "too_many_frames": r"Received \(16, 16, 16, 3\): a network of input_shape=\(16, 16, 16, 3\) takes it",
    "another_size": r"Received \(8, 17, 16, 3\): a network of input_shape=\(8, 17, 16, 3\) takes it",
    "no_batch": r"'r2plus1d_tiny'.* expected ndim=5, found ndim=4. Full shape received: \(8, 16, 16, 3\)",
}


@pytest.mark.parametrize("name", SAID)
def test_a_model_says_in_one_line_what_fits(tiny, name):
    with pytest.raises(ValueError, match=SAID[name]) as error:
        tiny(np.zeros(CLIPS[name], np.float32))
    assert "\n" not in str(error.value)


def test_a_model_of_flow_names_that_of_rgb():
    model = models.create("i3d_flow", input_shape=(9, 16, 16, 2), width_multiplier=0.0625, classes=3)
    with pytest.raises(ValueError, match=r"'i3d_flow' to have 2 channels. Received 3, in .*: RGB fits i3d") as error:
        model.predict(np.zeros((1, 9, 16, 16, 3), np.float32), verbose=0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", SAID)
def test_a_model_that_was_read_says_what_it_expects(tiny, name, tmp_path):
    tiny.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"'r2plus1d_tiny'.*(\(None, 8, 16, 16, 3\), found|3 channels. Rec)") as error:
        keras.saving.load_model(tmp_path / "model.keras")(np.zeros(CLIPS[name], np.float32))
    assert str(CLIPS[name]) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "arguments", "shape", "message"),
    [
        ("slowfast_8x8_r50", {"depth": 14, "width": 8}, (1, 30, 32, 32, 3), "a multiple of 4 frames. Received 30"),
        ("slowfast_8x8_r50", {"depth": 14, "width": 8}, (1, 2, 32, 32, 3), "at least 4 frames. Received 2"),
        ("s3d", {"width_multiplier": 0.0625}, (1, 2, 32, 32, 3), "at least 5 frames. Received 2"),
        ("s3d", {"width_multiplier": 0.0625}, (1, 5, 16, 32, 3), "at least 17 pixels of height. Received 16"),
        ("i3d_resnet50", {"depth": 14, "width": 8}, (1, 1, 32, 32, 3), "at least 2 frames. Received 1"),
        ("densenet3d_121", {"depths": (1, 1, 1, 1)}, (1, 2, 32, 32, 3), "at least 29 frames. Received 2"),
        ("r2plus1d_tiny", {"modality": "rgb_difference"}, (1, 1, 32, 32, 3), "at least 2 frames. Received 1"),
        ("i3d", {"width_multiplier": 0.0625}, (1, 9, 32, 32, 1), "repeat grey frames in three channels"),
        ("i3d", {"width_multiplier": 0.0625}, (1, 9, 32, 32, 2), "optical flow fits i3d_flow"),
    ],
)
def test_networks_of_free_lengths_say_in_one_line_what_they_need(name, arguments, shape, message):
    model = models.create(name, input_shape=(None, None, None, 3), classes=3, **arguments)
    with pytest.raises(ValueError, match=f"Expected clips of '{name}' to have .*{message}") as error:
        model(np.zeros(shape, np.float32))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("c3d", {"widths": (4, 4, 4, 4, 4), "hidden": 8}),
        ("r3d_18", {"widths": (4, 4, 4, 4)}),
        ("r2plus1d_tiny", {"widths": (4, 4, 4, 4)}),
        ("r2plus1d_50", {"depth": 14, "width": 8}),
        ("densenet3d_121", {"depths": (1, 1, 1, 1)}),
        ("i3d", {"width_multiplier": 0.0625}),
        ("i3d_resnet50", {"depth": 14, "width": 8}),
        ("s3d", {"width_multiplier": 0.0625}),
        ("slowfast_8x8_r50", {"depth": 14, "width": 8}),
        ("x3d_s", {"depths": (1, 1, 1, 1), "widths": (8, 8, 16, 16), "fc1_units": 32}),
    ],
)
def test_every_network_takes_sizes_that_its_strides_do_not_divide(name, arguments):
    model = models.create(name, input_shape=(32, 37, 45, 3), classes=3, **arguments)
    assert np.isfinite(model(np.ones((1, 32, 37, 45, 3), np.float32))).all()


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("c3d", (8, 112, 112, 3), r"frames\)` to be at least 16. Received 8"),
        ("c3d", (16, 8, 112, 3), r"height\)` to be at least 16. Received 8"),
        ("s3d", (4, 64, 64, 3), r"frames\)` to be at least 5. Received 4"),
        ("slowfast_8x8_r50", (30, 64, 64, 3), r"frames\)` to be a multiple of 4. Received 30"),
        ("slowfast_4x16_r50", (4, 64, 64, 3), r"frames\)` to be at least 8. Received 4"),
        ("i3d_resnet50", (1, 64, 64, 3), r"frames\)` to be at least 2. Received 1"),
        ("x3d_xs", (0, 64, 64, 3), r"frames\)` to be a positive integer. Received 0"),
        ("i3d", (16, 64, 64), r"\(frames, height, width, channels\). Received \(16, 64, 64\)"),
    ],
)
def test_a_clip_too_short_or_too_small_for_the_network_is_refused_when_it_is_made(name, shape, message):
    with pytest.raises(InputError, match=message):
        models.create(name, input_shape=shape, classes=3)


def small(name, **arguments):
    """A narrow network of the family of a registered one."""
    shape = (16, 32, 32, models.info(name).input_shape[-1])
    return models.create(name, **{"input_shape": shape, "classes": 4, **arguments})


SLOWFAST = {"depth": 14, "width": 8}
# The rules of channels part where the width changes from conv2 to conv3.
R2PLUS1D = {"widths": (4, 8, 8, 8)}
I3D = {"width_multiplier": 0.0625}
X3D = {"depths": (1, 1, 1, 1), "widths": (8, 8, 16, 16), "fc1_units": 32}


@pytest.mark.parametrize(
    ("ours", "own", "theirs", "other", "expected", "received"),
    [
        *[
            ("slowfast_8x8_r50", {**SLOWFAST, "lateral_kernel": one}, "slowfast_8x8_r50")
            + ({**SLOWFAST, "lateral_kernel": two}, f"lateral kernel {one}", f"lateral kernel {two}")
            for one, two in ((7, 5), (5, 7))
        ],
        ("r2plus1d_18", R2PLUS1D, "r2plus1d_18_vmz", R2PLUS1D, "as r2plus1d_18", "as r2plus1d_18_vmz"),
        ("r2plus1d_18_vmz", R2PLUS1D, "r2plus1d_34", R2PLUS1D, "depth 18", "depth 34"),
        ("x3d_xs", X3D, "x3d_xs", {**X3D, "shortcut": "pyslowfast"}, "of pytorchvideo", "of pyslowfast"),
        ("x3d_xs", {**X3D, "shortcut": "pyslowfast"}, "x3d_xs", X3D, "of pyslowfast", "of pytorchvideo"),
        ("i3d", I3D, "i3d_flow", I3D, "3 input channels", "2 input channels"),
        ("i3d_flow", I3D, "i3d", I3D, "2 input channels", "3 input channels"),
        ("i3d", {**I3D, "classes": 400}, "i3d", {**I3D, "classes": 101}, "400 classes", "101 classes"),
    ],
)
def test_weights_of_another_variant_are_refused_by_its_name(
    ours, own, theirs, other, expected, received, tmp_path, kapps, motion_videos
):
    path = tmp_path / "other.weights.h5"
    small(theirs, **other).save_weights(path)
    with pytest.raises(InputError) as error:
        small(ours, **own, weights=path)
    first = str(error.value).split("\n")[0]
    assert expected in first.split("Received")[0] and received in first.split("Received")[1]
    if ours == "i3d_flow":
        return
    flags = [
        f"--set={name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in own.items()
    ]
    classes = [] if "classes" in own else ["--fresh-classifier"]
    status, line = kapps(
        *("train", motion_videos, "--output", tmp_path / "run", "--model", ours, "--weights", path, "--batch-size", 4),
        *(flag for flag in flags if "classes" not in flag),
        *("--set", "input_shape=16,32,32,3", *classes),
    )
    assert status == 1 and line.startswith(f"kapps: error: {path}: Expected the weights of model {ours!r}")
    assert (expected if classes else "3 classes") in line.split("Received")[0] and received in line.split("Received")[1]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--model", "i3d_flow", "--set", "width_multiplier=0.0625"),
            "not turned into optical flow; only a network of RGB",
        ),
        (("--model", "r2plus1d_tiny", "--set", "input_shape=8,16,16,1"), "not turned into 1 channels"),
        (("--model", "slowfast_8x8_r50", "--set", "inputs=pathways"), "of several: set inputs=clip"),
        (("--model", "c3d", "--set", "input_shape=8,112,112,3"), "at least 16. Received 8"),
        (("--model", "slowfast_8x8_r50", "--set", "input_shape=30,64,64,3"), "multiple of 4. Received 30"),
    ],
)
def test_train_refuses_a_network_that_cannot_see_the_videos(kapps, motion_videos, tmp_path, flags, message):
    status, line = kapps("train", motion_videos, "--output", tmp_path / "run", "--batch-size", 4, *flags)
    assert status == 1 and line.startswith("kapps: error: Expected") and message in line
    assert not (tmp_path / "run").exists()


def test_predict_refuses_a_network_of_flow_before_it_reads_its_weights(kapps, motion_videos, tmp_path):
    (tmp_path / "flow.weights.h5").write_bytes(b"not read")
    (tmp_path / "labels.txt").write_text("a\nb\n")
    status, line = kapps(
        *("predict", "--model", "i3d_flow", "--weights", tmp_path / "flow.weights.h5"),
        *("--labels", tmp_path / "labels.txt", motion_videos / "up" / "000.mp4"),
    )
    assert status == 1 and "such as i3d, sees them" in line


@pytest.mark.slow
def test_the_published_model_names_the_shape_it_takes(tiny, tmp_path):
    import tensorflow as tf

    from apps.action_recognition.data import ClipSpec
    from apps.action_recognition.export import export

    published = export(tiny, ClipSpec(8, (16, 16)), ("a", "b", "c"), base=tmp_path, name="tiny")
    signatures = tf.saved_model.load(str(published.path)).signatures
    given = [("serving_default", "clip", np.zeros(shape, np.float32)) for shape in CLIPS.values()]
    given += [("features", "clip", np.zeros((1, 8, 16, 16, 1), np.float32))]
    given += [
        ("uint8", "frames", np.zeros((1, 8, 20, 20, 1), np.uint8)),
        ("uint8", "frames", np.zeros((1, 7, 20, 20, 3), np.uint8)),
    ]
    given += [("encoded_frames", "frames", np.full((1, 7), b""))]
    for signature, name, value in given:
        with pytest.raises(tf.errors.InvalidArgumentError) as error:
            signatures[signature](**{name: tf.constant(value)})
        shape = ",".join(map(str, value.shape))
        assert f"Shape of tensor {name} [{shape}] is not compatible with expected shape [?,8" in str(error.value)


def test_a_wrong_clip_is_refused_by_fit_too(tiny):
    tiny.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=SAID["optical_flow"]) as error:
        tiny.fit(np.zeros((1, 8, 16, 16, 2), np.float32), np.zeros(1), verbose=0)
    assert "\n" not in str(error.value)
    keras.backend.clear_session()
