"""Sentences spoken by the synthesiser flite, with the phonemes of every instant: labelled speech for any machine."""

from __future__ import annotations

import csv
import io
import pathlib
import shutil
import subprocess
from collections.abc import Sequence

import numpy as np

from tools.commands import progress
from tools.errors import InputError
from tools.files import replacing

VOICES = ("kal16", "awb", "rms", "slt")
DETERMINERS = "the|a|this|every|another|some|that|one|no|my|your|our|their|his|her|each"
ADJECTIVES = (
    "quick|brown|lazy|yellow|thick|bright|old|young|quiet|loud|strange|gentle|heavy|small|huge|cold|warm|smooth|rough|"
    "empty|joyful|angry|purple|foreign|modern|early|shallow|usual|square|thirsty"
)
NOUNS = (
    "fox|dog|judge|ship|river|garden|window|teacher|child|village|mountain|engine|letter|voice|bird|church|father|"
    "measure|treasure|boy|house|thumb|kitchen|yard|zebra|shoe|watch|feather|ocean|bridge|coin|toy|path|youth|jug|vision"
)
VERBS = (
    "jumps over|watches|carries|follows|chooses|finds|paints|pushes|hears about|thinks of|loves|joins|buys|measures|"
    "breathes near|walks around|returns to|shouts at|touches|enjoys|uses|throws|catches|describes"
)
ENDINGS = "|today|in the morning|with joy|under the tree|every night|near the south gate|for a year|without a choice"


def sentences(count: int, seed: int = 0) -> list[str]:
    """So many different sentences of one pattern."""
    generator = np.random.default_rng(seed)

    def pick(text: str) -> str:
        choices = text.split("|")
        return choices[generator.integers(len(choices))]

    found: dict[str, None] = {}
    while len(found) < count:
        subject = f"{pick(DETERMINERS)} {pick(ADJECTIVES)} {pick(NOUNS)}"
        found[f"{subject} {pick(VERBS)} {pick(DETERMINERS)} {pick(NOUNS)} {pick(ENDINGS)}".strip()] = None
    return list(found)


def speak(folder: pathlib.Path, count: int, seed: int = 0, voices: Sequence[str] = VOICES) -> list[pathlib.Path]:
    """Writes so many spoken sentences, the voices taking turns, with name.phones beside name.wav and a manifest.csv.

    Args:
        folder: a new one.
        count: of sentences.
        seed: of the sentences.
        voices: of flite.

    Raises:
        InputError: if flite is not installed, a voice is unknown to it, or the folder is not empty.
    """
    if shutil.which("flite") is None:
        raise InputError("Expected the synthesiser flite (Debian: apt install flite). Received a machine without it.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"Expected a new folder. Received {folder}, which is not empty.")
    folder.mkdir(parents=True, exist_ok=True)
    rows, paths = [], []
    for number, text in enumerate(progress(sentences(count, seed), count, "sentences")):
        voice = voices[number % len(voices)]
        path = folder / f"{number:04d}_{voice}.wav"
        done = subprocess.run(
            ["flite", "-voice", voice, "-psdur", "-t", text, str(path)], capture_output=True, text=True, check=False
        )
        if done.returncode or not path.exists() or ":" not in done.stdout:
            reason = (done.stderr or done.stdout).strip().splitlines() or ["no phonemes"]
            raise InputError(f"Expected flite to speak with the voice {voice!r}. Received: {reason[0]}.")
        phones = [part.rsplit(":", 1) for part in done.stdout.split() if ":" in part]
        path.with_suffix(".phones").write_text("".join(f"{name} {end}\n" for name, end in phones))
        rows.append((path.name, voice, text))
        paths.append(path)
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("file", "speaker", "label"), *rows])
    with replacing(folder / "manifest.csv") as partial:
        partial.write_text(table.getvalue())
    return paths
