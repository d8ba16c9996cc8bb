"""The verb `kapps action-recognition compare`."""

from __future__ import annotations

import argparse
import pathlib

from apps.action_recognition.flags import COMMAND, numbers
from tools.commands import FAILED, add_command, pair, print_result, seed_number
from tools.errors import InputError


def add_compare(verbs: argparse._SubParsersAction) -> None:
    """Adds `compare`."""
    parser = add_command(
        verbs,
        "compare",
        help="put models through every way out (SavedModel, LiteRT float32, float16, int8) and compare with Keras",
        example=(
            f"{COMMAND} compare r2plus1d_tiny x3d_xs --output comparison --videos clips/test --time\n"
            f"  {COMMAND} compare i3d --weights i3d=i3d_kinetics400 --output comparison --videos clips/test"
        ),
        run=run_compare,
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"see `{COMMAND} models` (default: all of them)")
    parser.add_argument(
        "--output",
        required=True,
        type=pathlib.Path,
        metavar="FOLDER",
        help="for FOLDER/MODEL with the files, table.json and table.md; what is finished there is not done again",
    )
    parser.add_argument(
        "--videos",
        action="append",
        default=[],
        metavar="PATH",
        help="a video or a folder of videos; repeatable (default: motion clips, made in FOLDER/videos)",
    )
    parser.add_argument("--clips", type=int, default=8, help="videos on which answers are compared (default 8)")
    parser.add_argument(
        "--calibration", type=int, default=4, help="other videos, for the ranges of int8 (default 4; better 32)"
    )
    parser.add_argument(
        "--input-shape", type=numbers, metavar="T,H,W", help="frames, height and width (default: those of the model)"
    )
    parser.add_argument(
        "--weights",
        action="append",
        type=pair,
        default=[],
        metavar="MODEL=WEIGHTS",
        help=f"a checkpoint, or a name of `{COMMAND} weights list`; repeatable (default: random weights)",
    )
    parser.add_argument("--time", action="store_true", help="then time all ways of each model, in turns")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the timing (default 1)")
    parser.add_argument("--repeats", type=int, default=5, help="timed turns (default 5)")
    parser.add_argument(
        "--seed", type=seed_number, default=0, help="of random weights and of the draw of videos (default 0)"
    )


def run_compare(options: argparse.Namespace) -> int | None:
    """Makes, compares and times, and prints the tables."""
    from apps.action_recognition import models
    from apps.action_recognition.comparison import clips, tables, zoo
    from apps.action_recognition.published_weights import resolve
    from tools.lite.conversion import MINIMUM_CLIPS

    names = list(dict.fromkeys(options.models or models.names()))
    weights = {name: str(source) for name, source in options.weights}
    for name in [*names, *weights]:
        models.info(name)
    unused = sorted(set(weights) - set(names))
    if unused:
        raise InputError(f"Expected --weights of models that are compared. Received those of {', '.join(unused)}.")
    for source in weights.values():
        if not pathlib.Path(resolve(source)).is_file():
            raise InputError(f"Expected a checkpoint or the name of published weights. Received {source}.")
    size = _size(options.input_shape)
    if options.threads < 1 or options.repeats < 1:
        raise InputError(
            f"Expected --threads and --repeats to be at least 1. Received {options.threads} and {options.repeats}."
        )
    if options.calibration < MINIMUM_CLIPS:
        raise InputError(
            f"Expected --calibration to be at least {MINIMUM_CLIPS}: the ranges of int8 would be left to chance. "
            f"Received {options.calibration}."
        )
    videos = clips.choose(
        options.videos, options.output, compared=options.clips, calibration=options.calibration, seed=options.seed
    )
    settings = [
        zoo.Settings(name, size, weights.get(name), videos.compared, videos.calibration, options.seed) for name in names
    ]
    failures = zoo.compare(settings, options.output)
    try:
        if options.time:
            failures |= zoo.take_time(names, options.output, threads=options.threads, repeats=options.repeats)
    finally:
        document = tables.write_tables(models.names(), options.output, failures)
    text = (options.output / tables.MARKDOWN_FILE).read_text(encoding="utf-8")
    print_result(options, document, f"{text}\n{options.output / tables.MARKDOWN_FILE} holds these tables")
    return FAILED if failures else None


def _size(given: tuple[float, ...] | None) -> tuple[int, int, int] | None:
    if given is None:
        return None
    if len(given) != 3 or not all(isinstance(length, int) and length > 0 for length in given):
        raise InputError(
            "Expected --input-shape to be frames, height and width, such as 16,112,112. "
            f"Received {','.join(map(str, given))}."
        )
    return given
