"""Journals: what was reported as written can always be read."""

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from recorder.errors import StoreError, UnknownSchemaError
from recorder.store.batch import RowTuple, build
from recorder.store.journal import Journal, JournalContent, map_file, read_journal
from recorder.store.layout import Partition, Stem
from recorder.store.tables import TABLES


TABLE = TABLES["depth"]
PARTITION = Partition("depth", "gate_spot", "2023-11-14")
STEM = Stem(1_700_000_000_000_000_001, "20231114T221320-abcdef", 0)
MakeRow = Callable[..., RowTuple]


def read(path: Path) -> JournalContent:
    """Read a journal of the table depth."""
    return read_journal(map_file(path), TABLE)


@pytest.fixture
def batches(depth: MakeRow) -> list[pa.RecordBatch]:
    """Three batches with dictionaries that differ."""
    parts = [
        [depth(1), depth(2, "ETH_USDT")],
        [depth(3, "ETH_USDT", bids=b"[]")],
        [depth(4, "GT_USDT"), depth(5), depth(6, "ETH_USDT")],
    ]
    return [build(TABLE, part).batch for part in parts]


def test_a_journal_gives_back_what_was_appended(
    root: Path, batches: list[pa.RecordBatch]
) -> None:
    journal = Journal(root, PARTITION, STEM)
    for number, batch in enumerate(batches, start=1):
        journal.append(batch)

        found = read(journal.path)
        assert found.torn_bytes == 0
        assert found.batches == batches[:number]

    assert journal.rows == 6
    assert journal.bytes == journal.path.stat().st_size
    journal.close()
    assert read(journal.path).torn_bytes == 0


def test_a_journal_is_never_written_over(root: Path) -> None:
    Journal(root, PARTITION, STEM).close()

    with pytest.raises(StoreError, match="a file is in the way"):
        Journal(root, PARTITION, STEM)


@pytest.fixture
def ends(root: Path, batches: list[pa.RecordBatch]) -> tuple[Path, list[int]]:
    """A journal, and its size after its header and after each batch."""
    journal = Journal(root, PARTITION, STEM)
    ends = []
    for batch in batches:
        journal.append(batch)
        ends.append(journal.bytes)
    journal.close()
    return journal.path, ends


def complete(ends: list[int], size: int) -> int:
    """Return how many batches lie within the first bytes."""
    return sum(end <= size for end in ends)


def test_a_journal_cut_anywhere_gives_every_complete_batch(
    ends: tuple[Path, list[int]], batches: list[pa.RecordBatch], tmp_path: Path
) -> None:
    path, sizes = ends
    content = path.read_bytes()

    # Every byte of the batches; the header, mostly descriptions, is long.
    header = sizes[0] - 3000
    for size in (*range(0, header, 11), *range(header, len(content) + 1)):
        found = read_journal(pa.py_buffer(content[:size]), TABLE)

        whole = complete(sizes, size)
        assert found.batches == batches[:whole], size
        if whole:
            assert found.torn_bytes == size - sizes[whole - 1]


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"\xff" * 512, os.urandom(512), b"x"])
def test_what_follows_a_cut_does_not_matter(
    ends: tuple[Path, list[int]], batches: list[pa.RecordBatch], tail: bytes
) -> None:
    path, sizes = ends
    content = path.read_bytes()

    for size in (*range(0, len(content), 7), len(content)):
        found = read_journal(pa.py_buffer(content[:size] + tail), TABLE)

        # What was cut away may have been what the tail puts in its place.
        got = found.batches
        assert got == batches[: len(got)], size
        assert len(got) >= complete(sizes, size)


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "empty.arrow"
    path.touch()

    assert read(path) == JournalContent([], 0)


def test_a_mapping_outlives_the_name_and_does_not_grow(
    root: Path, batches: list[pa.RecordBatch]
) -> None:
    journal = Journal(root, PARTITION, STEM)
    journal.append(batches[0])
    content = map_file(journal.path)
    journal.append(batches[1])
    journal.close()
    journal.path.unlink()

    found = read_journal(content, TABLE)

    assert found.batches == batches[:1]


def test_rows_without_a_seal_are_not_read(
    tmp_path: Path, batches: list[pa.RecordBatch]
) -> None:
    path = tmp_path / "plain.arrow"
    with pa.ipc.new_stream(path, TABLE.schema) as stream:
        for batch in batches:
            stream.write_batch(batch)

    assert read(path) == JournalContent([], path.stat().st_size)


def test_rows_that_do_not_match_their_seal_are_not_read(
    ends: tuple[Path, list[int]], batches: list[pa.RecordBatch]
) -> None:
    path, sizes = ends
    content = bytearray(path.read_bytes())
    where = content.index(b"GT_USDT", sizes[1])
    content[where] ^= 1

    found = read_journal(pa.py_buffer(bytes(content)), TABLE)

    assert found == JournalContent(batches[:2], len(content) - sizes[1])


def test_rows_with_other_columns_are_not_taken_for_a_torn_end(
    root: Path, trade: MakeRow
) -> None:
    journal = Journal(root, PARTITION._replace(table="trades"), STEM)
    journal.append(build(TABLES["trades"], [trade(1)]).batch)
    journal.close()

    with pytest.raises(UnknownSchemaError, match="other columns"):
        read(journal.path)


def test_a_full_disk_is_an_error_and_what_was_written_stays(
    root: Path, batches: list[pa.RecordBatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(root, PARTITION, STEM)
    journal.append(batches[0])

    class Full:
        def __init__(self, file: object) -> None:
            self._file = file

        def flush(self) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            raise OSError(28, "No space left on device")

    real = journal._file
    monkeypatch.setattr(journal, "_file", Full(real))
    with pytest.raises(StoreError, match="the disk is full"):
        journal.append(batches[1])
    with pytest.raises(StoreError, match="the disk is full"):
        journal.close()

    found = read(journal.path)
    assert found.batches == batches[:1]
    real.close()


def test_a_journal_on_a_device_that_is_full_is_an_error(
    batches: list[pa.RecordBatch], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(root, PARTITION, STEM)
    real = journal._file
    with Path("/dev/full").open("wb", buffering=0) as full:
        os.dup2(full.fileno(), real.fileno())

    with pytest.raises(StoreError, match="the disk is full"):
        journal.append(batches[0])
    with pytest.raises(StoreError, match="the disk is full"):
        journal.close()
