"""The measured tables of the README.

    python -m apps.margin_classifier.benchmark tables TABLES OUTPUT    all tables beside scikit-learn, in the same folds
    python -m apps.margin_classifier.benchmark flips TABLES OUTPUT     flipped labels on three of them
    python -m apps.margin_classifier.benchmark ionosphere TABLES       the published split
    python -m apps.margin_classifier.benchmark speed                   loss and gradient of ten million predictions

TABLES is a folder of CSV files without header whose last column is the class. What was measured is kept in OUTPUT;
`--only NAME` measures one of the tables, without printing.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tools.commands import progress, table
from tools.errors import InputError

TABLES = (
    "banknote_authentication",
    "breast-cancer-wisconsin",
    "german",
    "ionosphere",
    "mammography",
    "phoneme",
    "pima-indians-diabetes",
    "sonar",
)
FLIPPED = ("breast_cancer", "banknote_authentication", "pima-indians-diabetes")
FLIPS = (0.0, 0.1, 0.2, 0.3, 0.4)
# Of a comparison of each kind.
SETTINGS = {
    "tables": {"flips": (0.0,), "scikit_learn": True},
    "flips": {"flips": FLIPS, "repeats": 4},
}
PREDICTIONS = 10_000_000
ROUNDS = 25


def main(arguments: list[str] | None = None) -> int:
    """Runs one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("tables", "flips", "ionosphere", "speed"))
    parser.add_argument("tables", nargs="?", type=pathlib.Path)
    parser.add_argument("output", nargs="?", type=pathlib.Path)
    parser.add_argument("--only", choices=(*TABLES, "breast_cancer"), metavar="NAME", help="measure this table alone")
    options = parser.parse_args(arguments)
    needed = {"tables": 2, "flips": 2, "ionosphere": 1, "speed": 0}[options.what]
    if len([path for path in (options.tables, options.output) if path is not None]) != needed:
        parser.error(f"expected {options.what} with {needed} paths")
    if options.only and options.what not in SETTINGS:
        parser.error(f"expected --only with {' or '.join(SETTINGS)}")
    try:
        if options.only:
            _compared(options.tables, options.output, options.only, **SETTINGS[options.what])
            return 0
        {"tables": compare_tables, "flips": compare_flips, "ionosphere": ionosphere, "speed": speed}[options.what](
            *[path for path in (options.tables, options.output) if path is not None]
        )
    except InputError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    return 0


def _compared(tables: pathlib.Path, output: pathlib.Path, name: str, **changes: Any) -> dict[str, Any]:
    """One comparison, gone on with where it was interrupted."""
    from apps.margin_classifier.comparison import ComparisonConfig, compare
    from apps.margin_classifier.figures import draw_comparison

    path = breast_cancer_table(output) if name == "breast_cancer" else tables / f"{name}.csv"
    missing = "?" if name == "breast-cancer-wisconsin" else None
    config = ComparisonConfig(data=str(path), header=name == "breast_cancer", drop_missing=missing, **changes)
    folder = output / name
    begun = (folder / "config.json").exists()
    document = compare(config, folder, begun, lambda items, total: progress(items, total, name))
    draw_comparison(document, folder / "comparison.png")
    return document


def breast_cancer_table(output: pathlib.Path) -> pathlib.Path:
    """scikit-learn's breast cancer table (569 rows, 30 columns) as CSV."""
    from sklearn.datasets import load_breast_cancer

    path = output / "breast_cancer.csv"
    if not path.exists():
        data = load_breast_cancer()
        output.mkdir(parents=True, exist_ok=True)
        header = ",".join([*(name.replace(" ", "_") for name in data.feature_names), "benign"])
        rows = np.column_stack([data.data, data.target])
        np.savetxt(path, rows, delimiter=",", header=header, comments="", fmt="%.15g")
    return path


def compare_tables(tables: pathlib.Path, output: pathlib.Path) -> None:
    """Every loss and scikit-learn's linear classifiers on every table: 2 x 5 folds, clean labels."""
    from apps.margin_classifier.peers import PEERS, counterpart
    from apps.margin_classifier.statistics import friedman

    documents = {name: _compared(tables, output, name, **SETTINGS["tables"]) for name in (*TABLES, "breast_cancer")}
    rows, beside = [], []
    for name, document in documents.items():
        found = {row["method"]: row for row in document["flips"][0]["rows"]}
        rows.append([name, *(f"{100 * row['accuracy']:.1f}" for row in found.values())])
        for peer in PEERS:
            ours, theirs = found[counterpart(peer)], found[peer]
            error = theirs["accuracy_deviation"] / np.sqrt(10)
            gap = ours["accuracy"] - theirs["accuracy"]
            verdict = "within" if gap >= -error else "BELOW"
            beside.append(
                [name, counterpart(peer), peer, f"{100 * ours['accuracy']:.2f}", f"{100 * theirs['accuracy']:.2f}"]
            )
            beside[-1] += [f"{100 * gap:+.2f}", f"{100 * error:.2f}", verdict]
    methods = next(iter(documents.values()))["methods"]
    print(table(rows, ["accuracy, %", *methods]))
    scores = np.array([[row["accuracy"] for row in d["flips"][0]["rows"]] for d in documents.values()])
    found = friedman(scores)
    ranks = ", ".join(f"{name} {rank:.2f}" for rank, name in sorted(zip(found.ranks, methods, strict=True)))
    print(f"\nover the {len(documents)} tables: Friedman p = {found.p:.3g}; critical difference of mean ranks ")
    print(f"{found.critical_difference:.2f} (Nemenyi, 5 %); mean ranks: {ranks}\n")
    print(table(beside, ["table", "loss", "scikit-learn", "ours, %", "theirs, %", "gap", "their error", "verdict"]))


def compare_flips(tables: pathlib.Path, output: pathlib.Path) -> None:
    """All losses with 0 to 40 % of the training labels flipped, 4 x 5 folds."""
    for name in FLIPPED:
        document = _compared(tables, output, name, **SETTINGS["flips"])
        for measure in ("accuracy", "auc"):
            rows = [
                [method, *(f"{100 * entry['rows'][place][measure]:.1f}" for entry in document["flips"])]
                for place, method in enumerate(document["methods"])
            ]
            print(f"{name}, {measure}\n{table(rows, ['%', *(f'{flip:.0%}' for flip in FLIPS)])}\n")


def ionosphere(tables: pathlib.Path) -> None:
    """The published split, with every model and loss."""
    from apps.margin_classifier.models import names
    from apps.margin_classifier.recipe import trainable

    split = ionosphere_split(tables)
    shown = [[loss, *(f"{100 * split_accuracy(model, loss, *split):.1f}" for model in names())] for loss in trainable()]
    print(table(shown, [f"accuracy, %, of {len(split[3])}", *names()]))


def ionosphere_split(tables: pathlib.Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features and labels of the first 200 rows, which train, and of the last 151, which are tested."""
    from apps.margin_classifier.data import make_schema, read_table, split_target
    from apps.margin_classifier.preprocessing import feature_model, features_of

    rows, target, labels, classes = split_target(read_table(tables / "ionosphere.csv", header=False), None)
    training = rows.take(np.arange(200))
    schema = make_schema(training, target, classes)
    x = features_of(feature_model(training, schema), rows, schema)
    return x[:200], labels[:200], x[200:], labels[200:]


def split_accuracy(
    model: str, loss: str, x: np.ndarray, labels: np.ndarray, test: np.ndarray, truth: np.ndarray
) -> float:
    """The share of the test rows that a model trained on the others gets right."""
    from apps.margin_classifier.comparison import Fitter
    from apps.margin_classifier.recipe import make_loss

    fitter = Fitter(model, make_loss(loss), x.shape[1], len(x))
    fitter.fit(x, labels)
    return float(np.mean((fitter.scores(test) > 0) == truth))


def speed() -> None:
    """Seconds of loss and gradient, each in one compiled function, taking turns; the fastest of the rounds."""
    import keras
    import tensorflow as tf

    from apps.margin_classifier.recipe import trainable
    from keras_layers import losses

    nearest = {
        "l2_hinge": keras.losses.SquaredHinge(),
        "logit_margin": keras.losses.BinaryCrossentropy(from_logits=True),
        "l2_margin": keras.losses.MeanSquaredError(),
    }
    generator = np.random.default_rng(0)
    scores = tf.constant(generator.normal(0, 2, (PREDICTIONS, 1)).astype("float32"))
    labels = tf.constant(generator.integers(0, 2, (PREDICTIONS, 1)).astype("float32"))
    rows = []
    for name in trainable():
        theirs = nearest.get(name, keras.losses.Hinge())
        ours_step, theirs_step = _step(losses.get(name)), _step(theirs)
        seconds = _in_turns([lambda s=ours_step: s(labels, scores), lambda s=theirs_step: s(labels, scores)])
        traces = ours_step.experimental_get_tracing_count()
        ratio = seconds[0] / seconds[1]
        rows.append([name, f"{1e3 * seconds[0]:.1f}", theirs.name, f"{1e3 * seconds[1]:.1f}", f"{ratio:.2f}", traces])
        print(rows[-1], file=sys.stderr)
    print(table(rows, ["loss", "ms", "nearest of Keras", "ms", "ratio", "traces"]))


def _step(loss: Any) -> Any:
    import tensorflow as tf

    @tf.function(jit_compile=True, autograph=False)
    def step(labels, scores):
        with tf.GradientTape() as tape:
            tape.watch(scores)
            value = loss(labels, scores)
        return value, tape.gradient(value, scores)

    return step


def _in_turns(functions: list[Callable[[], Any]]) -> list[float]:
    times: list[list[float]] = [[] for _ in functions]
    for round_number in range(ROUNDS + 1):
        for seconds, function in zip(times, functions, strict=True):
            started = time.perf_counter()
            function()[0].numpy()
            # The first round compiles.
            if round_number:
                seconds.append(time.perf_counter() - started)
    return [min(seconds) for seconds in times]


if __name__ == "__main__":
    sys.exit(main())
