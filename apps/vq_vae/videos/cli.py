"""The verbs of `kapps vq-vae` about videos: make-moving-digits, predict-video."""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import Any

from apps.vq_vae.flags import COMMAND
from tools.commands import add_command, print_result, seed_number, table
from tools.errors import InputError


def add_commands(verbs: argparse._SubParsersAction) -> None:
    """Adds the verbs."""
    _add_make_moving_digits(verbs)
    _add_predict_video(verbs)


# === make-moving-digits ===


def _add_make_moving_digits(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "make-moving-digits",
        help="make clips of moving digits out of still ones",
        example=(
            f"{COMMAND} make-moving-digits t10k-images-idx3-ubyte.gz --output clips.npz --clips 2000 --split train\n"
            f"  {COMMAND} make-moving-digits digits.idx3.gz --output moved.npz --digits 1 --actions"
        ),
        run=run_make_moving_digits,
    )
    parser.add_argument("data", metavar="DIGITS", type=pathlib.Path, help="an idx3 file, packed by gzip or not")
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="NPZ", help="the file of clips to write")
    parser.add_argument("--clips", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--frames", type=int, default=16, help="of each clip (default 16)")
    parser.add_argument("--size", type=int, default=64, help="side of a frame in pixels (default 64)")
    parser.add_argument("--digits", type=int, default=2, help="digits of a clip (default 2)")
    parser.add_argument("--actions", action="store_true", help="move them by an action a frame, not by a velocity")
    parser.add_argument(
        "--split", default="all", help="digits to take: all (default), train (first nine tenths) or test (the others)"
    )
    parser.add_argument("--seed", type=seed_number, default=0, help="of everything random (default 0)")


def run_make_moving_digits(options: argparse.Namespace) -> None:
    """Writes the file and prints where."""
    if options.output.suffix != ".npz":
        raise InputError(f"Expected --output to end in .npz. Received {options.output}.")
    from apps.vq_vae.videos.data import write_clips
    from apps.vq_vae.videos.moving_digits import moving_digits, read_digits

    clips = moving_digits(
        read_digits(options.data, options.split),
        options.clips,
        options.frames,
        size=options.size,
        count=options.digits,
        with_actions=options.actions,
        seed=options.seed,
    )
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_clips(options.output, clips)
    result = {
        "clips": str(options.output),
        "shape": list(clips.frames.shape),
        "actions": list(clips.action_names),
    }
    print_result(options, result, f"{len(clips.frames)} clips of {options.frames} frames are in {options.output}")


# === predict-video ===


def _add_predict_video(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "predict-video",
        help="predict the frames that follow the first ones of clips, and measure them against the truth",
        example=(
            f"{COMMAND} predict-video runs/video_prior clips.npz --output predictions\n"
            f"  {COMMAND} predict-video runs/action_prior clips.npz --output all_left --actions left"
        ),
        run=run_predict_video,
    )
    parser.add_argument(
        "run_folder", metavar="PRIOR_RUN", type=pathlib.Path, help="a run folder of train-prior --model video_prior"
    )
    parser.add_argument("data", metavar="CLIPS", help="an .npz or .npy file of clips, or a folder of videos")
    parser.add_argument(
        "--output", required=True, type=pathlib.Path, metavar="FOLDER", help="for report.json, a picture and the GIFs"
    )
    parser.add_argument("--which", default="best", help="best (lowest validation loss, the default) or last epoch")
    parser.add_argument("--context", type=int, help="frames that are given (default: as many as the prior sees)")
    parser.add_argument("--frames", type=int, default=10, help="frames to predict (default 10)")
    parser.add_argument(
        "--actions",
        default="given",
        metavar="WHICH",
        help="of a prior with actions: those given with the clips (default), changed (each another one, drawn by the "
        "seed), or the name of one, for all frames",
    )
    parser.add_argument("--clips", type=int, help="only so many of the first clips (default: all)")
    parser.add_argument("--gifs", type=int, default=8, help="clips to draw (default 8)")
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        help="below 1 the likely becomes likelier; 0 the likeliest (default 1)",
    )
    parser.add_argument("--top-k", type=int, help="only the likeliest K codes (default all)")
    parser.add_argument("--top-p", type=float, help="only the likeliest codes of this share (default all)")
    parser.add_argument("--seed", type=seed_number, default=0, help="of the samples and of changed actions (default 0)")
    parser.add_argument("--autoencoder", metavar="RUN", help="the autoencoder, if it is no longer where it was")


def run_predict_video(options: argparse.Namespace) -> None:
    """Predicts, writes report.json and the pictures, and prints the errors over time."""
    from apps.vq_vae.prior.runs import load_prior_run
    from apps.vq_vae.videos.report import PredictionConfig, check, predict_clips, write_pictures
    from tools.files import write_json

    config = PredictionConfig(
        context=options.context,
        frames=options.frames,
        actions=options.actions,
        clips=options.clips,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        seed=options.seed,
    )
    check(config)
    if options.gifs < 0:
        raise InputError(f"Expected --gifs of 0 or more. Received {options.gifs}.")
    run = load_prior_run(options.run_folder, options.which, options.autoencoder)
    prediction = predict_clips(run, options.data, config, lambda line: print(line, file=sys.stderr, flush=True))
    options.output.mkdir(parents=True, exist_ok=True)
    pictures = write_pictures(prediction, options.output, options.gifs)
    report = {
        "run": str(run.path),
        "data": options.data,
        **prediction.report,
        "pictures": [str(path) for path in pictures],
    }
    write_json(options.output / "report.json", report)
    print_result(options, report, lambda: _prediction_text(report, options.output))


def _prediction_text(report: dict[str, Any], folder: pathlib.Path) -> str:
    measures = report["measures"]
    columns = [(kind, name) for name in ("mse", "ssim") for kind in measures]
    rows = [
        [str(number + 1), *(f"{measures[kind][name][number]:.4f}" for kind, name in columns)]
        for number in range(report["frames"])
    ]
    rows.append(["mean", *(f"{measures[kind][f'mean_{name}']:.4f}" for kind, name in columns)])
    header = ["frame", *(f"{name} {kind}".replace("_", " ") for kind, name in columns)]
    actions = "" if report["actions"] is None else f", actions {report['actions']}"
    return (
        f"{table(rows, header)}\n\n{report['clips']} clips, {report['context']} frames of context{actions}; "
        f"pixels / 255\nreport.json and {len(report['pictures'])} pictures are in {folder}"
    )
