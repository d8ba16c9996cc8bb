"""What every command shares: arguments, one-line errors, exit status, progress, output for people or programs."""

from __future__ import annotations

import argparse
import ast
import atexit
import contextlib
import gc
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from tools.errors import InputError, WrongUse
from tools.quiet import import_tensorflow_quietly

Item = TypeVar("Item")
# Flag -> type and help. None for a switch; the field of the configuration has the flag's name.
Flags = Mapping[str, tuple[Callable[[str], Any] | None, str]]

FAILED = 1
WRONG_USE = 2


def add_command(
    subparsers: argparse._SubParsersAction,
    name: str,
    *,
    help: str,
    example: str,
    run: Callable[[argparse.Namespace], int | None],
) -> argparse.ArgumentParser:
    """Adds a command with `--json` and `--debug` and returns its parser, to which the caller adds arguments.

    Args:
        subparsers: what `add_subparsers` returned.
        name: the verb.
        help: one sentence, without a full stop.
        example: one or more command lines that work, shown by `--help`.
        run: called with the parsed arguments; returns the exit status, or None for 0. It raises `InputError` for
            anything the user can mend, `WrongUse` where that is the command line.
    """
    parser = subparsers.add_parser(
        name,
        help=help,
        description=f"{help[0].upper()}{help[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document, for a program to read")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)
    return parser


def add_group(
    subparsers: argparse._SubParsersAction, name: str, *, help: str, example: str
) -> argparse._SubParsersAction:
    """Adds a command that only holds verbs, and returns what `add_command` takes; without a verb it shows its help.

    Args:
        subparsers: what `add_subparsers` returned.
        name: the command.
        help: one sentence, without a full stop.
        example: one or more command lines that work, shown by `--help`.
    """
    group = subparsers.add_parser(
        name,
        help=help,
        description=f"{help[0].upper()}{help[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def show_help(_: argparse.Namespace) -> int:
        group.print_help(sys.stderr)
        return WRONG_USE

    group.set_defaults(run=show_help, debug=False)
    return group.add_subparsers(metavar="VERB")


def add_flags(parser: argparse._ActionsContainer, flags: Flags) -> None:
    """Adds the flags of a table, without defaults: a resumed run is compared by those that were given."""
    for flag, (kind, text) in flags.items():
        how: dict[str, Any] = {"action": "store_true"} if kind is None else {"type": kind, "metavar": "X"}
        parser.add_argument(flag, default=argparse.SUPPRESS, help=text, **how)


def value(text: str) -> Any:
    """A Python literal, or the text itself where it is none: 0.5, 8,56,56,3, max."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def seed_number(text: str) -> int:
    """A seed that every generator takes: a whole number from 0 to 2^32 - 1."""
    if not (text.isascii() and text.isdigit() and int(text) < 2**32):
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 2^32 - 1, received {text!r}")
    return int(text)


def pair(text: str) -> tuple[str, Any]:
    """`name=value`, the value as of `value`."""
    name, equals, literal = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"expected name=value, received {text!r}")
    return name, value(literal)


def run_command(parser: argparse.ArgumentParser, arguments: list[str] | None = None) -> int:
    """Parses the arguments, runs the chosen command and returns its exit status: 0, 1 (failed) or 2 (wrong use)."""
    options = parser.parse_args(arguments)
    if not hasattr(options, "run"):
        parser.print_help(sys.stderr)
        return WRONG_USE
    if not options.debug:
        import_tensorflow_quietly()
    try:
        return _status_of(options)
    finally:
        atexit.unregister(_free_cycles)
        atexit.register(_free_cycles, options.debug)


def _free_cycles(debug: bool) -> None:
    """Frees what a command left in cycles, before the interpreter ends.

    A stream of tf.data that calls Python waits for its threads when it is freed. Later it would wait for ever: the
    interpreter stops those threads first.
    """
    if not debug:
        # A file that Ctrl-C left open complains when it is freed.
        sys.unraisablehook = lambda _: None
    gc.collect()


def _status_of(options: argparse.Namespace) -> int:
    try:
        return options.run(options) or 0
    except KeyboardInterrupt:
        print("kapps: interrupted", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        # The reader of our output went away (`kapps ... | head`); what is buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if options.debug:
            raise
        print(f"kapps: error: {one_line(error)}", file=sys.stderr)
        return WRONG_USE if isinstance(error, WrongUse) else FAILED


def one_line(error: BaseException) -> str:
    """The first line of an error's message; an error that is not the user's says its type and how to see more."""
    first, _, rest = str(error).strip().partition("\n")
    if isinstance(error, InputError | OSError):
        return f"{first} (--debug shows the rest)" if rest else first
    return f"unexpected {type(error).__name__}: {first} (--debug shows where)"


@contextlib.contextmanager
def interruptible(file: pathlib.Path, kept: str) -> Iterator[None]:
    """Says after Ctrl-C what is kept in the run folder, if `file` in it shows that something is."""
    try:
        yield
    except KeyboardInterrupt:
        if file.exists():
            print(f"{file.parent}: {kept} is kept; --resume goes on", file=sys.stderr)
        raise


def print_result(options: argparse.Namespace, result: Any, text: Callable[[], str] | str) -> None:
    """Prints `result` as JSON when `--json` was given, otherwise the text for a person."""
    if options.json:
        print(json.dumps(result, indent=2, default=_plain, allow_nan=False))
    else:
        print(text() if callable(text) else text)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def table(rows: list[list[Any]], header: list[str]) -> str:
    """A table in plain text: numbers right, words left."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    numeric = [
        bool(rows) and all(isinstance(row[column], int | float) for row in rows) for column in range(len(header))
    ]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def progress(items: Iterable[Item], total: int, label: str) -> Iterator[Item]:
    """Yields the items and shows on standard error how many are done, at most twice a second.

    On a terminal the line is rewritten in place; elsewhere one line is written every ten seconds, so that a log stays
    readable.
    """
    terminal = sys.stderr.isatty()
    interval = 0.5 if terminal else 10.0
    started = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= interval or (done == total and now - started > 2.0):
            last = now
            line = f"{label}: {done}/{total} ({now - started:.0f} s)"
            print(f"\r{line}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)
    if terminal and last > started:
        print(file=sys.stderr)
