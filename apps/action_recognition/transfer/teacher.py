"""The teacher: a frozen network of images, and what it sees in every video, computed once."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import os
import pathlib
import zipfile

import keras
import numpy as np

from apps.action_recognition import published_weights
from apps.action_recognition.data import ClipSpec, VideoList
from apps.action_recognition.data.clips import moment_frames
from apps.action_recognition.data.pipeline import workers
from apps.action_recognition.data.presets import Preset
from apps.action_recognition.data.presets import preset as find_preset
from tools.commands import progress
from tools.errors import InputError
from tools.files import read_arrays, replacing

# Videos whose features are one file: what a kill can cost.
BLOCK = 32
# Frames that go through the teacher together.
BATCH = 32


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A frozen network of images.

    Attributes:
        model: from normalised frames float32 (batch, height, width, 3) to features (batch, D).
        size: (height, width) of the frames it is shown.
        rules: its normalisation; None for one that takes RGB of 0 to 255.
        digest: sha256 of its file.
    """

    model: keras.Model
    size: tuple[int, int]
    rules: Preset | None
    digest: str

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Features float32 (N, D) of uint8 frames (N, height, width, 3); normalisations use their moving statistics."""
        # A last batch of another size would be another graph, for a second of tracing.
        padded = np.concatenate([frames, np.zeros((-len(frames) % BATCH, *frames.shape[1:]), frames.dtype)])
        answers = []
        for start in range(0, len(padded), BATCH):
            batch = padded[start : start + BATCH]
            batch = batch.astype(np.float32) if self.rules is None else self.rules.normalise(batch)
            answers.append(np.asarray(self.model.predict_on_batch(batch), np.float32))
        return np.concatenate(answers)[: len(frames)]


def load_teacher(
    source: str | os.PathLike, *, layer: str | None = None, preset: str | None = None, side: int = 112
) -> Teacher:
    """Reads a network of images.

    Args:
        source: a `.keras` file of a model with one input (batch, height, width, 3), or the name of published weights
            of such a network that have been fetched, as "vgg16_imagenet".
        layer: whose output are the features; None for that of the model. A map is averaged over its positions.
        preset: key in `PRESETS`, whose normalisation and channel order the network expects; None for RGB of 0 to 255.
        side: of the square frames in pixels, where the network takes any size.

    Raises:
        InputError: if the file cannot be read or needs code of its own, or is no such network.
    """
    path = pathlib.Path(published_weights.resolve(source))
    rules = None if preset is None else find_preset(preset)
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        known = [name for name, entry in published_weights.PUBLISHED.items() if entry.model is None]
        found = "another file" if path.is_file() else "no such file"
        raise InputError(
            f"Expected the teacher to be {' or '.join(known)} or a whole .keras file. Received {source}: {found}."
        )
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise InputError(f"Expected {path} to be a model of Keras' own layers. Received: {error}") from error
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[-1] != 3:
        raise InputError(f"Expected the teacher {path} to take frames (batch, height, width, 3). Received {shape}.")
    if (shape[1] is None or shape[2] is None) and side < 1:
        raise InputError(f"Expected the side of the teacher's frames to be at least 1. Received {side}.")
    size = (shape[1] or side, shape[2] or side)
    features = _features(model, layer, path)
    try:
        features.compute_output_shape((1, *size, 3))
    except ValueError as error:
        raise InputError(f"Expected frames that the teacher {path} can take. Received {size}: too small.") from error
    return Teacher(features, size, rules, hashlib.sha256(path.read_bytes()).hexdigest())


def _features(model: keras.Model, layer: str | None, path: pathlib.Path) -> keras.Model:
    # Not `model.output`, which a Sequential model that was read from a file lacks.
    outputs = list(model.outputs)
    if layer is not None:
        names = [item.name for item in model.layers]
        if layer not in names:
            raise InputError(f"Expected a layer of the teacher {path}, as {', '.join(names[-3:])}. Received {layer!r}.")
        outputs = [model.get_layer(layer).output]
    if len(outputs) != 1 or getattr(outputs[0], "shape", None) is None or len(outputs[0].shape) not in (2, 4):
        raise InputError(f"Expected the teacher {path} to answer with one vector or map. Received {outputs}.")
    features = outputs[0]
    if len(features.shape) == 4:
        features = keras.layers.GlobalAveragePooling2D(data_format="channels_last")(features)
    teacher = keras.Model(model.inputs[0], features, name="teacher")
    teacher.trainable = False
    return teacher


def teacher_features(
    teacher: Teacher, videos: VideoList, spec: ClipSpec, moments: int, frames: int, folder: pathlib.Path
) -> np.ndarray:
    """What the teacher sees in every video, at moments spread evenly over it: the mean over the frames of a clip.

    The features are kept in the folder, a file for every few videos; those that are there are not computed again.

    Args:
        teacher: the network.
        videos: to look at.
        spec: what a clip is.
        moments: of a video; moment m begins at the share (m + 0.5) / moments of the possible starts.
        frames: of a clip that the teacher looks at, spread evenly.
        folder: of the files, of these videos and this teacher only.

    Returns:
        float32 (videos, moments, D); not a number for a video that cannot be decoded.

    Raises:
        InputError: if a file of the folder is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    blocks = [range(start, min(start + BLOCK, len(videos))) for start in range(0, len(videos), BLOCK)]
    found = []
    with concurrent.futures.ThreadPoolExecutor(workers()) as pool:
        for number, block in enumerate(progress(blocks, len(blocks), f"teacher, blocks of {BLOCK} videos")):
            path = folder / f"{number:05d}.npz"
            if path.exists():
                found.append(read_arrays(path)["features"])
                continue
            clips = list(pool.map(lambda index: _clips(videos.paths[index], teacher, spec, moments, frames), block))
            features = _of_block(teacher, clips, moments, frames)
            with replacing(path) as partial:
                np.savez(partial, features=features)
            found.append(features)
    return np.concatenate(found)


def moment_share(moment: int, moments: int) -> float:
    """Where among the possible starts of a video a moment lies: from 0 to 1, both excluded."""
    return (moment + 0.5) / moments


def _clips(path: str, teacher: Teacher, spec: ClipSpec, moments: int, frames: int) -> np.ndarray | None:
    """uint8 (moments * frames, height, width, 3), or None where the video cannot be decoded."""
    try:
        return np.concatenate(
            [
                moment_frames(path, spec, moment_share(moment, moments), teacher.size, frames)
                for moment in range(moments)
            ]
        )
    except InputError:
        return None


def _of_block(teacher: Teacher, clips: list[np.ndarray | None], moments: int, frames: int) -> np.ndarray:
    width = teacher.model.output_shape[-1]
    features = np.full((len(clips), moments, width), np.nan, np.float32)
    readable = [index for index, clip in enumerate(clips) if clip is not None]
    if readable:
        answers = teacher(np.concatenate([clips[index] for index in readable]))
        features[readable] = answers.reshape(len(readable), moments, frames, width).mean(axis=2)
    return features
