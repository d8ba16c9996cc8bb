"""A teacher, unlabelled videos, and a finished transfer from the one to a student of the other."""

import keras
import numpy as np
import pytest

from apps.action_recognition.data.unlabelled import load_unlabelled
from apps.action_recognition.transfer import TransferConfig, transfer

STUDENT = {"input_shape": (8, 16, 16, 3), "widths": (4, 4, 8, 8)}


@pytest.fixture(scope="module")
def teacher_file(tmp_path_factory):
    """A network of images with a batch normalisation, whose moving statistics are not those of any batch."""
    keras.utils.set_random_seed(0)
    frame = keras.Input((16, 16, 3), name="frame")
    x = keras.layers.Rescaling(1 / 255)(frame)
    x = keras.layers.Conv2D(6, 3, strides=2, name="convolution")(x)
    x = keras.layers.BatchNormalization(name="normalization")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(frame, keras.layers.Dense(5, activation="softmax", name="classes")(x))
    model.get_layer("normalization").moving_mean.assign(np.linspace(-1, 1, 6))
    path = tmp_path_factory.mktemp("teacher") / "teacher.keras"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def videos(motion_videos):
    return load_unlabelled(motion_videos)


@pytest.fixture(scope="module")
def config(motion_videos, teacher_file):
    return TransferConfig(
        data=str(motion_videos),
        teacher=str(teacher_file),
        validation_fraction=0.34,
        model="r2plus1d_tiny",
        overrides=STUDENT,
        frame_rate=8.0,
        teacher_layer="pool",
        teacher_frames=3,
        moments=2,
        dropout=0.5,
        epochs=3,
        batch_size=3,
        seed=7,
    )


@pytest.fixture(scope="module")
def taught(config, tmp_path_factory):
    """A finished run; tests only read it."""
    folder = tmp_path_factory.mktemp("runs") / "taught"
    transfer(config, folder)
    return folder
