"""The verbs of `kapps pcrec`: prepare, pretrain, embed, finetune, evaluate, recommend, export, gin."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
from typing import Any

from apps.pcrec.cli_gin import add_gin
from apps.pcrec.cli_pretrain import add_pretrain_commands
from apps.pcrec.flags import COMMAND, FINETUNE, PREPARE, integers, words
from tools.commands import add_command, add_flags, add_group, interruptible, print_result, seed_number, table
from tools.errors import InputError, WrongUse


def add_commands(subparsers: argparse._SubParsersAction) -> None:
    """Adds `pcrec` with its verbs."""
    verbs = add_group(
        subparsers,
        "pcrec",
        help="recommend items from logs of interactions: prepare, pretrain, finetune, evaluate, export",
        example=f"{COMMAND} prepare log.csv --output data/mine --time timestamp",
    )
    _add_prepare(verbs)
    add_pretrain_commands(verbs)
    _add_finetune(verbs)
    _add_evaluate(verbs)
    _add_recommend(verbs)
    _add_export(verbs)
    add_gin(verbs)


def _given(kind: type, options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a configuration among the flags that were given."""
    fields = {field.name for field in dataclasses.fields(kind)}
    return {name: item for name, item in vars(options).items() if name in fields}


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


# === prepare ===


def _add_prepare(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "prepare",
        help="make a log of interactions ready: filter, split, store negatives",
        example=(
            f"{COMMAND} prepare log.csv --output data/mine --user who --item what --time when --minimum-user 5\n"
            f"  {COMMAND} prepare train.csv --validation dev.csv --test test.csv --output data/grocery --time time"
        ),
        run=run_prepare,
    )
    parser.add_argument("log", help="a .csv, .tsv, .txt, .inter (RecBole) or .parquet file")
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="FOLDER", help="a new folder")
    parser.add_argument(
        "--no-header",
        dest="header",
        action="store_false",
        default=argparse.SUPPRESS,
        help="the first line is a row: columns are x1, x2, ...",
    )
    add_flags(parser, PREPARE)


def run_prepare(options: argparse.Namespace) -> None:
    """Prepares and prints the statistics."""
    from apps.pcrec.data.preparing import PrepareConfig, prepare

    prepared = prepare(PrepareConfig(**_given(PrepareConfig, options)), options.output, _tell)
    print_result(options, {"prepared": str(options.output), **prepared.description}, lambda: _statistics_text(prepared))


def _statistics_text(prepared: Any) -> str:
    found = prepared.description["statistics"]
    rows = [
        ["users", f"{found['users']:,}"],
        ["items", f"{found['items']:,}"],
        ["interactions", f"{found['interactions']:,}"],
        ["density", f"{found['density']:.3g}"],
        *[[f"rows of the {name} part", f"{count:,}"] for name, count in found["rows"].items()],
        *[
            [f"training rows of {label}", "{least} to {most}, median {median:g}, mean {mean:.2f}".format(**found[name])]
            for name, label in (("train_per_user", "a user"), ("train_per_item", "an item"))
        ],
        ["Gini of the items' popularity", f"{found['popularity_gini']:.3f}"],
        ["stored negatives of a row", str(found["test"]["negatives"])],
    ]
    return f"{table(rows, ['what', prepared.description['rule']])}\n\nthe prepared folder is {prepared.path}"


# === finetune ===


def _add_finetune(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "finetune",
        help="train a recommender or fit a baseline on a prepared folder",
        example=(
            f"{COMMAND} finetune data/mine --output runs/mf\n"
            f"  {COMMAND} finetune data/mine --output runs/ease --model ease --ease-l2 100,300,1000\n"
            f"  {COMMAND} finetune --output runs/mf --resume"
        ),
        run=run_finetune,
    )
    parser.add_argument("prepared", nargs="?", default=argparse.SUPPRESS, help="a folder that prepare wrote")
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="RUN", help="the run folder, a new one")
    parser.add_argument("--resume", action="store_true", help="go on with the run in RUN, as it began")
    add_flags(parser, FINETUNE)


def run_finetune(options: argparse.Namespace) -> None:
    """Trains and prints the report."""
    from apps.pcrec.runs import TrainingConfig, config_of
    from apps.pcrec.training import train
    from tools.files import read_json

    given = _given(TrainingConfig, options)
    path = options.output / "config.json"
    if options.resume and path.exists():
        config = dataclasses.replace(config_of(read_json(path)), **given)
    elif "prepared" in given:
        config = TrainingConfig(**given)
    else:
        raise WrongUse(f"Expected PREPARED, a folder. Received none, and nothing to resume in {options.output}.")
    with interruptible(options.output / "state.npz", "every whole epoch"):
        report = train(config, options.output, resume=options.resume)
    print_result(options, report, lambda: _report_text(report))


def _report_text(report: dict[str, Any]) -> str:
    chosen = ", ".join(f"{name} {value:g}" for name, value in report["chosen"].items()) or "nothing to choose"
    rows = [["model", report["model"]], ["validation, " + report["monitor"], f"{report['validation']:.4f}"]]
    rows.append(["chosen", chosen])
    if "seconds_per_pass" in report:
        rows.append(["seconds a pass over the interactions", f"{report['seconds_per_pass']:.3f}"])
    return f"{table(rows, ['what', 'value'])}\n\nthe run folder is {report['run']}"


# === evaluate ===


def _add_evaluate(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "evaluate",
        help="measure recommenders by full ranking or among stored negatives, and compare them",
        example=(
            f"{COMMAND} evaluate runs/mf runs/ease runs/popularity\n"
            f"  {COMMAND} evaluate runs/a0 runs/a1 runs/a2 --against runs/b0 runs/b1 runs/b2 --protocol stored --json"
        ),
        run=run_evaluate,
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", type=pathlib.Path, help="run folders that finetune wrote")
    parser.add_argument(
        "--against",
        metavar="RUN",
        nargs="+",
        type=pathlib.Path,
        default=[],
        help="as many runs of the same seeds, to test the difference of each measure",
    )
    parser.add_argument("--prepared", type=pathlib.Path, help="where the prepared folder is now, if it has moved")
    parser.add_argument("--part", default="test", help="test (default) or validation")
    parser.add_argument("--protocol", default="full", help="full (default), or stored: among the stored negatives")
    parser.add_argument("--cutoffs", type=integers, default=(5, 10, 20), metavar="X", help="(default 5,10,20)")
    parser.add_argument("--ties", default="pessimistic", help="pessimistic (default), optimistic, index or quicksort")
    parser.add_argument("--bootstrap", type=int, default=1000, help="resamplings of the users (default 1000)")
    parser.add_argument("--seed", type=seed_number, default=0, help="of the resamplings (default 0)")
    parser.add_argument("--output", type=pathlib.Path, help="a file for the document, as JSON")


def run_evaluate(options: argparse.Namespace) -> None:
    """Measures every run, tests the differences, and prints or writes the document."""
    from apps.pcrec.comparison import check_pairs, compare, measure_runs
    from tools.files import write_json

    if options.against and len(options.against) != len(options.runs):
        raise WrongUse(
            f"Expected as many runs --against, seed by seed. Received {len(options.runs)} and {len(options.against)}."
        )
    if options.bootstrap < 1:
        raise InputError(f"Expected bootstrap to be at least 1. Received {options.bootstrap}.")
    if options.against:
        check_pairs(options.runs, options.against)
    how = {name: getattr(options, name) for name in ("part", "protocol", "cutoffs", "ties", "bootstrap", "seed")}
    paths = [*options.runs, *options.against]
    evaluations = measure_runs(paths, options.prepared, how, _tell)
    document: dict[str, Any] = {
        "runs": [{"run": str(path), **one.document} for path, one in zip(paths, evaluations, strict=True)]
    }
    if options.against:
        half = len(options.runs)
        document["differences"] = compare(evaluations[:half], evaluations[half:], options.bootstrap, options.seed)
    if options.output:
        write_json(options.output, document)
    print_result(options, document, lambda: _evaluation_text(document))


def _evaluation_text(document: dict[str, Any]) -> str:
    first = document["runs"][0]
    names = list(dict.fromkeys(name.partition("@")[0] for name in first["measures"]))
    cutoffs = dict.fromkeys(name.partition("@")[2] for name in first["measures"])
    rows = [
        [one["run"], cutoff, *(f"{one['measures'][f'{name}@{cutoff}']:.4f}" for name in names)]
        for one in document["runs"]
        for cutoff in cutoffs
    ]
    among = f"{first['candidates']} candidates" + (
        f", {' and '.join(first['masked'])} masked" if first["masked"] else ""
    )
    parts = [
        f"{first['part']}: {first['users']} users, {first['rows']} rows, {first['protocol']} protocol, {among}, "
        f"ties {first['ties']}",
        table(rows, ["run", "at", *names]),
    ]
    if "differences" in document:
        lines = []
        for name, tests in document["differences"].items():
            for label, test in tests.items():
                # Without an interval all differences are equal, of which there is no test.
                ends = "all equal" if test["interval"] is None else "{:+.4f} to {:+.4f}".format(*test["interval"])
                p = "" if test["p"] is None else f"{test['p']:.3g}"
                lines.append([name, label, f"{test['difference']:+.4f}", ends, p])
        parts.append(table(lines, ["measure", "over", "RUN less --against", "95 %", "p"]))
    return "\n\n".join(parts)


# === recommend ===


def _add_recommend(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "recommend",
        help="answer with the best items for users, or for somebody who met the given items",
        example=(
            f"{COMMAND} recommend runs/mf --users 17,23 --k 5\n  {COMMAND} recommend runs/mf --items 4,8,15 --json"
        ),
        run=run_recommend,
    )
    parser.add_argument("run_folder", metavar="RUN", type=pathlib.Path, help="a run folder that finetune wrote")
    parser.add_argument("--users", type=words, default=(), metavar="IDS", help="users, separated by commas")
    parser.add_argument("--items", type=words, default=(), metavar="IDS", help="what somebody new met (fold-in)")
    parser.add_argument("--k", type=int, default=10, help="how many items (default 10)")
    parser.add_argument("--exclude", type=words, default=(), metavar="IDS", help="items not to recommend")
    parser.add_argument("--allow", type=words, default=None, metavar="IDS", help="the only items to recommend")
    parser.add_argument("--keep-met", action="store_true", help="recommend what a user met, too")
    parser.add_argument("--prepared", type=pathlib.Path, help="where the prepared folder is now, if it has moved")


def run_recommend(options: argparse.Namespace) -> None:
    """Prints the items of each user, and what the answer goes by."""
    from apps.pcrec.recommendation import Recommendations
    from apps.pcrec.runs import load_run

    if bool(options.users) == bool(options.items):
        raise WrongUse("Expected --users or --items. Received both or neither.")
    run = load_run(options.run_folder)
    service = Recommendations(run, run.prepared(options.prepared) if options.prepared else None)
    lists = {"exclude": options.exclude, "allow": options.allow}
    if options.users:
        answers = service.for_users(options.users, options.k, keep_met=options.keep_met, **lists)
    else:
        answers = [service.for_items(options.items, options.k, **lists)]
    for answer in answers:
        if answer.source == "popularity" and run.personal:
            _tell(f"{_asked(answer)}: nothing was learned of it; the answer is what is most popular")
        elif answer.source == "items" and answer.unknown:
            _tell(f"{', '.join(answer.unknown)}: nothing was learned of it; the answer goes by the others")
        if len(answer.items) < options.k:
            _tell(f"{_asked(answer)}: {len(answer.items)} items are left of the {options.k} asked for")
    print_result(options, [dataclasses.asdict(answer) for answer in answers], lambda: _answers_text(answers))


def _asked(answer: Any) -> str:
    return answer.asked if isinstance(answer.asked, str) else ", ".join(answer.asked)


def _answers_text(answers: list[Any]) -> str:
    rows = [
        [_asked(answer), answer.source, place, str(item), f"{score:.4f}"]
        for answer in answers
        for place, (item, score) in enumerate(zip(answer.items, answer.scores, strict=True), start=1)
    ]
    return table(rows, ["for", "by", "rank", "item", "score"])


# === export ===


def _add_export(verbs: argparse._SubParsersAction) -> None:
    parser = add_command(
        verbs,
        "export",
        help="publish a recommender for TensorFlow Serving and, with --lite, for the edge",
        example=f"{COMMAND} export runs/mf --name mine --lite float32",
        run=run_export,
    )
    parser.add_argument("run_folder", metavar="RUN", type=pathlib.Path, help="a run folder that finetune wrote")
    parser.add_argument("--name", required=True, help="name of the published model")
    parser.add_argument("--base", type=pathlib.Path, default=pathlib.Path("savedmodels"), help="(default savedmodels)")
    parser.add_argument("--version", type=int, help="(default the one after the highest)")
    parser.add_argument("--lite", metavar="PRECISION", help="also a LiteRT file: float32, float16 or dynamic")
    parser.add_argument("--k", type=int, default=20, help="items of an answer of the LiteRT file (default 20)")
    parser.add_argument("--exclude", type=int, default=64, help="items its requests can leave out (default 64)")
    parser.add_argument("--prepared", type=pathlib.Path, help="where the prepared folder is now, if it has moved")


def run_export(options: argparse.Namespace) -> None:
    """Publishes, converts, and prints where and how near to Keras."""
    from apps.pcrec.export import check_lite, export, export_lite
    from apps.pcrec.runs import load_run

    run = load_run(options.run_folder)
    if options.lite:
        check_lite(run, options.lite, options.k, options.exclude)
    published = export(run, base=options.base, name=options.name, version=options.version, prepared=options.prepared)
    document: dict[str, Any] = {"path": str(published.path), "version": published.version, "report": published.report}
    lines = [f"published {published.path}: within {published.report['parity']['largest']:.2g} of Keras"]
    if options.lite:
        folder = options.base / options.name / "lite"
        lite = export_lite(run, folder, options.name, options.lite, options.k, options.exclude, _tell)
        document["lite"] = lite
        latency = lite["report"]["latency"]["median_ms"]
        equal = lite["report"]["agreement"]["item"]["equal_share"]
        lines.append(f"wrote {lite['path']}: {equal:.1%} of the items as Keras, {latency:.2f} ms a user")
    print_result(options, document, "\n".join(lines))
