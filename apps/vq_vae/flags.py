"""What the flags of `kapps vq-vae` mean, as a table for each verb."""

from __future__ import annotations

import argparse

from tools.commands import Flags, seed_number
from tools.errors import InputError

COMMAND = "kapps vq-vae"
# Of `tools.lite.convert`, which is not imported for `--help`.
PRECISIONS = ("float32", "float16", "dynamic", "int8")


TRAIN: Flags = {
    "--validation": (str, "further images, or recordings, to measure on (default: some held out of DATA)"),
    "--validation-images": (int, "how many are measured after every epoch (default 1000)"),
    "--grey": (None, "read pictures as grey"),
    "--model": (str, "an autoencoder of `kapps vq-vae models` (default vq_vae_cifar10; of audio vq_vae_speech_tiny)"),
    "--likelihood": (str, "mse, gaussian, logistic_mixture or categorical (default mse)"),
    "--steps": (int, "of the whole run (default 10000; of audio 4000)"),
    "--steps-per-epoch": (int, "steps between two lines of the log (default 100; of audio 200)"),
    "--batch-size": (int, "images, or segments, a step (default 32; of audio 16)"),
    "--learning-rate": (float, "of Adam (default 0.0003; of audio 0.001, falling)"),
    "--seed": (seed_number, "of everything random (default 0)"),
}


def refuse_foreign(options: argparse.Namespace, **owners: str) -> None:
    """Refuses flags that another kind of run has: name of the flag -> which.

    Raises:
        InputError: if one was given.
    """
    for name, owner in owners.items():
        if getattr(options, name) is not None:
            raise InputError(f"Expected --{name} only for {owner}. Received it for {options.run_folder}.")


def precisions(text: str) -> tuple[str, ...]:
    """Precisions of LiteRT files, separated by commas."""
    names = tuple(name for name in text.split(",") if name)
    wrong = [name for name in names if name not in PRECISIONS]
    if wrong or not names:
        raise argparse.ArgumentTypeError(f"expected some of {','.join(PRECISIONS)}, received {text!r}")
    return names
