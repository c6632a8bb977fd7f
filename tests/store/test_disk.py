"""Files are whole or absent, and what fails says what to do."""

import errno
import os
from pathlib import Path

import pyarrow as pa
import pytest

from recorder.errors import StoreError
from recorder.store.disk import make_folder, publish, store_error, told, write_whole


def test_a_full_disk_is_told_with_what_to_do() -> None:
    error = store_error("write /data/x", OSError(errno.ENOSPC, "No space"))

    assert str(error) == "cannot write /data/x: the disk is full; free some space"


def test_an_unusual_error_is_told_in_its_own_words() -> None:
    error = store_error("write /data/x", OSError(errno.ENXIO, "No such device"))

    assert "No such device" in str(error)
    assert "check the disk" in str(error)


def test_told_lets_other_errors_through() -> None:
    with pytest.raises(KeyError), told("write"):
        raise KeyError
    with pytest.raises(StoreError, match="no permission"), told("write"):
        raise PermissionError(errno.EACCES, "denied")


def test_want_of_memory_is_told_with_what_to_do() -> None:
    with (
        pytest.raises(StoreError, match="cannot read x: memory ran out"),
        told("read x"),
    ):
        raise pa.ArrowMemoryError("malloc of size 64 failed")


def test_folders_are_made_with_those_above_them(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a" / "b" / "c")

    assert (tmp_path / "a" / "b" / "c").is_dir()


def test_a_file_in_the_way_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").touch()

    with pytest.raises(StoreError, match="a file is in the way"), told("make"):
        make_folder(tmp_path / "a" / "b")


def test_content_is_replaced_as_a_whole_and_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x"
    write_whole(path, b"old and longer")
    write_whole(path, b"new")

    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_publishing_never_overwrites(tmp_path: Path) -> None:
    first, second, final = (tmp_path / n for n in ("1", "2", "final"))
    first.write_bytes(b"first")
    second.write_bytes(b"second")

    assert publish(first, final) is True
    assert publish(second, final) is False

    assert final.read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["final"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_disk_without_hard_links_gets_renamed_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_args: object) -> None:
        raise OSError(code, "no links")

    monkeypatch.setattr(os, "link", refuse)
    first, second, final = (tmp_path / n for n in ("1", "2", "final"))
    first.write_bytes(b"first")
    second.write_bytes(b"second")

    assert publish(first, final) is True
    assert publish(second, final) is False

    assert final.read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["final"]


def test_a_failed_publication_is_an_error_and_cleans_up(tmp_path: Path) -> None:
    tmp = tmp_path / "1"
    tmp.touch()

    with pytest.raises(FileNotFoundError):
        publish(tmp, tmp_path / "nowhere" / "final")

    assert not tmp.exists()
