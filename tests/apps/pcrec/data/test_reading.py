"""Ids and columns come out as the file has them."""

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from apps.pcrec.data.reading import Columns, joined, read_log
from tools.errors import InputError


def read(tmp_path, text, name="log.csv", columns=None, **options):
    path = tmp_path / name
    path.write_text(text)
    return read_log(path, columns or Columns("u", "i"), **options)


def rows(log):
    return list(zip(log.users[log.user].tolist(), log.items[log.item].tolist(), strict=True))


def test_whole_numbers_stay_numbers_and_words_words(tmp_path):
    log, missing = read(tmp_path, "i,u,x\nb,10,0\na,9,0\nb,-3,0\n")
    assert rows(log) == [(10, "b"), (9, "a"), (-3, "b")] and missing == 0
    assert log.users.tolist() == [-3, 9, 10] and log.users.dtype == "int64"
    # One id that is no plain number makes words of all.
    assert read(tmp_path, "u,i\n007,1\n8,2\n")[0].users.tolist() == ["007", "8"]


def test_recbole(tmp_path):
    text = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\tx y\t3\t881250949\n186\tz\t4.5\t8.8e+08\n"
    columns = Columns(value="rating", time="timestamp")
    log, _ = read(tmp_path, text, "ml.inter", columns)
    assert rows(log) == [(196, "x y"), (186, "z")]
    assert log.value.tolist() == [3.0, 4.5] and log.time.tolist() == [881250949, 880000000]


def test_without_header_and_with_a_separator(tmp_path):
    log, _ = read(tmp_path, "0;5;1\n1;6;1\n", "log.txt", Columns("x1", "x2"), header=False, separator=";")
    assert rows(log) == [(0, 5), (1, 6)]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["3", "1"], [3, 1]),
        (["3.5", "1"], [3.5, 1.0]),
        (["1970-01-01 00:00:01", "1970-01-02"], [1_000_000, 86_400_000_000]),
    ],
)
def test_times(tmp_path, times, expected):
    log, _ = read(tmp_path, f"u,i,t\n1,1,{times[0]}\n2,2,{times[1]}\n", columns=Columns("u", "i", time="t"))
    assert log.time.tolist() == expected


def test_parquet(tmp_path):
    table = pyarrow.table(
        {
            "u": pyarrow.array([3.0, None, 1.0]),
            "i": pyarrow.array(["b", "a", "b"]).dictionary_encode(),
            "t": pyarrow.array([2, 1, 0], pyarrow.timestamp("s")),
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "log.parquet")
    columns = Columns("u", "i", time="t")
    with pytest.raises(InputError, match="1 without, the first of them row 2 in column 'u'"):
        read_log(tmp_path / "log.parquet", columns)
    log, missing = read_log(tmp_path / "log.parquet", columns, drop_missing=True)
    assert rows(log) == [(3, "b"), (1, "b")] and missing == 1 and log.items.tolist() == ["b"]
    assert log.time.tolist() == [2_000_000, 0]


@pytest.mark.parametrize(
    ("text", "columns", "words"),
    [
        ("", None, "an empty file"),
        ("u,i\n", None, "a header alone"),
        ("u,j\n1,2\n", None, "one column 'i'. Received u, j"),
        ("u,i,i\n1,2,3\n", None, "one column 'i'"),
        ("u,i\n1,2\n,3\n", None, "row 2 in column 'u'"),
        ("u,i\n1,2\n4,nan\n", None, "row 2 in column 'i'"),
        ("u,i,v\n1,2,inf\n", Columns("u", "i", "v"), "row 1 in column 'v'"),
        ("u,i,v\n1,2,good\n", Columns("u", "i", "v"), "Expected numbers in column 'v'"),
        ("u,i,t\n1,2,soon\n", Columns("u", "i", time="t"), "Expected numbers or dates"),
        ("u,i\n1,2,3\n", None, "Expected a log of interactions"),
        ("u,i\n1,2\n", Columns("u", "u"), "a column of its own"),
    ],
)
def test_bad_files_are_one_line(tmp_path, text, columns, words):
    with pytest.raises(InputError, match=words) as error:
        read(tmp_path, text, columns=columns)
    assert "\n" not in str(error.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="not found"):
        read_log(tmp_path / "none.csv", Columns())
    (tmp_path / "log.xls").write_text("")
    with pytest.raises(InputError, match=r"Expected a \.parquet"):
        read_log(tmp_path / "log.xls", Columns())
    (tmp_path / "log.parquet").write_text("no")
    with pytest.raises(InputError, match="Expected a log"):
        read_log(tmp_path / "log.parquet", Columns())


def test_several_logs_get_one_numbering(tmp_path):
    first, _ = read(tmp_path, "u,i\n2,x\n4,y\n")
    second, _ = read(tmp_path, "u,i\n3,y\n2,z\n")
    logs = joined([first, second])
    assert [rows(log) for log in logs] == [[(2, "x"), (4, "y")], [(3, "y"), (2, "z")]]
    assert logs[0].users.tolist() == logs[1].users.tolist() == [2, 3, 4]
    words, _ = read(tmp_path, "u,i\nten,x\n")
    assert joined([first, words])[0].users.tolist() == ["2", "4", "ten"]


def test_compacting_keeps_rows(tmp_path):
    log, _ = read(tmp_path, "u,i\n2,x\n4,y\n2,z\n")
    part = log.take(np.array([True, False, True])).compacted()
    assert rows(part) == [(2, "x"), (2, "z")] and part.users.tolist() == [2]


def test_parquet_ids_beyond_int64_are_words(tmp_path):
    big = [2**63 + 5, 7, 2**64 - 1]
    for kind, expected in (("uint64", ["18446744073709551615", "7", str(2**63 + 5)]), ("uint32", [5, 6, 7])):
        ids = big if kind == "uint64" else [7, 5, 6]
        table = pyarrow.table({"u": pyarrow.array(ids, kind), "i": pyarrow.array([1, 2, 3], "uint64")})
        pyarrow.parquet.write_table(table, tmp_path / "big.parquet")
        log, _ = read_log(tmp_path / "big.parquet", Columns("u", "i"))
        assert log.users.tolist() == expected and log.items.dtype == "int64"


def test_an_empty_word_is_missing_in_parquet_too(tmp_path):
    table = pyarrow.table({"u": ["a", "b", "c"], "i": ["x", "", "y"]})
    pyarrow.parquet.write_table(table, tmp_path / "log.parquet")
    with pytest.raises(InputError, match="row 2 in column 'i'"):
        read_log(tmp_path / "log.parquet", Columns("u", "i"))
    log, missing = read_log(tmp_path / "log.parquet", Columns("u", "i"), drop_missing=True)
    assert rows(log) == [("a", "x"), ("c", "y")] and missing == 1


def test_a_quotation_mark_that_swallows_rows_is_refused(tmp_path):
    with pytest.raises(InputError, match="a quotation mark that is not closed"):
        read(tmp_path, 'u\ti\n"u1\ta\nu1\tb\n u1"\tc\nu2\ta\n', "log.tsv")
    with pytest.raises(InputError, match="to begin with a line of columns"):
        read(tmp_path, "u,i" + "x" * 200_000 + "\n1,2\n")
