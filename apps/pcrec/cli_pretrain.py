"""The verbs `kapps pcrec pretrain` and `embed`: an encoder learned on one log, and its vectors of another."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
from typing import Any

from apps.pcrec.flags import COMMAND, EMBED, PRETRAIN
from tools.commands import add_command, add_flags, interruptible, print_result, progress, table
from tools.errors import WrongUse


def add_pretrain_commands(verbs: argparse._SubParsersAction) -> None:
    """Adds `pretrain` and `embed`."""
    parser = add_command(
        verbs,
        "pretrain",
        help="train a graph encoder on a log by contrasting subgraphs",
        example=(
            f"{COMMAND} pretrain data/source --output runs/encoder\n  {COMMAND} pretrain --output runs/encoder --resume"
        ),
        run=run_pretrain,
    )
    parser.add_argument("prepared", nargs="?", default=argparse.SUPPRESS, help="a folder that prepare wrote")
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="RUN", help="the run folder, a new one")
    parser.add_argument("--resume", action="store_true", help="go on with the run in RUN, as it began")
    add_flags(parser, PRETRAIN)

    parser = add_command(
        verbs,
        "embed",
        help="the vectors that a pre-trained encoder gives the users and items of a log",
        example=(
            f"{COMMAND} embed runs/encoder data/target --output nodes.npz\n"
            f"  {COMMAND} finetune data/target --initial nodes.npz --initial-norm 0.1 --output runs/warm"
        ),
        run=run_embed,
    )
    parser.add_argument("run_folder", metavar="RUN", type=pathlib.Path, help="a run folder that pretrain wrote")
    parser.add_argument("prepared", help="a folder that prepare wrote, of the target")
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="FILE", help="the .npz to write")
    add_flags(parser, EMBED)


def run_pretrain(options: argparse.Namespace) -> None:
    """Trains and prints the report."""
    from apps.pcrec.pretraining import PretrainingConfig, config_of, pretrain
    from tools.files import read_json

    fields = {field.name for field in dataclasses.fields(PretrainingConfig)}
    given = {name: value for name, value in vars(options).items() if name in fields}
    path = options.output / "config.json"
    if options.resume and path.exists():
        config = dataclasses.replace(config_of(read_json(path)), **given)
    elif "prepared" in given:
        config = PretrainingConfig(**given)
    else:
        raise WrongUse(f"Expected PREPARED, a folder. Received none, and nothing to resume in {options.output}.")
    with interruptible(options.output / "state.npz", "every whole epoch"):
        report = pretrain(config, options.output, resume=options.resume)
    print_result(options, report, lambda: _report_text(report))


def _report_text(report: dict[str, Any]) -> str:
    rows = [
        ["nodes", f"{report['nodes']:,}"],
        ["edges", f"{report['edges']:,}"],
        ["pairs", f"{report['pairs']:,}"],
        ["loss, first and last epoch", f"{report['loss'][0]:.4f} and {report['loss'][-1]:.4f}"],
        ["own pair found first", f"{report['accuracy'][-1]:.4f} (by chance {report['by_chance']:.2g})"],
        ["seconds", f"{report['seconds']:.1f}"],
    ]
    return f"{table(rows, ['what', 'value'])}\n\nthe run folder is {report['run']}"


def run_embed(options: argparse.Namespace) -> None:
    """Embeds every node and writes the file."""
    import numpy as np

    from apps.pcrec.data.prepared import read_prepared
    from apps.pcrec.initial import degree_explained, degrees_of, write_vectors
    from apps.pcrec.pretraining import load_pretrained, make_encoder, node_vectors

    pretrained, target = load_pretrained(options.run_folder), read_prepared(options.prepared)
    if target.digest == pretrained.digest:
        print(f"{target.path}: the encoder was trained on this log itself; nothing is transferred", file=sys.stderr)
    untrained = getattr(options, "untrained", False)
    encoder = make_encoder(pretrained.config) if untrained else pretrained.encoder
    how = {
        name: getattr(options, name) for name in ("views", "batch_size", "seed", "workers") if hasattr(options, name)
    }
    user, item = node_vectors(encoder, pretrained.config, target, progress=progress, **how)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_vectors(options.output, user, item, target)
    mean = np.concatenate([user, item]).mean(axis=0)
    document = {
        "file": str(options.output),
        "users": len(user),
        "items": len(item),
        "channels": user.shape[1],
        "norm_of_the_mean": round(float(np.linalg.norm(mean)), 4),
        "degree_explained": round(degree_explained(user, item, degrees_of(target)), 4),
        "trained": not untrained,
    }
    print_result(
        options,
        document,
        f"wrote {options.output}: vectors of {len(user):,} users and {len(item):,} items; their mean has the norm "
        f"{document['norm_of_the_mean']:g}, and a linear map of them tells {document['degree_explained']:g} of the "
        "variance of the logarithm of the degree",
    )
