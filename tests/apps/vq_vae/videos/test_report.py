"""Predictions measured against the truth, and drawn."""

import cv2
import numpy as np
import pytest
from PIL import Image

from apps.vq_vae.videos.report import Prediction, PredictionConfig, check, errors_over_time, write_pictures
from tools.errors import InputError


def random_clips(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def test_errors_are_of_each_frame():
    truth = random_clips(3, 4, 16, 16, 1)
    found = truth.copy()
    found[:, 2] = 255 - found[:, 2]
    errors = errors_over_time(truth, found)
    wanted = np.square(1 - 2 * truth[:, 2].astype(float) / 255).mean()
    np.testing.assert_allclose(errors["mse"], [0, 0, wanted, 0], rtol=1e-6, atol=1e-12)
    assert errors["mean_mse"] == pytest.approx(wanted / 4)
    np.testing.assert_allclose([errors["ssim"][number] for number in (0, 1, 3)], 1, rtol=1e-5)
    assert errors["ssim"][2] < 0 and errors["mean_ssim"] == pytest.approx(np.mean(errors["ssim"]))


def test_similarity_is_that_of_the_formula():
    """In a frame as small as the window it is that of the whole frame, weighted by a Gaussian."""
    one, other = random_clips(2, 1, 1, 11, 11, 1) / 255.0
    axis = np.exp(-np.square(np.arange(11) - 5) / (2 * 1.5**2))
    weights = np.outer(axis, axis) / axis.sum() ** 2
    means = [(weights * image[0, 0, ..., 0]).sum() for image in (one, other)]
    first, second = (image[0, 0, ..., 0] for image in (one, other))
    covariance = (weights * first * second).sum() - means[0] * means[1]
    spread = (weights * (first**2 + second**2)).sum() - means[0] ** 2 - means[1] ** 2
    wanted = (2 * means[0] * means[1] + 0.01**2) * (2 * covariance + 0.03**2)
    wanted /= (means[0] ** 2 + means[1] ** 2 + 0.01**2) * (spread + 0.03**2)
    whole = [np.round(image * 255).astype(np.uint8) for image in (one, other)]
    assert errors_over_time(*whole)["ssim"][0] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_show_the_truth_beside_the_prediction(tmp_path, channels):
    truth, predicted = random_clips(2, 3, 5, 16, 16, channels)
    written = write_pictures(Prediction(truth, predicted, {}), tmp_path, 2)
    assert [path.name for path in written] == ["predictions.png", "clip_0000.gif", "clip_0001.gif"]
    picture = cv2.imread(str(written[0]))
    assert picture.shape == (2 * (2 * 66 + 2), 5 * 66 + 2, 3)
    with Image.open(written[1]) as gif:
        assert gif.n_frames == 5 and gif.info["loop"] == 0
        gif.seek(3)
        frame = np.asarray(gif.convert("RGB")).astype(int)
    for index, clip in enumerate((truth, predicted)):
        left = 2 + index * 66
        shown = frame[2:66, left : left + 64][::4, ::4]
        wanted = np.broadcast_to(clip[0, 3], (16, 16, 3)).astype(int)
        assert np.abs(shown - wanted).mean() < (0.5 if channels == 1 else 25)


def test_nothing_is_drawn_where_nothing_can_be_shown(tmp_path):
    clips = random_clips(2, 3, 8, 8, 2)
    assert write_pictures(Prediction(clips, clips, {}), tmp_path, 2) == []
    assert write_pictures(Prediction(clips[..., :1], clips[..., :1], {}), tmp_path, 0) == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "value"),
    [("context", 0), ("frames", 0), ("clips", 0), ("top_k", 0), ("temperature", -1), ("top_p", 0), ("seed", -1)],
)
def test_refuses_what_is_out_of_range(name, value):
    with pytest.raises(InputError, match=rf"Expected {name} .*Received {value}\."):
        check(PredictionConfig(**{name: value}))
