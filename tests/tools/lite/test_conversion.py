"""A converted file is what was asked for, answers as Keras does, and appears whole or not at all."""

import json
import pathlib
import resource

import keras
import numpy as np
import pytest
from keras import layers

from keras_layers.video import FrameRateResampling
from tools.errors import InputError
from tools.lite import Runner, check, convert, inspect, measure

CLIPS = np.random.default_rng(0).standard_normal((6, 4, 16, 16, 3)).astype("float32")
# Relative root mean square against Keras that a precision may cost on this small model.
COST = {"float32": 1e-5, "float16": 1e-3, "dynamic": 2e-2, "int8": 4e-2}


@pytest.fixture(scope="module")
def model(graphs):
    return graphs.r2plus1d_like()


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """A file of every precision, and its report."""
    folder = tmp_path_factory.mktemp("lite")
    made = {}
    for precision in COST:
        path = folder / f"{precision}.tflite"
        report = convert(model, path, precision=precision, representative=CLIPS, seconds=0.05)
        made[precision] = (path, report)
    return made


@pytest.mark.parametrize("precision", COST)
def test_file_is_of_the_precision_and_agrees_with_keras(files, model, precision):
    path, report = files[precision]
    found = check(path, precision)
    assert not found.custom
    assert not any(name.startswith("CONV_3D") for name in found.operators)
    expected = keras.ops.convert_to_numpy(model(CLIPS, training=False))
    received = Runner(path)(CLIPS)
    assert received.shape == expected.shape
    error = np.sqrt(((received - expected) ** 2).mean() / (expected**2).mean())
    assert error <= COST[precision]
    assert report["agreement"]["probabilities"]["relative_rms"] == pytest.approx(error, rel=1e-2, abs=1e-6)
    assert json.loads(path.with_name(f"{path.name}.json").read_text()) == json.loads(json.dumps(report))
    assert report["latency"]["median_ms"] > 0


def test_one_precision_is_not_taken_for_another(files):
    for asked in ("float32", "float16", "int8"):
        for had in ("float32", "float16", "int8"):
            if asked == had:
                continue
            with pytest.raises(ValueError, match=f"in {asked}"):
                check(files[had][0], asked)


def test_int8_convolutions_have_a_scale_for_each_channel(files):
    convolutions = [one for one in inspect(files["int8"][0]).convolutions if one["operator"] == "CONV_2D"]
    assert len(convolutions) == 4
    assert all(one["scales"] == one["shape"][0] for one in convolutions)


def test_normalisation_and_activations_cost_no_operator(files):
    operators = inspect(files["float32"][0]).operators
    assert operators["CONV_2D"] == 4
    assert operators["ADD"] == 1
    assert not {"MUL", "SUB", "RSQRT", "RELU", "STRIDED_SLICE_STEP"} & set(operators)


def test_int8_probabilities_are_finer_than_int8(files):
    """Steps of 1/256 would be left by a softmax in int8."""
    answers = Runner(files["int8"][0])(CLIPS) * 256
    assert np.abs(answers - np.round(answers)).max() > 0.05
    np.testing.assert_allclose(answers.sum(-1), 256, rtol=1e-4)


def test_int8_inputs_and_outputs_are_quantised_by_the_runner(model, tmp_path):
    path = tmp_path / "m.tflite"
    convert(model, path, precision="int8", representative=CLIPS, io="int8", seconds=0.05)
    found = inspect(path)
    assert [one["type"] for one in (*found.inputs, *found.outputs)] == ["INT8", "INT8"]
    assert not found.float_operators
    expected = keras.ops.convert_to_numpy(model(CLIPS, training=False))
    assert np.abs(Runner(path)(CLIPS) - expected).max() < 0.03


def test_signature_has_the_names_of_the_model(files):
    runner = Runner(files["int8"][0])
    assert list(runner.inputs) == ["clip"]
    assert list(runner.outputs) == ["probabilities"]
    np.testing.assert_array_equal(runner({"clip": CLIPS[:2]}), runner(CLIPS[:2]))


def test_several_inputs_and_outputs_keep_their_names(tmp_path):
    first, second = keras.Input((2, 5, 5, 2), name="rgb"), keras.Input((2, 5, 5, 1), name="flow")
    x = layers.Concatenate()([first, second])
    map_5d = layers.Conv3D(2, 3, padding="same", name="map")(x)
    model = keras.Model([first, second], [map_5d, layers.GlobalAveragePooling3D(name="features")(map_5d)])
    generator = np.random.default_rng(0)
    clips = {
        "rgb": generator.standard_normal((4, 2, 5, 5, 2)).astype("float32"),
        "flow": generator.standard_normal((4, 2, 5, 5, 1)).astype("float32"),
    }
    convert(model, tmp_path / "m.tflite", representative=clips, seconds=0.05)
    answers = Runner(tmp_path / "m.tflite")(clips)
    expected = model([clips["rgb"], clips["flow"]], training=False)
    assert set(answers) == {"map", "features"}
    np.testing.assert_allclose(answers["map"], expected[0], atol=1e-5)
    np.testing.assert_allclose(answers["features"], expected[1], atol=1e-5)


def test_direct_conversion_is_reported_and_is_not_int8_inside(model, tmp_path):
    report = convert(
        model, tmp_path / "m.tflite", precision="int8", representative=CLIPS, compare_direct=True, seconds=0.05
    )
    types = {(one["operator"], one["filter"]) for one in report["direct"]["convolutions"]}
    assert ("CONV_3D", "FLOAT32") in types
    assert report["direct"]["times_faster"] > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"representative": None}, "representative clips .* Received none"),
        ({"representative": CLIPS[:3]}, "at least 4 representative inputs"),
        ({"representative": iter([])}, "at least 4 representative inputs"),
        ({"representative": CLIPS[..., :2]}, r"of shape .*Received \(6, 4, 16, 16, 2\)"),
        ({"representative": CLIPS.astype("float64")}, "Received float64"),
        ({"representative": np.where(CLIPS > 3, np.nan, CLIPS)}, "NaN"),
        ({"representative": [CLIPS[0], CLIPS[0, :2]]}, "one shape"),
        ({"representative": {"video": CLIPS}}, "inputs clip. Received video"),
        ({"precision": "int4"}, "'int4'"),
        ({"io": "uint8"}, "'uint8'"),
        ({"precision": "float32", "io": "int8"}, "precision 'int8' with io 'int8'"),
        ({"path": "m.onnx"}, "m.onnx"),
        ({"input_shape": (8, 16, 16, 3)}, "to fit"),
    ],
)
def test_wrong_arguments_are_named_and_leave_nothing(model, tmp_path, changes, message):
    arguments = {"path": "m.tflite", "precision": "int8", "representative": CLIPS, **changes}
    path = tmp_path / arguments.pop("path")
    with pytest.raises(InputError, match=message):
        convert(model, path, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_conversion_leaves_what_was_there(tmp_path):
    inputs = keras.Input((4, 8, 8, 3), name="clip")
    model = keras.Model(inputs, layers.MaxPooling3D(2)(inputs))
    path = tmp_path / "m.tflite"
    path.write_bytes(b"before")
    with pytest.raises(RuntimeError, match=r"Expected operations that LiteRT has\. Received MaxPool3D"):
        convert(model, path, rewrite=False)
    assert path.read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == ["m.tflite"]


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(model, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(OSError, match="could not be written under") as caught:
            convert(model, tmp_path / "m.tflite", seconds=0.05)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert "__wrapped__" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (CLIPS[0], "of shape"),
        (CLIPS[:, :2], "of shape"),
        (CLIPS[:0], "of shape"),
        (CLIPS.astype("float64"), "Received float64"),
        ((CLIPS * 10).astype("uint8"), "Received uint8"),
        (np.full_like(CLIPS, np.inf), "infinity"),
        ({"frames": CLIPS}, "Expected inputs clip. Received frames"),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_runner_refuses_what_it_would_answer_wrongly(files, precision, value, message):
    with pytest.raises(InputError, match=message):
        Runner(files[precision][0])(value)


def test_no_file_and_damaged_files_are_named(files, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        Runner(tmp_path / "none.tflite")
    (tmp_path / "text.tflite").write_text("not a model at all")
    with pytest.raises(InputError, match=r"text\.tflite"):
        Runner(tmp_path / "text.tflite")
    content = pathlib.Path(files["int8"][0]).read_bytes()
    for part in (0.02, 0.5, 0.9):
        (tmp_path / "cut.tflite").write_bytes(content[: int(len(content) * part)])
        with pytest.raises(InputError, match=r"cut\.tflite"):
            Runner(tmp_path / "cut.tflite")
    with pytest.raises(InputError, match="threads"):
        Runner(files["int8"][0], threads=0)


def test_latencies_are_measured_in_turns(files):
    rows = measure([files["float32"][0], files["int8"][0]], seconds=0.05)
    assert [row["runs"] >= 3 and 0 < row["fastest_ms"] <= row["median_ms"] <= row["slowest_ms"] for row in rows] == [
        True,
        True,
    ]
    assert rows[0]["size"] == files["float32"][0].stat().st_size


def test_a_single_frame_that_is_kept_is_convolved_in_int8(tmp_path):
    clip = keras.Input((4, 8, 8, 3), name="clip")
    x = keras.layers.Conv3D(4, (1, 3, 3))(FrameRateResampling(4)(clip))
    model = keras.Model(clip, keras.layers.GlobalAveragePooling3D()(x))
    clips = np.random.default_rng(0).standard_normal((4, 4, 8, 8, 3)).astype("float32")
    convert(model, tmp_path / "m.tflite", precision="int8", representative=clips, seconds=0.05)
    assert [one["input"] for one in inspect(tmp_path / "m.tflite").convolutions] == ["INT8"]
