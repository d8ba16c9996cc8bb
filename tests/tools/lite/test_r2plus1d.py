"""The registered models at the edge; R(2+1)D-18 at native size."""

import keras
import numpy as np
import pytest

from apps.action_recognition import models
from tests.conformance.models import small_input
from tools.lite import check, convert, rewrite


def answers(model, clips):
    return keras.ops.convert_to_numpy(model(clips, training=False))


@pytest.mark.parametrize(
    "name",
    [name if name.startswith("r2plus1d") else pytest.param(name, marks=pytest.mark.slow) for name in models.names()],
)
def test_every_registered_model_is_rewritten_equal(graphs, name):
    shape = small_input(models.info(name))
    model = graphs.randomise(models.create(name, input_shape=shape, classes=7, classifier_activation=None))
    clips = np.random.default_rng(0).standard_normal((1, *shape)).astype("float32")
    expected = answers(model, clips)
    edge = rewrite(model)
    assert np.abs(answers(edge, clips) - expected).max() <= 1e-4 * np.abs(expected).max()
    if models.info(name).constructor is not models.DenseNet3D:
        # There they stand before the convolutions, behind concatenations.
        assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in edge.layers)


@pytest.mark.slow
def test_r2plus1d_18_is_int8_inside_near_keras_and_far_faster_than_the_direct_conversion(graphs, tmp_path):
    model = graphs.randomise(models.create("r2plus1d_18", classifier_activation=None))
    clips = np.random.default_rng(0).standard_normal((4, 16, 112, 112, 3)).astype("float32")
    path = tmp_path / "r2plus1d_18.tflite"
    report = convert(model, path, precision="int8", representative=clips, compare_direct=True, compare_clips=2)
    found = check(path, "int8")
    assert found.operators["CONV_2D"] == 37
    (agreement,) = report["agreement"].values()
    assert agreement["relative_rms"] < 0.03
    assert agreement["top1_agreement"] == 1.0
    assert report["direct"]["operators"]["CONV_3D"] == 37
    assert report["direct"]["fastest_ms"] > 5 * report["direct"]["rewritten_fastest_ms"]
    (agreement,) = convert(model, path, representative=clips, compare_clips=2)["agreement"].values()
    assert agreement["relative_rms"] < 1e-4
