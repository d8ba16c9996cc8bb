"""The command `kapps`: the verbs of every application, and those that work on any model."""

from __future__ import annotations

import argparse
import sys

from tools.commands import run_command


def main(arguments: list[str] | None = None) -> int:
    """Runs `kapps`; returns the exit status (0, 1 failed, 2 wrong use)."""
    return run_command(build_parser(), arguments)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command; building it imports no framework."""
    parser = argparse.ArgumentParser(prog="kapps", description=__doc__.splitlines()[0])
    parser.add_subparsers(metavar="COMMAND")
    return parser


if __name__ == "__main__":
    sys.exit(main())
