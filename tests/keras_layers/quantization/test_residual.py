"""ResidualVectorQuantizer against its stages one by one."""

import keras
import numpy as np
import pytest

from keras_layers import ResidualVectorQuantizer, VectorQuantizerEMA
from tests.conformance.layers import CHECKS, LayerCase, name_of

SMALL = {"stages": 2, "codes": 5, "dimension": 3, "initializer": "normal", "seed": 1}
ARGUMENTS = {
    "stages": 3,
    "codes": 6,
    "dimension": 4,
    "update": "gradient",
    "commitment_cost": 0.5,
    "loss_reduction": "sum",
    "decay": 0.9,
    "initializer": "normal",
    "revival_threshold": 0.1,
    "seed": 3,
}
CASES = [
    LayerCase("ema", ResidualVectorQuantizer, SMALL, (2, 2, 3), free_axes=(0, 1)),
    LayerCase("every_argument", ResidualVectorQuantizer, ARGUMENTS, (2, 2, 4), free_axes=(0, 1), complete=True),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_conformance(check, case, tmp_path):
    check(case, tmp_path)


def test_every_stage_quantises_what_is_left():
    layer = ResidualVectorQuantizer(3, 8, 4, initializer="normal", seed=0, name="rvq")
    inputs = np.random.default_rng(0).standard_normal((5, 6, 4)).astype("float32")
    layer.build(inputs.shape)
    alone = []
    for stage in layer.stages:
        one = VectorQuantizerEMA(8, 4)
        one.build((None, 4))
        one.set_weights(stage.get_weights())
        alone.append(one)
    codes = layer.encode(inputs)
    outputs = layer(inputs, training=True)
    residual, losses, total = inputs, [], 0
    for place, one in enumerate(alone):
        np.testing.assert_array_equal(codes[..., place], one.encode(residual))
        found = keras.ops.convert_to_numpy(one(residual, training=True))
        losses.append(float(sum(one.losses)))
        residual, total = residual - found, total + found
    np.testing.assert_allclose(outputs, total, rtol=1e-6, atol=1e-6)
    assert float(sum(layer.losses)) == pytest.approx(sum(losses), rel=1e-6)
    for one, stage in zip(alone, layer.stages, strict=True):
        np.testing.assert_allclose(one.codebook, stage.codebook, rtol=1e-5, atol=1e-6)


def test_more_stages_leave_less():
    inputs = np.random.default_rng(0).standard_normal((400, 4)).astype("float32")
    layer = ResidualVectorQuantizer(4, 16, 4, initializer="kmeans", seed=0)
    for _ in range(5):
        layer(inputs, training=True)
    codes, left = layer.encode(inputs), []
    for number in range(1, 5):
        rebuilt = sum(stage.lookup(codes[:, place]) for place, stage in enumerate(layer.stages[:number]))
        left.append(float(np.square(inputs - rebuilt).mean()))
    assert left == sorted(left, reverse=True) and left[-1] < 0.2 * left[0]


def test_masked_positions_reach_no_stage():
    layer = ResidualVectorQuantizer(2, 8, 4, initializer="normal", seed=0)
    inputs = np.random.default_rng(0).standard_normal((2, 3, 4)).astype("float32")
    inputs[1, 1:] = np.nan
    layer(inputs, mask=np.array([[1, 1, 1], [1, 0, 0]], bool), training=True)
    for stage in layer.stages:
        assert float(stage.refused_steps) == 0
        assert float(keras.ops.sum(stage.epoch_usage.counts)) == 4
    assert np.isfinite(float(sum(layer.losses)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stages": 0}, "`stages` to be a positive integer"),
        ({"codes": 0}, "`codes` to be a positive integer"),
        ({"update": "sgd"}, "`update` to be one of 'ema', 'gradient'"),
        ({"decay": 2}, "`decay`"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResidualVectorQuantizer(**{"stages": 2, "codes": 4, "dimension": 3, **arguments})
