"""Writing files: whole or not at all, and a sentence where it can't be."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinesics.errors import UserError
from kinesics.files import atomic_write, make_folder


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic_write(path, "w") as stream:
        stream.write("one")
    with pytest.raises(ZeroDivisionError), atomic_write(path, "w") as stream:
        stream.write("two")
        raise ZeroDivisionError
    assert path.read_text() == "one" and [item.name for item in path.parent.iterdir()] == ["a.txt"]


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    too_long = tmp_path / ("n" * 250)
    for path in (tmp_path / "file" / "a.txt", tmp_path / "folder", too_long, Path("/proc/none/a.txt")):
        with pytest.raises(UserError, match="can't"), atomic_write(path):
            raise AssertionError("nothing should be worked out for a file that can't be written")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/none")):
        with pytest.raises(UserError, match="can't make the folder"):
            make_folder(folder)
    assert (tmp_path / "file").read_text() == "mine" and not list((tmp_path / "folder").iterdir())


def test_errors_of_the_work_inside_are_passed_on(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a.txt") as stream:
        stream.write((tmp_path / "missing").read_bytes())
    assert not list(tmp_path.iterdir())
