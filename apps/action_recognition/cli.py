"""The verbs of `kapps action-recognition`: models, train, evaluate, predict, export, weights, motion-clips."""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import sys
from typing import TYPE_CHECKING

from apps.action_recognition.cli_compare import add_compare
from apps.action_recognition.cli_expand import add_expand
from apps.action_recognition.cli_features import add_features
from apps.action_recognition.cli_transfer import add_transfer
from apps.action_recognition.cli_weights import add_weights
from apps.action_recognition.flags import COMMAND, PRECISIONS, TRAIN_FLAGS, pair, precisions
from tools.commands import FAILED, add_command, add_group, one_line, print_result, progress, table
from tools.errors import InputError, WrongUse

if TYPE_CHECKING:
    from apps.action_recognition.prediction import Prediction, Predictor
    from apps.action_recognition.training import TrainingConfig


def add_commands(subparsers: argparse._SubParsersAction) -> None:
    """Adds `action-recognition` with its verbs."""
    verbs = add_group(
        subparsers,
        "action-recognition",
        help="recognise actions in video clips: models, train, evaluate, predict, export",
        example=f"{COMMAND} train clips/train --output runs/motion --model r2plus1d_tiny --epochs 12",
    )
    add_command(verbs, "models", help="list the models", example=f"{COMMAND} models --json", run=list_models)
    _add_train(verbs)
    _add_evaluate(verbs)
    _add_predict(verbs)
    add_features(verbs)
    _add_export(verbs)
    add_compare(verbs)
    add_transfer(verbs)
    add_weights(verbs)
    add_expand(verbs)
    _add_motion_clips(verbs)


# === models ===


def list_models(options: argparse.Namespace) -> None:
    """Prints parameters, multiply-adds, input, preprocessing and source of every model."""
    from apps.action_recognition import models

    columns = ["name", "parameters", "multiply_adds", "input", "preprocessing", "source"]
    rows = models.table()
    print_result(options, rows, lambda: table([[row[column] for column in columns] for row in rows], columns))


# === train ===


def _add_train(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "train",
        help="train a model on videos of your own",
        example=(
            f"{COMMAND} train clips/train --validation clips/test --output runs/motion \\\n"
            "      --model r2plus1d_tiny --set dropout=0.2 --epochs 12 --batch-size 16 --learning-rate 0.05\n"
            f"  {COMMAND} train --output runs/motion --resume"
        ),
        run=run_train,
    )
    parser.add_argument(
        "data", nargs="?", default=argparse.SUPPRESS, help="a folder of class folders, a .csv or a UCF101 split .txt"
    )
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="RUN", help="the run folder, a new one")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in RUN, with the configuration it began with"
    )
    # Without defaults, so that a resumed run is compared by the flags that were given.
    for flag, (kind, text) in TRAIN_FLAGS.items():
        how = {"action": "store_true"} if kind is None else {"type": kind, "metavar": "X"}
        parser.add_argument(flag, default=argparse.SUPPRESS, help=text, **how)
    for flag, name, text in (
        ("--set", "overrides", "an argument of the model: dropout=0.2, input_shape=8,56,56,3; repeatable"),
        ("--augment", "augmentation", "an augmentation: horizontal_flip=0.5, brightness=0.2; repeatable"),
    ):
        parser.add_argument(
            flag, dest=name, action="append", type=pair, metavar="NAME=X", default=argparse.SUPPRESS, help=text
        )


def run_train(options: argparse.Namespace) -> None:
    """Trains and prints the report."""
    from apps.action_recognition.training import train

    config = _training_config(options)
    try:
        report = train(config, options.output, resume=options.resume)
    except KeyboardInterrupt:
        if (options.output / "state.npz").exists():
            print(f"{options.output}: every whole epoch is kept; --resume goes on", file=sys.stderr)
        raise
    print_result(options, report.to_dict(), lambda: _training_text(report))


def _training_config(options: argparse.Namespace) -> TrainingConfig:
    from apps.action_recognition.runs import read_config
    from apps.action_recognition.training import TrainingConfig, config_of

    fields = {field.name for field in dataclasses.fields(TrainingConfig)}
    given = {name: item for name, item in vars(options).items() if name in fields}
    given.update({name: dict(given[name]) for name in ("overrides", "augmentation") if name in given})
    if options.resume and (options.output / "config.json").exists():
        return dataclasses.replace(config_of(read_config(options.output)), **given)
    if "data" not in given:
        raise WrongUse(f"Expected DATA, the training videos. Received none, and no run to resume in {options.output}.")
    return TrainingConfig(**given)


def _training_text(report) -> str:
    training = report.training
    lines = [
        f"best {training.monitor} {training.best:.4f} in epoch {training.best_epoch} of {len(training.history)} "
        f"({report.seconds:.0f} s of training)" + (", stopped early" if training.stopped_early else ""),
    ]
    if report.skipped:
        lines.append(f"{len(report.skipped)} videos could not be read")
    return "\n".join([*lines, f"the run folder is {report.path}"])


# === evaluate ===


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN", type=pathlib.Path, help="a run folder that train wrote")
    parser.add_argument("--which", choices=("best", "last"), default="best", help="epoch to use (default best)")


def _add_evaluate(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "evaluate",
        help="measure a trained model on labelled videos",
        example=f"{COMMAND} evaluate runs/motion clips/test --clips 10 --crops 3",
        run=run_evaluate,
    )
    _add_run(parser)
    parser.add_argument("data", help="a folder of class folders, a .csv or a UCF101 split .txt")
    parser.add_argument("--root", help="folder to which relative paths in lists refer")
    parser.add_argument(
        "--split", type=int, help="split of HMDB51, of whose split files DATA is the folder: its test part"
    )
    parser.add_argument("--clips", type=int, default=10, help="clips of a video (default 10)")
    parser.add_argument("--crops", type=int, default=3, help="crops of a clip (default 3)")
    parser.add_argument("--batch", type=int, default=8, help="views that go through the model together (default 8)")
    parser.add_argument("--bootstrap", type=int, default=1000, help="resamplings for the intervals (default 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the resamplings (default 0)")
    parser.add_argument(
        "--output", type=pathlib.Path, help="folder for evaluation.json and confusion.png (default RUN/evaluation)"
    )


def run_evaluate(options: argparse.Namespace) -> None:
    """Evaluates, writes evaluation.json and confusion.png, and prints the measures."""
    from apps.action_recognition.data import load_videos
    from apps.action_recognition.evaluation import evaluate
    from apps.action_recognition.runs import load_run
    from tools.figures import draw_confusion
    from tools.files import write_json

    run = load_run(options.run_folder, options.which)
    part = {} if options.split is None else {"subset": "test", "split": options.split}
    videos = load_videos(options.data, classes=run.classes, root=options.root, **part)
    result = evaluate(
        run.model,
        videos,
        run.spec,
        clips=options.clips,
        crops=options.crops,
        batch=options.batch,
        bootstrap=options.bootstrap,
        seed=options.seed,
    )
    folder = options.output or options.run_folder / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    draw_confusion(result.confusion, result.classes, folder / "confusion.png")
    document = {"run": str(run.path), "data": options.data, **result.to_dict()}
    write_json(folder / "evaluation.json", document)
    print_result(options, document, lambda: f"{_evaluation_text(result)}\n\nconfusion and mistakes are in {folder}")


def _evaluation_text(result) -> str:
    intervals = result.video.get("intervals", {})
    rows = []
    for name in (name for name in result.video if name != "intervals"):
        low, high = intervals.get(name, (None, None))
        interval = "" if low is None else f"{low:.4f} to {high:.4f}"
        rows.append([name, f"{result.video[name]:.4f}", interval, f"{result.view[name]:.4f}"])
    head = f"{len(result.labels)} videos, {result.clips} clips x {result.crops} crops"
    skipped = f", {len(result.skipped)} more could not be read" if result.skipped else ""
    return f"{head}{skipped}\n\n{table(rows, ['measure', 'video', '95 % confidence', 'single view'])}"


# === predict ===


def _add_predict(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "predict",
        help="ask a trained model about a video, a folder of videos or a camera",
        example=(
            f"{COMMAND} predict runs/motion video.mp4 --step 0.5\n"
            f"  {COMMAND} predict runs/motion 0\n"
            f"  {COMMAND} predict --model i3d --weights i3d_kinetics400 video.mp4"
        ),
        run=run_predict,
    )
    parser.add_argument("run_or_source", metavar="RUN", help="a run folder that train wrote; not with --model")
    parser.add_argument(
        "source", nargs="?", metavar="SOURCE", help="a video file, a folder of video files, or the index of a camera"
    )
    parser.add_argument("--which", choices=("best", "last"), default="best", help="epoch to use (default best)")
    parser.add_argument("--model", help=f"instead of a run: a model (`{COMMAND} models`) with --weights")
    parser.add_argument("--weights", help=f"its weights: a checkpoint, or a name of `{COMMAND} weights list`")
    parser.add_argument("--labels", help="class names of a checkpoint, one a line")
    parser.add_argument("--top", type=int, default=5, help="how many classes to list (default 5)")
    parser.add_argument(
        "--step",
        type=float,
        help="go over the whole video in windows every so many seconds and show a time line (default: one answer for "
        "the central clip; with a camera 1)",
    )


def run_predict(options: argparse.Namespace) -> int | None:
    """Prints what the model says about the source."""
    if (options.model is None) != (options.weights is None) or (options.labels and options.model is None):
        raise WrongUse("Expected --model and --weights together, and --labels only with them.")
    if (options.model is None) != (options.source is not None):
        raise WrongUse("Expected RUN and SOURCE, or --model, --weights and SOURCE alone.")
    text = options.run_or_source if options.source is None else options.source
    source = pathlib.Path(text)
    if not source.exists() and not text.isdecimal():
        raise InputError(
            f"Expected a video, a folder of videos or the index of a camera. Received {source}: not found."
        )

    from apps.action_recognition.prediction import Predictor, camera_index
    from apps.action_recognition.published_weights import load
    from apps.action_recognition.runs import load_run

    if options.model is None:
        run = load_run(pathlib.Path(options.run_or_source), options.which)
    else:
        run = load(options.model, options.weights, options.labels)
    predictor = Predictor(run, options.top)
    camera = camera_index(text)
    if camera is not None:
        return _watch(options, predictor, camera)
    if source.is_dir():
        return _predict_folder(options, predictor, source)
    prediction = predictor.predict(source, options.step)
    print_result(options, prediction.to_dict(), lambda: _prediction_text(prediction))
    return None


def _watch(options: argparse.Namespace, predictor: Predictor, camera: int) -> None:
    step = 1.0 if options.step is None else options.step
    try:
        for start, end, probabilities in predictor.windows(camera, step):
            top = predictor.best(probabilities)
            if options.json:
                answers = [{"class": name, "probability": probability} for name, probability in top]
                print(json.dumps({"start": round(start, 3), "end": round(end, 3), "top": answers}), flush=True)
            else:
                print(f"{start:8.2f} s  {_answers(top)}", flush=True)
    except KeyboardInterrupt:
        print("the camera is closed", file=sys.stderr)


def _predict_folder(options: argparse.Namespace, predictor: Predictor, folder: pathlib.Path) -> int | None:
    from apps.action_recognition.prediction import videos_in

    documents, texts, failures = [], [], 0
    paths = videos_in(folder)
    for path in progress(paths, len(paths), "asking about videos"):
        try:
            prediction = predictor.predict(path, options.step)
        except InputError as error:
            failures += 1
            print(f"skipped: {one_line(error)}", file=sys.stderr)
            documents.append({"path": str(path), "error": one_line(error)})
            continue
        documents.append(prediction.to_dict())
        texts.append(_prediction_text(prediction))
    print_result(options, documents, "\n".join(texts))
    return FAILED if failures == len(documents) else None


def _prediction_text(prediction: Prediction) -> str:
    lines = [f"{prediction.path}  {_answers(prediction.top)}"]
    for segment in prediction.segments or ():
        lines.append(f"  {segment.start:8.2f} to {segment.end:8.2f} s  {_answers(segment.top[:1])}")
    return "\n".join(lines)


def _answers(top) -> str:
    return "  ".join(f"{name} {probability:.3f}" for name, probability in top)


# === export ===


def _add_export(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "export",
        help="publish a trained model for TensorFlow Serving and, with --lite, for the edge",
        example=f"{COMMAND} export runs/motion --base savedmodels --name motion --lite float32,int8",
        run=run_export,
    )
    _add_run(parser)
    parser.add_argument("--base", type=pathlib.Path, default=pathlib.Path("savedmodels"), help="default savedmodels")
    parser.add_argument("--name", help="of the published model (default: the name of the run folder)")
    parser.add_argument("--version", type=int, help="default: the next free one")
    parser.add_argument(
        "--lite",
        type=precisions,
        default=[],
        metavar="PRECISIONS",
        help=f"also write RUN/lite/NAME_PRECISION.tflite for each named of {','.join(PRECISIONS)}",
    )


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def run_export(options: argparse.Namespace) -> None:
    """Publishes the run and prints where."""
    import numpy as np

    from apps.action_recognition.export import export
    from apps.action_recognition.runs import load_run

    run = load_run(options.run_folder, options.which)
    name = options.name or run.path.resolve().name
    _tell(f"publishing {name} through the gate")
    published = export(run.model, run.spec, run.classes, base=options.base, name=name, version=options.version)
    document = {"path": str(published.path), "version": published.version, "report": published.report, "lite": {}}
    lines = [f"published {published.path}"]
    for precision in options.lite:
        from tools.lite import convert

        path = run.path / "lite" / f"{name}_{precision}.tflite"
        path.parent.mkdir(exist_ok=True)
        representative = np.load(run.path / "representative.npz")["clip"]
        report = convert(run.model, path, precision=precision, representative=representative, tell=_tell)
        document["lite"][precision] = {"path": str(path), "report": report}
        lines.append(f"wrote {path}")
    print_result(options, document, "\n".join(lines))


# === motion-clips ===


def _add_motion_clips(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "motion-clips",
        help="make videos to try the other commands on, whose class lies in the movement alone",
        example=f"{COMMAND} motion-clips clips/train --videos-per-class 60",
        run=make_motion_clips,
    )
    parser.add_argument("folder", help="new or empty folder, to hold a folder of videos for each class")
    parser.add_argument("--videos-per-class", type=int, default=60, metavar="N", help="default 60")
    parser.add_argument("--seed", type=int, default=0, help="another seed makes other videos (default 0)")


def make_motion_clips(options: argparse.Namespace) -> None:
    """Writes the videos and says where they are."""
    from apps.action_recognition.data import motion_clips

    folder = motion_clips.generate(options.folder, options.videos_per_class, options.seed)
    classes = list(motion_clips.CLASSES)
    result = {"folder": str(folder), "classes": classes, "videos_per_class": options.videos_per_class}
    count = len(classes) * options.videos_per_class
    print_result(options, result, f"{count} videos of {len(classes)} classes are in {folder}")
