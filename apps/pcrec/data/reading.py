"""Logs of interactions: from CSV, TSV, Parquet or RecBole's atomic files to numbered users and items."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import os
import pathlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from tools.errors import InputError

SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t", ".inter": "\t"}
# What stands for nothing in a text file.
MISSING_WORDS = ("", "NaN", "nan", "NULL", "null")


@dataclasses.dataclass(frozen=True)
class Columns:
    """Where a log keeps what.

    Attributes:
        user: name of the column of users.
        item: name of the column of items.
        value: name of the column of ratings, or None.
        time: name of the column of times, or None.
    """

    user: str = "user_id"
    item: str = "item_id"
    value: str | None = None
    time: str | None = None


@dataclasses.dataclass(frozen=True)
class Log:
    """Interactions in the order of the file.

    Attributes:
        path: of the file.
        users: ids of all users, sorted: int64 or str (users,).
        items: ids of all items, sorted: int64 or str (items,).
        user: index into `users` of each row, int64 (rows,).
        item: index into `items` of each row, int64 (rows,).
        value: rating of each row, float64 (rows,), or None.
        time: time of each row, int64 or float64 (rows,), or None; dates count microseconds since 1970.
        dates: whether the times were dates.
    """

    path: str
    users: np.ndarray
    items: np.ndarray
    user: np.ndarray
    item: np.ndarray
    value: np.ndarray | None = None
    time: np.ndarray | None = None
    dates: bool = False

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: np.ndarray) -> Log:
        """The rows of these indices or of this mask; all ids stay."""
        parts = {name: getattr(self, name) for name in ("user", "item", "value", "time")}
        taken = {name: None if part is None else part[rows] for name, part in parts.items()}
        return dataclasses.replace(self, **taken)

    def compacted(self) -> Log:
        """The same rows, without the ids that no row has."""
        users, user = np.unique(self.user, return_inverse=True)
        items, item = np.unique(self.item, return_inverse=True)
        return dataclasses.replace(self, users=self.users[users], items=self.items[items], user=user, item=item)


def read_log(
    path: str | os.PathLike,
    columns: Columns,
    *,
    header: bool = True,
    separator: str | None = None,
    drop_missing: bool = False,
) -> tuple[Log, int]:
    """Reads a .csv, .tsv, .txt, .inter (RecBole) or .parquet file.

    Ids are whole numbers where every id of the column is written as one, otherwise words as they stand ("007" stays).

    Args:
        path: the file.
        columns: the names of its columns. The types in a RecBole header ("user_id:token") are no part of a name.
        header: whether the first line names the columns; without names they are x1, x2, ...
        separator: of a text file; None for a comma in .csv and a tab in the others.
        drop_missing: leave out rows without user, item, value or time, instead of refusing them.

    Returns:
        The log, and how many rows were left out.

    Raises:
        InputError: if the file cannot be read, has no rows, lacks a column, or a row lacks a value.
    """
    path = pathlib.Path(path)
    wanted = [name for name in dataclasses.astuple(columns) if name is not None]
    if len(set(wanted)) < len(wanted):
        raise InputError(f"Expected a column of its own for each. Received {', '.join(wanted)}.")
    table = _read(path, wanted, header, separator)
    users, user = _ids(path, columns.user, table[columns.user])
    items, item = _ids(path, columns.item, table[columns.item])
    value = None if columns.value is None else _numbers(path, columns.value, table[columns.value]).astype("float64")
    time, dates = (None, False) if columns.time is None else _times(path, columns.time, table[columns.time])
    missing = {columns.user: user < 0, columns.item: item < 0}
    for name, numbers in ((columns.value, value), (columns.time, time)):
        if numbers is not None:
            missing[name] = ~np.isfinite(numbers)
    log = Log(str(path), users, items, user, item, value, time, dates)
    absent = np.any(list(missing.values()), axis=0)
    if not absent.any():
        return log, 0
    row = int(np.argmax(absent))
    if not drop_missing:
        name = next(name for name, where in missing.items() if where[row])
        raise InputError(
            f"Expected every row of {path} to have user, item and finite numbers (--drop-missing leaves such rows "
            f"out). Received {int(absent.sum())} without, the first of them row {row + 1} in column {name!r}."
        )
    if absent.all():
        raise InputError(f"Expected a row of {path} without missing values. Received none.")
    log = log.take(~absent).compacted()
    if log.time is not None and log.time.dtype.kind == "f" and (log.time == np.round(log.time)).all():
        log = dataclasses.replace(log, time=log.time.astype("int64"))
    return log, int(absent.sum())


def joined(logs: list[Log]) -> list[Log]:
    """The same logs with one numbering of users and one of items."""
    users, items = _union([log.users for log in logs]), _union([log.items for log in logs])
    result = []
    for log in logs:
        user = np.searchsorted(users, log.users.astype(users.dtype))[log.user]
        item = np.searchsorted(items, log.items.astype(items.dtype))[log.item]
        result.append(dataclasses.replace(log, users=users, items=items, user=user, item=item))
    return result


def _union(parts: list[np.ndarray]) -> np.ndarray:
    if len({part.dtype.kind for part in parts}) > 1:
        parts = [part.astype(str) for part in parts]
    return np.unique(np.concatenate(parts))


def _read(path: pathlib.Path, wanted: list[str], header: bool, separator: str | None) -> dict[str, Any]:
    """The wanted columns as Arrow's chunked arrays."""
    import pyarrow

    if path.suffix != ".parquet" and path.suffix not in SEPARATORS:
        raise InputError(f"Expected a .parquet, {', '.join(SEPARATORS)} file. Received {path}.")
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet

            _check_names(path, wanted, list(pyarrow.parquet.read_schema(path).names))
            table = pyarrow.parquet.read_table(path, columns=wanted)
        else:
            table = _read_text(path, wanted, header, separator or SEPARATORS[path.suffix])
    except FileNotFoundError:
        raise InputError(f"Expected a log of interactions. Received {path}: not found.") from None
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"Expected a log of interactions. Received {path}: {(str(error).splitlines() or ['unreadable'])[0]}."
        ) from None
    if not table.num_rows:
        raise InputError(f"Expected {path} to have rows. Received a header alone.")
    return {name: table.column(name) for name in wanted}


def _read_text(path: pathlib.Path, wanted: list[str], header: bool, separator: str) -> Any:
    import pyarrow
    from pyarrow import csv as arrow_csv

    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            first = next(csv.reader(file, delimiter=separator), None)
        except csv.Error as error:
            raise InputError(f"Expected {path} to begin with a line of columns. Received: {error}.") from None
    if not first:
        raise InputError(f"Expected {path} to have rows. Received an empty file.")
    names = first if header else [f"x{place}" for place in range(1, len(first) + 1)]
    if path.suffix == ".inter":
        names = [name.partition(":")[0] for name in names]
    _check_names(path, wanted, names)
    # Everything as text: a column of numbers read as such would lose leading zeros.
    convert = arrow_csv.ConvertOptions(
        include_columns=wanted,
        column_types={name: pyarrow.string() for name in wanted},
        null_values=list(MISSING_WORDS),
        strings_can_be_null=True,
    )
    reading = arrow_csv.ReadOptions(column_names=names, skip_rows=1 if header else 0)
    parsing = arrow_csv.ParseOptions(delimiter=separator)
    return arrow_csv.read_csv(path, reading, parsing, convert)


def _check_names(path: pathlib.Path, wanted: list[str], names: list[str]) -> None:
    for name in wanted:
        if names.count(name) != 1:
            raise InputError(f"Expected {path} to have one column {name!r}. Received {', '.join(names)}.")


def _ids(path: pathlib.Path, name: str, column: Any) -> tuple[np.ndarray, np.ndarray]:
    """Sorted ids, and the index of each row's id or -1 where it is missing."""
    import pyarrow
    import pyarrow.compute

    if pyarrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pyarrow.types.is_nested(column.type) or pyarrow.types.is_binary(column.type):
        raise InputError(f"Expected ids of words or whole numbers in {path}. Received {column.type} in {name!r}.")
    if pyarrow.types.is_floating(column.type):
        # A column of whole numbers that once had a gap.
        column = pyarrow.chunked_array([pyarrow.array(column.to_numpy(), from_pandas=True)])
        try:
            column = column.cast(pyarrow.int64())
        except pyarrow.ArrowInvalid:
            raise InputError(
                f"Expected ids of words or whole numbers in {path}. Received others in {name!r}."
            ) from None
    elif pyarrow.types.is_uint64(column.type):
        try:
            column = column.cast(pyarrow.int64())
        except pyarrow.ArrowInvalid:
            column = column.cast(pyarrow.string())
    elif not pyarrow.types.is_integer(column.type):
        column = column.cast(pyarrow.string())
        # What is served says "" where there is no item.
        column = pyarrow.compute.if_else(pyarrow.compute.equal(column, ""), None, column)
    encoded = pyarrow.table({"ids": column.dictionary_encode()}).unify_dictionaries().column("ids").combine_chunks()
    words = encoded.dictionary
    if pyarrow.types.is_string(words.type) and any("\n" in word for word in words.to_pylist()):
        raise InputError(
            f"Expected ids of one line in {path}. Received one of several in {name!r}: a quotation mark that is not "
            "closed?"
        )
    ids = words.to_numpy(zero_copy_only=False)
    ids = ids.astype("int64") if pyarrow.types.is_integer(words.type) else _whole(np.array(ids.tolist(), dtype=str))
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype("int64")
    order = np.argsort(ids, kind="stable")
    place = np.empty(len(ids) + 1, "int64")
    place[order], place[-1] = np.arange(len(ids)), -1
    return ids[order], place[codes]


def _whole(words: np.ndarray) -> np.ndarray:
    """The words as int64 where each is the plain form of a whole number."""
    try:
        numbers = words.astype("int64")
    except (ValueError, OverflowError):
        return words
    return numbers if (numbers.astype(str) == words).all() else words


def _numbers(path: pathlib.Path, name: str, column: Any) -> np.ndarray:
    import pyarrow

    if pyarrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    for kind in (pyarrow.int64(), pyarrow.float64()):
        try:
            return column.cast(kind).to_numpy()
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
            continue
    raise InputError(f"Expected numbers in column {name!r} of {path}. Received {_example(column, _is_number)}.")


def _times(path: pathlib.Path, name: str, column: Any) -> tuple[np.ndarray, bool]:
    """The times, and whether they are dates: microseconds since 1970."""
    import pyarrow

    if not pyarrow.types.is_temporal(column.type):
        try:
            return _numbers(path, name, column), False
        except InputError:
            pass
    try:
        # By way of the text, dates with and without time of day are read alike.
        moments = column.cast(pyarrow.timestamp("us"))
        numbers = moments.cast(pyarrow.int64()).to_numpy()
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
        raise InputError(
            f"Expected numbers or dates (2014-07-23 12:00:00) in column {name!r} of {path}. "
            f"Received {_example(column, _is_moment)}."
        ) from None
    return numbers, True


def moment(text: str | float, dates: bool, name: str) -> float:
    """A bound of the times as a number to compare them with.

    Args:
        text: a number, or a date.
        dates: whether the times are dates.
        name: of the bound.

    Raises:
        InputError: if it is none of the kind that the times are.
    """
    if not dates:
        try:
            return float(text)
        except ValueError:
            raise InputError(f"Expected {name} to be a number, as the times of the log. Received {text!r}.") from None
    try:
        point = datetime.datetime.fromisoformat(str(text))
    except ValueError:
        raise InputError(f"Expected {name} to be a date, as the times of the log. Received {text!r}.") from None
    if re.fullmatch(r"[\d.]+", str(text)):
        raise InputError(f"Expected {name} to be a date (2014-07-23), as the times of the log. Received {text!r}.")
    return float(np.datetime64(point.replace(tzinfo=None), "us").astype("int64"))


def _example(column: Any, good: Callable[[str], bool]) -> str:
    """The type of a column, and its first value that is not good."""
    bad = next((str(value) for value in column.to_pylist() if value is not None and not good(str(value))), None)
    return str(column.type) if bad is None else f"{column.type}, as {bad!r}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_moment(text: str) -> bool:
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        return _is_number(text)
    return True
