"""Tables: what is read, and one line for each thing that is wrong."""

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from apps.margin_classifier.data import (
    Schema,
    Table,
    make_schema,
    model_inputs,
    read_table,
    split_target,
    unseen_categories,
)
from apps.margin_classifier.preprocessing import feature_model, feature_names, features_of
from tools.errors import InputError


def write(tmp_path, text, name="table.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_table_becomes_features(small_table):
    rows, target, labels, classes = split_target(read_table(small_table), None)
    assert (target, classes, len(rows)) == ("good", ("no", "yes"), 120)
    schema = make_schema(rows, target, classes)
    assert schema.numeric == ("x one", "x2") and schema.constant == ("seven",)
    assert schema.categorical == {"colour": ("blue", "green", "red")}
    assert schema.inputs == {"x one": "x_one", "x2": "x2", "colour": "colour"}
    assert Schema.from_dict(schema.to_dict()) == schema
    assert feature_names(schema) == ["x one", "x2", "colour=blue", "colour=green", "colour=red"]
    x = features_of(feature_model(rows, schema), rows, schema)
    assert x.shape == (120, schema.features) and x.dtype == np.float32
    np.testing.assert_allclose(x[:, :2].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(x[:, :2].std(0), 1, atol=1e-4)
    words = rows.columns["colour"]
    np.testing.assert_array_equal(x[:, 2:], np.stack([words == word for word in ("blue", "green", "red")], axis=1))
    assert set(labels[words == "red"]) == {0, 1}


def test_a_category_that_training_did_not_have_is_none_of_the_known(small_table):
    rows, target, _, classes = split_target(read_table(small_table), None)
    schema = make_schema(rows, target, classes)
    model = feature_model(rows, schema)
    teal = Table("new", {**rows.columns, "colour": np.array(["teal"] * 120)})
    assert not features_of(model, teal, schema)[:, 2:].any()
    assert unseen_categories(teal, schema) == {"colour": (120, "teal")}
    assert unseen_categories(rows, schema) == {}


def test_parquet_is_the_same_as_csv(small_table, tmp_path):
    rows = read_table(small_table)
    path = tmp_path / "small.parquet"
    columns = {name: pyarrow.array(values.tolist()) for name, values in rows.columns.items()}
    columns["colour"] = columns["colour"].dictionary_encode()
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    again = read_table(path)
    assert again.columns.keys() == rows.columns.keys()
    for name, values in rows.columns.items():
        np.testing.assert_array_equal(again.columns[name], values)


def test_without_header_and_with_words_and_missing_values(tmp_path):
    path = write(tmp_path, "1,2,?,a\n3,4,5,b\n6,4,7,b\n,1,1,a\n")
    rows = read_table(path, header=False, drop_missing="?", words=["x2"])
    assert list(rows.columns) == ["x1", "x2", "x3", "x4"] and len(rows) == 2
    assert rows.columns["x2"].tolist() == ["4", "4"] and rows.columns["x3"].tolist() == [5.0, 7.0]


def test_the_positive_class(tmp_path):
    path = write(tmp_path, "x,y\n1,2\n2,10\n3,2\n4,10\n")
    rows = read_table(path)
    assert split_target(rows, "y")[3] == ("2", "10") and split_target(rows, "y")[2].tolist() == [0, 1, 0, 1]
    assert split_target(rows, "y", "2")[3] == ("10", "2") and split_target(rows, "y", "2")[2].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "an empty file"),
        ("x,y\n", "to have rows"),
        ("x,y\n1\n", "CSV parse error"),
        ("x,x\n1,2\n", "to name each column once"),
        ("x,y\n1,a\n,b\n", "none in row 2, column 'x'"),
        ("x,y\nnan,a\n1,b\n", "none in row 1, column 'x'"),
        ("x,y\n1,a\ninf,b\n", "Received inf in row 2, column 'x'"),
    ],
)
def test_files_that_are_no_table(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        read_table(write(tmp_path, text))


@pytest.mark.parametrize("name", ["absent.csv", "table.txt", "broken.parquet"])
def test_files_that_cannot_be_read(tmp_path, name):
    write(tmp_path, "PAR1 no", "broken.parquet")
    write(tmp_path, "x\n1\n", "table.txt")
    with pytest.raises(InputError, match=name):
        read_table(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        ("x,y\n1,a\n2,a\n", ("y",), "Received 1: a"),
        ("x,y\n1,a\n2,b\n3,c\n", ("y",), "Received 3: a, b, c"),
        ("x,y\n1,a\n2,b\n", ("z",), "'z', none of its columns"),
        ("x,y\n1,a\n2,b\n3,a\n", ("y",), "two rows of each class in .* Received a: 2, b: 1"),
        ("x,y\n1,a\n2,b\n3,a\n", ("y", "a"), "two rows of each class in .* Received b: 1, a: 2"),
        ("x,y\n1,a\n2,b\n", ("y", "c"), "to be one of a, b"),
        ("y\na\nb\n", ("y",), "'y' alone"),
    ],
)
def test_targets_that_are_none(tmp_path, text, arguments, words):
    rows = read_table(write(tmp_path, text))
    with pytest.raises(InputError, match=words):
        split_target(rows, *arguments)


def test_columns_that_nothing_can_be_learnt_from(tmp_path):
    rows = read_table(write(tmp_path, "x,y\n1,a\n1,b\n1,a\n1,b\n"))
    rows, target, _, classes = split_target(rows, "y")
    with pytest.raises(InputError, match="a column that varies"):
        make_schema(rows, target, classes)
    many = Table("many.csv", {"name": np.array([f"n{i}" for i in range(1001)])})
    with pytest.raises(InputError, match="--ignore leaves it out"):
        make_schema(many, "y", ("a", "b"))


def test_columns_at_prediction(small_table):
    rows, target, _, classes = split_target(read_table(small_table), None)
    schema = make_schema(rows, target, classes)
    lacking = Table("new.csv", {name: rows.columns[name] for name in ("x one", "colour")})
    with pytest.raises(InputError, match=r"new.csv to have the column 'x2'"):
        model_inputs(lacking, schema)
    with pytest.raises(InputError, match=r"column 'x2' of new.csv. Received 'a' in row 2"):
        model_inputs(Table("new.csv", {**rows.columns, "x2": np.array(["1.5"] + ["a"] * 119)}), schema)
    with pytest.raises(InputError, match="numbers of float32"):
        model_inputs(Table("new.csv", {**rows.columns, "x2": np.full(120, 1e300)}), schema)
