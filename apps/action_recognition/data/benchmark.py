"""Clips a second of the training pipeline beside plain reading in one thread.

python -m apps.action_recognition.data.benchmark FOLDER
"""

from __future__ import annotations

import argparse
import sys

from apps.action_recognition.data.augmentation import Augmentation, preprocess
from apps.action_recognition.data.clips import raw_clip, read_clip
from apps.action_recognition.data.pipeline import clip_dataset, workers
from apps.action_recognition.data.sources import VideoList, load_videos
from apps.action_recognition.data.spec import ClipSpec
from tools import bench
from tools.commands import print_result, run_command

FULL = Augmentation(horizontal_flip=0.5, brightness=0.2, contrast=0.2, saturation=0.2)


def measure(videos: VideoList, spec: ClipSpec, batch_size: int, repeats: int) -> list[bench.Timing]:
    """Times one pass over the videos: plain, one thread, and the pipeline without and with augmentation.

    Plain means what a first script does: decode the clip's frames at full size, keep them, resize, crop, normalise,
    one video after the other.
    """

    def plain() -> int:
        return sum(len(preprocess(raw_clip(path, spec), spec)[None]) for path in videos.paths)

    def one_thread() -> int:
        return sum(len(read_clip(path, spec)[None]) for path in videos.paths)

    def evaluation() -> int:
        return sum(int(clip.shape[0]) for clip, _ in clip_dataset(videos, spec, batch_size, training=False))

    def training() -> int:
        batches = clip_dataset(videos, spec, batch_size, training=True, augmentation=FULL)
        return sum(int(clip.shape[0]) for clip, _ in batches)

    ways = {
        "plain decoding and preprocessing, 1 thread": plain,
        "read_clip, 1 thread": one_thread,
        f"clip_dataset, evaluation, {workers()} threads": evaluation,
        f"clip_dataset, training with all augmentation, {workers()} threads": training,
    }
    return bench.compare(ways, repeats=repeats)


def build_parser() -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = argparse.ArgumentParser(
        prog="python -m apps.action_recognition.data.benchmark",
        description="Clips a second of the training pipeline beside plain reading in one thread.",
        epilog="example:\n  python -m apps.action_recognition.data.benchmark clips/train --frames 8 --size 56 56",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", help="folder of class folders, .csv or .txt list of videos")
    parser.add_argument("--frames", type=int, default=16, help="frames of a clip (default 16)")
    parser.add_argument("--size", type=int, nargs=2, default=[112, 112], metavar=("HEIGHT", "WIDTH"), help="of a clip")
    parser.add_argument("--frame-rate", type=float, default=15.0, help="frames per second of a clip (default 15)")
    parser.add_argument("--preset", default="torchvision", help="preprocessing (default torchvision)")
    parser.add_argument("--batch", type=int, default=8, help="clips in a batch (default 8)")
    parser.add_argument("--repeats", type=int, default=3, help="timed passes over the videos (default 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON document, for a program to read")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> None:
    """Measures and prints the result."""
    spec = ClipSpec(options.frames, tuple(options.size), options.frame_rate, options.preset)
    videos = load_videos(options.folder)
    timings = measure(videos, spec, options.batch, options.repeats)
    result = {
        "folder": options.folder,
        "videos": len(videos),
        "clip": spec.to_dict(),
        "batch_size": options.batch,
        "ways": [timing.to_dict() for timing in timings],
    }
    print_result(options, result, lambda: bench.report(timings, "clips"))


if __name__ == "__main__":
    sys.exit(run_command(build_parser()))
