"""`prepare`: from a log, or from three, to a prepared folder."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from apps.pcrec.data import filtering, negatives
from apps.pcrec.data.prepared import APPLICATION, Part, Prepared, check_free, write_prepared
from apps.pcrec.data.reading import Columns, Log, joined, moment, read_log
from apps.pcrec.data.splitting import PARTS, TEST, TRAIN, VALIDATION, split
from apps.pcrec.statistics import gini
from tools.errors import InputError


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """How a log is made ready.

    Attributes:
        log: the file.
        validation: a file of the validation part, or None; with it, `test` must be given and nothing is split.
        test: a file of the test part, or None.
        user: name of the column of users.
        item: name of the column of items.
        value: name of the column of ratings, or None.
        time: name of the column of times, or None.
        header: whether the first line names the columns; otherwise they are x1, x2, ...
        separator: of a text file, or None for that of its ending.
        drop_missing: leave out rows without user, item, value or time.
        minimum_value: least rating that counts as an interaction, or None.
        maximum_value: largest rating that counts, or None.
        minimum_time: earliest time that counts, a number or a date as the column has them, or None.
        maximum_time: latest time that counts, or None.
        minimum_user: interactions that a user must have, with `minimum_item` over and over (k-core).
        minimum_item: interactions that an item must have.
        split: leave-one-out, ratio or temporal.
        shares: for training, validation and test, of ratio and temporal.
        order: "time", or "random" for leave-one-out and ratio by draw.
        negatives: stored for each held-out interaction; 0 for none.
        negatives_rule: uniform, or rechorus.
        seed: of the random order and of the negatives.
    """

    log: str
    validation: str | None = None
    test: str | None = None
    user: str = "user_id"
    item: str = "item_id"
    value: str | None = None
    time: str | None = None
    header: bool = True
    separator: str | None = None
    drop_missing: bool = False
    minimum_value: float | None = None
    maximum_value: float | None = None
    minimum_time: float | str | None = None
    maximum_time: float | str | None = None
    minimum_user: int = 1
    minimum_item: int = 1
    split: str = "leave-one-out"
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    order: str = "time"
    negatives: int = 99
    negatives_rule: str = "uniform"
    seed: int = 0


def prepare(config: PrepareConfig, folder: str | os.PathLike, tell: Callable[[str], None]) -> Prepared:
    """Reads, filters, splits and writes; a line is told about everything that is not as the log has it.

    Raises:
        InputError: if the configuration or a file is wrong, or nothing is left.
    """
    _check(config)
    check_free(pathlib.Path(folder))
    if config.validation or config.test:
        log, part = _given(config, tell)
        rule = "given"
    else:
        log = _filtered(_read(config, config.log, tell), config, tell)
        time = log.time if config.order == "time" else None
        rule = config.split
        if config.order == "time" and config.time is None and rule != "temporal":
            tell(f"{config.log}: no column of times (--time): which rows of a user are held out is drawn")
        part = split(rule, log.user, log.time if rule == "temporal" else time, config.shares, config.seed)
    parts = {name: _part(log, part == number) for number, name in enumerate(PARTS)}
    if config.negatives:
        known = negatives.Pairs(log.user, log.item, len(log.items))
        users = (parts["test"].user, parts["validation"].user)
        drawn = negatives.draw(config.negatives_rule, *users, known, config.negatives, config.seed)
        parts |= {name: dataclasses.replace(parts[name], negatives=array) for name, array in drawn.items()}
    statistics = measure(log.users, log.items, parts)
    _tell(statistics, tell)
    description = {
        "application": APPLICATION,
        "kind": "prepared",
        "rule": rule,
        "config": {**dataclasses.asdict(config), "shares": list(config.shares)},
        "statistics": statistics,
    }
    return write_prepared(folder, log.users, log.items, parts, description)


def _check(config: PrepareConfig) -> None:
    if bool(config.validation) != bool(config.test):
        raise InputError("Expected a file for validation and one for test, or neither. Received one.")
    if config.order not in ("time", "random"):
        raise InputError(f"Expected order to be time or random. Received {config.order!r}.")
    for name in ("minimum_user", "minimum_item"):
        if getattr(config, name) < 1:
            raise InputError(f"Expected {name} to be at least 1. Received {getattr(config, name)}.")
    for name in ("negatives", "seed"):
        if getattr(config, name) < 0:
            raise InputError(f"Expected {name} to be 0 or more. Received {getattr(config, name)}.")
    for name in ("value", "time"):
        ends = [getattr(config, f"minimum_{name}"), getattr(config, f"maximum_{name}")]
        if ends != [None, None] and getattr(config, name) is None:
            raise InputError(f"Expected a column --{name} to filter by. Received none.")
    if config.separator is not None and len(config.separator) != 1:
        raise InputError(f"Expected one character as separator. Received {config.separator!r}.")


def _read(config: PrepareConfig, path: str, tell: Callable[[str], None]) -> Log:
    columns = Columns(config.user, config.item, config.value, config.time)
    log, missing = read_log(
        path, columns, header=config.header, separator=config.separator, drop_missing=config.drop_missing
    )
    if missing:
        tell(f"{path}: {missing} rows without user, item, value or time are left out")
    if log.time is not None and (np.diff(log.time) < 0).any():
        tell(f"{path}: the rows are not in the order of their times; the times decide")
    return log


def _without_repetitions(log: Log, tell: Callable[[str], None]) -> Log:
    keep = filtering.first_of_each_pair(log)
    if not keep.all():
        tell(f"{log.path}: {int((~keep).sum())} rows repeat a user and an item; the earliest of each is kept")
    return log.take(keep)


def _filtered(log: Log, config: PrepareConfig, tell: Callable[[str], None]) -> Log:
    keep = np.ones(len(log), bool)
    for name in ("value", "time"):
        ends = {end: getattr(config, f"{end}_{name}") for end in ("minimum", "maximum")}
        given = {end: bound for end, bound in ends.items() if bound is not None}
        if given:
            if name == "time":
                given = {end: moment(bound, log.dates, f"--{end}-time") for end, bound in given.items()}
            inside = filtering.within(getattr(log, name), given.get("minimum"), given.get("maximum"))
            tell(f"{log.path}: {int((keep & ~inside).sum())} rows are left out by their {name}")
            keep &= inside
    log = _without_repetitions(log.take(keep), tell)
    core = filtering.k_core(log.user, log.item, config.minimum_user, config.minimum_item)
    if not core.all():
        tell(f"{log.path}: {int((~core).sum())} rows are left out: their user or item has too few")
    log = log.take(core)
    if not len(log):
        raise InputError(f"Expected rows of {log.path} that pass the filters. Received none.")
    return log.compacted()


def _given(config: PrepareConfig, tell: Callable[[str], None]) -> tuple[Log, np.ndarray]:
    """Three files as one log, and the part of each row."""
    paths = (config.log, config.validation, config.test)
    logs = joined([_without_repetitions(_read(config, path, tell), tell) for path in paths])
    filters = [config.minimum_value, config.maximum_value, config.minimum_time, config.maximum_time]
    if filters != [None] * 4 or config.minimum_user > 1 or config.minimum_item > 1:
        raise InputError("Expected no filters with parts that are given. Received some.")
    columns = {}
    for name in ("user", "item", "value", "time"):
        held = [getattr(log, name) for log in logs]
        columns[name] = None if held[0] is None else np.concatenate(held)
    part = np.repeat(np.array([TRAIN, VALIDATION, TEST], "int8"), [len(log) for log in logs])
    log = dataclasses.replace(logs[0], **columns)
    keys = log.user * np.int64(len(log.items)) + log.item
    _, first = np.unique(keys, return_index=True)
    keep = np.zeros(len(log), bool)
    keep[first] = True
    if not keep.all():
        tell(f"{int((~keep).sum())} held-out rows are in an earlier part already and are left out")
    log, part = log.take(keep), part[keep]
    if len(np.unique(part)) < len(PARTS):
        raise InputError(
            "Expected rows to train, to validate and to test. Received a part whose rows are all repeated."
        )
    return log, part


def _part(log: Log, rows: np.ndarray) -> Part:
    taken = log.take(rows)
    return Part(taken.user.astype("int32"), taken.item.astype("int32"), taken.value, taken.time)


def measure(users: np.ndarray, items: np.ndarray, parts: dict[str, Part]) -> dict[str, Any]:
    """What a prepared log is like, as plain values."""
    train = parts["train"]
    of_users = np.bincount(train.user, minlength=len(users))
    of_items = np.bincount(train.item, minlength=len(items))
    rows = {name: len(part) for name, part in parts.items()}
    result: dict[str, Any] = {
        "users": len(users),
        "items": len(items),
        "interactions": sum(rows.values()),
        "rows": rows,
        "density": sum(rows.values()) / (len(users) * len(items)),
        "train_per_user": _spread(of_users),
        "train_per_item": _spread(of_items),
        "popularity_gini": gini(of_items),
        "users_without_training": int((of_users == 0).sum()),
        "items_without_training": int((of_items == 0).sum()),
    }
    for name in ("validation", "test"):
        part = parts[name]
        result[name] = {
            "users": len(np.unique(part.user)),
            "rows_of_unseen_users": int((of_users[part.user] == 0).sum()),
            "rows_of_unseen_items": int((of_items[part.item] == 0).sum()),
            "negatives": 0 if part.negatives is None else part.negatives.shape[1],
        }
    times = [part.time for part in parts.values() if part.time is not None and len(part)]
    if times:
        result["time"] = [float(min(time.min() for time in times)), float(max(time.max() for time in times))]
    return result


def _spread(counts: np.ndarray) -> dict[str, float]:
    return {
        "least": int(counts.min()),
        "median": float(np.median(counts)),
        "mean": float(counts.mean()),
        "most": int(counts.max()),
    }


def _tell(statistics: dict[str, Any], tell: Callable[[str], None]) -> None:
    alone = statistics["users"] - statistics["test"]["users"]
    if alone:
        tell(f"{alone} users have nothing to test: they train only")
    for name in ("validation", "test"):
        if statistics[name]["rows_of_unseen_users"]:
            tell(f"{name}: {statistics[name]['rows_of_unseen_users']} rows are of users without training")
        if statistics[name]["rows_of_unseen_items"]:
            tell(f"{name}: {statistics[name]['rows_of_unseen_items']} rows are of items without training")
