"""Whether an encoder that was pre-trained on one log helps on another: every form, every seed, one table.

Per seed an encoder is pre-trained on the source for each way to draw subgraphs; its vectors of the target's nodes are
brought into each form, matrix factorisation begins with them, and is measured on the test part of the target beside
matrix factorisation from small random numbers, popularity and EASE. Whatever is done is kept: the same command goes on
where it stopped, and runs more seeds if more are asked for.

Example:
    python -m apps.pcrec.transfer_comparison data/electronics data/phone --output runs/transfer --seeds 5
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
from typing import Any

from apps.pcrec.flags import words
from tools.commands import print_result, progress, run_command, table
from tools.errors import InputError

# How subgraphs are drawn for the encoder; None for the encoder of "walk" before any training.
ENCODERS: dict[str, dict[str, Any] | None] = {
    "walk": {},
    "untrained": None,
    "hops_2": {"method": "neighbourhood", "hops": 2},
    "hops_3": {"method": "neighbourhood", "hops": 3},
}


@dataclasses.dataclass(frozen=True)
class Form:
    """One row of the table.

    Attributes:
        model: of `finetune`.
        encoder: whose vectors it begins with, of `ENCODERS`; None for small random numbers.
        initial_form: of `apps.pcrec.initial.FORMS`.
        fine_tuned: whether the vectors are trained on the target.
        seeded: whether it differs from seed to seed.
    """

    model: str = "mf"
    encoder: str | None = None
    initial_form: str = "given"
    fine_tuned: bool = True
    seeded: bool = True


BASELINE = "scratch"
PRETRAINED = "pretrained"
FORMS: dict[str, Form] = {
    "popularity": Form("popularity", seeded=False),
    "ease": Form("ease", seeded=False),
    BASELINE: Form(),
    PRETRAINED: Form(encoder="walk"),
    "not_fine_tuned": Form(encoder="walk", fine_tuned=False),
    "centred": Form(encoder="walk", initial_form="centred"),
    "random_same_norm": Form(encoder="walk", initial_form="random"),
    "shuffled": Form(encoder="walk", initial_form="shuffled"),
    "degree_only": Form(encoder="walk", initial_form="degree"),
    "untrained": Form(encoder="untrained"),
    "hops_2": Form(encoder="hops_2"),
    "hops_3": Form(encoder="hops_3"),
}
CUTOFFS = (10, 20)
SHOWN = ("full hr@10", "full ndcg@10", "full hr@20", "stored hr@10", "stored ndcg@10")

# Flag -> type and help; fields of `finetune` and, with "pretrain_" before them, of `pretrain`.
FINETUNE = {
    "--epochs": (int, "of the fine-tuning at most"),
    "--patience": (int, "epochs without improvement after which fine-tuning stops"),
    "--passes": (int, "over the interactions in an epoch"),
    "--batch-size": (int, "interactions in a step"),
    "--learning-rate": (float, "of the fine-tuning"),
    "--l2": (float, "weight of the squared vectors of a batch"),
    "--monitor": (str, "measure on the validation part that chooses the epoch"),
}
PRETRAIN = {
    "--pretrain-epochs": (int, "of the pre-training"),
    "--pretrain-steps-per-epoch": (int, "of the pre-training"),
    "--pretrain-queue-size": (int, "of the pre-training"),
}


def main(arguments: list[str] | None = None) -> int:
    """Runs what is not done yet and prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m apps.pcrec.transfer_comparison",
        description="Whether an encoder that was pre-trained on one log helps on another.",
        epilog="example:\n  python -m apps.pcrec.transfer_comparison data/source data/target --output runs/transfer",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=pathlib.Path, help="a folder that prepare wrote, to pre-train on")
    parser.add_argument("target", type=pathlib.Path, help="another, to fine-tune and measure on")
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="FOLDER", help="for all runs; goes on")
    parser.add_argument(
        "--encoders",
        type=pathlib.Path,
        metavar="FOLDER",
        help="of pre-trainings that other targets share (default: --output)",
    )
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0, 1, ... (default 5)")
    parser.add_argument("--forms", type=words, default=tuple(FORMS), help=f"of {', '.join(FORMS)} (default all)")
    parser.add_argument("--initial-norm", type=float, default=0.1, help="mean norm of the vectors (default 0.1)")
    for flag, (kind, text) in {**FINETUNE, **PRETRAIN}.items():
        parser.add_argument(
            flag, type=kind, default=argparse.SUPPRESS, metavar="X", help=f"{text} (default: the verb's)"
        )
    parser.add_argument("--json", action="store_true", help="print the document")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run_comparison)
    return run_command(parser, arguments)


def run_comparison(options: argparse.Namespace) -> None:
    """Runs, keeps each result as it comes, and prints the table with the tests over the seeds."""
    strange = [name for name in options.forms if name not in FORMS]
    if strange or not options.forms:
        raise InputError(f"Expected forms of {', '.join(FORMS)}. Received {', '.join(strange) or 'none'}.")
    if options.seeds < 1:
        raise InputError(f"Expected seeds to be at least 1. Received {options.seeds}.")
    comparison = Comparison(
        options.source,
        options.target,
        options.output,
        options.initial_norm,
        _given(FINETUNE, options),
        _pretrain(options),
        encoders=options.encoders,
    )
    # Seed by seed, so that an interrupted comparison is a whole one of fewer seeds.
    for seed in range(options.seeds):
        for name in options.forms:
            comparison.result(name, seed if FORMS[name].seeded else 0)
    document = comparison.document()
    print_result(options, document, lambda: text(document))


def _given(flags: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    names = [flag.removeprefix("--").replace("-", "_") for flag in flags]
    return {name: getattr(options, name) for name in names if hasattr(options, name)}


def _pretrain(options: argparse.Namespace) -> dict[str, Any]:
    return {name.removeprefix("pretrain_"): value for name, value in _given(PRETRAIN, options).items()}


class Comparison:
    """The runs in a folder, and results.json with what each was worth.

    Args:
        source: prepared folder to pre-train on.
        target: prepared folder to fine-tune and measure on, another.
        folder: of all runs.
        initial_norm: mean norm of the vectors to begin with.
        finetune: fields of `TrainingConfig` that are not the default.
        pretrain: fields of `PretrainingConfig` that are not the default.
        encoders: of the pre-trainings, to share them with comparisons on other targets; None for `folder`.

    Raises:
        InputError: if source and target are one, the target has no stored negatives, or the folder holds a comparison
            of another configuration.
    """

    def __init__(
        self,
        source: pathlib.Path,
        target: pathlib.Path,
        folder: pathlib.Path,
        initial_norm: float,
        finetune: dict[str, Any],
        pretrain: dict[str, Any],
        encoders: pathlib.Path | None = None,
    ):
        from apps.pcrec.data.prepared import read_prepared
        from apps.pcrec.evaluation.protocol import PROTOCOLS, check_cutoff
        from tools.files import read_json
        from tools.training import open_run

        self.source, self.target = read_prepared(source), read_prepared(target)
        if self.source.digest == self.target.digest:
            raise InputError(f"Expected another prepared folder as target. Received {target}, the source's log.")
        for protocol in PROTOCOLS:
            check_cutoff(max(CUTOFFS), self.target.test, protocol, len(self.target.items))
        self.initial_norm, self.finetune, self.pretrain = initial_norm, finetune, pretrain
        described = {
            "application": "pcrec",
            "kind": "transfer_comparison",
            "source": self.source.digest,
            "target": self.target.digest,
            "initial_norm": initial_norm,
            "finetune": finetune,
            "pretrain": pretrain,
        }
        self.folder = open_run(folder, described, resume=(folder / "config.json").exists())
        self.encoders = encoders or self.folder
        self._path = self.folder / "results.json"
        self._results: dict[str, dict[str, Any]] = read_json(self._path) if self._path.exists() else {}

    def result(self, name: str, seed: int) -> dict[str, Any]:
        """The measures of a form and a seed, by "protocol measure"; trains what is not there yet."""
        from apps.pcrec.evaluation.protocol import evaluate
        from apps.pcrec.runs import TrainingConfig, load_run
        from apps.pcrec.training import train
        from tools.files import write_json

        if str(seed) in self._results.get(name, {}):
            return self._results[name][str(seed)]
        form, run_folder = FORMS[name], self.folder / f"{name}_{seed}"
        fields = dict(self.finetune)
        if form.encoder:
            fields |= {"initial": str(self._vectors(form.encoder, seed)), "initial_form": form.initial_form}
            fields |= {"initial_norm": self.initial_norm}
        if not form.fine_tuned:
            fields["epochs"] = 0
        config = TrainingConfig(prepared=str(self.target.path), model=form.model, seed=seed, **fields)
        print(f"{name}, seed {seed}", file=sys.stderr, flush=True)
        report = train(config, run_folder, resume=run_folder.exists())
        recommender = load_run(run_folder).recommender(self.target)
        measures = {"validation": report["validation"]}
        for protocol in ("full", "stored"):
            found = evaluate(recommender, self.target, protocol=protocol, cutoffs=CUTOFFS).document["measures"]
            measures |= {f"{protocol} {measure}": value for measure, value in found.items()}
        self._results.setdefault(name, {})[str(seed)] = measures
        write_json(self._path, self._results)
        return measures

    def _vectors(self, encoder: str, seed: int) -> pathlib.Path:
        """The file of the target's vectors; pre-trains and embeds if it is not there."""
        from apps.pcrec.initial import write_vectors
        from apps.pcrec.pretraining import PretrainingConfig, load_pretrained, make_encoder, node_vectors, pretrain

        path = self.folder / f"vectors_{encoder}_{seed}.npz"
        if path.exists():
            return path
        fields = {**(ENCODERS[encoder] or {}), **self.pretrain}
        config = PretrainingConfig(prepared=str(self.source.path), seed=seed, **fields)
        if ENCODERS[encoder] is None:
            model = make_encoder(config)
        else:
            run_folder = self.encoders / f"encoder_{encoder}_{seed}"
            print(f"encoder {encoder}, seed {seed}", file=sys.stderr, flush=True)
            pretrain(config, run_folder, resume=run_folder.exists())
            model = load_pretrained(run_folder).encoder
        write_vectors(path, *node_vectors(model, config, self.target, seed=seed, progress=progress), self.target)
        return path

    def document(self) -> dict[str, Any]:
        """Means over the seeds of what is done, and the differences from `BASELINE` and `PRETRAINED` over common seeds.

        The first tells whether a form helps; the second whether what helps is what the encoder learned.
        """
        import numpy as np

        rows = {}
        for name in (name for name in FORMS if name in self._results):
            seeds = self._results[name]
            means = {
                measure: float(np.mean([one[measure] for one in seeds.values()]))
                for measure in next(iter(seeds.values()))
            }
            tests = {f"against_{other}": self._against(name, other) for other in (BASELINE, PRETRAINED)}
            rows[name] = {"seeds": sorted(map(int, seeds)), "measures": means, **tests}
        return {"source": str(self.source.path), "target": str(self.target.path), "forms": rows}

    def _against(self, name: str, reference: str) -> dict[str, Any]:
        """The paired t-test over the seeds of each shown measure; nothing with fewer than two seeds of both."""
        from apps.pcrec.statistics import paired_over_seeds

        own, other = self._results[name], self._results.get(reference, {})
        common = sorted(set(own) & set(other)) if FORMS[name].seeded else sorted(other)
        if name == reference or len(common) < 2:
            return {}
        # What does not depend on the seed is one value beside each seed of the reference.
        at = {seed: own[seed] if FORMS[name].seeded else own["0"] for seed in common}
        return {
            measure: paired_over_seeds(
                [at[seed][measure] for seed in common], [other[seed][measure] for seed in common]
            )
            for measure in SHOWN
        }


def text(document: dict[str, Any]) -> str:
    """The table for a person."""
    rows = []
    for name, row in document["forms"].items():
        tests = [row[f"against_{other}"].get("full ndcg@10") for other in (BASELINE, PRETRAINED)]
        differences = [_difference(test) if test else "" for test in tests]
        rows.append([name, len(row["seeds"]), *(f"{row['measures'][one]:.4f}" for one in SHOWN), *differences])
    header = ["form", "seeds", *SHOWN, *(f"full ndcg@10 less {other}" for other in (BASELINE, PRETRAINED))]
    return f"from {document['source']} to {document['target']}\n\n{table(rows, header)}"


def _difference(test: dict[str, Any]) -> str:
    p = "all equal" if test["p"] is None else f"p {test['p']:.2g}"
    return f"{test['difference']:+.4f} ({p})"


if __name__ == "__main__":
    sys.exit(main())
