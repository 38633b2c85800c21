"""CSV files of readings: what is read, and how a wrong file is told."""

from pathlib import Path

import pytest

from seqserve.command.files.feature_file import read_feature_file


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "days.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_rows_are_read_by_the_names_of_the_first_line(tmp_path: Path) -> None:
    table = read_feature_file(written(tmp_path, "wind, humidity\n1.5,80\n\n-2e1, 7.25\n"))
    assert table.rows == ({"wind": 1.5, "humidity": 80.0}, {"wind": -20.0, "humidity": 7.25})
    assert table.row_names == ["1", "2"]


@pytest.mark.parametrize("cell", ["", " ", "NA"])
def test_a_cell_without_a_reading_is_missing(tmp_path: Path, cell: str) -> None:
    assert read_feature_file(written(tmp_path, f"a,b\n1,{cell}\n")).rows == ({"a": 1.0, "b": None},)


def test_key_columns_name_the_rows_and_are_no_readings(tmp_path: Path) -> None:
    path = written(tmp_path, "\N{BYTE ORDER MARK}date,wind,place\n2012-01-01,1,Rome\n2012-01-02,2,Rome\n")
    table = read_feature_file(path, ["place", "date"])
    assert table.rows == ({"wind": 1.0}, {"wind": 2.0})
    assert table.row_names == ["2012-01-01 Rome", "2012-01-02 Rome"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("", "no names of columns", id="empty"),
        pytest.param("a,b\n", "no rows below its first line", id="no rows"),
        pytest.param("a,b\n\n\n", "no rows below its first line", id="blank rows"),
        pytest.param("a,b\n1,2\n3\n", "line 3: 1 cells, the first line has 2", id="ragged"),
        pytest.param("a,b\n1,2,3\n", "line 2: 3 cells, the first line has 2", id="a cell too many"),
        pytest.param('a,b\n"1\n",2\nx,2\n', "line 4, a: 'x' is not a number", id="after a cell of two lines"),
        pytest.param("a,b\n1,many\n", "line 2, b: 'many' is not a number", id="a word"),
        pytest.param("a,b,a\n1,2,3\n", "column 'a' twice", id="a column twice"),
        pytest.param("a\n1\n", "no column 'date', only a", id="no key column"),
        pytest.param(b"a\n\xff\n", "is not UTF-8", id="another encoding"),
        pytest.param('date,a\n"1,2\n', "is not CSV", id="an open quote"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ValueError, match=message) as refused:
        read_feature_file(path, ["date"] if "date" in message or "quote" in message else [])
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"days\.csv: No such file"):
        read_feature_file(tmp_path / "days.csv")
