"""Presets, clip specification, preprocessing and augmentation."""

import dataclasses
import json

import numpy as np
import pytest

from apps.action_recognition.data import PRESETS, Augmentation, ClipSpec, preprocess
from apps.action_recognition.data.augmentation import Draw, crop_frame, draw, finish, resize
from tools.errors import InputError

# What each source's own code does to a grey pixel of level 51 = 255 / 5: ((level -> range) - mean) / deviation, channel
# by channel in the order given; written out from the sources' tables and not from PRESETS.
NORMALISED_51 = {
    "torchvision": [(0.2 - 0.43216) / 0.22803, (0.2 - 0.394666) / 0.22145, (0.2 - 0.37645) / 0.216989],
    "torchvision_s3d": [(0.2 - 0.43216) / 0.22803, (0.2 - 0.394666) / 0.22145, (0.2 - 0.37645) / 0.216989],
    "pyslowfast": [(0.2 - 0.45) / 0.225] * 3,
    "pyslowfast_256": [(0.2 - 0.45) / 0.225] * 3,
    "mmaction2": [(51 - 123.675) / 58.395, (51 - 116.28) / 57.12, (51 - 103.53) / 57.375],
    "mmaction2_x3d": [(51 - 114.75) / 57.38] * 3,
    "mmaction2_c3d": [51 - 104.0, 51 - 117.0, 51 - 128.0],
    "caffe_tsn": [51 - 104.0, 51 - 117.0, 51 - 123.0],
    "hidden_two_stream": [(51 - 104.0) / 255, (51 - 117.0) / 255, (51 - 123.0) / 255],
    "deepmind_i3d": [-0.6] * 3,
    "deepmind_i3d_square": [-0.6] * 3,
    "kylemin_s3d": [(2 * 51 - 255) / 255] * 3,
    "howto100m_s3d": [0.2] * 3,
    "two_stream": [(0.2 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (0.2 - 0.406) / 0.225],
    "two_stream_flow": [(0.2 - 0.5) / 0.226] * 3,
}


def test_every_preset_normalises_as_its_source_does():
    assert set(NORMALISED_51) == set(PRESETS)
    for name, expected in NORMALISED_51.items():
        frames = np.full((1, 300, 400, 3), 51, np.uint8)
        clip = preprocess(frames, ClipSpec(frames=1, size=(224, 224), preset=name))
        assert clip.dtype == np.float32 and clip.shape == (1, 224, 224, 3)
        np.testing.assert_allclose(clip[0, 0, 0], expected, rtol=1e-5, atol=1e-6, err_msg=name)


def test_channel_order():
    red = np.zeros((1, 60, 80, 3), np.uint8)
    red[..., 0] = 200
    rgb = preprocess(red, ClipSpec(frames=1, size=(32, 32), preset="howto100m_s3d"))
    np.testing.assert_allclose(rgb[0, 0, 0], [200 / 255, 0, 0], atol=1e-6)
    bgr = preprocess(red, ClipSpec(frames=1, size=(32, 32), preset="caffe_tsn"))
    np.testing.assert_allclose(bgr[0, 0, 0], [-104, -117, 200 - 123], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "frame", "size", "expected"),
    [
        ("torchvision", (240, 320), (112, 112), (128, 171)),
        ("torchvision", (240, 320), (56, 56), (64, 86)),
        ("torchvision", (1080, 1920), (112, 112), (128, 171)),
        ("torchvision", (240, 320), (224, 112), (256, 171)),
        ("pyslowfast", (240, 320), (224, 224), (256, 341)),
        ("pyslowfast", (320, 240), (224, 224), (341, 256)),
        ("pyslowfast_256", (320, 240), (256, 256), (341, 256)),
        ("pyslowfast", (240, 320), (112, 112), (128, 170)),
        ("deepmind_i3d", (128, 228), (112, 112), (128, 228)),
        ("deepmind_i3d_square", (128, 228), (112, 112), (128, 128)),
        ("pyslowfast", (100, 100), (7, 7), (8, 8)),
        ("two_stream", (480, 640), (224, 224), (256, 340)),
    ],
)
def test_resize_rule_is_scaled_with_the_size(name, frame, size, expected):
    assert PRESETS[name].resized(*frame, size) == expected


def interpolate(frame, height, width, steps=None):
    """Bilinear interpolation with half-pixel centres; `steps` rounds the weights to multiples of 1 / steps."""
    for axis, length in ((0, height), (1, width)):
        side = frame.shape[axis]
        place = np.clip((np.arange(length) + 0.5) * side / length - 0.5, 0, side - 1)
        low = np.floor(place).astype(int)
        weight = place - low if steps is None else np.rint((place - low) * steps) / steps
        weight = weight.reshape([-1 if part == axis else 1 for part in range(3)])
        high = np.minimum(low + 1, side - 1)
        frame = frame.take(low, axis) * (1 - weight) + frame.take(high, axis) * weight
    return frame


@pytest.mark.parametrize(("height", "width"), [(16, 20), (80, 90), (37, 26), (64, 86)])
def test_resize_is_bilinear_with_half_pixel_centres_and_no_antialiasing(height, width):
    frame = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    resized = resize(frame, height, width)
    np.testing.assert_array_equal(resized, np.floor(interpolate(frame, height, width, steps=256) + 0.5))
    error = resized - np.rint(interpolate(frame, height, width))
    assert np.abs(error).max() <= 1 and abs(error.mean()) < 0.02


def test_centre_crop_is_the_middle_of_the_resized_frame():
    frame = np.random.default_rng(1).integers(0, 256, (128, 171, 3), dtype=np.uint8)
    spec = ClipSpec(frames=1, preset="howto100m_s3d", size=(112, 112))
    rules = dataclasses.replace(PRESETS["torchvision"])
    np.testing.assert_array_equal(crop_frame(frame, rules, spec.size, Draw()), frame[8:120, 30:142])


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((4, 20, 20, 3), np.float32), "uint8.*float32"),
        (np.zeros((20, 20, 3), np.uint8), r"\(4, height, width, 3\).*\(20, 20, 3\)"),
        (np.zeros((5, 20, 20, 3), np.uint8), r"\(5, 20, 20, 3\)"),
        (np.zeros((4, 20, 20, 1), np.uint8), r"\(4, 20, 20, 1\)"),
        (np.zeros((4, 0, 20, 3), np.uint8), r"\(4, 0, 20, 3\)"),
    ],
)
def test_preprocess_refuses_other_dtypes_and_shapes(frames, message):
    with pytest.raises(InputError, match=message):
        preprocess(frames, ClipSpec(frames=4, size=(16, 16)))


def test_clip_spec_goes_through_json():
    spec = ClipSpec(frames=8, size=(56, 64), frame_rate=None, preset="deepmind_i3d")
    assert ClipSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert hash(spec) == hash(ClipSpec(8, [56, 64], None, "deepmind_i3d"))
    assert spec.shape == (8, 56, 64, 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"frames": 0}, "frames"),
        ({"frames": 2.5}, "frames"),
        ({"size": (112,)}, "size"),
        ({"size": 112}, "size"),
        ({"size": (0, 112)}, "size"),
        ({"frame_rate": 0}, "frame_rate"),
        ({"frame_rate": float("nan")}, "frame_rate"),
        ({"preset": "torch"}, "torchvision.*'torch'"),
        ({"stride": 2}, "stride"),
    ],
)
def test_clip_spec_refuses_what_is_out_of_range(values, message):
    with pytest.raises(InputError, match=message):
        ClipSpec.from_dict(values)


@pytest.mark.parametrize(
    "values",
    [{"scale": (1.2, 1.0)}, {"scale": (0, 1)}, {"scale": 1.0}, {"horizontal_flip": 1.5}, {"contrast": -0.1}],
)
def test_augmentation_refuses_what_is_out_of_range(values):
    with pytest.raises(InputError, match=next(iter(values))):
        Augmentation(**values)


def test_augmentation_goes_through_json():
    augmentation = Augmentation(scale=(0.9, 1.1), horizontal_flip=0.5, saturation=0.2)
    assert Augmentation.from_dict(json.loads(json.dumps(augmentation.to_dict()))) == augmentation


def test_draws_stay_in_their_ranges_and_settings_do_not_move_each_other():
    full = Augmentation((0.9, 1.3), True, 0.5, 0.4, 0.3, 0.2)
    draws = [draw(full, np.random.default_rng(seed)) for seed in range(400)]
    for name, low, high in (
        ("scale", 0.9, 1.3),
        ("brightness", 0.6, 1.4),
        ("contrast", 0.7, 1.3),
        ("saturation", 0.8, 1.2),
    ):
        values = [getattr(one, name) for one in draws]
        assert low <= min(values) < low + 0.05 and high - 0.05 < max(values) <= high
    assert 150 < sum(one.flip for one in draws) < 250
    without = draw(dataclasses.replace(full, horizontal_flip=0.0), np.random.default_rng(7))
    assert dataclasses.replace(without, flip=draws[7].flip) == draws[7]


def test_random_crops_reach_both_ends():
    frame = np.arange(40 * 60).reshape(40, 60, 1).astype(np.uint16).repeat(3, 2)
    rules = dataclasses.replace(PRESETS["torchvision"], resize=(40, 60), crop=32)
    low = crop_frame(frame, rules, (32, 32), Draw(crop=(0.0, 0.0)))
    high = crop_frame(frame, rules, (32, 32), Draw(crop=(0.9999, 0.9999)))
    np.testing.assert_array_equal(low, frame[:32, :32])
    np.testing.assert_array_equal(high, frame[8:, 28:])


def test_flip_mirrors_and_colour_is_the_same_for_every_frame():
    rules = PRESETS["howto100m_s3d"]
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(finish(frames, rules, Draw(flip=True)), finish(frames[:, :, ::-1], rules, Draw()))
    still = np.repeat(frames[:1], 3, axis=0)
    coloured = finish(still, rules, Draw(brightness=1.2, contrast=0.7, saturation=0.4))
    np.testing.assert_allclose(coloured[0], coloured[2], atol=1e-6)
    np.testing.assert_array_less(0.01, np.abs(coloured - finish(still, rules, Draw())).mean())
    assert coloured.min() >= 0 and coloured.max() <= 1


def test_colour_jitter_follows_its_formulas():
    rules = PRESETS["howto100m_s3d"]
    frames = np.random.default_rng(0).integers(60, 120, (2, 6, 6, 3)).astype(np.uint8)
    luma = frames @ np.array([0.299, 0.587, 0.114])
    grey = finish(frames, rules, Draw(saturation=0.0)) * 255
    np.testing.assert_allclose(grey, np.repeat(luma[..., None], 3, -1), atol=1e-3)
    flat = finish(frames, rules, Draw(contrast=0.0)) * 255
    np.testing.assert_allclose(flat, np.full_like(flat, luma.mean()), atol=1e-3)
    np.testing.assert_allclose(finish(frames, rules, Draw(brightness=1.5)) * 255, frames * 1.5, atol=1e-3)
    assert finish(np.full((1, 4, 4, 3), 200, np.uint8), rules, Draw(brightness=1.5)).max() == 1.0
