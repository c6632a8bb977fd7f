"""Journals: what was reported as written can always be read."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import pyarrow as pa
import pytest

from recorder.errors import DiskError, StoreError, UnknownSchemaError
from recorder.model import DepthUpdate
from recorder.store import calls
from recorder.store.batch import RowTuple, build
from recorder.store.journal import (
    Journal,
    JournalContent,
    Seals,
    find_seals,
    map_file,
    read_journal,
)
from recorder.store.layout import Partition, Stem
from recorder.store.segment import convert
from recorder.store.tables import TABLES


TABLE = TABLES["depth"]
PARTITION = Partition("depth", "gate_spot", "2023-11-14")
STEM = Stem(1_700_000_000_000_000_001, "20231114T221320-abcdef", 0)
MakeRow = Callable[..., RowTuple]


def read(path: Path) -> JournalContent:
    """Read a journal of the table depth."""
    return read_journal(map_file(path), TABLE, path)


def read_bytes(content: bytes) -> JournalContent:
    """Read the bytes of a journal of the table depth."""
    return read_journal(pa.py_buffer(content), TABLE, Path("some.arrow"))


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
        assert found.seals == Seals(found.seals.rows_end, 0, False)
        assert found.batches == batches[:number]

    assert journal.rows == 6
    assert journal.bytes == journal.path.stat().st_size
    journal.close()
    assert read(journal.path).seals.torn_bytes == 0


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

    for size in range(len(content) + 1):
        found = read_bytes(content[:size])

        whole = complete(sizes, size)
        assert found.batches == batches[:whole], size
        left = size - (sizes[whole - 1] if whole else 0)
        assert found.seals[1:] == (left, False), size


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"\xff" * 512, os.urandom(512), b"x"])
def test_what_follows_a_cut_does_not_matter(
    ends: tuple[Path, list[int]], batches: list[pa.RecordBatch], tail: bytes
) -> None:
    path, sizes = ends
    content = path.read_bytes()

    for size in (*range(0, len(content), 7), len(content)):
        found = read_bytes(content[:size] + tail)

        # What was cut away may have been what the tail puts in its place.
        got = found.batches
        assert got == batches[: len(got)], size
        assert len(got) >= complete(sizes, size)


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "empty.arrow"
    path.touch()

    assert read(path) == JournalContent([], Seals(0, 0, False))


def test_a_mapping_outlives_the_name_and_does_not_grow(
    root: Path, batches: list[pa.RecordBatch]
) -> None:
    journal = Journal(root, PARTITION, STEM)
    journal.append(batches[0])
    content = map_file(journal.path)
    journal.append(batches[1])
    journal.close()
    journal.path.unlink()

    found = read_journal(content, TABLE, journal.path)

    assert found.batches == batches[:1]


def test_rows_without_a_seal_are_not_read(
    tmp_path: Path, batches: list[pa.RecordBatch]
) -> None:
    path = tmp_path / "plain.arrow"
    with pa.ipc.new_stream(path, TABLE.schema) as stream:
        for batch in batches:
            stream.write_batch(batch)

    assert read(path) == JournalContent([], Seals(0, path.stat().st_size, False))


def test_rows_that_do_not_match_their_seal_are_not_read(
    ends: tuple[Path, list[int]], batches: list[pa.RecordBatch]
) -> None:
    path, sizes = ends
    content = bytearray(path.read_bytes())
    where = content.index(b"GT_USDT", sizes[1])
    content[where] ^= 1

    found = read_bytes(bytes(content))

    assert found.batches == batches[:2]
    assert found.seals[1:] == (len(content) - sizes[1], True)


def test_a_byte_that_changed_anywhere_is_a_damage_and_no_torn_end(
    ends: tuple[Path, list[int]], batches: list[pa.RecordBatch]
) -> None:
    path, sizes = ends
    content = path.read_bytes()
    # The last seal says nothing of its own bytes, and no rows follow it.
    last_seal = content.rindex(b"\xff\xff\xff\xff")

    for where in range(last_seal):
        changed = bytearray(content)
        changed[where] ^= 0x41
        found = read_bytes(bytes(changed))

        whole = complete(sizes, where)
        # A seal that is changed itself, and yet can be read, is found wrong
        # by the next one.
        assert found.batches in (batches[:whole], batches[: whole + 1]), where
        assert found.seals.is_damaged, where


def test_a_block_of_zeros_before_rows_that_are_whole_is_a_damage(
    ends: tuple[Path, list[int]], batches: list[pa.RecordBatch]
) -> None:
    path, sizes = ends
    content = path.read_bytes()

    for start in range(0, sizes[1], 64):
        hole = content[:start] + bytes(64) + content[start + 64 :]
        found = read_bytes(hole)

        assert found.batches == batches[: len(found.batches)]
        assert found.seals.is_damaged or hole == content, start


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have journals packed with LZ4, as earlier releases wrote them."""
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    monkeypatch.setattr("recorder.store.journal._OPTIONS", options)


@pytest.mark.usefixtures("packed")
def test_rows_as_they_were_written_that_arrow_cannot_read_are_an_error(
    root: Path, batches: list[pa.RecordBatch]
) -> None:
    """As if they had been packed in a way that this Arrow does not know."""
    journal = Journal(root, PARTITION, STEM)
    journal.append(batches[0])
    journal.close()
    content = bytearray(journal.path.read_bytes())
    seal = content.rindex(b"\xff\xff\xff\xff")
    sum_before = str(crc32(content[:seal])).encode()
    begin = content.index(b"\x04\x22\x4d\x18")  # of an LZ4 frame
    for mark in range(256):  # until the sum has as many digits as before
        content[begin + 1 : begin + 3] = bytes((0, mark))
        sum_after = str(crc32(content[:seal])).encode()
        if len(sum_after) == len(sum_before):
            break
    journal.path.write_bytes(content.replace(sum_before, sum_after))

    with pytest.raises(StoreError, match="is as it was written, but cannot be read"):
        read(journal.path)
    with pytest.raises(StoreError, match="is as it was written, but cannot be read"):
        convert(root, PARTITION, STEM)

    assert journal.path.exists()


def test_a_name_alone_is_no_seal(ends: tuple[Path, list[int]]) -> None:
    path, _sizes = ends
    content = path.read_bytes()

    # As in a frame that was to be kept verbatim, of which a part was written.
    tail = b"\xff\xff\xff\xff\x10\0\0\0 recorder.checksum recorder.checksum"
    seals = find_seals(pa.py_buffer(content + tail))

    assert seals[1:] == (len(tail), False)


@pytest.mark.usefixtures("packed")
def test_a_batch_that_arrow_cannot_hold_in_memory_is_an_error(
    root: Path, batches: list[pa.RecordBatch]
) -> None:
    """Memory is limited for real, in a process of its own."""
    wide = DepthUpdate(
        market="A",
        stream="depth:100ms",
        ts_event=None,
        is_snapshot=True,
        first_update_id=None,
        last_update_id=1,
        bids=((1.0, 1.0),) * 2_000_000,
        asks=(),
    )
    journal = Journal(root, PARTITION, STEM)
    for number in range(8):
        row = (STEM.first_ts_recv + number, "run.0", number, 0, wide, None)
        journal.append(build(TABLE, [row]).batch)
    journal.close()
    assert journal.bytes < 8 << 20

    done = subprocess.run(
        [sys.executable, "-c", POOR, str(root), *PARTITION, *map(str, STEM)],
        env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "memory ran out" in done.stdout, done.stderr
    assert len(read(journal.path).batches) == 8


POOR = """
import resource, sys
from pathlib import Path
from recorder.errors import StoreError
from recorder.store.layout import Partition, Stem
from recorder.store.segment import convert
from recorder.store.segment import convert

root, table, source, date, first, run, number = sys.argv[1:]
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (100 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    convert(Path(root), Partition(table, source, date), Stem(int(first), run, int(number)))
except StoreError as error:
    print(error)
"""


def test_rows_with_other_columns_are_not_taken_for_a_torn_end(
    root: Path, trade: MakeRow
) -> None:
    journal = Journal(root, PARTITION._replace(table="trades"), STEM)
    journal.append(build(TABLES["trades"], [trade(1)]).batch)
    journal.close()

    with pytest.raises(UnknownSchemaError, match="other columns"):
        read(journal.path)


@pytest.mark.parametrize("written", [0, 1, 700, 10_000])
@pytest.mark.parametrize("refusing", ["write", "sync"])
def test_an_append_that_the_disk_refuses_is_finished_later_and_read_once(
    root: Path,
    batches: list[pa.RecordBatch],
    monkeypatch: pytest.MonkeyPatch,
    refusing: str,
    written: int,
) -> None:
    journal = Journal(root, PARTITION, STEM)
    journal.append(batches[0])
    durable = journal.bytes
    real = calls.write

    def refuse(handle: int, *given: Any) -> int:
        if refusing == "write" and given:
            content, at = given
            real(handle, bytes(content[:written]), at)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(calls, refusing, refuse)
        with pytest.raises(DiskError, match="the disk is full"):
            journal.append(batches[1])
        with pytest.raises(DiskError, match="the disk is full"):
            journal.finish()

    assert (journal.bytes, journal.rows) == (durable, batches[0].num_rows)
    assert read(journal.path).batches in (batches[:1], batches[:2])
    journal.finish()
    journal.append(batches[2])
    journal.close()

    found = read(journal.path)
    assert found.batches == batches
    assert (found.seals.torn_bytes, journal.bytes) == (0, journal.path.stat().st_size)


def test_a_journal_on_a_device_that_is_full_is_an_error(
    batches: list[pa.RecordBatch], root: Path
) -> None:
    journal = Journal(root, PARTITION, STEM)
    with Path("/dev/full").open("wb", buffering=0) as full:
        os.dup2(full.fileno(), journal._handle)

    with pytest.raises(DiskError, match="the disk is full"):
        journal.append(batches[0])
    journal.close()


def test_a_journal_whose_volume_came_back_goes_on_in_the_file_of_that_name(
    root: Path, batches: list[pa.RecordBatch]
) -> None:
    journal = Journal(root, PARTITION, STEM)
    journal.append(batches[0])
    mirror = journal.path.with_suffix(".copy")
    mirror.write_bytes(journal.path.read_bytes())
    mirror.replace(journal.path)  # another file, as on a volume mounted anew

    journal.doubt()
    journal.append(batches[1])
    journal.close()

    assert read(journal.path).batches == batches[:2]


def test_what_was_written_is_safe_though_its_file_cannot_be_closed(
    root: Path, batches: list[pa.RecordBatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(root, PARTITION, STEM)
    journal.append(batches[0])
    mirror = journal.path.with_suffix(".copy")
    mirror.write_bytes(journal.path.read_bytes())
    mirror.replace(journal.path)
    closed = []

    def refuse(handle: int) -> None:
        closed.append(handle)
        os.close(handle)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(calls, "close", refuse)
    journal.doubt()
    journal.append(batches[1])
    journal.doubt()
    journal.append(batches[2])
    journal.close()

    assert len(closed) == 2  # each handle once: its number may be another's by then
    assert read(journal.path).batches == batches[:3]


def test_a_journal_that_came_back_shorter_is_not_written_on(
    root: Path, batches: list[pa.RecordBatch]
) -> None:
    journal = Journal(root, PARTITION, STEM)
    journal.append(batches[0])
    short = journal.path.with_suffix(".short")
    short.write_bytes(journal.path.read_bytes()[:-1])
    short.replace(journal.path)

    journal.doubt()
    with pytest.raises(StoreError, match="has lost rows that were on the disk") as told:
        journal.append(batches[1])
    journal.close()

    assert not isinstance(told.value, DiskError)


def test_a_journal_that_cannot_be_made_to_last_leaves_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        if path.name.startswith("date="):
            raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(calls, "sync_folder", refuse)
        with pytest.raises(DiskError, match="too many files are open"):
            Journal(root, PARTITION, STEM)

    assert list(root.rglob("*.arrow")) == []
    Journal(root, PARTITION, STEM).close()


def test_a_living_run_never_makes_a_store_where_its_own_has_vanished(
    root: Path,
) -> None:
    root.mkdir()  # as the folder under a volume that is gone

    with pytest.raises(DiskError, match="it is not there any more"):
        Journal(root, PARTITION, STEM, is_living=True)

    assert list(root.iterdir()) == []
