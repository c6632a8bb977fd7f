"""Damaged journals through recovery, and what is asked of it.

What is read of a damaged journal is a beginning of what was written, row for
row; recovery raises nothing, keeps the damaged file for people, and done again
it changes nothing.
"""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from recorder.model import DepthUpdate, KeptFrame, Trade
from recorder.store.batch import RowTuple, build
from recorder.store.journal import Journal
from recorder.store.layout import (
    DAY_NS,
    Partition,
    Stem,
    date_of,
    journals_folder,
    list_files,
)
from recorder.store.listing import open_listing
from recorder.store.recover import recover
from recorder.store.run import open_run
from recorder.store.tables import TABLES
from recorder.verify import verify
from trials.fuzz.errors import FoundError


START_NS: Final = 1_790_000_000 * 1_000_000_000 // DAY_NS * DAY_NS
SOURCE: Final = "gate_spot"
WRITTEN: Final = ("trades", "depth", "frames")

_EXPECTED: Final = {"no_ledger", "unknown_book", "torn_journal", "missing_file"}
"""Findings of a store that has neither ledger nor snapshots, of damaged journals
that are kept for people, and of one without a row that is whole."""


def try_journals(numbers: Sequence[int], root: Path) -> Counter[str]:
    """Have journals of a killed run damaged and recovered; return what was done.

    Args:
        numbers: The first says what is written, each other one damage.
        root: Where a store is to be; it must not exist.

    Raises:
        FoundError: If recovery did not keep its promise.
        Exception: Whatever recovery raised.
    """
    rng = random.Random(numbers[0])
    run = open_run(root, job="fuzz", source=SOURCE, now_ns=START_NS)
    written = {table: _write(root, run.id, table, rng) for table in WRITTEN}
    run.abandon()  # as a kill leaves it: its locks are free, its files are there
    done: Counter[str] = Counter()
    journals = {
        part.table: path
        for part, _, path in list_files(journals_folder(root), ".arrow")
    }
    damaged = set()
    for number in numbers[1:]:
        table = rng.choice(WRITTEN)
        damaged.add(table)
        done[_damage(journals[table], random.Random(number))] += 1
    before = {table: _rows_of(root, table) for table in WRITTEN}
    recover(root)
    for table, whole in written.items():
        found = _rows_of(root, table)
        if found != whole[: len(found)]:
            raise FoundError(f"{table}: {found} is no beginning of {whole}")
        if before[table] != found:
            raise FoundError(f"{table}: {before[table]} before recovery, then {found}")
        if table not in damaged and found != whole:
            raise FoundError(f"{table}: rows were lost of what nobody damaged")
        done["rows kept"] += len(found)
        done["rows lost"] += len(whole) - len(found)
    files = _files(root)
    if recover(root) or _files(root) != files:
        raise FoundError("a second recovery did something")
    odd = [found for found in verify(root).findings if found.kind not in _EXPECTED]
    if odd:
        raise FoundError(f"the store is not what it says: {odd}")
    return done


def _write(root: Path, run: str, table: str, rng: random.Random) -> list[Any]:
    """Write a journal of some appends; return its rows as plain values."""
    partition = Partition(table, SOURCE, date_of(START_NS))
    journal = Journal(root, partition, Stem(START_NS, run, WRITTEN.index(table)))
    seq, batches = 0, []
    for _ in range(rng.randint(1, 5)):
        rows = []
        for _ in range(rng.choice((1, 2, 7, 300))):
            rows.append(_row(table, run, seq, rng))
            seq += 1
        batches.append(build(TABLES[table], rows, SOURCE).batch)
        journal.append(batches[-1])
    journal.close()
    return [row for batch in batches for row in _plain(pa.table(batch))]


def _row(table: str, run: str, seq: int, rng: random.Random) -> RowTuple:
    market = rng.choice(("BTC_USDT", "ETH_USDT", f"M{seq}"))
    if table == "depth":  # whose ids go on one by one
        market = "BTC_USDT"
    event: Any
    if table == "trades":
        event = Trade(
            market=market, ts_event=START_NS + seq, trade_id=seq, side="buy",
            price=str(rng.random()), amount="1",
        )  # fmt: skip
    elif table == "depth":
        event = DepthUpdate(
            market=market, stream="depth:100ms", ts_event=None, is_snapshot=False,
            first_update_id=seq, last_update_id=seq,
            bids=b'[["1.5","2"]]' * (seq % 2) or b"[]", asks=b"[]",
        )  # fmt: skip
    else:
        event = KeptFrame(
            direction="in", opcode="text", reason="unknown",
            payload=rng.randbytes(rng.choice((0, 3, 2_000))),
        )  # fmt: skip
    return (START_NS + seq, f"{run}.0", seq, 0, event, None)


def _damage(path: Path, rng: random.Random) -> str:
    """Damage a file; return how."""
    content = bytearray(path.read_bytes())
    at = rng.randrange(len(content) + 1)
    how = rng.choice(("cut", "bits", "zeros", "garbage", "grown", "spliced", "twice"))
    if how == "cut":
        del content[at:]
    elif how == "bits":
        for _ in range(rng.randint(1, 20)):
            if content:
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif how == "zeros":
        length = rng.choice((1, 8, 512, 4096))
        content[at : at + length] = bytes(len(content[at : at + length]))
    elif how == "garbage":
        length = len(content[at : at + rng.choice((1, 8, 512))])
        content[at : at + length] = rng.randbytes(length)
    elif how == "grown":
        tail = rng.randbytes(rng.choice((1, 8, 5_000)))
        content += rng.choice((tail, bytes(len(tail)), b"\xff\xff\xff\xff" + tail))
    elif how == "spliced":
        piece = content[at : at + rng.choice((8, 64, 2_000))]
        place = rng.randrange(len(content) + 1)
        content[place:place] = piece
    else:
        content += bytes(content)
    path.write_bytes(content)
    return how


def _rows_of(root: Path, table: str) -> list[Any]:
    rows = open_listing(root).read(table).select(TABLES[table].schema.names)
    return sorted(_plain(rows), key=lambda row: row[0])


def _plain(rows: pa.Table) -> list[Any]:
    """Return rows as tuples of plain values, the time of receipt first."""
    columns = [
        (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column)
        for column in rows.columns
    ]
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


def _files(root: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
