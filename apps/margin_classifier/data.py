"""Tables: from a CSV or Parquet file to columns, a target of two classes, and the schema that a model keeps."""

from __future__ import annotations

import dataclasses
import keyword
import os
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tools.errors import InputError

# More values than this in a column of words are names or texts, not categories.
MOST_CATEGORIES = 1000
# Rows at a time in a model: a kernel takes 2 KB a row, isotonic steps a number a step.
BATCH = 4096
# Layers of a whole model beside its inputs; Keras wants every name in a model once.
LAYERS = frozenset(("numbers", "units", "normalization", "features", "linear", "kernel", "mlp", "platt", "probability"))


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of a file.

    Attributes:
        path: the file.
        columns: by name, in the order of the file: float64 or str arrays (rows,).
        numbers: where in the file each row stands, from 1, int64 (rows,); None: all rows are here, in their order.
    """

    path: str
    columns: Mapping[str, np.ndarray]
    numbers: np.ndarray | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @property
    def row_numbers(self) -> np.ndarray:
        """Where in the file each row stands, from 1, int64 (rows,)."""
        return np.arange(1, len(self) + 1) if self.numbers is None else self.numbers

    def take(self, rows: np.ndarray) -> Table:
        """The rows of these indices."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        return Table(self.path, columns, self.row_numbers[rows])

    def without(self, names: Sequence[str]) -> Table:
        """The other columns."""
        rest = {name: column for name, column in self.columns.items() if name not in names}
        return dataclasses.replace(self, columns=rest)


@dataclasses.dataclass(frozen=True)
class Schema:
    """What a model takes and tells.

    Attributes:
        target: name of the target column.
        classes: its two values as text: the negative one, the positive one.
        numeric: names of the columns of numbers.
        categorical: name to the sorted values of each column of words.
        constant: columns that were left out because all rows had one value.
    """

    target: str
    classes: tuple[str, str]
    numeric: tuple[str, ...]
    categorical: Mapping[str, tuple[str, ...]]
    constant: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Schema:
        """The inverse of `to_dict`."""
        return cls(
            values["target"],
            tuple(values["classes"]),
            tuple(values["numeric"]),
            {name: tuple(words) for name, words in values["categorical"].items()},
            tuple(values["constant"]),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the model takes, numbers first."""
        return (*self.numeric, *self.categorical)

    @property
    def features(self) -> int:
        """Numbers that the columns become."""
        return len(self.numeric) + sum(map(len, self.categorical.values()))

    @property
    def inputs(self) -> dict[str, str]:
        """Column to the name of the model's input: letters, digits and _, a letter first."""
        names: dict[str, str] = {}
        for column in self.columns:
            # TensorFlow Serving takes no name that begins with _ or a digit.
            stem = re.sub(r"\W", "_", column, flags=re.ASCII).lstrip("_")
            stem = stem if stem[:1].isalpha() else f"column_{stem}".rstrip("_")
            name, number = stem, 2
            # The signature of a SavedModel takes no keyword of Python.
            while name in LAYERS or keyword.iskeyword(name) or name in names.values():
                name, number = f"{stem}_{number}", number + 1
            names[column] = name
        return names


def read_table(
    path: str | os.PathLike,
    *,
    header: bool = True,
    drop_missing: str | None = None,
    words: Sequence[str] = (),
    needed: Sequence[str] | None = None,
) -> Table:
    """Reads a .csv or .parquet file.

    Args:
        path: the file.
        header: whether the first line of a CSV names the columns; without names they are x1, x2, ...
        drop_missing: text that stands for a missing value; rows with one, or with an empty cell, are left out, which
            is said on standard error. None: a missing value is an error.
        words: columns to read as words although they hold numbers.
        needed: the only columns to read, or None for all.

    Raises:
        InputError: if the file cannot be read, has no rows, lacks a column, or holds missing or infinite values.
    """
    table = _read(pathlib.Path(path), header)
    absent = [name for name in (*(needed or ()), *words) if name not in table.column_names]
    if absent:
        raise InputError(f"Expected {path} to have a column {absent[0]!r}. Received {', '.join(table.column_names)}.")
    columns, missing = {}, {}
    for name in table.column_names:
        if needed is None or name in needed:
            columns[name], missing[name] = _column(path, name, table.column(name), name in words, drop_missing)
    if drop_missing is None:
        for name, where in missing.items():
            if where.any():
                raise InputError(
                    f"Expected {path} to have no missing values (--drop-missing '' leaves such rows out). "
                    f"Received none in row {int(np.argmax(where)) + 1}, column {name!r}."
                )
    rows = Table(str(path), columns)
    lacking = np.any(list(missing.values()), axis=0)
    if lacking.all():
        raise InputError(f"Expected {path} to have a row without missing values. Received none.")
    if lacking.any():
        print(
            f"{path}: {int(lacking.sum())} of {len(lacking)} rows have missing values and are left out",
            file=sys.stderr,
        )
        rows = rows.take(np.flatnonzero(~lacking))
    _refuse_infinite(rows)
    return rows


def _read(path: pathlib.Path, header: bool) -> Any:
    import pyarrow

    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet

            table = pyarrow.parquet.read_table(path)
        elif path.suffix == ".csv":
            table = _read_csv(path, header)
        else:
            raise InputError(f"Expected a .csv or .parquet file. Received {path}.")
    except FileNotFoundError:
        raise InputError(f"Expected a table. Received {path}: not found.") from None
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, OSError) as error:
        reason = "an empty file" if "mpty CSV" in str(error) else str(error).splitlines()[0]
        raise InputError(f"Expected a table. Received {path}: {reason}.") from None
    if not table.num_rows or not table.num_columns:
        raise InputError(f"Expected {path} to have rows. Received none.")
    if len(set(table.column_names)) < table.num_columns:
        raise InputError(f"Expected {path} to name each column once. Received {', '.join(table.column_names)}.")
    return table


def _read_csv(path: pathlib.Path, header: bool) -> Any:
    import pyarrow
    from pyarrow import csv

    read = csv.ReadOptions(autogenerate_column_names=not header)
    with csv.open_csv(path, read_options=read) as reader:
        names = reader.schema.names
    # What is a number is decided later: of what Arrow takes for one, no way leads back to the category 007.
    convert = csv.ConvertOptions(null_values=[], column_types=dict.fromkeys(names, pyarrow.string()))
    table = csv.read_csv(path, read_options=read, convert_options=convert)
    return table if header else table.rename_columns([f"x{place}" for place in range(1, table.num_columns + 1)])


def _column(path: Any, name: str, column: Any, words: bool, token: str | None) -> tuple[np.ndarray, np.ndarray]:
    """A column as float64 or str (rows,), and where it has no value, bool (rows,)."""
    from pyarrow import types

    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if types.is_nested(kind) or types.is_binary(kind):
        raise InputError(f"Expected numbers or words in {path}. Received {kind} in column {name!r}.")
    if (types.is_floating(kind) or types.is_integer(kind)) and not words:
        numbers = column.to_numpy(zero_copy_only=False).astype("float64")
        return numbers, np.isnan(numbers)
    texts = np.char.strip(["" if value is None or value != value else text_of(value) for value in column.to_pylist()])
    missing = (texts == "") | ((texts == token) if token else False)
    numbers = None if words else _numbers(texts, missing)
    return (texts, missing) if numbers is None else (numbers, np.isnan(numbers))


def _numbers(texts: np.ndarray, missing: np.ndarray) -> np.ndarray | None:
    """The texts as float64, NaN where they are missing; None if one is no number."""
    # Python reads 1_2 as 12; in a table it is a word.
    if missing.all() or (np.char.find(texts, "_") >= 0).any():
        return None
    try:
        return np.where(missing, "nan", texts).astype("float64")
    except ValueError:
        return None


def _refuse_infinite(table: Table) -> None:
    for name, column in table.columns.items():
        infinite = np.isinf(column) if column.dtype.kind == "f" else np.zeros(0, bool)
        if infinite.any():
            row = int(np.argmax(infinite))
            raise InputError(
                f"Expected finite numbers in {table.path}. "
                f"Received {column[row]} in row {table.row_numbers[row]}, column {name!r}."
            )


def split_target(table: Table, target: str | None, positive: str | None = None) -> tuple[Table, str, Any, tuple]:
    """The table without its target, the target's name, labels 0 or 1 int32 (rows,), and (negative, positive).

    Args:
        table: with the target.
        target: its column; None for the last.
        positive: the value of the positive class; None for the larger one.

    Raises:
        InputError: if there is no such column, or it has not exactly two values.
    """
    target = list(table.columns)[-1] if target is None else target
    if target not in table.columns:
        raise InputError(f"Expected a target column of {table.path}. Received {target!r}, none of its columns.")
    if len(table.columns) < 2:
        raise InputError(f"Expected {table.path} to have a column beside the target. Received {target!r} alone.")
    column = table.columns[target]
    values, codes, counts = np.unique(column, return_inverse=True, return_counts=True)
    texts = [text_of(value) for value in values]
    if len(values) != 2:
        shown = ", ".join(texts[:5]) + (", ..." if len(texts) > 5 else "")
        raise InputError(f"Expected two classes in column {target!r} of {table.path}. Received {len(values)}: {shown}.")
    if positive is not None:
        if positive not in texts:
            raise InputError(f"Expected the positive class to be one of {', '.join(texts)}. Received {positive!r}.")
        if positive == texts[0]:
            codes, counts, texts = 1 - codes, counts[::-1], texts[::-1]
    if min(counts) < 2:
        found = ", ".join(f"{text}: {count}" for text, count in zip(texts, counts, strict=True))
        raise InputError(f"Expected two rows of each class in {table.path}. Received {found}.")
    return table.without([target]), target, codes.astype("int32"), (texts[0], texts[1])


def text_of(value: Any) -> str:
    """A value of a column as text: 1.0 is 1."""
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def make_schema(table: Table, target: str, classes: tuple[str, str]) -> Schema:
    """The schema of a training table without its target.

    Raises:
        InputError: if no column varies, or a column of words has too many values.
    """
    numeric, categorical, constant = [], {}, []
    for name, column in table.columns.items():
        values = np.unique(column)
        if len(values) == 1:
            constant.append(name)
        elif column.dtype.kind == "f":
            numeric.append(name)
        elif len(values) > MOST_CATEGORIES:
            raise InputError(
                f"Expected a column of numbers or of at most {MOST_CATEGORIES} categories. Received {len(values)} "
                f"words in column {name!r} of {table.path} (--ignore leaves it out)."
            )
        else:
            categorical[name] = tuple(values.tolist())
    if not numeric and not categorical:
        raise InputError(f"Expected a column that varies in {table.path}. Received {', '.join(constant)}, constant.")
    return Schema(target, classes, tuple(numeric), categorical, tuple(constant))


def model_inputs(table: Table, schema: Schema) -> dict[str, np.ndarray]:
    """The columns as a model takes them: by input name, float32 or str (rows, 1).

    Raises:
        InputError: if a column is missing, or words stand where numbers should.
    """
    result = {}
    for column, name in schema.inputs.items():
        if column not in table.columns:
            raise InputError(f"Expected {table.path} to have the column {column!r} of the training table.")
        values = table.columns[column]
        if column in schema.numeric:
            if values.dtype.kind != "f":
                number = np.array([_numbers(value, np.array(False)) is not None for value in values[:, None]])
                row, word = table.row_numbers[np.argmin(number)], str(values[np.argmin(number)])
                raise InputError(
                    f"Expected numbers in column {column!r} of {table.path}. Received {word!r} in row {row}."
                )
            if np.abs(values).max(initial=0) > float(np.finfo("float32").max):
                raise InputError(f"Expected numbers of float32 in column {column!r} of {table.path}.")
            result[name] = values.astype("float32")[:, None]
        else:
            result[name] = values.astype(object)[:, None]
    return result


def coarse_columns(table: Table, schema: Schema) -> dict[str, tuple[float, float]]:
    """Column to (step, deviation) of numbers whose float32 neighbours lie further apart than a tenth of a deviation."""
    found = {}
    for column in schema.numeric:
        values = table.columns[column]
        step, deviation = float(np.spacing(np.abs(values).max().astype("float32"))), float(values.std())
        if step > deviation / 10:
            found[column] = (step, deviation)
    return found


def unseen_categories(table: Table, schema: Schema) -> dict[str, tuple[int, str]]:
    """Column to (rows, an example) of values that were not in the training table."""
    found = {}
    for column, words in schema.categorical.items():
        values = table.columns.get(column, np.array([]))
        new = ~np.isin(values, words)
        if new.any():
            found[column] = (int(new.sum()), str(values[np.argmax(new)]))
    return found
