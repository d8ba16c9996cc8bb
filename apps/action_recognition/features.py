"""What a network makes of videos: the vectors of one of its layers, for other methods to work on."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from apps.action_recognition import checkpoints, models
from apps.action_recognition.data import ClipSpec, VideoList, read_views, video_shape
from apps.action_recognition.data.pipeline import workers
from apps.action_recognition.published_weights import PUBLISHED
from tools.commands import progress
from tools.errors import InputError
from tools.files import read_arrays, replacing

LAYER = "global_pool"
# Seconds between two savings of what is done.
SAVING_INTERVAL = 60.0


def load_network(
    model: str, weights: str | os.PathLike, overrides: Mapping[str, Any] | None = None, **clip: Any
) -> tuple[keras.Model, ClipSpec]:
    """A registered model with weights, and the clip it takes.

    The classifier is there only with published weights; a checkpoint may have any classes.

    Args:
        model: registered name.
        weights: name of published weights, or the path of a checkpoint.
        overrides: arguments of the constructor, such as `input_shape`.
        **clip: `frame_rate` and `preset` of `models.clip_spec`, if not those of the model.

    Raises:
        InputError: if there is no such model, the weights do not fit it, or it does not take RGB clips of fixed size.
    """
    entry = PUBLISHED.get(os.fspath(weights))
    head = {"classes": len(entry.classes())} if entry is not None and entry.model else {"include_top": False}
    network = models.create(model, **{**(overrides or {}), **head})
    size = video_shape(model, network.input_shape[1:])
    checkpoints.load(network, weights, classifier="classes" in head)
    return network, models.clip_spec(model, size, **clip)


@dataclasses.dataclass(frozen=True)
class Features:
    """Features of videos.

    Attributes:
        features: float32 (videos, D), the mean over the views; or (videos, views, D), the crops of one clip following
            each other.
        paths: of the videos.
        labels: int32 (videos,), index into `classes`, -1 where it is not known.
        classes: names of the classes, none where the videos have no labels.
        skipped: (path, reason) of each video that could not be read.
    """

    features: np.ndarray
    paths: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]

    def save(self, path: str | os.PathLike) -> None:
        """Writes the fields into an .npz file, whole or not at all; skipped videos as "skipped" and "reasons".

        `numpy.load(path, allow_pickle=False)` reads it.
        """
        with replacing(pathlib.Path(path)) as partial:
            np.savez(partial, **self._arrays())

    def _arrays(self) -> dict[str, np.ndarray]:
        return {
            "features": self.features,
            "paths": np.array(self.paths, np.str_),
            "labels": self.labels,
            "classes": np.array(self.classes, np.str_),
            "skipped": np.array([path for path, _ in self.skipped], np.str_),
            "reasons": np.array([reason for _, reason in self.skipped], np.str_),
        }


def feature_model(model: keras.Model, layer: str = LAYER) -> keras.Model:
    """The model up to a layer, whose output is averaged over time and space where it has them.

    Args:
        model: with the input "clip".
        layer: name of a layer with an output (batch, ..., D).

    Returns:
        A model from clips to float32 (batch, D).

    Raises:
        InputError: if there is no such layer, or it has no such output.
    """
    names = [one.name for one in model.layers]
    if layer not in names:
        raise InputError(f"Expected a layer of {model.name!r}: {', '.join(names)}. Received {layer!r}.")
    output = model.get_layer(layer).output
    if not isinstance(output, keras.KerasTensor) or len(output.shape) not in (2, 5):
        raise InputError(f"Expected a layer with vectors or with maps of time and space. Received {layer!r}.")
    if len(output.shape) == 5:
        output = keras.layers.GlobalAveragePooling3D(data_format="channels_last", dtype="float32")(output)
    return keras.Model(model.inputs, keras.layers.Activation("linear", dtype="float32")(output))


def extract(
    model: keras.Model,
    videos: VideoList,
    spec: ClipSpec,
    *,
    layer: str = LAYER,
    clips: int = 10,
    crops: int = 1,
    average: bool = True,
    batch: int = 8,
    unfinished: str | os.PathLike | None = None,
    resume: bool = False,
) -> Features:
    """Features of videos; a video that cannot be read is named on standard error and left out.

    Args:
        model: with the input "clip", float32 (batch, *spec.shape).
        videos: to read; label -1 stands for a class that is not known.
        spec: the clip that the model takes.
        layer: see `feature_model`.
        clips: clips of a video, spread evenly, at least 1.
        crops: crops of a clip, along the longer side, at least 1.
        average: whether to take the mean over the views, or keep each.
        batch: views that go through the model together, at least 1.
        unfinished: file to keep what is done, once a minute and when interrupted; None keeps nothing. Removed at the
            end.
        resume: go on with what `unfinished` holds, if it is there.

    Raises:
        InputError: if a number is out of range, the layer is none, `unfinished` is of other videos or settings, or no
            video can be read.
    """
    for name, value in {"clips": clips, "crops": crops, "batch": batch}.items():
        if value < 1:
            raise InputError(f"Expected {name} to be at least 1. Received {value}.")
    compute = _Compute(feature_model(model, layer), batch)
    settings = {"spec": spec.to_dict(), "layer": layer, "clips": clips, "crops": crops, "average": average}
    done = _Done(unfinished, _digest(model, videos, settings), resume)
    rest = videos.paths[len(done.rows) :]
    try:
        for views in progress(_views(rest, spec, clips, crops), len(rest), "features, videos"):
            if isinstance(views, InputError):
                reason = str(views)
                print(f"skipped: {reason}", file=sys.stderr)
                done.add(None, reason)
                continue
            rows = compute(views)
            done.add(rows.mean(axis=0) if average else rows)
    except BaseException:
        done.save()
        raise
    features = _gathered(videos, done)
    done.remove()
    return features


def _gathered(videos: VideoList, done: _Done) -> Features:
    """What was computed of the videos that could be read."""
    kept = [index for index, row in enumerate(done.rows) if row is not None]
    failed = [(path, done.reasons[index]) for index, path in enumerate(videos.paths) if done.rows[index] is None]
    if not kept:
        raise InputError(f"Expected videos that can be read. Received {len(failed)} of which none can: {failed[0][1]}")
    return Features(
        np.stack([done.rows[index] for index in kept]),
        tuple(videos.paths[index] for index in kept),
        np.array([videos.labels[index] for index in kept], np.int32),
        videos.classes,
        (*videos.skipped, *failed),
    )


class _Compute:
    """Views float32 (views, T, H, W, 3) to features (views, D), in batches."""

    def __init__(self, model: keras.Model, batch: int):
        self.batch = batch
        self._forward = tf.function(lambda clip: model(clip, training=False), reduce_retracing=True)

    def __call__(self, views: np.ndarray) -> np.ndarray:
        starts = range(0, len(views), self.batch)
        return np.concatenate([self._forward(tf.constant(views[i : i + self.batch])).numpy() for i in starts])


def _views(paths: tuple[str, ...], spec: ClipSpec, clips: int, crops: int) -> Iterator[np.ndarray | InputError]:
    """The views of each video in order, or why there are none; as many as there are cores are decoded ahead."""

    def read(path: str) -> np.ndarray | InputError:
        try:
            return read_views(path, spec, clips, crops)
        except InputError as error:
            return error

    ahead, remaining = deque(), iter(paths)
    with concurrent.futures.ThreadPoolExecutor(workers()) as pool:
        for path in itertools.islice(remaining, workers() + 1):
            ahead.append(pool.submit(read, path))
        while ahead:
            views = ahead.popleft().result()
            ahead.extend(pool.submit(read, path) for path in itertools.islice(remaining, 1))
            yield views


class _Done:
    """What is done of an extraction, video by video: a row of features, or why there is none."""

    def __init__(self, path: str | os.PathLike | None, digest: str, resume: bool):
        self.path = None if path is None else pathlib.Path(path)
        self.digest = digest
        self.rows: list[np.ndarray | None] = []
        self.reasons: list[str] = []
        self._saved = time.monotonic()
        if resume and self.path is not None and self.path.exists():
            self._load()

    def add(self, row: np.ndarray | None, reason: str = "") -> None:
        self.rows.append(row)
        self.reasons.append(reason)
        if time.monotonic() - self._saved >= SAVING_INTERVAL:
            self.save()

    def save(self) -> None:
        if self.path is None or not self.rows:
            return
        found = [row for row in self.rows if row is not None]
        arrays = {
            "digest": np.array(self.digest),
            "reasons": np.array(self.reasons, np.str_),
            "found": np.array([row is not None for row in self.rows]),
            "rows": np.stack(found) if found else np.zeros(0, np.float32),
        }
        with replacing(self.path) as partial:
            np.savez(partial, **arrays)
        self._saved = time.monotonic()

    def _load(self) -> None:
        arrays = read_arrays(self.path)
        if str(arrays.get("digest")) != self.digest:
            raise InputError(
                f"Expected {self.path} to hold features of the same videos, model and settings. Received others; "
                "without --resume it begins anew."
            )
        rows = iter(arrays["rows"])
        self.rows = [next(rows) if found else None for found in arrays["found"]]
        self.reasons = arrays["reasons"].tolist()
        print(f"{self.path}: going on after {len(self.rows)} videos", file=sys.stderr)

    def remove(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _digest(model: keras.Model, videos: VideoList, settings: dict[str, Any]) -> str:
    """A fingerprint of everything on which the features depend."""
    digest = hashlib.sha256(json.dumps([settings, videos.paths, videos.labels, videos.classes]).encode())
    for weight in model.weights:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).tobytes())
    return digest.hexdigest()
