"""Several runs on the same users, and whether two groups of them differ."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from apps.pcrec.evaluation.protocol import Evaluation, evaluate
from apps.pcrec.runs import BASELINES, load_run
from apps.pcrec.statistics import paired_over_seeds, paired_over_users
from tools.errors import InputError


def measure_runs(
    paths: list[pathlib.Path], prepared: pathlib.Path | None, how: dict[str, Any], tell: Callable[[str], None]
) -> list[Evaluation]:
    """Evaluates every run on the prepared folder of the first.

    Args:
        paths: run folders.
        prepared: where the prepared folder is now, or None for where the runs say.
        how: keywords of `evaluate`.
        tell: called with a line about each run when it is measured.

    Raises:
        InputError: if a run was trained on another prepared folder.
    """
    runs = [load_run(path) for path in paths]
    strange = [run for run in runs if run.digest != runs[0].digest]
    if strange:
        raise InputError(
            f"Expected runs of one prepared folder. Received {runs[0].path} and {strange[0].path}, of two: were source "
            "and target swapped?"
        )
    data = runs[0].prepared(prepared)
    evaluations = []
    for run in runs:
        evaluations.append(evaluate(run.recommender(data), data, **how))
        tell(f"{run.path}: measured")
    return evaluations


def check_pairs(first: list[pathlib.Path], second: list[pathlib.Path]) -> None:
    """Raises an `InputError` for runs that a test over seeds would take for others than they are.

    Args:
        first: run folders of one method, a seed each.
        second: of another, with the same seeds; a baseline without seeds may be named again and again.
    """
    groups = [[load_run(path) for path in group] for group in (first, second)]
    for group in groups:
        seeded = [str(run.path.resolve()) for run in group if run.config.model not in BASELINES]
        if len(set(seeded)) < len(seeded):
            raise InputError(f"Expected each run once. Received {', '.join(str(run.path) for run in group)}.")
    for one, other in zip(*groups, strict=True):
        models = {one.config.model, other.config.model}
        if not models & set(BASELINES) and one.config.seed != other.config.seed:
            raise InputError(
                f"Expected runs of the same seeds, in the same order. Received {one.path} of seed {one.config.seed} "
                f"and {other.path} of seed {other.config.seed}."
            )


def compare(first: list[Evaluation], second: list[Evaluation], draws: int, seed: int) -> dict[str, Any]:
    """Tests the difference of every measure between two groups of runs, paired in the order given.

    Args:
        first: of one method, a run a seed.
        second: of another, with the same seeds.
        draws: resamplings of the users.
        seed: of the resamplings.

    Returns:
        By measure: "users" (bootstrap over the users, each averaged over the seeds) and, with two seeds or more,
        "seeds" (paired t-test).
    """
    result = {}
    for name in first[0].values:
        groups = [np.stack([one.values[name] for one in group]) for group in (first, second)]
        tests = {"users": paired_over_users(*groups, draws, seed)}
        if len(first) > 1:
            tests["seeds"] = paired_over_seeds(*(group.mean(axis=1) for group in groups))
        result[name] = tests
    return result
