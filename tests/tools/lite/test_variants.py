"""Several precisions from one export: each is what was asked for, or it is said why it is not there."""

import keras
import numpy as np
import pytest
from keras import layers

from tools.errors import InputError
from tools.lite import Runner, check
from tools.lite.conversion import difference
from tools.lite.variants import write_variants

CLIPS = np.random.default_rng(0).standard_normal((4, 4, 16, 16, 3)).astype("float32")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    clip = keras.Input((4, 16, 16, 3), name="clip")
    x = layers.Conv3D(8, 3, padding="same", activation="relu")(clip)
    x = layers.GlobalAveragePooling3D()(layers.MaxPooling3D(2)(x))
    return keras.Model(clip, {"logits": layers.Dense(5)(x)})


def test_every_precision_is_made_and_checked(model, tmp_path):
    paths = {precision: tmp_path / f"{precision}.tflite" for precision in ("float32", "int8")}
    assert write_variants(model, paths, representative=CLIPS) == {"float32": None, "int8": None}
    expected = keras.ops.convert_to_numpy(model(CLIPS, training=False)["logits"])
    for (precision, path), limit in zip(paths.items(), (1e-5, 0.1), strict=True):
        check(path, precision)
        assert difference(expected, Runner(path)(CLIPS))["relative_rms"] < limit
    assert sorted(path.name for path in tmp_path.iterdir()) == ["float32.tflite", "int8.tflite"]


def test_what_litert_lacks_is_named_for_every_precision_and_leaves_no_file(model, tmp_path):
    paths = {precision: tmp_path / f"{precision}.tflite" for precision in ("float32", "int8")}
    reasons = write_variants(model, paths, representative=CLIPS, rewrite=False)
    reason = "does not convert: Expected operations that LiteRT has. Received MaxPool3D."
    assert reasons == {"float32": reason, "int8": reason}
    assert not list(tmp_path.iterdir())


def test_another_failure_is_of_its_precision_alone(model, tmp_path, monkeypatch):
    def fail(saved_model, file, precision, clips):
        if precision == "float32":
            raise RuntimeError("TensorFlow's converter ended with status -9: no message")
        raise OSError(f"No space left: {file}")

    monkeypatch.setattr("tools.lite.variants.convert_saved", fail)
    (reason,) = write_variants(model, {"float32": tmp_path / "a.tflite"}, representative=CLIPS).values()
    assert reason == "does not convert: TensorFlow's converter ended with status -9: no message"
    with pytest.raises(OSError, match="No space left"):
        write_variants(model, {"int8": tmp_path / "b.tflite"}, representative=CLIPS)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_not_as_asked_is_a_reason_and_no_file(model, tmp_path, monkeypatch):
    def refuse(path, precision):
        raise ValueError(f"Expected no 3-D convolution in {path}.")

    monkeypatch.setattr("tools.lite.variants.check", refuse)
    paths = {"float32": tmp_path / "float32.tflite"}
    (reason,) = write_variants(model, paths, representative=CLIPS).values()
    assert reason.startswith("is not as asked: Expected no 3-D convolution")
    assert not list(tmp_path.iterdir())


def test_clips_of_another_shape_are_refused(model, tmp_path):
    with pytest.raises(InputError, match="representative 'clip' of shape"):
        write_variants(model, {"float32": tmp_path / "a.tflite"}, representative=CLIPS[:, 1:])


def test_difference_by_hand():
    expected = np.array([[3.0, 0.0], [0.0, 4.0]], "float32")
    found = difference(expected, expected + np.array([[0.0, 1.0], [0.0, -5.0]]))
    assert found["inputs"] == 2
    assert (found["max_abs_difference"], found["max_abs_expected"]) == (5.0, 4.0)
    assert found["relative_rms"] == pytest.approx((26 / 25) ** 0.5)
    # Deviations from the mean of the two: (1.5, -2, -1.5, 2) against (1.5, 1, -1.5, -1).
    assert found["correlation"] == pytest.approx((4.5 - 4.0) / (12.5 * 6.5) ** 0.5)
    assert found["top1_agreement"] == 0.5


def test_a_constant_answer_has_no_correlation():
    assert difference(np.ones((3, 2)), np.eye(3, 2))["correlation"] is None
