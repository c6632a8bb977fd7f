"""Stop a run between any two calls that change the disk, recover, and judge.

Lives of a run are made up and every call of theirs is noted, in some with one
call refused. Then the disk is built anew as a kill or a power cut between two
calls would leave it, is recovered, and what can be read is compared with what
was made up. Recovery is itself stopped like that, and done again.

The judge reads Parquet files as anybody would: it shares no code with the store.
"""

import errno
import random
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from recorder.errors import RecorderError
from recorder.store.recover import recover
from trials.disk_log import CHANGES, Call, DiskLog, Refusal
from trials.disk_states import SECTOR, Disk
from trials.disk_work import CHAINS, FLUSH_NS, Made, Place, Work


CRASHES_A_WORK: Final = 10
"""So many crashes are tried of each run that is made up."""

RECOVERIES_IN_TEN: Final = 3
"""So many of ten crashes are followed by one of the recovery."""

REFUSALS: Final = (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EROFS)
FOREVER: Final = 1 << 62


class Noted(NamedTuple):
    """A run that was made up.

    Attributes:
        root: Where its store was.
        work: What was made up.
        calls: What was done to the disk.
    """

    root: Path
    work: Work
    calls: list[Call]


def run_crashes(count: int, seed: int) -> list[str]:
    """Try so many crashes; return all complaints."""
    rng = random.Random(seed)
    kinds: Counter[str] = Counter()
    complaints: list[str] = []
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        scratch = Path(name)
        done = 0
        while done < count:
            share = min(CRASHES_A_WORK, count - done)
            noted = make_up(scratch, rng, kinds, complaints)
            for number in range(done, done + share):
                told = crash(noted, scratch, rng, kinds, f"crash {number}")
                complaints += told
            done += share
    print(f"{count} crashes:", dict(sorted(kinds.items())))
    for complaint in complaints:
        print("FAIL ", complaint)
    return complaints


def make_up(
    scratch: Path, rng: random.Random, kinds: Counter[str], complaints: list[str]
) -> Noted:
    """Make up a run, perhaps with a call refused, and judge what it left."""
    root = scratch / "store"
    shutil.rmtree(root, ignore_errors=True)
    refusal = None
    if rng.random() < 0.75:
        refusal = Refusal(rng.randrange(160), rng.choice(REFUSALS))
    log = DiskLog(refusal)
    work = Work(root, log, rng.randrange(1 << 30))
    about = "a run" if refusal is None else f"a run with {refusal}"
    with log.noting():
        try:
            work.live(8)
            work.live(4)
        except RecorderError as error:
            complaints.append(f"{about} failed: {error}")
    if log.refused is not None:
        kinds[f"refused {log.refused}"] += 1
    kinds["runs"] += 1
    last = len(work.through) - 1
    complaints += judge(root, work, last, last, about, has_ended=True)
    return Noted(root, work, log.calls)


def crash(
    noted: Noted, scratch: Path, rng: random.Random, kinds: Counter[str], about: str
) -> list[str]:
    """Stop a run somewhere, recover and judge; return complaints."""
    left = scratch / "left"
    places = [n for n, call in enumerate(noted.calls) if call.name in CHANGES]
    stop = rng.choice(places)
    is_kill = rng.random() < 0.5
    about = f"{about} {'kill' if is_kill else 'power cut'} at {stop}"
    kinds[f"{'kill' if is_kill else 'power cut'} at {noted.calls[stop].name}"] += 1
    disk = Disk(noted.root)
    durable, begun = -1, False
    for call in noted.calls[:stop]:
        if call.name == "durable":
            durable = call.values[0]
        elif call.name == "begun":
            begun = True
        else:
            disk.apply(call)
    half_done(disk, noted.calls[stop], rng)
    disk.put_down(fresh(left), None if is_kill else rng)
    submitted = durable + 1
    if rng.random() * 10 < RECOVERIES_IN_TEN:
        left = crash_again(left, scratch, rng, kinds)
    try:
        recovered(left)
    except (RecorderError, OSError) as error:
        return [f"{about}: recovery failed: {error}"]
    return judge(
        left, noted.work, durable, submitted, about, has_ended=False, has_begun=begun
    )


def half_done(disk: Disk, call: Call, rng: random.Random) -> None:
    """Do a part of a write, which a crash may leave: it ends with a sector."""
    if call.name == "write":
        handle, content, at = call.values
        end = (at + rng.randint(0, len(content))) // SECTOR * SECTOR
        part = content[: max(0, end - at)]
        disk.apply(Call("write", (handle, part, at), len(part)))


def crash_again(
    left: Path, scratch: Path, rng: random.Random, kinds: Counter[str]
) -> Path:
    """Stop the recovery of a store somewhere; return what that leaves."""
    disk, log = Disk.of(left), DiskLog()
    with log.noting():
        recovered(left)
    places = [n for n, call in enumerate(log.calls) if call.name in CHANGES]
    if not places:
        return left
    stop = rng.choice(places)
    for call in log.calls[:stop]:
        disk.apply(call)
    half_done(disk, log.calls[stop], rng)
    again = fresh(scratch / "again")
    is_kill = rng.random() < 0.5
    kinds[f"recovery: {'kill' if is_kill else 'power cut'}"] += 1
    disk.put_down(again, None if is_kill else rng)
    return again


def recovered(root: Path) -> None:
    """Recover a store, if it came to be one."""
    if (root / ".recorder").is_dir():
        recover(root)


def fresh(path: Path) -> Path:
    """Return a path at which there is nothing."""
    shutil.rmtree(path, ignore_errors=True)
    return path


# The judge


def judge(
    root: Path,
    work: Work,
    durable: int,
    submitted: int,
    about: str,
    *,
    has_ended: bool,
    has_begun: bool = True,
) -> list[str]:
    """Compare a store with what was made up; return complaints.

    Args:
        root: The store.
        work: What was made up.
        durable: Number of the last flush that was reported as durable.
        submitted: Number of the last one that may have been handed over.
        about: What it is about, for the complaints.
        has_ended: Whether the run ended in order.
        has_begun: Whether the ledger must speak of it.
    """
    complaints = [f"left behind: {path}" for path in leftovers(root)]
    try:
        tables = {name: read(root, name) for name in ("trades", "depth", "gaps")}
        tables |= {name: read(root, name) for name in ("coverage", "frames")}
    except (pa.ArrowException, OSError) as error:
        return [f"{about}: a file cannot be read: {error}"]
    stored = Counter(
        (table, row["conn"], row["seq"])
        for table in ("trades", "depth")
        for row in tables[table]
    )
    complaints += [
        f"{place} is there {n} times" for place, n in stored.items() if n > 1
    ]
    complaints += strange(work.made, tables)
    owed = {p: row for p, row in work.made.items() if row.flush <= submitted}
    lost = [row for place, row in owed.items() if place not in stored]
    complaints += [
        f"{row} was durable and is lost" for row in lost if row.flush <= durable
    ]
    complaints += [f"{p} was never handed over" for p in stored if p not in owed]
    if has_begun:
        since = work.through[durable] if durable >= 0 else work.began_ns
        complaints += accounts(tables, work.began_ns, since, lost, has_ended=has_ended)
    return [f"{about}: {complaint}" for complaint in complaints]


def leftovers(root: Path) -> Iterator[Path]:
    """Yield files that should not be there any more: nobody records."""
    for name in ("journals", "tmp", "runs", "torn"):
        yield from (p for p in (root / ".recorder" / name).rglob("*") if p.is_file())


def read(root: Path, table: str) -> list[dict[str, Any]]:
    """Return the rows of a table, times as numbers."""
    rows: list[dict[str, Any]] = []
    for path in sorted((root / table).rglob("*.parquet")):
        part = pq.ParquetFile(path).read()
        for number, field in enumerate(part.schema):
            if pa.types.is_timestamp(field.type):
                column = part.column(number).cast(pa.int64())
                part = part.set_column(number, field.name, column)
        rows += part.to_pylist()
    return rows


def strange(
    made: dict[Place, Made], tables: dict[str, list[dict[str, Any]]]
) -> Iterator[str]:
    """Yield complaints about rows that say what was not made up."""
    ids = {"trades": "trade_id", "depth": "last_update_id"}
    for table, column in ids.items():
        for row in tables[table]:
            was = made.get((table, row["conn"], row["seq"]))
            says = row["ts_recv"], row["market"], row[column]
            if was is not None and says != (was.ts_recv, was.chain.market, was.what):
                yield f"{was} became {says}"


def accounts(
    tables: dict[str, list[dict[str, Any]]],
    began_ns: int,
    durable_ns: int,
    lost: Iterable[Made],
    *,
    has_ended: bool,
) -> Iterator[str]:
    """Yield complaints about what the ledger says of each chain."""
    newest: dict[str, dict[str, Any]] = {}
    for row in sorted(tables["gaps"], key=lambda row: (row["ts_recv"], row["seq"])):
        newest[row["gap_id"]] = row
    gaps: dict[Any, list[tuple[int, int]]] = defaultdict(list)
    for row in newest.values():
        span = (
            row["started_at"],
            FOREVER if row["ended_at"] is None else row["ended_at"],
        )
        for chain in CHAINS:
            if row["stream"] in (None, chain.stream) and row["market"] in (
                *(None, chain.market),
            ):
                gaps[chain].append(span)
    for chain in CHAINS:
        covered = [
            (row["started_at"], row["ended_at"])
            for row in tables["coverage"]
            if (row["market"], row["stream"]) == chain
        ]
        missing = [span for span in gaps[chain] if span[0] < span[1]]
        yield from disjoint(chain, [*covered, *missing], began_ns)
        last = max((start for start, end in missing if end == FOREVER), default=0)
        if (
            not has_ended
            and last < durable_ns - FLUSH_NS
            and is_up(covered, durable_ns)
        ):
            yield f"{chain} is given up {durable_ns - last} ns before it was durable"
        for row in lost:
            if row.chain == chain and not inside(gaps[chain], row.ts_recv):
                yield f"{row} is missing in no gap"


def is_up(covered: list[tuple[int, int]], at: int) -> bool:
    """Return whether a chain was covered shortly before a time."""
    return any(start <= at - FLUSH_NS < end for start, end in covered)


def inside(spans: Iterable[tuple[int, int]], at: int) -> bool:
    """Return whether a time lies in one of some spans."""
    return any(start <= at < max(end, start + 1) for start, end in spans)


def disjoint(chain: Any, spans: list[tuple[int, int]], began: int) -> Iterator[str]:
    """Yield complaints unless spans tell of each instant once, without an end."""
    until = began
    for start, end in sorted(spans):
        if start != until:
            kind = "hole" if start > until else "overlap"
            yield f"{chain} has a {kind} between {until} and {start}"
        until = end
    if until != FOREVER:
        yield f"{chain} is told of until {until} only"
