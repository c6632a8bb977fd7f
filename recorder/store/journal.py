"""Journals: rows on disk within a second of their arrival, not yet sorted.

A journal is one Arrow IPC stream for one (table, source, date) of one run.
It only ever grows; each append is synced before it is reported. A kill or a
power cut may leave a torn end, cut off or, with the file's size on the disk
before its content, filled up with zeros. Arrow takes some such ends for rows.
So each append is two batches: the rows, and an empty one whose metadata has
the checksum of the bytes before it. Rows without that seal are not read.
"""

import mmap
import os
from contextlib import suppress
from io import RawIOBase
from pathlib import Path
from typing import IO, Any, Final, NamedTuple
from zlib import crc32

import pyarrow as pa

from recorder.errors import UnknownSchemaError
from recorder.store.disk import make_folder, store_error, sync_folder, told
from recorder.store.layout import Partition, Stem, journal_path
from recorder.store.tables import TABLES, Table


_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression="lz4")
_SEAL: Final = b"recorder.checksum"


class _CheckedFile(RawIOBase):
    """Passes bytes on to a file, and keeps the checksum of those since a seal."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.checksum = 0

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self.checksum = crc32(content, self.checksum)
        return self.file.write(content)


class Journal:
    """A journal being written; one writer, append only.

    Attributes:
        path: Where it lies.
        partition: Whose rows it takes.
        stem: Its name, and that of the segment to come.
        rows: Rows appended so far.
        bytes: Size on disk.
    """

    __slots__ = (
        "_file",
        "_sink",
        "_writer",
        "bytes",
        "partition",
        "path",
        "rows",
        "stem",
    )

    def __init__(self, root: Path, partition: Partition, stem: Stem) -> None:
        """Create the file; it must not exist.

        Raises:
            StoreError: If it cannot be created.
        """
        self.partition = partition
        self.stem = stem
        self.path = journal_path(root, partition, stem)
        self.rows = 0
        self.bytes = 0
        with told(f"create {self.path}"):
            make_folder(self.path.parent)
            self._file = self.path.open("xb", buffering=1 << 20)
            sync_folder(self.path.parent)
        schema = TABLES[partition.table].schema
        self._sink = _CheckedFile(self._file)
        self._writer = pa.ipc.new_stream(self._sink, schema, options=_OPTIONS)

    def append(self, batch: pa.RecordBatch) -> None:
        """Add rows and wait until they are on the disk.

        Raises:
            StoreError: If they cannot be written; what was appended before
                stays readable.
        """
        with told(f"write {self.path}"):
            self._writer.write_batch(batch)
            # With the same dictionaries, so that they are not written again.
            seal = {_SEAL: str(self._sink.checksum).encode()}
            self._writer.write_batch(batch.slice(0, 0), custom_metadata=seal)
            self._sink.checksum = 0
            self._file.flush()
            os.fsync(self._file.fileno())
            self.rows += batch.num_rows
            self.bytes = self._file.tell()

    def close(self) -> None:
        """Let go of the file; a torn end, if any, stays as it is."""
        # The end-of-stream mark is left out: a journal never has one, so that
        # a whole one and one that a kill left are read in the same way.
        try:
            self._file.close()
        except OSError as error:
            raise store_error(f"close {self.path}", error) from error


def map_file(path: Path) -> pa.Buffer:
    """Return what a file holds now, without reading it yet.

    The mapping outlives the file's name, and does not grow with the file.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            return pa.py_buffer(b"")
        return pa.py_buffer(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))


class JournalContent(NamedTuple):
    """What could be read of a journal.

    Attributes:
        batches: The complete batches, in the order of appending.
        torn_bytes: How much lies after the last of them and is not one.
    """

    batches: list[pa.RecordBatch]
    torn_bytes: int


def read_journal(content: pa.Buffer, table: Table) -> JournalContent:
    """Return the complete batches of a journal.

    Args:
        content: The file, perhaps torn: cut anywhere, or ending in zeros or
            in garbage.
        table: Whose rows they are.

    Raises:
        UnknownSchemaError: If it was written with other columns.
    """
    batches: list[pa.RecordBatch] = []
    sealed = 0
    stream = pa.BufferReader(content)
    # What cannot be read is not an error but the torn end that a journal may
    # have: nothing in it was ever reported as written.
    with suppress(StopIteration, pa.ArrowException, OSError, MemoryError, UnicodeError):
        reader = pa.ipc.open_stream(stream)
        while True:
            batch = reader.read_next_batch()
            end = stream.tell()
            _, metadata = reader.read_next_batch_with_custom_metadata()
            checksum = crc32(content[sealed:end])
            if not metadata or metadata.get(_SEAL) != str(checksum).encode():
                break
            if not batch.schema.equals(table.schema):
                raise UnknownSchemaError(
                    f"a journal of {table.name} was written with other columns; "
                    "convert it with the release that wrote it (recorder recover)"
                )
            batches.append(batch)
            sealed = stream.tell()
    return JournalContent(batches, content.size - sealed)
