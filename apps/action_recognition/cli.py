"""The verbs of `kapps action-recognition`; those with more to say than fits here are in the modules `cli_*`."""

from __future__ import annotations

import argparse
import pathlib
import sys

from apps.action_recognition.cli_compare import add_compare
from apps.action_recognition.cli_expand import add_expand
from apps.action_recognition.cli_features import add_features
from apps.action_recognition.cli_predict import add_predict
from apps.action_recognition.cli_transfer import add_transfer
from apps.action_recognition.cli_weights import add_weights
from apps.action_recognition.flags import (
    AUGMENTATION,
    COMMAND,
    PRECISIONS,
    TRAIN_FLAGS,
    add_network,
    add_pairs,
    add_run_folder,
    configuration,
    load_network,
    positionals,
    precisions,
)
from tools.commands import add_command, add_flags, add_group, interruptible, print_result, seed_number, table


def add_commands(subparsers: argparse._SubParsersAction) -> None:
    """Adds `action-recognition` with its verbs."""
    verbs = add_group(
        subparsers,
        "action-recognition",
        help="recognise actions in video clips: train, evaluate, predict, export, weights, features and more",
        example=f"{COMMAND} train clips/train --output runs/motion --model r2plus1d_tiny --epochs 12",
    )
    add_command(verbs, "models", help="list the models", example=f"{COMMAND} models --json", run=list_models)
    _add_train(verbs)
    _add_evaluate(verbs)
    add_predict(verbs)
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

    columns = ["name", "parameters", "multiply_adds", "input", "frame_rate", "preprocessing", "source"]
    rows = models.table()
    shown = [{**row, "frame_rate": row["frame_rate"] or "all"} for row in rows]
    print_result(options, rows, lambda: table([[row[column] for column in columns] for row in shown], columns))


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
    add_run_folder(parser, "RUN", "run")
    add_flags(parser, TRAIN_FLAGS)
    add_pairs(parser, "an argument of the model: dropout=0.2, input_shape=8,56,56,3", AUGMENTATION)


def run_train(options: argparse.Namespace) -> None:
    """Trains and prints the report."""
    from apps.action_recognition.runs import read_config
    from apps.action_recognition.training import TrainingConfig, config_of, train

    needed = {"data": "DATA, the training videos"}
    config = configuration(options, TrainingConfig, lambda folder: config_of(read_config(folder)), needed)
    with interruptible(options.output / "state.npz", "every whole epoch"):
        report = train(config, options.output, resume=options.resume)
    print_result(options, report.to_dict(), lambda: _training_text(report))


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


def _add_evaluate(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "evaluate",
        help="measure a trained model on labelled videos",
        example=(
            f"{COMMAND} evaluate runs/motion clips/test --clips 10 --crops 3\n"
            f"  {COMMAND} evaluate --model i3d --weights i3d_kinetics400 kinetics/test --output measured"
        ),
        run=run_evaluate,
    )
    parser.add_argument("run_or_data", metavar="RUN", help="a run folder that train wrote; not with --model")
    parser.add_argument(
        "data",
        nargs="?",
        metavar="DATA",
        help="a folder of class folders, a .csv or a UCF101 split .txt, of the classes that the model has",
    )
    add_network(parser, labels=True)
    parser.add_argument("--root", help="folder to which relative paths in lists refer")
    parser.add_argument(
        "--split", type=int, help="split of HMDB51, of whose split files DATA is the folder: its test part"
    )
    parser.add_argument("--clips", type=int, default=10, help="clips of a video (default 10)")
    parser.add_argument("--crops", type=int, default=3, help="crops of a clip (default 3)")
    parser.add_argument("--batch", type=int, default=8, help="views that go through the model together (default 8)")
    parser.add_argument("--bootstrap", type=int, default=1000, help="resamplings for the intervals (default 1000)")
    parser.add_argument("--seed", type=seed_number, default=0, help="of the resamplings (default 0)")
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        help="folder for evaluation.json and confusion.png (default RUN/evaluation; with --model none is written)",
    )


def run_evaluate(options: argparse.Namespace) -> None:
    """Evaluates, prints the measures, and writes evaluation.json and confusion.png."""
    folder, data = positionals(options, "run_or_data", "data", "DATA")
    from apps.action_recognition.data import load_videos
    from apps.action_recognition.evaluation import evaluate
    from tools.figures import draw_confusion
    from tools.files import write_json

    run = load_network(options, folder)
    part = {} if options.split is None else {"subset": "test", "split": options.split}
    videos = load_videos(data, classes=run.classes, root=options.root, **part)
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
    document = {"run": str(run.path), "data": data, **result.to_dict()}
    text = _evaluation_text(result)
    output = options.output or (run.path / "evaluation" if folder is not None else None)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        draw_confusion(result.confusion, result.classes, output / "confusion.png")
        write_json(output / "evaluation.json", document)
        text += f"\n\nconfusion and mistakes are in {output}"
    print_result(options, document, text)


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


# === export ===


def _add_export(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "export",
        help="publish a trained model for TensorFlow Serving and, with --lite, for the edge",
        example=f"{COMMAND} export runs/motion --base savedmodels --name motion --lite float32,int8",
        run=run_export,
    )
    parser.add_argument("run_folder", metavar="RUN", type=pathlib.Path, help="a run folder that train wrote")
    parser.add_argument("--which", choices=("best", "last"), default="best", help="epoch to use (default best)")
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
    parser.add_argument("--seed", type=seed_number, default=0, help="another seed makes other videos (default 0)")


def make_motion_clips(options: argparse.Namespace) -> None:
    """Writes the videos and says where they are."""
    from apps.action_recognition.data import motion_clips

    folder = motion_clips.generate(options.folder, options.videos_per_class, options.seed)
    classes = list(motion_clips.CLASSES)
    result = {"folder": str(folder), "classes": classes, "videos_per_class": options.videos_per_class}
    count = len(classes) * options.videos_per_class
    print_result(options, result, f"{count} videos of {len(classes)} classes are in {folder}")
