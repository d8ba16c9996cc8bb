"""A protocol: a recommender and a part of a prepared folder in, measures out."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from apps.pcrec.data.prepared import Part, Prepared
from apps.pcrec.evaluation.metrics import NAMES, measure
from apps.pcrec.evaluation.ranking import check_rule, rank_all, rank_among_negatives
from apps.pcrec.statistics import gini, intervals
from tools.errors import InputError

if TYPE_CHECKING:
    from apps.pcrec.recommenders import Recommender

PROTOCOLS = ("full", "stored")
# What is no candidate when a part is judged: what was known by then.
MASKED = {"validation": ("train",), "test": ("train", "validation")}


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a recommender is worth on a part.

    Attributes:
        users: indices of the users, sorted, int (users,).
        values: by name ("ndcg@10"), of each user, float64 (users,).
        document: the means and all else as plain values.
    """

    users: np.ndarray
    values: dict[str, np.ndarray]
    document: dict[str, Any]


def check_names(cutoffs: tuple[int, ...], protocol: str) -> None:
    """Raises an `InputError` for cutoffs or a protocol that are none."""
    if not cutoffs or any(cutoff < 1 for cutoff in cutoffs):
        raise InputError(f"Expected cutoffs of at least 1. Received {', '.join(map(str, cutoffs)) or 'none'}.")
    if protocol not in PROTOCOLS:
        raise InputError(f"Expected protocol to be one of {', '.join(PROTOCOLS)}. Received {protocol!r}.")


def parse_monitor(text: str) -> tuple[str, int]:
    """The name and the cutoff of a measure such as ndcg@10.

    Raises:
        InputError: if it is none.
    """
    name, _, cutoff = text.partition("@")
    if name not in NAMES or not cutoff.isdigit() or int(cutoff) < 1:
        raise InputError(f"Expected a measure of {', '.join(NAMES)} with a cutoff, as ndcg@10. Received {text!r}.")
    return name, int(cutoff)


def judged(prepared: Prepared, name: str) -> tuple[Part, int]:
    """The rows of a part whose users have training interactions, and how many rows have not."""
    part = prepared.part(name)
    known = np.bincount(prepared.train.user, minlength=len(prepared.users))[part.user] > 0
    if not known.any():
        raise InputError(f"Expected users of the {name} part with training interactions. Received none.")
    return take(part, known), int((~known).sum())


def take(part: Part, rows: np.ndarray) -> Part:
    """The rows of a part."""
    return Part(**{name: array[rows] for name, array in part.arrays().items()})


def evaluate(
    recommender: Recommender,
    prepared: Prepared,
    *,
    part: str = "test",
    protocol: str = "full",
    cutoffs: tuple[int, ...] = (5, 10, 20),
    ties: str = "pessimistic",
    bootstrap: int = 0,
    seed: int = 0,
) -> Evaluation:
    """Measures a recommender.

    Args:
        recommender: trained on the training part.
        prepared: the data.
        part: "validation", with the training items masked, or "test", with those of validation too.
        protocol: "full", among all items; "stored", among the stored negatives.
        cutoffs: values of K.
        ties: the rule, see `apps.pcrec.evaluation.ties`.
        bootstrap: resamplings of the users for the intervals; 0 for none.
        seed: of the resamplings.

    Raises:
        InputError: for arguments that are none, or where there is nobody to judge by.
    """
    check_names(cutoffs, protocol)
    check_rule(ties, full=protocol == "full")
    if part not in MASKED:
        raise InputError(f"Expected part to be one of {', '.join(MASKED)}. Received {part!r}.")
    rows, unknown = judged(prepared, part)
    items = len(prepared.items)
    check_cutoff(max(cutoffs), rows, protocol, items)
    if protocol == "full":
        ranking = rank_all(recommender, rows, prepared.matrix(*MASKED[part]), rule=ties, top=max(cutoffs))
    else:
        ranking = rank_among_negatives(recommender, rows, rule=ties)
    users, values = measure(ranking.user, ranking.rank, cutoffs)
    means = {name: float(array.mean()) for name, array in values.items()}
    document: dict[str, Any] = {
        "part": part,
        "protocol": protocol,
        "candidates": items if protocol == "full" else rows.negatives.shape[1] + 1,
        "masked": list(MASKED[part]) if protocol == "full" else [],
        "ties": ties,
        "users": len(users),
        "rows": len(rows),
        "rows_of_unseen_users": unknown,
        "measures": means,
    }
    if ranking.top is not None:
        shown = [np.bincount(ranking.top[:, :cutoff].ravel() + 1, minlength=items + 1)[1:] for cutoff in cutoffs]
        for cutoff, counts in zip(cutoffs, shown, strict=True):
            means[f"coverage@{cutoff}"] = float((counts > 0).mean())
            means[f"gini@{cutoff}"] = gini(counts)
    if bootstrap:
        ends = intervals(np.stack(list(values.values()), axis=1), bootstrap, seed)
        document["intervals"] = dict(zip(values, ends.tolist(), strict=True))
        document["bootstrap"] = bootstrap
    return Evaluation(users, values, document)


def check_cutoff(cutoff: int, part: Part, protocol: str, items: int) -> None:
    """Raises an `InputError` where a part has not as many candidates as the cutoff, by the protocol."""
    if protocol == "stored" and part.negatives is None:
        raise InputError("Expected stored negatives (prepare --negatives 99). Received a prepared folder without.")
    candidates = items if protocol == "full" else part.negatives.shape[1] + 1
    if cutoff > candidates:
        raise InputError(
            f"Expected cutoffs up to the {candidates} candidates (--cutoffs, --monitor). Received {cutoff}."
        )


class Monitor:
    """One measure on the validation part, computed again and again while a model trains.

    Args:
        prepared: the data.
        measure: as ndcg@10.
        protocol: "full" or "stored".
        users: at most so many rows, drawn once; 0 for all.
        seed: of the draw.
    """

    def __init__(self, prepared: Prepared, measure: str, protocol: str, users: int, seed: int):
        self.name, self.cutoff = parse_monitor(measure)
        check_names((self.cutoff,), protocol)
        self.measure, self.protocol = measure, protocol
        self.masked = prepared.matrix(*MASKED["validation"])
        self.part, _ = judged(prepared, "validation")
        if users and len(self.part) > users:
            rows = np.random.default_rng(seed).choice(len(self.part), users, replace=False)
            self.part = take(self.part, np.sort(rows))
        check_cutoff(self.cutoff, self.part, protocol, len(prepared.items))

    def __call__(self, recommender: Recommender) -> float:
        """The mean over the users."""
        if self.protocol == "full":
            ranking = rank_all(recommender, self.part, self.masked)
        else:
            ranking = rank_among_negatives(recommender, self.part)
        return float(measure(ranking.user, ranking.rank, (self.cutoff,))[1][self.measure].mean())
