"""Judges the samples of a prior by a classifier of real images: which class does it see in what was drawn for each?"""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tools.commands import print_result, run_command, table
from tools.errors import InputError

if TYPE_CHECKING:
    import keras
    import numpy as np

    from apps.vq_vae.prior.runs import PriorRun


def judge(
    run: PriorRun,
    training: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    *,
    temperatures: Sequence[float] = (1.0, 0.8),
    count: int = 100,
    epochs: int = 10,
    seed: int = 0,
) -> dict[str, Any]:
    """Trains the classifier on real images, and measures it on others, on their reconstructions and on samples.

    Args:
        run: a prior of images that knows classes.
        training: real images uint8 and the numbers of their classes.
        test: real images that neither the autoencoder nor the prior nor the classifier was trained on, and classes.
        temperatures: of the samples.
        count: samples of each class at each temperature.
        epochs: of the classifier.
        seed: of the classifier and the samples.

    Returns:
        "classifier" (its training images and parameters); "rows": for the real test images, their reconstructions and
        the samples at each temperature "what", "images", "accuracy" (share that the classifier finds of their class)
        and "distinct" (share of different codes among them, None for real images); "by_class": accuracy of the samples
        by temperature and name.

    Raises:
        InputError: for an argument out of range.
    """
    check(temperatures, count, epochs, seed)
    import keras
    import numpy as np

    from apps.vq_vae.images.codes import encode
    from apps.vq_vae.images.data import scaled
    from apps.vq_vae.prior.sampling import decode, sample_codes

    names = run.names["label"]
    keras.utils.set_random_seed(seed)
    model = classifier(run.autoencoder.shape, len(names))
    model.fit(scaled(training[0]), training[1], batch_size=64, epochs=epochs, verbose=0)

    def right(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return model.predict(scaled(images), batch_size=256, verbose=0).argmax(axis=-1) == labels

    images, labels = test
    codes = encode(run.autoencoder, images)
    rows = [
        _row("real images", right(images, labels)),
        _row("their reconstructions", right(decode(run.autoencoder, codes), labels), codes),
    ]
    by_class = {}
    wanted = np.repeat(np.arange(len(names), dtype=np.int32), count)
    for temperature in temperatures:
        codes = sample_codes(run, seed + np.arange(len(wanted)), wanted, temperature=temperature)
        found = right(decode(run.autoencoder, codes), wanted)
        rows.append(_row(f"samples, temperature {temperature:g}", found, codes))
        shares = found.reshape(len(names), count).mean(axis=1)
        by_class[f"{temperature:g}"] = dict(zip(names, shares.tolist(), strict=True))
    return {
        "prior": str(run.path),
        "classifier": {"images": len(training[0]), "parameters": model.count_params(), "epochs": epochs},
        "rows": rows,
        "by_class": by_class,
    }


def check(temperatures: Sequence[float], count: int, epochs: int, seed: int) -> None:
    """Raises an `InputError` for an argument of `judge` out of range."""
    for name, value in (("count", count), ("epochs", epochs)):
        if value < 1:
            raise InputError(f"Expected {name} to be at least 1. Received {value}.")
    # NumPy's global generator takes no larger one.
    if not 0 <= seed < 2**32:
        raise InputError(f"Expected seed to be at least 0 and less than 2^32. Received {seed}.")
    for temperature in temperatures:
        if not 0 <= temperature < float("inf"):
            raise InputError(f"Expected temperatures of at least 0. Received {temperature}.")


def classifier(shape: tuple[int, int, int], classes: int) -> keras.Model:
    """A small network from images, pixels / 255 - 0.5, to probabilities of classes, compiled."""
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(128, activation="relu"),
            layers.Dense(classes, activation="softmax"),
        ],
        name="judge",
    )
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    return model


def read_labelled(run: PriorRun, data: str, labels: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Images as the autoencoder takes them, and the numbers of their classes as the prior knows them.

    Raises:
        InputError: if there are none, not a label for each, or another class.
    """
    from apps.vq_vae.images.codes import labelled

    images = run.autoencoder.read(data)
    return images, labelled(images, data, labels, run.names["label"])[0]


def _row(what: str, right: np.ndarray, codes: np.ndarray | None = None) -> dict[str, Any]:
    import numpy as np

    distinct = None if codes is None else len(np.unique(codes.reshape(len(codes), -1), axis=0)) / len(codes)
    return {"what": what, "images": len(right), "accuracy": float(right.mean()), "distinct": distinct}


# === Command ===


def run_judge(options: argparse.Namespace) -> None:
    """Judges and prints a table."""
    temperatures = options.temperature or (1.0, 0.8)
    check(temperatures, options.count, options.epochs, options.seed)
    from apps.vq_vae.prior.runs import load_prior_run
    from apps.vq_vae.prior.sampling import check_images

    run = load_prior_run(options.prior_run, "best", options.autoencoder)
    check_images(run)
    if "label" not in run.names:
        raise InputError(f"Expected a prior that knows classes. Received {run.path}, trained without --classes.")
    result = judge(
        run,
        read_labelled(run, options.training, options.training_labels),
        read_labelled(run, options.test, options.test_labels),
        temperatures=temperatures,
        count=options.count,
        epochs=options.epochs,
        seed=options.seed,
    )

    def text() -> str:
        rows = [
            [row["what"], row["images"], f"{row['accuracy']:.1%}", _share(row["distinct"])] for row in result["rows"]
        ]
        return table(rows, ["what", "images", "of their class", "distinct codes"])

    print_result(options, result, text)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def build_parser() -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = argparse.ArgumentParser(
        prog="python -m apps.vq_vae.prior.sample_judge",
        description=__doc__.splitlines()[0],
        epilog="example:\n  python -m apps.vq_vae.prior.sample_judge runs/digits_prior digits/train digits/test",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "prior_run", metavar="PRIOR_RUN", type=pathlib.Path, help="a run folder of train-prior --classes"
    )
    parser.add_argument("training", metavar="TRAINING", help="real images with classes for the classifier")
    parser.add_argument("test", metavar="TEST", help="others, to measure it on")
    parser.add_argument("--training-labels", help="file of the classes of TRAINING")
    parser.add_argument("--test-labels", help="file of the classes of TEST")
    parser.add_argument(
        "--temperature", type=float, action="append", help="of the samples, repeatable (default 1 and 0.8)"
    )
    parser.add_argument("--count", type=int, default=100, help="samples of each class (default 100)")
    parser.add_argument("--epochs", type=int, default=10, help="of the classifier (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the classifier and the samples (default 0)")
    parser.add_argument("--autoencoder", metavar="RUN", help="the autoencoder, if it is no longer where it was")
    parser.add_argument("--json", action="store_true", help="print one JSON document, for a program to read")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run_judge)
    return parser


if __name__ == "__main__":
    sys.exit(run_command(build_parser()))
