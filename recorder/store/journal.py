"""Journals: rows on disk within a second of their arrival, not yet sorted.

A journal is one Arrow IPC stream for one (table, source, date) of one run.
It only ever grows; each append is synced before it is reported. A kill or a
power cut may leave a torn end, cut off or, with the file's size on the disk
before its content, filled up with zeros. Arrow takes some such ends for rows.
So each append is two batches: the rows, and an empty one, the seal, whose
metadata has the checksum of all bytes since the last seal, that one included.
Rows without a seal are not read, and nothing is decoded before its checksum
was found right: from then on whatever fails is an error, and no torn end.
"""

import mmap
import os
from contextlib import suppress
from io import RawIOBase
from pathlib import Path
from typing import Any, Final, NamedTuple
from zlib import crc32

import pyarrow as pa

from recorder.errors import StoreError, UnknownSchemaError
from recorder.store import calls
from recorder.store.disk import make_folder, remove, told, write_all
from recorder.store.layout import INTERNAL, Partition, Stem, journal_path
from recorder.store.tables import TABLES, Table


_OPTIONS: Final = pa.ipc.IpcWriteOptions()
_SEAL: Final = b"recorder.checksum"
_MESSAGE: Final = b"\xff\xff\xff\xff"
"""What every message of a stream begins with."""

_SEAL_BYTES_MAX: Final = 1 << 16
"""A seal's name lies at most so far behind its beginning."""


class _Encoded(RawIOBase):
    """Bytes on their way to a journal, and the checksum of those since a seal."""

    def __init__(self) -> None:
        super().__init__()
        self.checksum = 0
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self.checksum = crc32(content, self.checksum)
        before = len(self.content)
        self.content += content
        return len(self.content) - before


class Journal:
    """A journal being written; one writer, append only.

    An append that the disk refuses can be finished later: its bytes are kept
    and written again at the same place. So whatever of them is on the disk
    by then, the rows are there once.

    Attributes:
        path: Where it lies.
        partition: Whose rows it takes.
        stem: Its name, and that of the segment to come.
        rows: Rows that are on the disk.
        bytes: How much of it is on the disk.
    """

    __slots__ = (
        "_encoded",
        "_encoded_rows",
        "_handle",
        "_is_sure",
        "_writer",
        "bytes",
        "partition",
        "path",
        "rows",
        "stem",
    )

    def __init__(
        self, root: Path, partition: Partition, stem: Stem, *, is_living: bool = False
    ) -> None:
        """Create the file; it must not exist.

        Args:
            root: The store's folder.
            partition: Whose rows it takes.
            stem: Its name.
            is_living: Whether its run goes on: then there is a store, or its
                volume has vanished.

        Raises:
            StoreError: If it cannot be created; nothing is left then, unless
                the disk refuses that, too: an empty file.
        """
        self.partition = partition
        self.stem = stem
        self.path = journal_path(root, partition, stem)
        self.rows = 0
        self.bytes = 0
        with told(f"create {self.path}"):
            if not is_living:
                make_folder(root / INTERNAL)
            make_folder(self.path.parent, below=root / INTERNAL)
            self._handle = calls.create(self.path)
            try:
                calls.sync_folder(self.path.parent)
            except OSError:
                calls.close(self._handle)
                with suppress(OSError):
                    remove(self.path)
                raise
        self._is_sure = True
        self._encoded = _Encoded()
        self._encoded_rows = 0
        schema = TABLES[partition.table].schema
        self._writer = pa.ipc.new_stream(self._encoded, schema, options=_OPTIONS)

    def append(self, batch: pa.RecordBatch) -> None:
        """Add rows and wait until they are on the disk.

        Raises:
            StoreError: If they cannot be written: `finish` tries that again.
                What was appended before stays readable.
        """
        self.take(batch)
        self.finish()

    def take(self, batch: pa.RecordBatch) -> None:
        """Take rows to be appended by `finish`."""
        self._writer.write_batch(batch)
        # With the same dictionaries, so that they are not written again.
        seal = {_SEAL: str(self._encoded.checksum).encode()}
        self._encoded.checksum = 0
        self._writer.write_batch(batch.slice(0, 0), custom_metadata=seal)
        self._encoded_rows += batch.num_rows

    def finish(self) -> None:
        """Wait until all rows that were taken are on the disk.

        Raises:
            StoreError: If the disk refuses; try again later.
        """
        content = self._encoded.content
        with told(f"write {self.path}"):
            if not self._is_sure:
                self._find_again()
            self._is_sure = False
            write_all(self._handle, content, self.bytes)
            calls.sync(self._handle)
            self._is_sure = True
        self.bytes += len(content)
        self.rows += self._encoded_rows
        content.clear()
        self._encoded_rows = 0

    def doubt(self) -> None:
        """Look, before the next rows are written, whether the file is still it."""
        self._is_sure = False

    def _find_again(self) -> None:
        """See to it that the handle is of the file that has the name.

        A volume may have been away, and what was open on it be lost.
        """
        named = self.path.stat()
        with suppress(OSError):  # a handle of what is gone
            if os.path.samestat(named, os.fstat(self._handle)):
                return
        handle = calls.reopen(self.path)
        lost, self._handle = self._handle, handle
        with suppress(OSError):  # all that was written was synced
            calls.close(lost)
        if os.fstat(handle).st_size < self.bytes:
            raise StoreError(
                f"the journal {self.path} has lost rows that were on the disk: check "
                "the disk; the next start keeps what can be read and says what cannot"
            )

    def close(self) -> None:
        """Let go of the file; a torn end, if any, stays as it is."""
        # The end-of-stream mark is left out: a journal never has one, so that
        # a whole one and one that a kill left are read in the same way.
        handle, self._handle = self._handle, -1
        if handle >= 0:
            with suppress(OSError):  # all that was written was synced
                calls.close(handle)


def map_file(path: Path) -> pa.Buffer:
    """Return what a file holds now, without reading it yet.

    The mapping outlives the file's name, and does not grow with the file.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            return pa.py_buffer(b"")
        return pa.py_buffer(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))


class Seals(NamedTuple):
    """How far a journal can be trusted.

    Attributes:
        rows_end: Where the last seal that is right begins; 0 if there is none.
        torn_bytes: How much lies behind that seal.
        is_damaged: Whether there is a seal among those: then more was
            appended once, and it is not the end of the file that is torn.
    """

    rows_end: int
    torn_bytes: int
    is_damaged: bool

    def lost_bytes(self, size: int, synced: int | None) -> int:
        """Return how much is missing that was on the disk once, bytes.

        What was never reported as being on the disk is not missing: of an
        append that a power cut interrupted, the disk may have its end, the
        seal, and not its beginning.

        Args:
            size: How long the journal is.
            synced: How much of it was reported as being on the disk; None if
                that is not known: then a seal in what is torn proves that
                more was appended once.
        """
        if synced is None:
            return self.torn_bytes if self.is_damaged else 0
        return max(0, synced - (size - self.torn_bytes))


class JournalContent(NamedTuple):
    """What could be read of a journal.

    Attributes:
        batches: The complete batches, in the order of appending.
        seals: How far they go, and what lies behind.
    """

    batches: list[pa.RecordBatch]
    seals: Seals


def find_seals(content: pa.Buffer) -> Seals:
    """Return how far a journal can be trusted, without decoding its rows.

    Args:
        content: The file, perhaps torn: cut anywhere, or ending in zeros or
            in garbage.

    Raises:
        MemoryError: If there is not enough to look at a message.
    """
    stream = pa.BufferReader(content)
    rows_end = sealed = begin = 0
    while (facts := _next_message(stream)) is not None:
        if _SEAL in facts:
            if not _has_text(facts, str(crc32(content[rows_end:begin]))):
                break
            rows_end, sealed = begin, stream.tell()
        begin = stream.tell()
    tail = content.slice(sealed)
    return Seals(rows_end, tail.size, _has_seal(tail))


def read_journal(content: pa.Buffer, table: Table, path: Path) -> JournalContent:
    """Return the complete batches of a journal.

    Args:
        content: The file, perhaps torn: cut anywhere, or ending in zeros or
            in garbage.
        table: Whose rows they are.
        path: Where the file lies, or lay.

    Raises:
        UnknownSchemaError: If it was written with other columns.
        StoreError: If rows whose checksum is right cannot be read.
    """
    with told(f"read the journal {path}"):
        seals = find_seals(content)
        if not seals.rows_end:
            return JournalContent([], seals)
        return JournalContent(_decode(content, seals, table, path), seals)


def _decode(
    content: pa.Buffer, seals: Seals, table: Table, path: Path
) -> list[pa.RecordBatch]:
    try:
        reader = pa.ipc.open_stream(content.slice(0, seals.rows_end))
        if not reader.schema.equals(table.schema):
            raise UnknownSchemaError(
                f"the journal {path} of {table.name} was written with other columns; "
                "convert it with the release that wrote it (recorder recover)"
            )
        # Every second one is a seal.
        return [batch for number, batch in enumerate(reader) if number % 2 == 0]
    except MemoryError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise StoreError(
            f"the journal {path} is as it was written, but cannot be read ({error}); "
            "convert it with the release that wrote it (recorder recover)"
        ) from error


def _next_message(stream: pa.BufferReader) -> bytes | None:
    """Return what the next message says of itself; None if there is none."""
    try:
        return pa.ipc.read_message(stream).metadata.to_pybytes()
    except MemoryError:  # of Arrow's exceptions, too
        raise
    # Nothing is read from a disk here: these bytes are no message, or are the
    # first part of one.
    except (EOFError, pa.ArrowException, OSError):
        return None


def _has_text(facts: bytes, text: str) -> bool:
    """Return whether a message says a text: its length, itself, a zero."""
    return len(text).to_bytes(4, "little") + text.encode() + b"\0" in facts


def _has_seal(tail: pa.Buffer) -> bool:
    """Return whether there is a whole seal, right or wrong, in some bytes."""
    text = tail.to_pybytes()
    name = -1
    while (name := text.find(_SEAL, name + 1)) >= 0:
        begin = name
        oldest = max(0, name - _SEAL_BYTES_MAX)
        while (begin := text.rfind(_MESSAGE, oldest, begin)) >= 0:
            facts = _next_message(pa.BufferReader(tail.slice(begin)))
            if facts is not None and _SEAL in facts:
                return True
    return False
