"""Covered time and gaps of rows tile wall time, whatever happens and is killed.

The oracle is a set of instants for each chain: what was recorded and never
found to be missing. It knows nothing of intervals, revisions or run files.
"""

import os
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from recorder.model import TABLE_OF, Chain
from recorder.store.batch import build
from recorder.store.journal import Journal
from recorder.store.layout import Partition, Stem
from recorder.store.ledger import Ledger
from recorder.store.listing import open_listing
from recorder.store.recover import recover
from recorder.store.revisions import gaps_left_open
from recorder.store.run import open_run
from recorder.store.tables import TABLES


ZERO = 1_700_000_000_000_000_000
CHAINS = (Chain("A", "trades"), Chain("B", "trades"), Chain("B", "depth:100ms"))
DATE = "2023-11-14"

WHERE_KILLED = ["before", "coverage", "gaps", "state", "heartbeat"]
"""What of its last flush a killed run still wrote."""


class World:
    """A job, its store, and what is true of its chains."""

    def __init__(self, root):
        self.root = root
        self.now = ZERO
        self.here = {chain: set() for chain in CHAINS}
        self.safe = {chain: set() for chain in CHAINS}
        self.flushed = {chain: set() for chain in CHAINS}
        self.begin()

    def begin(self):
        self.run = open_run(self.root, job="job", source="fake", now_ns=self.now)
        recover(self.root)
        left = gaps_left_open(open_listing(self.root), "job")
        self.ledger = Ledger("job", self.run.id, CHAINS, left)
        self.on = dict.fromkeys(CHAINS)
        self.lost_at = {}
        self.began = self.heard = self.now
        self.is_silent = False
        self.files = 0
        self.rows = []
        self.note(self.ledger.start(self.now))
        state = self.ledger.state()
        self.run.write_state(state, self.now)

    def note(self, rows):
        for row in rows:
            place = (self.now, f"{self.run.id}.ledger", len(self.rows) + self.files, 0)
            self.rows.append((*place, row, None))
            self.files += 1

    def wait(self, ns):
        """Let time go by: what is on is recorded."""
        for chain, since in self.on.items():
            if since is not None:
                self.here[chain].update(range(self.now, self.now + ns))
        self.now += ns
        if not self.is_silent:
            self.heard = self.now

    def miss(self, chain, start, end):
        self.here[chain].difference_update(range(start, end))

    # What may happen ------------------------------------------------------

    def covered(self, chain, _back, _size):
        self.note(self.ledger.covered(chain, self.now))
        if self.on[chain] is None:
            self.on[chain] = self.now
        self.heard = self.now
        self.is_silent = False

    def lost(self, chain, back, _size):
        since = self.on[chain]
        if since is not None:
            at = max(since, self.now - back)
            self.note(self.ledger.lost(chain, "connect_lost", at))
            self.miss(chain, at, self.now)
            self.on[chain], self.lost_at[chain] = None, at

    def missed(self, chain, back, size):
        """A break since the chain came back, or before it was lost."""
        since, lost_at = self.on[chain], self.lost_at.get(chain)
        if since is not None and back % 2:
            start = max(since, self.now - back)
            end = min(self.now, start + size)
        elif lost_at is not None:
            start = max(self.began, lost_at - back)
            end = min(lost_at, start + size)
        else:
            return
        if start < end:
            self.note(self.ledger.missed(chain, "sequence_gap", start, end))
            self.miss(chain, start, end)

    def by_all(self, _chain, back, size):
        start = max(self.began, self.now - back)
        end = min(self.now, start + size)
        if start < end:
            self.ledger.missed_by_any("undecodable", start, end, detail="frame")
            for chain in CHAINS:
                self.miss(chain, start, end)

    def midnight(self, _chain, _back, _size):
        self.note(self.ledger.midnight(self.now))

    def book(self, chain, _back, _size):
        self.note(self.ledger.book_lost(chain, "resync", self.now))

    def refused(self, chain, _back, _size):
        if self.on[chain] is None:
            self.note(self.ledger.refused(chain, self.now, "unknown"))

    def silent(self, _chain, _back, _size):
        """The connection of all brings nothing any more."""
        self.is_silent = True

    def heard_again(self, _chain, _back, _size):
        self.heard = self.now
        self.is_silent = False

    def handed_over(self, _chain, _back, size):
        """The first connection is left: the second, accepted before, brings all.

        If the first had been silent by then, what came between is missing.
        """
        accepted_at = max(self.began, self.now - size)
        for chain, since in self.on.items():
            if since is None or accepted_at <= max(self.heard, since):
                continue
            at = max(self.heard, since)
            self.note(self.ledger.lost(chain, "venue_upgrade", at))
            self.note(self.ledger.covered(chain, accepted_at))
            self.miss(chain, at, accepted_at)
        self.heard = self.now
        self.is_silent = False

    # Flushes and ends -----------------------------------------------------

    def flush(self, through="heartbeat"):
        """Write, in the writer's order, down to some step of it."""
        steps = WHERE_KILLED[1 : WHERE_KILLED.index(through) + 1]
        self.note(self.ledger.due())
        state = self.ledger.state(dict.fromkeys(CHAINS, 0))
        for table in ("coverage", "gaps"):
            part = [row for row in self.rows if TABLE_OF[type(row[4])] == table]
            if table in steps and part:
                stem = Stem(part[0][0], self.run.id, self.files)
                journal = Journal(self.root, Partition(table, "fake", DATE), stem)
                self.files += 1
                journal.append(build(TABLES[table], part).batch)
                journal.close()
        self.rows = []
        if "state" in steps and state is not None:
            self.run.write_state(state, self.now)
        if "gaps" in steps:
            self.flushed = {chain: set(here) for chain, here in self.here.items()}
        if "heartbeat" in steps:
            self.run.heartbeat(self.now, [self.heard])
            until = min(self.now, self.heard)
            self.safe = {
                chain: {t for t in here if t < until}
                for chain, here in self.here.items()
            }

    def stop(self):
        heard = {c: max(self.heard, s or 0) for c, s in self.on.items()}
        self.note(self.ledger.stop(self.now, heard))
        for chain, since in self.on.items():
            if since is not None:
                self.miss(chain, heard[chain], self.now)
        self.flush()
        self.safe = {chain: set(here) for chain, here in self.here.items()}
        self.run.release()
        self.on = dict.fromkeys(CHAINS)

    def kill(self, where):
        before = self.safe
        self.flush(where)
        self.run.abandon()
        self.on = dict.fromkeys(CHAINS)
        for chain in CHAINS:  # what a silent connection would have brought
            self.miss(chain, self.heard, self.now)
            self.flushed[chain] &= set(range(ZERO, self.heard))
        if where == "before":
            self.safe = before
        # What was found to be missing since the last flush, nobody knows now.
        self.here = {c: here | self.flushed[c] for c, here in self.here.items()}
        if where not in ("before", "heartbeat"):
            self.safe = {chain: set() for chain in CHAINS}

    # The judgement --------------------------------------------------------

    def read(self, table):
        rows = open_listing(self.root).read(table)
        names = ["started_at", "ended_at", "ts_recv"]
        for name in names:
            number = rows.schema.get_field_index(name)
            rows = rows.set_column(number, name, rows[name].cast(pa.int64()))
        return rows.to_pylist()

    def spans(self, chain):
        """Return spans of coverage, and of gaps of rows, of a chain."""
        covered = [
            (row["started_at"], row["ended_at"])
            for row in self.read("coverage")
            if (row["market"], row["stream"]) == chain
        ]
        gaps = {}
        for row in self.read("gaps"):
            mine = row["market"] in (None, chain.market) and row["stream"] in (
                None,
                chain.stream,
            )
            if mine and row["scope"] == "rows":
                if row["ended_at"] is not None:
                    gaps[row["gap_id"]] = (row["started_at"], row["ended_at"])
                else:
                    gaps.setdefault(row["gap_id"], (row["started_at"], None))
        return covered, list(gaps.values())

    def judge(self):
        for chain in CHAINS:
            covered, gaps = self.spans(chain)
            still_open = [span for span in gaps if span[1] is None]
            assert len(still_open) == 1
            ended = [(start, end or self.now) for start, end in gaps]
            spans = sorted(s for s in covered + ended if s[0] < s[1])
            if spans:
                assert spans[0][0] == ZERO
                assert spans[-1][1] <= self.now
                for (_, end), (start, _) in pairwise(spans):
                    assert start == end
            instants = {t for start, end in covered for t in range(start, end)}
            assert instants <= self.here[chain]
            assert instants >= self.safe[chain]
            # From now on the disk is the truth: what a kill took is gone.
            self.here[chain] = instants
            self.safe[chain] = self.flushed[chain] = set(instants)


STEPS = [
    "covered",
    "covered",
    "lost",
    "missed",
    "missed",
    "by_all",
    "midnight",
    "book",
    "refused",
    "silent",
    "silent",
    "heard_again",
    "handed_over",
    "handed_over",
    "flush",
    "flush",
]
STEP = st.tuples(
    st.sampled_from(STEPS),
    st.sampled_from(CHAINS),
    st.integers(0, 60),
    st.integers(1, 20),
    st.integers(1, 30),
)
RUN = st.tuples(
    st.booleans(),
    st.lists(STEP, max_size=14),
    st.sampled_from(["stop", "stop", *WHERE_KILLED]),
)


@pytest.fixture(scope="module", autouse=True)
def _fast():
    """Do not wait for the disk: nothing here cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _handle: None)
        patch.setattr(os, "fdatasync", lambda _handle: None)
        yield


@settings(max_examples=100, deadline=None)
@given(st.lists(RUN, min_size=1, max_size=3))
def test_what_is_here_and_what_is_missing_add_up_to_wall_time(runs):
    with TemporaryDirectory() as folder:
        world = World(Path(folder) / "store")
        for is_accepted, steps, end in runs:
            for chain in CHAINS if is_accepted else ():
                world.covered(chain, 0, 0)
            for step, chain, back, size, wait in steps:
                world.wait(wait)
                if step == "flush":
                    world.flush()
                else:
                    getattr(world, step)(chain, back, size)
            world.wait(5)
            if end == "stop":
                world.stop()
            else:
                world.kill(end)
                recover(world.root)
            world.judge()
            world.wait(3)
            world.begin()
        world.run.abandon()
