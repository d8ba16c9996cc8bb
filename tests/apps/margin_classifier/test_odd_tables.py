"""Names that layers have too, words of digits, missing values, columns that Keras or float32 take for constant."""

import csv

import numpy as np
import pytest

from apps.margin_classifier.data import Schema, Table, coarse_columns, make_schema, read_table
from apps.margin_classifier.preprocessing import feature_model, features_of, statistics
from apps.margin_classifier.runs import load_run
from tools.errors import InputError


def test_columns_may_have_the_names_of_layers(odd_run):
    run = load_run(odd_run)
    assert run.schema.inputs == {
        "": "column",
        "probability": "probability_2",
        "features": "features_2",
        "1 %": "column_1",
        "Class": "Class",
        "for": "for_2",
        "mlp": "mlp_2",
    }
    assert set(run.model.input) == set(run.schema.inputs.values())


def test_names_of_inputs_differ():
    schema = Schema("y", ("a", "b"), ("features", "features_2", "row_word", ""), {"word": ("a",), "column": ("b",)})
    assert len(set(schema.inputs.values())) == 6
    rows = Table("t", {name: np.array([0.0, 1.0]) for name in schema.numeric} | {"word": np.array(["a", "a"])})
    rows = Table("t", {**rows.columns, "column": np.array(["b", "b"])})
    assert features_of(feature_model(rows, schema), rows, schema).shape == (2, 6)


def test_words_of_digits_are_not_numbers(tmp_path, odd_run, odd_table):
    run = load_run(odd_run)
    assert run.schema.categorical["mlp"] == ("007", "7", "x")
    lines = odd_table.read_text().splitlines()
    # All that are left are digits.
    (tmp_path / "digits.csv").write_text("\n".join([lines[0], *(line for line in lines if ",007," in line)]))
    rows, _ = run.read(tmp_path / "digits.csv", labelled=False)
    assert set(rows.columns["mlp"]) == {"007"}
    (tmp_path / "code.csv").write_text("code,y\n 007 ,a\n1_2,b\n7,a\n")
    assert read_table(tmp_path / "code.csv", words=["code"]).columns["code"].tolist() == ["007", "1_2", "7"]
    assert read_table(tmp_path / "code.csv").columns["code"].tolist() == ["007", "1_2", "7"]


def test_classes_of_digits(tmp_path, small_table):
    """With another word, 01 is a word; a table of only 01 is read as the same class."""
    from apps.margin_classifier.training import TrainingConfig, train

    text = small_table.read_text()
    (tmp_path / "train.csv").write_text(text.replace(",yes", ",01"))
    train(TrainingConfig(data=str(tmp_path / "train.csv"), epochs=1), tmp_path / "run")
    (tmp_path / "test.csv").write_text("x one,x2,colour,good\n1,50,red,01\n2,60,red,01\n")
    run = load_run(tmp_path / "run")
    assert run.schema.classes == ("01", "no")
    assert run.read(tmp_path / "test.csv", labelled=True)[1].tolist() == [0, 0]


def test_every_answer_says_its_row(kapps, odd_run, odd_table):
    status, out, err = kapps("predict", odd_run, odd_table)
    answers = list(csv.DictReader(out.splitlines()))
    assert status == 0 and "1 of 80 rows have missing values and are left out" in err
    assert [int(answer["row"]) for answer in answers] == [*range(1, 7), *range(8, 81)]


def test_what_is_wrong_says_its_row_in_the_file(tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n1,a\n?,b\ninf,b\n2,a\n")
    with pytest.raises(InputError, match="Received inf in row 3, column 'x'"):
        read_table(tmp_path / "t.csv", drop_missing="?")
    (tmp_path / "t.csv").write_text("x,y\n?,b\n2,a\n3,a\n")
    rows = read_table(tmp_path / "t.csv", drop_missing="?")
    assert rows.row_numbers.tolist() == [2, 3] and rows.take(np.array([1])).without(["x"]).row_numbers.tolist() == [3]


def test_a_narrow_column_is_normalised_too():
    generator = np.random.default_rng(0)
    narrow, wide = 3e-9 + 1e-10 * generator.normal(size=50), 100 * generator.normal(size=50)
    rows = Table("t", {"narrow": narrow, "wide": wide})
    schema = make_schema(rows, "y", ("a", "b"))
    model = feature_model(rows, schema)
    x = features_of(model, rows, schema)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(x.std(axis=0), 1, rtol=1e-3)
    means, deviations = statistics(model, schema)
    np.testing.assert_allclose(means, [narrow.mean(), wide.mean()], rtol=1e-5)
    np.testing.assert_allclose(deviations, [narrow.std(), wide.std()], rtol=1e-5)


def test_a_column_too_far_out_for_float32_is_told():
    rows = Table("t", {"seconds": 1.6e9 + np.arange(-100.0, 101.0), "x": np.arange(201.0)})
    assert set(coarse_columns(rows, make_schema(rows, "y", ("a", "b")))) == {"seconds"}
