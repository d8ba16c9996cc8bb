"""The main job from end to end, on clips it makes itself: train, publish, serve, ask, and run on the edge.

`make demo` runs it. Everything it writes lies in one folder (`demo/` unless named otherwise).
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import shutil
import sys
import time
from collections.abc import Callable

import numpy as np

from tools.commands import run_command, seed_number, table
from tools.errors import InputError

MODEL = "r2plus1d_tiny"
NAME = "motion"
MARK = "made-by-kapps-demo.txt"
TRAINING_CLIPS_PER_CLASS = 60
TEST_CLIPS_PER_CLASS = 25
# What a network from scratch needs on a few hundred clips: a larger rate than the paper's, and fewer epochs.
RECIPE = {
    "frame_rate": 8.0,
    "epochs": 12,
    "batch_size": 8,
    "optimizer": "adamw",
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "warm_up_epochs": 1,
}

# One way to run the model: a clip (1, frames, height, width, 3) in, probabilities (1, classes) out.
Way = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Row:
    """What one way to run the model gave on the test clips.

    Attributes:
        way: how the model was run.
        agreement: share of clips with the same top class as Keras, 0 to 1.
        difference: largest absolute difference of a probability from Keras.
        accuracy: share of clips classified correctly, 0 to 1.
        milliseconds: median time of a call with one clip.
        size: bytes of the model on disk.
    """

    way: str
    agreement: float
    difference: float
    accuracy: float
    milliseconds: float
    size: int


def demonstrate(folder: pathlib.Path, seed: int = 0) -> list[Row]:
    """Runs the whole job in `folder` and prints the table; returns its rows.

    Raises:
        InputError: if `folder` holds something that this demonstration did not write.
    """
    started = time.monotonic()
    claim(folder)

    def step(text: str) -> None:
        print(f"[{time.monotonic() - started:4.0f} s] {text}", flush=True)

    from apps.action_recognition import export, runs
    from apps.action_recognition.data import load_videos, motion_clips
    from tools import lite, serving

    step("making motion clips: the class lies in the movement, not in any single frame")
    motion_clips.generate(folder / "clips" / "train", TRAINING_CLIPS_PER_CLASS, seed=seed)
    motion_clips.generate(folder / "clips" / "test", TEST_CLIPS_PER_CLASS, seed=seed + 1)
    step(f"training {MODEL}")
    train(folder, seed)
    run = runs.load_run(folder / "run")
    step("publishing as a SavedModel, through the gate")
    published = export.export(run.model, run.spec, run.classes, base=folder / "savedmodels", name=NAME)
    step("converting for the edge")
    files = {precision: folder / f"{NAME}_{precision}.tflite" for precision in ("float32", "int8")}
    representative = np.load(folder / "run" / "representative.npz")["clip"]
    for precision, path in files.items():
        lite.convert(
            run.model,
            path,
            precision=precision,
            representative=representative,
            tell=lambda line, precision=precision: step(f"  {precision}: {line}"),
        )
    step("serving, and asking in every way")
    clips, labels = read_clips(load_videos(folder / "clips" / "test", classes=run.classes), run.spec)
    with serving.Server(base_path=folder / "savedmodels") as server:
        ways = ways_to_ask(run.model, published.path, server, files)
        rows = measure(ways, clips, labels, step)
    picture = draw(folder / "demo.png", clips, labels, run.classes, ways["Keras"][0], rows)
    step(f"done; the picture is {picture}")
    print()
    print(show(rows))
    return rows


def claim(folder: pathlib.Path) -> None:
    """Makes the folder empty but for a mark; a folder of somebody else's is refused."""
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise InputError(f"Expected an empty folder or one of an earlier demonstration. Received {folder}.")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).write_text("Everything here was written by the demonstration and is replaced by the next one.\n")


def train(folder: pathlib.Path, seed: int) -> None:
    """Trains the small network on the clips of `folder` into the run folder `folder/run`."""
    from apps.action_recognition import training

    training.train(
        training.TrainingConfig(data=str(folder / "clips" / "train"), model=MODEL, seed=seed, **RECIPE),
        folder / "run",
    )


def read_clips(videos: object, spec: object) -> tuple[np.ndarray, np.ndarray]:
    """The central clip of every video (videos, frames, height, width, 3) and the labels (videos,)."""
    from apps.action_recognition.data import read_clip

    return np.stack([read_clip(path, spec) for path in videos.paths]), np.asarray(videos.labels)


def ways_to_ask(model, saved_model: pathlib.Path, server, files: dict[str, pathlib.Path]) -> dict[str, tuple[Way, int]]:
    """Every way to run the model, with the bytes of what is run."""
    import tensorflow as tf

    from tools import lite, serving

    loaded = tf.saved_model.load(saved_model).signatures["serving_default"]
    grpc = serving.Client(f"127.0.0.1:{server.grpc_port}")
    rest = serving.RestClient(f"http://127.0.0.1:{server.rest_port}")
    edge = {precision: lite.Runner(path) for precision, path in files.items()}
    published_size = sum(path.stat().st_size for path in pathlib.Path(saved_model).rglob("*") if path.is_file())
    keras_size = sum(int(np.prod(weight.shape)) * 4 for weight in model.weights)
    return {
        "Keras": (lambda clip: model.predict_on_batch(clip), keras_size),
        "SavedModel": (lambda clip: loaded(clip=tf.constant(clip))["probabilities"].numpy(), published_size),
        "gRPC": (lambda clip: grpc.predict(NAME, {"clip": clip})["probabilities"], published_size),
        "REST": (lambda clip: rest.predict(NAME, {"clip": clip})["probabilities"], published_size),
        **{
            f"LiteRT {precision}": (lambda clip, runner=runner: runner(clip), files[precision].stat().st_size)
            for precision, runner in edge.items()
        },
    }


def measure(
    ways: dict[str, tuple[Way, int]], clips: np.ndarray, labels: np.ndarray, tell: Callable[[str], None]
) -> list[Row]:
    """Asks every way about every clip and compares with the first way, Keras."""
    rows, reference = [], None
    for name, (way, size) in ways.items():
        tell(f"  {name}: {len(clips)} clips")
        way(clips[:1])
        seconds, answers = [], []
        for clip in clips:
            began = time.perf_counter()
            answers.append(way(clip[None])[0])
            seconds.append(time.perf_counter() - began)
        answers = np.stack(answers)
        reference = answers if reference is None else reference
        rows.append(
            Row(
                way=name,
                agreement=float(np.mean(answers.argmax(1) == reference.argmax(1))),
                difference=float(np.abs(answers - reference).max()),
                accuracy=float(np.mean(answers.argmax(1) == labels)),
                milliseconds=float(np.median(seconds) * 1e3),
                size=size,
            )
        )
    return rows


def show(rows: list[Row]) -> str:
    """The table of the demonstration."""
    header = ["way", "same answer", "largest difference", "accuracy", "milliseconds", "bytes"]
    return table(
        [
            [
                row.way,
                f"{row.agreement:.1%}",
                f"{row.difference:.1e}",
                f"{row.accuracy:.1%}",
                round(row.milliseconds, 2),
                row.size,
            ]
            for row in rows
        ],
        header,
    )


def draw(
    path: pathlib.Path, clips: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], way: Way, rows: list[Row]
) -> pathlib.Path:
    """One picture: a clip of every class with what Keras says of it, and the time of every way to ask."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 1.5 * len(classes) + 3), layout="constrained")
    *films, times = figure.subfigures(len(classes) + 1, 1, height_ratios=[1] * len(classes) + [2])
    for label, (film, name) in enumerate(zip(films, classes, strict=True)):
        clip = clips[np.flatnonzero(labels == label)[0]]
        answer = way(clip[None])[0]
        said = f"{name}: Keras says {classes[answer.argmax()]} ({answer.max():.1%})"
        film.suptitle(said, x=0.01, horizontalalignment="left", fontsize="medium")
        for axis, frame in zip(film.subplots(1, len(clip)), (clip - clip.min()) / np.ptp(clip), strict=True):
            axis.imshow(frame)
            axis.set_axis_off()
    axis = times.subplots()
    bars = axis.barh([row.way for row in rows], [row.milliseconds for row in rows])
    axis.bar_label(bars, [f"{row.milliseconds:.1f} ms, {row.accuracy:.0%} right, {row.size:,} bytes" for row in rows])
    axis.invert_yaxis()
    axis.margins(x=0.4)
    axis.set_xlabel("milliseconds a clip (median)")
    figure.savefig(path, dpi=100)
    return path


def main() -> int:
    """Runs the demonstration as a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m apps.action_recognition.demo", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder", type=pathlib.Path, default=pathlib.Path("demo"), help="where to work (default demo)"
    )
    parser.add_argument("--seed", type=seed_number, default=0, help="seed of clips and training (default 0)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=lambda options: demonstrate(options.folder, options.seed) and None)
    return run_command(parser)


if __name__ == "__main__":
    sys.exit(main())
