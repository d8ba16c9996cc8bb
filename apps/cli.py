"""The command `kapps`: the verbs of every application, and those that work on any model."""

from __future__ import annotations

import argparse
import importlib
import sys

from tools.commands import add_command, print_result, run_command, table

# Every application, by the name of its package: each has `models` (a registry) and `cli` (its verbs).
APPLICATIONS = ("action_recognition", "margin_classifier", "pcrec", "vq_vae")


def main(arguments: list[str] | None = None) -> int:
    """Runs `kapps`; returns the exit status (0, 1 failed, 2 wrong use)."""
    return run_command(build_parser(), arguments)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command; building it imports no framework."""
    parser = argparse.ArgumentParser(
        prog="kapps",
        description="Keras applications: train, evaluate, publish and serve models, and run them on the edge.",
        epilog="example:\n  kapps models",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(metavar="COMMAND")
    add_command(
        subparsers,
        "models",
        help="list every registered model of every application",
        example="kapps models --json",
        run=list_models,
    )
    for application in APPLICATIONS:
        importlib.import_module(f"apps.{application}.cli").add_commands(subparsers)
    for room in ("serving", "lite"):
        importlib.import_module(f"tools.{room}.cli").add_commands(subparsers)
    return parser


def list_models(options: argparse.Namespace) -> None:
    """Prints application, parameters, multiply-adds, input and source of every registered model."""
    models = [
        {"application": application, **row}
        for application in APPLICATIONS
        for row in importlib.import_module(f"apps.{application}.models").table()
    ]
    columns = ["application", "name", "parameters", "multiply_adds", "input", "source"]
    print_result(options, models, lambda: table([[model[column] for column in columns] for model in models], columns))


if __name__ == "__main__":
    sys.exit(main())
