"""The verbs of `kapps vq-vae` for audio, convert-speaker and judge-speech; and what the common verbs do with audio."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Callable
from typing import Any

from apps.vq_vae.flags import COMMAND, refuse_foreign
from tools.commands import Flags, add_command, add_flags, print_result, seed_number, table
from tools.errors import InputError

DATA = "a folder of .wav files (with manifest.csv of file, speaker, label, or names of the --pattern), or one .wav file"
PATTERN = "of the names of the files, such as '{label}_{speaker}_{index}'"

# Of sound that is published.
SECONDS = 1.0
# Of `train`; those that images have too are in `flags.TRAIN`.
TRAIN: Flags = {
    "--validation-recordings": (int, "audio: how many are measured after every epoch (default 60)"),
    "--pattern": (str, f"audio: {PATTERN}"),
    "--rate": (int, "audio: samples a second (default that of the first file; others are resampled)"),
    "--segment": (int, "audio: samples of a training example (default 2048)"),
}
SAMPLING: Flags = {
    "--temperature": (float, "the logits are divided by it (default 1)"),
    "--top-p": (float, "share of the probability from which is sampled (default 1)"),
    "--seed": (seed_number, "of the sampling (default 0)"),
    "--batch": (int, "recordings at a time (default 32)"),
}


def add_commands(verbs: argparse._SubParsersAction) -> None:
    """Adds the verbs that only audio has."""
    parser = add_command(
        verbs,
        "convert-speaker",
        help="speak recordings with the voice of another speaker of the training",
        example=f"{COMMAND} convert-speaker runs/speech recordings/test --to anna --output converted",
        run=run_convert,
    )
    _add_run(parser)
    parser.add_argument("data", metavar="FILES", help=DATA)
    parser.add_argument("--to", required=True, metavar="NAME", help="the speaker")
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="FOLDER", help="for the .wav files")
    add_flags(parser, SAMPLING)

    parser = add_command(
        verbs,
        "judge-speech",
        help="train judges of speaker and label on real recordings, and let them judge reconstruction and conversion",
        example=f"{COMMAND} judge-speech runs/speech recordings/test --training recordings/train --output judged",
        run=run_judge,
    )
    _add_run(parser)
    parser.add_argument("data", metavar="FILES", help=f"recordings to convert, not trained on: {DATA}")
    parser.add_argument("--training", required=True, help="recordings with speakers on which the judges are trained")
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="FOLDER", help="for judged.json, .wav")
    parser.add_argument("--pattern", help=f"{PATTERN} (default that of the training)")
    parser.add_argument("--count", type=int, default=None, help="how many of the recordings (default all)")
    add_flags(parser, SAMPLING)

    parser = add_command(
        verbs,
        "speak-sentences",
        help="make labelled speech with the synthesiser flite: .wav files, their phonemes beside them",
        example=f"{COMMAND} speak-sentences sentences/train --count 300",
        run=run_speak,
    )
    parser.add_argument("folder", metavar="FOLDER", type=pathlib.Path, help="a new one")
    parser.add_argument("--count", type=int, default=300, help="how many sentences (default 300)")
    parser.add_argument("--seed", type=seed_number, default=0, help="of the sentences (default 0)")

    parser = add_command(
        verbs,
        "phonemes",
        help="map each code to its likeliest phoneme, and measure the map beside the most frequent phoneme",
        example=f"{COMMAND} phonemes runs/speech sentences/test --training sentences/train",
        run=run_phonemes,
    )
    _add_run(parser)
    parser.add_argument("data", metavar="FOLDER", type=pathlib.Path, help="of .wav and .phones files (name, end)")
    parser.add_argument("--training", required=True, type=pathlib.Path, help="such a folder, for the map")


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN", type=pathlib.Path, help="a run folder that train wrote for audio")
    parser.add_argument("--which", default="best", help="best (lowest validation loss, the default) or last epoch")


def measures_text(measures: dict[str, Any]) -> str:
    """The measures of `audio.evaluation.measure` for a person."""
    apart = ("recordings", "seconds", "codes")
    rows = [[name, "-" if value is None else f"{value:.4g}"] for name, value in measures.items() if name not in apart]
    first = f"{measures['recordings']} recordings, {measures['seconds']:.1f} s, {measures['codes']} codes"
    return f"{first}\n\n{table(rows, ['measure', 'value'])}"


def sampling_options(options: argparse.Namespace) -> dict[str, Any]:
    """The flags of SAMPLING that were given."""
    return {name: getattr(options, name) for name in ("temperature", "top_p", "seed", "batch") if name in options}


# === evaluate, reconstruct, export ===


def evaluate(options: argparse.Namespace, folder: pathlib.Path) -> dict[str, Any]:
    """The measures of the run of `evaluate`; nothing else is written into the folder."""
    from apps.vq_vae.audio.evaluation import measure
    from apps.vq_vae.audio.runs import load_run

    run = load_run(options.run_folder, options.which)
    return measure(run, run.read(options.data))


def reconstruct(options: argparse.Namespace) -> None:
    """Writes the recordings of `reconstruct`, spoken anew by their own speakers, and prints where."""
    import numpy as np

    from apps.vq_vae.audio.data import speaker_numbers
    from apps.vq_vae.audio.generation import write_regenerated
    from apps.vq_vae.audio.runs import load_run

    run = load_run(options.run_folder, options.which)
    recordings = run.read(options.data)
    chosen = np.sort(np.random.default_rng(options.seed).permutation(len(recordings))[: options.count])
    recordings = recordings.take(chosen)
    speakers = speaker_numbers(recordings, run.speakers, options.data)
    check_output(options.output)
    write_regenerated(run, recordings, speakers, options.output, seed=options.seed)
    result = {"run": str(run.path), "folder": str(options.output), "recordings": recordings.names}
    print_result(options, result, f"{len(recordings)} recordings, made from their codes, are in {options.output}")


def export(options: argparse.Namespace, name: str, tell: Callable[[str], None]) -> tuple[Any, list[dict[str, Any]]]:
    """Publishes the run of `export`, and writes the encoder for the edge in the precisions named."""
    refuse_foreign(options, autoencoder="a prior")
    from apps.vq_vae.audio import export as audio_export
    from apps.vq_vae.audio.runs import load_run

    run = load_run(options.run_folder, options.which)
    recordings = run.read(options.data or run.config["reading"]["data"], named=False)
    tell("publishing the SavedModel, and running it in a process of its own")
    seconds = SECONDS if options.seconds is None else options.seconds
    published = audio_export.export(
        run, recordings, seconds=seconds, base=options.base, name=name, version=options.version
    )
    folder = run.path / "lite"
    files = [
        audio_export.export_lite(run, recordings, folder, name, precision, seconds, tell) for precision in options.lite
    ]
    return published, files


def check_output(folder: pathlib.Path) -> None:
    """Refuses a file in the place of a folder."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"Expected --output to be a folder. Received {folder}, a file.")


# === convert-speaker ===


def run_convert(options: argparse.Namespace) -> None:
    """Writes the converted recordings and prints where."""
    import numpy as np

    from apps.vq_vae.audio.generation import write_regenerated
    from apps.vq_vae.audio.runs import load_run

    run = load_run(options.run_folder, options.which)
    number = run.speaker(options.to)
    check_output(options.output)
    recordings = run.read(options.data, named=False)
    speakers = np.full(len(recordings), number, np.int32)
    write_regenerated(run, recordings, speakers, options.output, **sampling_options(options))
    result = {"run": str(run.path), "speaker": options.to, "folder": str(options.output), "files": recordings.names}
    print_result(
        options, result, f"{len(recordings)} recordings with the voice of {options.to} are in {options.output}"
    )


# === judge-speech ===


def run_judge(options: argparse.Namespace) -> None:
    """Trains the judges, lets them hear real, reconstructed and converted recordings, and prints the table."""
    from apps.vq_vae.audio.conversion import judge_conversion
    from apps.vq_vae.audio.data import check_pattern
    from apps.vq_vae.audio.runs import load_run

    run = load_run(options.run_folder, options.which)
    check_output(options.output)
    check_pattern(options.pattern, options.data, options.training)
    recordings = run.read(options.data, options.pattern)
    training = run.read(options.training, options.pattern)
    result = judge_conversion(run, training, recordings, options.output, options.count, **sampling_options(options))
    columns = ["sound", "recordings", "speaker_share", "source_speaker_share", "label_share"]

    def cell(value: Any) -> Any:
        return "-" if value is None else f"{value:.1%}" if isinstance(value, float) else value

    rows = [[cell(row[column]) for column in columns] for row in result["rows"]]
    print_result(options, result, lambda: f"{table(rows, columns)}\n\nthe sounds are in {options.output}")


# === speak-sentences, phonemes ===


def run_speak(options: argparse.Namespace) -> None:
    """Writes the sentences and prints where."""
    from apps.vq_vae.audio.spoken_sentences import speak

    if options.count < 1 or options.seed < 0:
        raise InputError(f"Expected --count above 0 and --seed of 0 or more. Received {options.count}, {options.seed}.")
    paths = speak(options.folder, options.count, options.seed)
    result = {"folder": str(options.folder), "files": [path.name for path in paths]}
    print_result(options, result, f"{len(paths)} sentences are in {options.folder}")


def run_phonemes(options: argparse.Namespace) -> None:
    """Measures and prints."""
    from apps.vq_vae.audio.phonemes import measure_phonemes
    from apps.vq_vae.audio.runs import load_run

    report = measure_phonemes(load_run(options.run_folder, options.which), options.training, options.data)
    print_result(
        options,
        report.to_dict(),
        f"{report.accuracy:.1%} of {report.places} codes tell their phoneme (one of {report.phonemes}); "
        f"{report.prior_accuracy:.1%} are {report.prior_phoneme!r}, the most frequent",
    )
