"""The verb `kapps action-recognition features`."""

from __future__ import annotations

import argparse
import pathlib
from typing import TYPE_CHECKING

from apps.action_recognition.flags import COMMAND, add_network, clip_flags, positionals
from tools.commands import add_command, print_result
from tools.errors import InputError

if TYPE_CHECKING:
    import keras

    from apps.action_recognition.data import ClipSpec


def add_features(verbs: argparse._SubParsersAction) -> None:
    """Adds `features`."""
    parser = add_command(
        verbs,
        "features",
        help="write what a network makes of videos, one vector each, into an .npz file",
        example=(
            f"{COMMAND} features runs/motion clips/test --output features.npz\n"
            f"  {COMMAND} features --model i3d --weights i3d_kinetics400 videos.csv --output features.npz \\\n"
            "      --set input_shape=16,224,224,3 --clips 4"
        ),
        run=run_features,
    )
    parser.add_argument("run_or_videos", metavar="RUN", help="a run folder that train wrote; not with --model")
    parser.add_argument(
        "videos",
        nargs="?",
        metavar="VIDEOS",
        help="a video, a folder of videos or of class folders, a .csv with the column path, or a .txt with a path a "
        "line; labels are kept where there are any",
    )
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="FILE", help="the .npz file to write")
    add_network(parser, labels=False)
    parser.add_argument(
        "--layer",
        default="global_pool",
        help="whose output to write, averaged over time and space where it has them (default global_pool)",
    )
    parser.add_argument("--clips", type=int, default=10, help="clips of a video, spread evenly (default 10)")
    parser.add_argument("--crops", type=int, default=1, help="crops of a clip (default 1)")
    parser.add_argument("--every-view", action="store_true", help="keep each view instead of their mean")
    parser.add_argument("--batch", type=int, default=8, help="views that go through the model together (default 8)")
    parser.add_argument("--root", help="folder to which relative paths in lists refer")
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted run to FILE ended")


def run_features(options: argparse.Namespace) -> None:
    """Writes the file and says what is in it."""
    if options.output.suffix != ".npz":
        raise InputError(f"Expected --output to end in .npz. Received {options.output}.")
    if not options.output.parent.is_dir():
        raise InputError(f"Expected --output in a folder that is there. Received {options.output}.")
    run, source = positionals(options, "run_or_videos", "videos", "VIDEOS")
    from apps.action_recognition.data.any_videos import load_any
    from apps.action_recognition.features import extract

    model, spec = _network(options, run)
    videos = load_any(source, root=options.root)
    output = options.output
    features = extract(
        model,
        videos,
        spec,
        layer=options.layer,
        clips=options.clips,
        crops=options.crops,
        average=not options.every_view,
        batch=options.batch,
        unfinished=output.with_name(f".{output.stem}.unfinished.npz"),
        resume=options.resume,
    )
    features.save(output)
    document = {
        "path": str(output),
        "shape": list(features.features.shape),
        "layer": options.layer,
        "classes": list(features.classes),
        "skipped": [{"path": path, "reason": reason} for path, reason in features.skipped],
    }
    shape = " x ".join(map(str, features.features.shape))
    skipped = f", {len(features.skipped)} videos could not be read" if features.skipped else ""
    print_result(options, document, f"{output}: features {shape} of {options.layer}{skipped}")


def _network(options: argparse.Namespace, folder: str | None) -> tuple[keras.Model, ClipSpec]:
    if folder is not None:
        from apps.action_recognition.runs import load_run

        run = load_run(pathlib.Path(folder), options.which)
        return run.model, run.spec
    from apps.action_recognition.features import load_network

    return load_network(options.model, options.weights, dict(options.overrides), **clip_flags(options))
