"""The verbs of `kapps margin-classifier`: models, train, evaluate, compare, predict, explain, export."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import pathlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from apps.margin_classifier.flags import COMMAND, COMPARE, LITE_PRECISIONS, TRAIN, add_reading, some_of
from tools.commands import add_command, add_flags, add_group, interruptible, print_result, progress, seed_number, table
from tools.errors import WrongUse

if TYPE_CHECKING:
    import numpy as np

    from apps.margin_classifier.data import Table
    from apps.margin_classifier.runs import Run


def add_commands(subparsers: argparse._SubParsersAction) -> None:
    """Adds `margin-classifier` with its verbs."""
    verbs = add_group(
        subparsers,
        "margin-classifier",
        help="classify rows of tables with margin losses: models, train, evaluate, compare, predict, explain, export",
        example=f"{COMMAND} train table.csv --target diagnosis --output runs/mine",
    )
    add_command(verbs, "models", help="list the models", example=f"{COMMAND} models --json", run=list_models)
    _add_train(verbs)
    _add_evaluate(verbs)
    _add_compare(verbs)
    _add_predict(verbs)
    _add_explain(verbs)
    _add_export(verbs)


# === models ===


def list_models(options: argparse.Namespace) -> None:
    """Prints parameters, multiply-adds, input, preprocessing and source of every model."""
    from apps.margin_classifier import models

    columns = ["name", "parameters", "multiply_adds", "input", "preprocessing", "source"]
    rows = models.table()
    print_result(options, rows, lambda: table([[row[column] for column in columns] for row in rows], columns))


# === what several verbs do ===


def _configuration(
    options: argparse.Namespace, kind: type, application: str, config_of: Callable[[dict[str, Any]], Any]
) -> Any:
    """A configuration of the flags that were given; with --resume those of the run in --output are kept."""
    from apps.margin_classifier.runs import read_config
    from tools.training.run_folder import CONFIGURATION

    fields = {field.name for field in dataclasses.fields(kind)}
    given = {name: item for name, item in vars(options).items() if name in fields}
    if options.resume and (options.output / CONFIGURATION).exists():
        return dataclasses.replace(config_of(read_config(options.output, application)), **given)
    if "data" not in given:
        raise WrongUse(f"Expected DATA, a table. Received none, and nothing to resume in {options.output}.")
    return kind(**given)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN", type=pathlib.Path, help="a run folder that train wrote")


def _load(options: argparse.Namespace, *, labelled: bool) -> tuple[Run, Table, np.ndarray | None]:
    """The run, the table, and its labels; says which categories training did not have."""
    from apps.margin_classifier.data import unseen_categories
    from apps.margin_classifier.runs import load_run

    run = load_run(options.run_folder)
    rows, labels = run.read(options.data, labelled=labelled)
    for column, (count, value) in unseen_categories(rows, run.schema).items():
        print(
            f"column {column!r}: {count} rows have a category that training did not have, as {value!r}; it counts as "
            "none of those known",
            file=sys.stderr,
        )
    return run, rows, labels


# === train ===


def _add_train(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "train",
        help="train a classifier on a table",
        example=(
            f"{COMMAND} train table.csv --target diagnosis --output runs/mine --loss l2_hinge --class-weight balanced\n"
            f"  {COMMAND} train --output runs/mine --resume"
        ),
        run=run_train,
    )
    parser.add_argument("data", nargs="?", default=argparse.SUPPRESS, help="a .csv or .parquet file")
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="RUN", help="the run folder, a new one")
    parser.add_argument("--resume", action="store_true", help="go on with the run in RUN, as it began")
    add_reading(parser)
    add_flags(parser, TRAIN)


def run_train(options: argparse.Namespace) -> None:
    """Trains and prints the report."""
    from apps.margin_classifier.runs import APPLICATION
    from apps.margin_classifier.training import TrainingConfig, config_of, train

    config = _configuration(options, TrainingConfig, APPLICATION, config_of)
    with interruptible(options.output / "state.npz", "every whole epoch"):
        report = train(config, options.output, resume=options.resume)
    print_result(
        options,
        report,
        lambda: (
            f"{_measures_text(report['held_out'])}\n\nmeasured on the rows held out, which also chose the epoch and "
            f"the calibration\nthe run folder is {options.output}"
        ),
    )


def _measures_text(measures: dict[str, Any]) -> str:
    shown = ("accuracy", "balanced_accuracy", "auc", "log_loss", "brier", "calibration_error", "mean_cost")
    intervals = {name: "{:.4f} to {:.4f}".format(*ends) for name, ends in measures.get("intervals", {}).items()}
    rows = [[name, "none" if measures[name] is None else f"{measures[name]:.4f}"] for name in shown]
    header = ["measure", "value"]
    if intervals:
        rows = [[*row, intervals.get(row[0], "")] for row in rows]
        header.append("95 % interval")
    (right, false), (missed, found) = measures["confusion"]
    counts = f"{right} and {found} right, {false} false positives, {missed} false negatives"
    return f"{measures['rows']} rows: {counts} at {measures['threshold']:.3g}\n\n{table(rows, header)}"


# === evaluate ===


def _add_evaluate(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "evaluate",
        help="measure a classifier on a labelled table",
        example=f"{COMMAND} evaluate runs/mine test.csv --json",
        run=run_evaluate,
    )
    _add_run(parser)
    parser.add_argument("data", help="a .csv or .parquet file with the columns and the target of the training table")
    parser.add_argument("--bootstrap", type=int, default=1000, help="resamplings for the interval (default 1000)")
    parser.add_argument("--seed", type=seed_number, default=0, help="of the resamplings (default 0)")
    parser.add_argument(
        "--output", type=pathlib.Path, help="folder for evaluation.json and confusion.png (default RUN/evaluation)"
    )


def run_evaluate(options: argparse.Namespace) -> None:
    """Evaluates, writes evaluation.json and confusion.png, and prints the measures."""
    import numpy as np

    from apps.margin_classifier.evaluation import measure
    from tools.figures import draw_confusion
    from tools.files import write_json

    run, rows, labels = _load(options, labelled=True)
    result = measure(
        run.answer(rows)[1],
        labels,
        threshold=run.threshold,
        costs=tuple(run.summary["costs"]),
        bootstrap=options.bootstrap,
        seed=options.seed,
    )
    folder = options.output or options.run_folder / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    draw_confusion(np.array(result["confusion"]), run.schema.classes, folder / "confusion.png")
    document = {"run": str(run.path), "data": options.data, **result}
    write_json(folder / "evaluation.json", document)
    print_result(options, document, lambda: f"{_measures_text(result)}\n\nthe confusion is in {folder}")


# === compare ===


def _add_compare(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "compare",
        help="compare all losses on a table, with clean and with flipped labels",
        example=(
            f"{COMMAND} compare table.csv --target diagnosis --output comparisons/mine --flips 0,0.3 --scikit-learn\n"
            f"  {COMMAND} compare --output comparisons/mine --resume"
        ),
        run=run_compare,
    )
    parser.add_argument("data", nargs="?", default=argparse.SUPPRESS, help="a .csv or .parquet file")
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="FOLDER", help="a new folder")
    parser.add_argument("--resume", action="store_true", help="go on with the comparison in FOLDER, as it began")
    add_reading(parser)
    add_flags(parser, COMPARE)


def run_compare(options: argparse.Namespace) -> None:
    """Compares, writes comparison.json and comparison.png, and prints a table for each share of flips."""
    from apps.margin_classifier.comparison import APPLICATION, ComparisonConfig, compare, config_of
    from apps.margin_classifier.figures import draw_comparison

    config = _configuration(options, ComparisonConfig, APPLICATION, config_of)
    with interruptible(options.output / "config.json", "every whole training"):
        document = compare(
            config, options.output, options.resume, lambda items, total: progress(items, total, "training")
        )
    draw_comparison(document, options.output / "comparison.png")
    print_result(options, document, lambda: _comparison_text(document, options.output))


def _comparison_text(document: dict[str, Any], folder: pathlib.Path) -> str:
    parts = []
    for entry in document["flips"]:
        tests = entry["tests"]["accuracy"]
        rows = [
            [
                row["method"],
                f"{row['accuracy']:.4f} ± {row['accuracy_deviation']:.4f}",
                f"{row['auc']:.4f} ± {row['auc_deviation']:.4f}",
                f"{row['log_loss']:.4f}",
                f"{row['seconds']:.2f}",
                *([f"{tests['mean_ranks'][row['method']]:.2f}"] if tests else []),
            ]
            for row in entry["rows"]
        ]
        header = ["method", "accuracy", "AUC", "log loss *", "seconds", *(["mean rank"] if tests else [])]
        parts.append(f"{entry['flip']:.0%} of the training labels flipped\n\n{table(rows, header)}")
        if tests:
            worse = [name for name, p in tests["corrected_t_p_against_best"].items() if p < 0.05]
            parts.append(
                f"Friedman p = {tests['friedman_p']:.2g}; Nemenyi: ranks that differ by more than "
                f"{tests['critical_difference']:.2f} differ at 5 %.\nWorse than {tests['best']} at 5 % by the "
                f"corrected resampled t-test with Holm: {', '.join(worse) or 'none'}. The best was chosen on the same "
                "folds, so these tests find a little too much."
            )
    notes = (
        "* of Platt's probabilities, fitted to the scores and the labels, flips included, of the training rows\n"
        f"mean ± deviation over the folds; the picture is {folder / 'comparison.png'}"
    )
    return "\n\n".join([*parts, notes])


# === predict ===


def _add_predict(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "predict",
        help="classify the rows of a table",
        example=f"{COMMAND} predict runs/mine rows.csv > answers.csv",
        run=run_predict,
    )
    _add_run(parser)
    parser.add_argument("data", help="a .csv or .parquet file with the columns of the training table")


def run_predict(options: argparse.Namespace) -> None:
    """Prints number, class, probability and score of every row, as CSV or JSON."""
    from apps.margin_classifier.training import predict

    run, rows, _ = _load(options, labelled=False)
    answers = predict(run, rows)

    def text() -> str:
        lines = io.StringIO()
        writer = csv.DictWriter(lines, list(answers[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(answers)
        return lines.getvalue().rstrip("\n")

    print_result(options, answers, text)


# === explain ===


def _add_explain(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "explain",
        help="show what a classifier goes by, and where it is most wrong",
        example=f"{COMMAND} explain runs/mine test.csv --worst 5",
        run=run_explain,
    )
    _add_run(parser)
    parser.add_argument("data", help="a .csv or .parquet file with the columns and the target of the training table")
    parser.add_argument("--repeats", type=int, default=5, help="shuffles of each column (default 5)")
    parser.add_argument("--worst", type=int, default=10, help="most violated examples to list (default 10)")
    parser.add_argument("--seed", type=seed_number, default=0, help="of the shuffles (default 0)")
    parser.add_argument("--output", type=pathlib.Path, help="folder for explanation.json and agreements.png")


def run_explain(options: argparse.Namespace) -> None:
    """Explains, and with --output writes explanation.json and agreements.png."""
    from apps.margin_classifier.explanation import explain
    from apps.margin_classifier.figures import draw_agreements
    from tools.files import write_json

    run, rows, labels = _load(options, labelled=True)
    document, agreements = explain(
        run,
        rows,
        labels,
        repeats=options.repeats,
        worst=options.worst,
        seed=options.seed,
        show=lambda items, total: progress(items, total, "shuffling"),
    )
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        write_json(options.output / "explanation.json", document)
        draw_agreements(agreements, labels, run.schema.classes, options.output / "agreements.png")
    print_result(options, document, lambda: _explanation_text(document))


def _explanation_text(document: dict[str, Any]) -> str:
    parts = []
    if document["weights"] is not None:
        rows = [[row["feature"], f"{row['weight']:+.4f}"] for row in document["weights"][:20]]
        parts.append(table(rows, ["feature, normalised", "weight"]))
    rows = [[row["column"], f"{row['auc_lost']:+.4f} ± {row['deviation']:.4f}"] for row in document["importance"][:20]]
    parts.append(table(rows, ["column", f"AUC lost of {document['auc']:.4f} when shuffled"]))
    quantiles = "  ".join(f"{float(share):.0%} {value:.3g}" for share, value in document["agreements"].items())
    parts.append(
        f"agreements: {document['mistakes']:.1%} below 0, {document['within_the_margin']:.1%} from 0 to 1\n{quantiles}"
    )
    rows = [
        [row["row"], row["class"], f"{row['score']:+.3f}", f"{row['probability']:.4f}"] for row in document["violated"]
    ]
    parts.append(table(rows, ["row, most violated", "class", "score", "probability"]))
    return "\n\n".join(parts)


# === export ===


def _add_export(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "export",
        help="publish a classifier for TensorFlow Serving and, with --lite, for the edge",
        example=f"{COMMAND} export runs/mine --name mine --lite float32",
        run=run_export,
    )
    _add_run(parser)
    parser.add_argument("--base", type=pathlib.Path, default=pathlib.Path("savedmodels"), help="default savedmodels")
    parser.add_argument("--name", help="of the published model (default: the name of the run folder)")
    parser.add_argument("--version", type=int, help="default: the next free one")
    parser.add_argument(
        "--lite",
        type=some_of(*LITE_PRECISIONS),
        default=(),
        metavar="PRECISIONS",
        help="also write RUN/lite/NAME_PRECISION.tflite for each of float32,float16,dynamic that is named",
    )


def run_export(options: argparse.Namespace) -> None:
    """Publishes the run and prints where."""
    from apps.margin_classifier.export import export, export_lite
    from apps.margin_classifier.runs import load_run

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    run = load_run(options.run_folder)
    name = options.name or run.path.resolve().name
    tell(f"publishing {name} through the gate")
    published = export(run, base=options.base, name=name, version=options.version)
    document = {"path": str(published.path), "version": published.version, "report": published.report, "lite": {}}
    lines = [f"published {published.path}"]
    for precision in options.lite:
        document["lite"][precision] = export_lite(run, run.path / "lite", name, precision, tell)
        lines.append(f"wrote {document['lite'][precision]['path']}")
    print_result(options, document, "\n".join(lines))
