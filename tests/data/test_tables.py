from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinesics.data.tables import at_lines, csv_columns, csv_rows, number_cells, numbers, whole_number, write_rows
from kinesics.errors import UserError


def _write(folder: Path, content: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_lines_are_those_of_the_file_over_blank_lines_and_quoted_line_breaks(tmp_path: Path) -> None:
    path = _write(tmp_path, '\ufeff a ,b\n\n1,2\r\n"x\ny",3\n\n4,5\n')
    assert list(csv_rows(path)) == [(1, ["a", "b"]), (3, ["1", "2"]), (4, ["x\ny", "3"]), (7, ["4", "5"])]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"a,b\n1,2\n3\n4,5,6\n", "lines 3, 4: not 2 cells"),
        (b"a,a\n", "named twice: a"),
        (b"a,,c\n", "column 2 has no name"),
        (b"a;b\n1;2\n", "not separated by commas"),
        (b"a,b\n1,\xff\n2,\xfe\n", "lines 2, 3: not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "NUL bytes"),
        (b"a,b\n1,\x002\n", "line 2: NUL"),
        (b'a,b\n1,"2\n', "line 2: not well-formed"),
        (b'a,b\n1,"2"x\n', "line 2: not well-formed"),
    ],
)
def test_broken_files_are_complained_about_by_line(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        list(csv_rows(_write(tmp_path, content)))


def test_a_missing_file_and_a_folder_are_user_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(UserError, match="can't read"):
            list(csv_rows(path))


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no column 'c'; its columns are: a, b"):
        csv_columns(_write(tmp_path, "a,b\n1,2\n"), ["a", "c"])


def test_only_the_first_five_lines_are_listed() -> None:
    assert at_lines([7]) == "line 7"
    assert at_lines([7, 9]) == "lines 7, 9"
    assert at_lines(list(range(2, 14))) == "lines 2, 3, 4, 5, 6, ... (12 lines in all)"


def test_numbers_tell_blank_from_bad() -> None:
    values, bad = numbers(["1.5", "", " ", "nan", "x", "inf", "1e999", "-2"])
    assert bad == [4, 5, 6]
    np.testing.assert_array_equal(values, [1.5, *[np.nan] * 6, -2])


@pytest.mark.parametrize(
    ("cell", "value"), [("3", 3), (" -1 ", -1), ("3.0", 3), ("3.5", None), ("x", None), ("²", None)]
)
def test_whole_numbers(cell: str, value: int | None) -> None:
    assert whole_number(cell) == value


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=2, max_size=2)
    )
)
def test_written_cells_are_read_back_by_us_and_by_python(rows: list[list[str]]) -> None:
    import tempfile

    stream = io.StringIO()
    write_rows(stream, ["a", "b"], [[row[0] for row in rows], [row[1] for row in rows]])
    assert list(csv.reader(io.StringIO(stream.getvalue(), newline="")))[1:] == rows
    with tempfile.TemporaryDirectory() as folder:
        path = _write(Path(folder), stream.getvalue())
        assert [cells for _, cells in csv_rows(path)][1:] == rows


@given(st.lists(st.floats(allow_infinity=False)))
def test_written_numbers_come_back_to_the_last_bit(values: list[float]) -> None:
    back, bad = numbers(number_cells(np.array(values)))
    assert not bad
    np.testing.assert_array_equal(back, values)
