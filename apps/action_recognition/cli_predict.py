"""The verb `kapps action-recognition predict`."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from typing import TYPE_CHECKING

from apps.action_recognition.flags import COMMAND, add_network, load_network, positionals
from tools.commands import FAILED, add_command, one_line, print_result, progress
from tools.errors import InputError, WrongUse

if TYPE_CHECKING:
    from apps.action_recognition.prediction import Prediction, Predictor


def add_predict(verbs: argparse._SubParsersAction) -> None:
    """Adds `predict`."""
    parser = add_command(
        verbs,
        "predict",
        help="ask a trained model about a video, a folder of videos or a camera",
        example=(
            f"{COMMAND} predict runs/motion video.mp4 --step 0.5\n"
            f"  {COMMAND} predict runs/motion 0\n"
            f"  {COMMAND} predict --model i3d --weights i3d_kinetics400 video.mp4 --clips 10 --crops 3"
        ),
        run=run_predict,
    )
    parser.add_argument("run_or_source", metavar="RUN", help="a run folder that train wrote; not with --model")
    parser.add_argument(
        "source", nargs="?", metavar="SOURCE", help="a video file, a folder of video files, or the index of a camera"
    )
    add_network(parser, labels=True)
    parser.add_argument("--top", type=int, default=5, help="how many classes to list (default 5)")
    parser.add_argument(
        "--clips",
        type=int,
        help="ask about so many clips, spread over the video, and take the mean (default 1, central)",
    )
    parser.add_argument("--crops", type=int, help="crops of a clip, along the longer side (default 1, central)")
    parser.add_argument(
        "--step",
        type=float,
        help="go over the whole video in windows every so many seconds and show a time line (default: one answer for "
        "the central clip; with a camera 1)",
    )


def run_predict(options: argparse.Namespace) -> int | None:
    """Prints what the model says about the source."""
    run, text = positionals(options, "run_or_source", "source", "SOURCE")
    source = pathlib.Path(text)
    windows = options.step is not None or (not source.exists() and text.isdecimal())
    if windows and (options.clips is not None or options.crops is not None):
        raise WrongUse("Expected --clips and --crops for videos, without --step, which asks in windows.")
    if not source.exists() and not text.isdecimal():
        raise InputError(
            f"Expected a video, a folder of videos or the index of a camera. Received {source}: not found."
        )

    from apps.action_recognition.prediction import Predictor, camera_index

    predictor = Predictor(load_network(options, run), options.top)
    camera = camera_index(text)
    if camera is not None:
        return _watch(options, predictor, camera)
    if source.is_dir():
        return _predict_folder(options, predictor, source)
    prediction = _ask(options, predictor, source)
    print_result(options, prediction.to_dict(), lambda: _prediction_text(prediction))
    return None


def _ask(options: argparse.Namespace, predictor: Predictor, path: pathlib.Path) -> Prediction:
    views = {name: getattr(options, name) for name in ("clips", "crops") if getattr(options, name) is not None}
    return predictor.predict(path, options.step, **views)


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
            prediction = _ask(options, predictor, path)
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
