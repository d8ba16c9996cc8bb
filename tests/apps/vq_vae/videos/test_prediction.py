"""Frames after frames: each is the prior's of the frames and the action before it."""

import keras
import numpy as np
import pytest

from apps.vq_vae import models
from apps.vq_vae.videos.prediction import predict_frames
from tools.errors import InputError
from tools.sampling import Sampler

SMALL = {
    "filters": 6,
    "layers": 2,
    "past": 3,
    "past_layers": 1,
    "hidden": 6,
    "codes": 5,
    "input_shape": (3, 4),
}


@pytest.fixture(scope="module", params=[0, 3])
def sampler(request):
    keras.utils.set_random_seed(0)
    model = models.create("video_prior", **SMALL, classes=request.param)
    # Weights as large as those of a trained model: the logits of fresh ones hardly differ.
    rng = np.random.default_rng(1)
    model.set_weights([weight + 0.3 * rng.standard_normal(weight.shape) for weight in model.get_weights()])
    return Sampler(model)


def actions_of(sampler, frames: int) -> np.ndarray | None:
    return np.arange(2 * frames).reshape(2, frames) % 3 if "action" in sampler.stepped.conditions else None


@pytest.mark.parametrize("context_frames", [2, 5])
def test_each_frame_follows_from_those_before_it(sampler, context_frames):
    context = np.random.default_rng(0).integers(0, 5, (2, context_frames, 3, 4))
    actions = actions_of(sampler, 4)
    found = predict_frames(sampler, context, 4, [7, 8], actions=actions)
    assert found.shape == (2, 4, 3, 4) and found.dtype == np.int32
    video = np.concatenate([np.full((2, 3, 3, 4), 5), context, found], axis=1).astype(np.int32)
    for number in range(4):
        end = 3 + context_frames + number
        conditions = {"past": video[:, end - 3 : end]}
        if actions is not None:
            conditions["action"] = actions[:, number].astype(np.int32)
        np.testing.assert_array_equal(sampler([7, 8], stream=number, **conditions), found[:, number])


@pytest.mark.parametrize("sampler", [3], indirect=True)
def test_actions_matter(sampler):
    actions = actions_of(sampler, 4)
    context = np.zeros((2, 3, 3, 4), int)
    first = predict_frames(sampler, context, 4, [7, 8], actions=actions)
    assert np.any(first != predict_frames(sampler, context, 4, [7, 8], actions=(actions + 1) % 3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"context": np.zeros((2, 3, 4), int)}, r"`context` of shape \(batch, frames, 3, 4\). Received \(2, 3, 4\)"),
        ({"context": np.full((2, 1, 3, 4), 5)}, "`context` of a code book of 5, 0 to 4. Received 5"),
        ({"actions": np.zeros((2, 9), int)}, "`actions` .*Received shape"),
    ],
)
def test_refuses_bad_input(sampler, changes, message):
    arguments = {"context": np.zeros((2, 3, 3, 4), int), "actions": actions_of(sampler, 2), **changes}
    with pytest.raises(InputError, match=message):
        predict_frames(sampler, arguments.pop("context"), 2, [1, 2], **arguments)


def test_refuses_a_prior_of_images():
    image = Sampler(models.create("pixelcnn_tiny"))
    with pytest.raises(InputError, match=r"a prior of videos, with an input 'past'\. Received 'pixelcnn_tiny'"):
        predict_frames(image, np.zeros((1, 1, 8, 8), int), 2, [1])
