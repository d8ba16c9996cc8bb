"""The protocol against its definition, on a model whose answers are known."""

import dataclasses

import cv2
import keras
import numpy as np
import pytest

from apps.action_recognition.data import ClipSpec, VideoList, load_videos, read_views
from apps.action_recognition.evaluation import evaluate, view_probabilities
from tools.errors import InputError

SPEC = ClipSpec(frames=4, size=(16, 16), frame_rate=None)


@pytest.fixture(scope="module")
def model():
    """Answers by the colours of the clip alone."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4, 16, 16, 3), name="clip")
    x = keras.layers.GlobalAveragePooling3D()(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax", kernel_initializer="normal")(x))


@pytest.fixture(scope="module")
def videos(motion_videos):
    return load_videos(motion_videos).subset([0, 4, 8, 1, 5])


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_every_view_is_answered_in_order_whatever_the_batch(model, videos, batch):
    received = view_probabilities(model, videos, SPEC, clips=2, crops=3, batch=batch)
    expected = np.stack([model.predict(read_views(path, SPEC, 2, 3), verbose=0) for path in videos.paths])
    np.testing.assert_allclose(received, expected, atol=1e-6)


def test_a_video_is_the_mean_of_its_views(model, videos):
    result = evaluate(model, videos, SPEC, clips=2, crops=3, bootstrap=50)
    views = np.stack([model.predict(read_views(path, SPEC, 2, 3), verbose=0) for path in videos.paths])
    np.testing.assert_allclose(result.probabilities, views.mean(axis=1), atol=1e-6)
    assert result.video["top1"] == pytest.approx(np.mean(views.mean(1).argmax(1) == videos.labels))
    assert result.view["top1"] == pytest.approx(np.mean(views.argmax(2) == np.array(videos.labels)[:, None]))
    assert result.confusion.sum() == 5 and np.trace(result.confusion) == pytest.approx(5 * result.video["top1"])


def test_mistakes_are_the_wrong_answers_most_confident_first(model, videos):
    result = evaluate(model, videos, SPEC, clips=1, crops=1, bootstrap=0)
    wrong = {
        path
        for path, label, p in zip(videos.paths, videos.labels, result.probabilities, strict=True)
        if p.argmax() != label
    }
    assert {mistake["path"] for mistake in result.mistakes} == wrong and wrong
    confidence = [mistake["probability"] for mistake in result.mistakes]
    assert confidence == sorted(confidence, reverse=True)
    assert all(mistake["true"] != mistake["predicted"] for mistake in result.mistakes)


def test_the_classes_must_be_those_of_the_model(model, videos):
    with pytest.raises(InputError, match=r"3 classes\. Received 2"):
        evaluate(model, dataclasses.replace(videos, classes=("a", "b")), SPEC)


def test_a_video_that_breaks_in_the_middle_is_named(model, videos, tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video")
    broken = VideoList((*videos.paths, str(path)), (*videos.labels, 0), videos.classes)
    with pytest.raises(InputError, match=r"broken\.mp4"):
        evaluate(model, broken, SPEC, clips=1, crops=1)


def test_the_order_of_the_views_does_not_matter_to_a_video(model, tmp_path):
    """A still video gives the same answer with one view as with thirty."""
    path = tmp_path / "still.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 32))
    for _ in range(8):
        writer.write(np.full((32, 32, 3), (10, 200, 90), np.uint8))
    writer.release()
    still = VideoList((str(path),), (0,), ("a", "b", "c"))
    one, many = (evaluate(model, still, SPEC, clips=n, crops=c, bootstrap=0) for n, c in ((1, 1), (10, 3)))
    np.testing.assert_allclose(one.probabilities, many.probabilities, atol=1e-6)
