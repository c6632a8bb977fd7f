"""The files of a store at one instant, and their rows piece by piece.

Journals are opened before segments are listed, so that of a journal that is
converted meanwhile either the one or the other is seen. An open journal stays
readable when it is removed.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recorder.errors import RecorderError
from recorder.store.disk import told
from recorder.store.journal import Seals, find_seals, map_file, read_journal
from recorder.store.layout import (
    Partition,
    Stem,
    journals_folder,
    list_files,
)
from recorder.store.tables import TABLES
from recorder.verify.checks.rows import Ints


BROKEN: Final = (pa.ArrowException, OSError, RecorderError, ValueError)
"""What reading a file that is damaged may raise."""


class DataFile(NamedTuple):
    """A segment or a journal.

    Attributes:
        path: Where it lies.
        partition: Its table, source and date.
        stem: Its name.
        content: What a journal held when it was opened; None for a segment.
    """

    path: Path
    partition: Partition
    stem: Stem
    content: pa.Buffer | None = None

    @property
    def is_journal(self) -> bool:
        """Whether it is a journal."""
        return self.content is not None

    @property
    def key(self) -> tuple[Partition, Stem]:
        """What a journal and its segment have in common."""
        return self.partition, self.stem

    @property
    def bytes(self) -> int:
        """Its size; 0 if it is gone."""
        if self.content is not None:
            return self.content.size
        with suppress(FileNotFoundError):
            return self.path.stat().st_size
        return 0


def list_data(root: Path) -> list[DataFile]:
    """Return the segments of a store, and the journals without one.

    Returns:
        By table, source, and name, which begins with the first ``ts_recv``.

    Raises:
        StoreError: If a folder may not be read.
    """
    with told(f"read the store {root}"):
        journals = [
            DataFile(path, partition, stem, content)
            for partition, stem, path in list_files(journals_folder(root), ".arrow")
            if (content := _mapped(path)) is not None
        ]
        segments = [
            DataFile(path, partition, stem)
            for partition, stem, path in list_files(root, ".parquet")
        ]
    converted = {file.key for file in segments}
    files = [*segments, *(file for file in journals if file.key not in converted)]
    return sorted(files, key=lambda file: (file.partition[:2], file.stem))


def _mapped(path: Path) -> pa.Buffer | None:
    try:
        return map_file(path)
    except FileNotFoundError:  # it was converted meanwhile
        return None


def seals_of(file: DataFile) -> Seals:
    """Return how far a journal can be trusted."""
    if file.content is None:
        raise ValueError(f"{file.path} is no journal")
    return find_seals(file.content)


def pieces(file: DataFile, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the rows of a file: a row group, or an appended batch, at a time.

    Checksums of pages are compared where the file has them.

    Args:
        file: The file.
        columns: Only these columns; None means all, and their types as they are.

    Raises:
        ArrowException, OSError, RecorderError, ValueError: If it is damaged.
    """
    if file.content is not None:
        table = TABLES[file.partition.table]
        for batch in read_journal(file.content, table, file.path).batches:
            rows = pa.Table.from_batches([batch])
            yield rows if columns is None else rows.select(list(columns))
        return
    with pq.ParquetFile(file.path, page_checksum_verification=True) as opened:
        for number in range(opened.num_row_groups):
            wanted = None if columns is None else list(columns)
            yield opened.read_row_group(number, columns=wanted)


def numbers(rows: pa.Table, column: str, missing: int = -1) -> Ints:
    """Return a column of integers or times, nulls replaced."""
    values: Any = rows[column]
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    if values.null_count:
        values = values.fill_null(missing)
    return np.asarray(values.to_numpy(), np.int64)


def texts(rows: pa.Table, column: str) -> tuple[Ints, Sequence[str | None]]:
    """Return a column of texts as numbers, and the text of each, sorted.

    A null has the highest number, and None for its text.
    """
    values: Any = rows[column]
    if not pa.types.is_dictionary(values.type):
        values = values.dictionary_encode()
    values = values.unify_dictionaries().combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = values.chunk(0)
    names: list[str] = values.dictionary.to_pylist()
    found = sorted(set(names))
    place = {name: number for number, name in enumerate(found)}
    codes = np.array([place[name] for name in names] + [len(found)], np.int64)
    indices = values.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)
    return codes[indices.astype(np.int64)], [*found, None]
