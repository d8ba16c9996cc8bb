"""The teacher of a transfer: frozen, shown the frames of the clip, computed once, refused where it is none."""

import keras
import numpy as np
import pytest

from apps.action_recognition.data import ClipSpec, VideoList
from apps.action_recognition.data.clips import moment_frames, random_clip
from apps.action_recognition.transfer import load_teacher, teacher_features
from apps.action_recognition.transfer import training as training_module
from apps.action_recognition.transfer.pairs import PLAIN
from tools.errors import InputError

SPEC = ClipSpec(frames=8, size=(16, 16), frame_rate=8.0)


def test_the_teacher_is_frozen_and_in_inference_mode(teacher_file):
    teacher = load_teacher(teacher_file, layer="normalization")
    assert not teacher.model.trainable_variables
    frames = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)
    whole = keras.saving.load_model(teacher_file)
    x = whole.get_layer("convolution")(frames.astype(np.float32) / 255)
    normalization = whole.get_layer("normalization")
    expected = np.asarray(normalization(x, training=False)).mean(axis=(1, 2))
    np.testing.assert_allclose(teacher(frames), expected, rtol=1e-4, atol=1e-5)
    assert np.abs(np.asarray(normalization(x, training=True)).mean(axis=(1, 2)) - expected).max() > 0.1
    np.testing.assert_allclose(teacher.model.get_layer("normalization").moving_mean, np.linspace(-1, 1, 6))


def test_the_teacher_gets_the_normalisation_it_asks_for(teacher_file):
    plain, other = load_teacher(teacher_file), load_teacher(teacher_file, preset="caffe_tsn")
    frames = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    bgr = frames[..., ::-1].astype(np.float32) - np.float32([104, 117, 123])
    np.testing.assert_allclose(other(frames), np.asarray(plain.model(bgr)), rtol=1e-4)


def test_features_are_means_over_the_frames_of_a_clip_and_kept(teacher_file, videos, tmp_path, monkeypatch):
    teacher, few = load_teacher(teacher_file), videos.subset([0, 5, 9])
    features = teacher_features(teacher, few, SPEC, 2, 3, tmp_path / "seen")
    assert features.shape == (3, 2, 5)
    frames = moment_frames(few.paths[1], SPEC, 0.75, (16, 16), 3)
    np.testing.assert_allclose(features[1, 1], teacher(frames).mean(axis=0), rtol=1e-5)
    monkeypatch.setattr(type(teacher), "__call__", lambda self, frames: pytest.fail("computed again"))
    np.testing.assert_array_equal(teacher_features(teacher, few, SPEC, 2, 3, tmp_path / "seen"), features)


def test_the_teacher_sees_the_frames_of_the_clip(videos):
    """At the student's size and with as many frames, what the teacher sees is the clip itself."""
    path = videos.paths[3]
    for moment in (0.25, 0.75):
        frames = moment_frames(path, SPEC, moment, SPEC.size, SPEC.frames)
        clip = random_clip(path, SPEC, PLAIN, np.random.default_rng(0), moment)
        np.testing.assert_array_equal(SPEC.rules.normalise(frames), clip)
    some = moment_frames(path, SPEC, 0.75, SPEC.size, 2)
    np.testing.assert_array_equal(some, frames[[2, 6]])


def test_an_unreadable_video_is_named_and_left_out(teacher_file, videos, tmp_path, config, capsys):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    mixed = VideoList((videos.paths[0], str(broken), videos.paths[1]), (0, 0, 0), ("video",))
    features, kept, unseen = training_module._seen(load_teacher(teacher_file), mixed, SPEC, config, tmp_path / "seen")
    assert features.shape == (2, 2, 5) and kept.paths == (videos.paths[0], videos.paths[1])
    assert unseen[0][0] == str(broken) and f"skipped: {broken}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "conv9"}, r"Expected a layer of the teacher .*pool, classes. Received 'conv9'"),
        ({"preset": "imagenet"}, r"Expected the preset to be one of torchvision"),
    ],
)
def test_refused_choices(teacher_file, arguments, message):
    with pytest.raises(InputError, match=message):
        load_teacher(teacher_file, **arguments)


def test_refused_teachers(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="fetch it by `kapps action-recognition weights get vgg16_imagenet`"):
        load_teacher("vgg16_imagenet")
    for name, found in (("nowhere.keras", "no such file"), ("text.keras", "another file")):
        (tmp_path / "text.keras").write_text("text")
        with pytest.raises(InputError, match=rf"vgg16_imagenet or a whole .keras file. Received .*{name}: {found}"):
            load_teacher(tmp_path / name)
    clips = keras.Sequential([keras.Input((8, 16, 16, 3)), keras.layers.GlobalAveragePooling3D()])
    clips.save(tmp_path / "clips.keras")
    with pytest.raises(InputError, match=r"to take frames \(batch, height, width, 3\). Received \(None, 8, 16"):
        load_teacher(tmp_path / "clips.keras")
    pooled = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 9)])
    pooled.save(tmp_path / "pooled.keras")
    assert load_teacher(tmp_path / "pooled.keras", side=9).size == (9, 9)
    with pytest.raises(InputError, match=r"pooled.keras can take. Received \(8, 8\): too small"):
        load_teacher(tmp_path / "pooled.keras", side=8)
    unsafe = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Lambda(lambda x: x)])
    unsafe.save(tmp_path / "unsafe.keras")
    with pytest.raises(InputError, match=r"unsafe.keras to be a model of Keras' own layers"):
        load_teacher(tmp_path / "unsafe.keras")
